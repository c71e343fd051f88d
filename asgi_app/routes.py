"""The paths of the built-in application.

The first match has precedence, so fixed segments come before parameters. The second argument of a route is the resource
that the `authorize` hook is called with; None is open to everybody.
"""

from __future__ import annotations

from functools import partial

from asgi_app.http.formats import FORMATS
from asgi_app.http.routing import SegmentRoute, path, path_or, path_where, resource_names
from asgi_app.openapi.docs_page import DOCS_PAGE, docs_page, without_slash
from asgi_app.openapi.serving import OpenApi, is_documented
from asgi_app.resources import diagnostics, operations, species, users
from asgi_app.resources.console_page import CONSOLE_PAGE, has_console, lead_to_page, wants_page, with_slash
from asgi_app.resources.diagnostics import if_enabled
from asgi_app.resources.table.reading import TableReads
from asgi_app.resources.table.writing import TableWrites
from asgi_app.runtime.scheduler import Lane
from asgi_app.tables.builtin import ANIMAL_RESOURCE, USER_RESOURCE

OPERATIONS: tuple[SegmentRoute, ...] = (
    path_or(wants_page, lead_to_page, "/", "service", get=operations.welcome),
    path("/health", "health", lane=Lane.PROBES, while_draining=True, get=operations.health),
    path("/livez", None, while_draining=True, routine=True, get=operations.livez),
    path("/readyz", None, lane=Lane.PROBES, while_draining=True, routine=True, get=operations.readyz),
    path("/metrics", "metrics", while_draining=True, routine=True, get=operations.metrics),
    path_where(
        operations.has_admin_token, "/shutdown", None, while_draining=True, post=operations.shutdown
    ),  # checks the token itself
)

_user_reads, _user_writes = TableReads(USER_RESOURCE), TableWrites(USER_RESOURCE)

USERS: tuple[SegmentRoute, ...] = (
    path("/users", "users", lane=Lane.REQUESTS, get=users.list_users, post=users.create_user),
    path("/users/batch", "users", lane=Lane.REQUESTS, post=users.create_users),
    path("/users/stream", "users", lane=Lane.PAGES, get=users.stream_users),
    path("/users/stream/pages", "users", lane=Lane.REQUESTS, get=users.page_users),
    *(path(f"/users/export.{form}", "users", lane=Lane.PAGES, get=users.export_users(form)) for form in FORMATS),
    path(
        "/users/{user_id}",
        "users",
        lane=Lane.REQUESTS,
        get=_user_reads.row,
        put=users.replace_user,
        patch=users.change_user,
        delete=_user_writes.delete,
    ),
)

SPECIES: tuple[SegmentRoute, ...] = (
    path("/animal", "animals", lane=Lane.REQUESTS, post=species.write_animal),
    path("/animal/{genus}", "animals", lane=Lane.PAGES, get=species.stream_animals),
    path("/animal/{genus}/{species}", "animals", lane=Lane.REQUESTS, get=TableReads(ANIMAL_RESOURCE).row),
    path("/plant/{genus}", "plants", lane=Lane.PAGES, get=species.stream_plants),
)

_diagnostic = partial(path, resource="diagnostics", verb="operate", lane=Lane.DIAGNOSTICS)

DIAGNOSTICS: tuple[SegmentRoute, ...] = (
    _diagnostic("/performance/async", get=if_enabled(diagnostics.performance_async)),
    _diagnostic("/performance/sync", get=if_enabled(diagnostics.performance_sync)),
    _diagnostic("/slow_query", get=if_enabled(diagnostics.slow_query)),
    _diagnostic("/long_running_query", get=if_enabled(diagnostics.long_running_query)),
    _diagnostic("/context_manager_safety/query_error", post=if_enabled(diagnostics.query_error)),
    _diagnostic("/context_manager_safety/streaming_error", post=if_enabled(diagnostics.streaming_error)),
    _diagnostic("/context_manager_safety/concurrent_streams", post=if_enabled(diagnostics.concurrent_streams)),
    _diagnostic("/context_manager_safety/nested_contexts", post=if_enabled(diagnostics.nested_contexts)),
    _diagnostic("/context_manager_safety/cancellation", post=if_enabled(diagnostics.cancellation)),
    _diagnostic("/context_manager_safety/status", get=if_enabled(diagnostics.status)),
)

EXAMPLES: tuple[SegmentRoute, ...] = (*USERS, *SPECIES, *DIAGNOSTICS)
"""The paths of the built-in tables, and of the demonstrations that need them."""


def documentation(document: OpenApi) -> tuple[SegmentRoute, ...]:
    """Return the routes of the description of an application, and of the pages that are made from it."""
    return (
        path_where(is_documented, "/openapi.json", "docs", get=document.answer),
        path_where(is_documented, "/docs", None, get=docs_page),
        path_where(is_documented, "/docs/", None, get=without_slash),
        path_where(is_documented, "/docs/{file}", None, routine=True, get=DOCS_PAGE.file),
        path_where(has_console, "/console", None, get=with_slash),
        path_where(has_console, "/console/", None, get=CONSOLE_PAGE.page),
        path_where(has_console, "/console/{file}", None, routine=True, get=CONSOLE_PAGE.file),
    )


RESERVED = ("docs", "openapi.json", "console", "-")
"""First segments of paths that the service keeps for itself, beside those of its routes."""


def own_scopes(*, examples: bool) -> set[str]:
    """Return what the `authorize` hook is called with for what the service does itself: no table may be called so.

    `examples`: the built-in tables are served, and the demonstrations with them.
    """
    return resource_names((*OPERATIONS, *documentation(OpenApi(())), *(DIAGNOSTICS if examples else ())))
