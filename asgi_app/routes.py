"""Every path the built-in application serves. The first match answers, so fixed segments come before parameters.

After the path stands the resource that the `authorize` hook is asked about; None is open.
"""

from __future__ import annotations

from starlette.routing import Route

from asgi_app.http.routing import path, path_where
from asgi_app.resources import diagnostics, operations, species, users
from asgi_app.resources.diagnostics import if_enabled

OPERATIONS: tuple[Route, ...] = (
    path("/", "service", get=operations.welcome),
    path("/health", "health", get=operations.health),
    path("/livez", None, get=operations.livez),
    path("/readyz", None, get=operations.readyz),
    path("/metrics", "metrics", get=operations.metrics),
    path_where(operations.has_admin_token, "/shutdown", None, post=operations.shutdown),  # checks the token itself
)

USERS: tuple[Route, ...] = (
    path("/users", "users", get=users.list_users, post=users.create_user),
    path("/users/batch", "users", post=users.create_users),
    path("/users/stream", "users", get=users.stream_users),
    path("/users/stream/pages", "users", get=users.page_users),
    path(
        "/users/{user_id}",
        "users",
        get=users.get_user,
        put=users.replace_user,
        patch=users.change_user,
        delete=users.delete_user,
    ),
)

SPECIES: tuple[Route, ...] = (
    path("/animal", "animals", post=species.write_animal),
    path("/animal/{genus}", "animals", get=species.stream_animals),
    path("/animal/{genus}/{species}", "animals", get=species.get_animal),
    path("/plant/{genus}", "plants", get=species.stream_plants),
)

DIAGNOSTICS: tuple[Route, ...] = (
    path("/performance/async", "diagnostics", "operate", get=if_enabled(diagnostics.performance_async)),
    path("/performance/sync", "diagnostics", "operate", get=if_enabled(diagnostics.performance_sync)),
    path("/slow_query", "diagnostics", "operate", get=if_enabled(diagnostics.slow_query)),
    path("/long_running_query", "diagnostics", "operate", get=if_enabled(diagnostics.long_running_query)),
    path("/context_manager_safety/query_error", "diagnostics", "operate", post=if_enabled(diagnostics.query_error)),
    path(
        "/context_manager_safety/streaming_error",
        "diagnostics",
        "operate",
        post=if_enabled(diagnostics.streaming_error),
    ),
    path(
        "/context_manager_safety/concurrent_streams",
        "diagnostics",
        "operate",
        post=if_enabled(diagnostics.concurrent_streams),
    ),
    path(
        "/context_manager_safety/nested_contexts",
        "diagnostics",
        "operate",
        post=if_enabled(diagnostics.nested_contexts),
    ),
    path("/context_manager_safety/cancellation", "diagnostics", "operate", post=if_enabled(diagnostics.cancellation)),
    path("/context_manager_safety/status", "diagnostics", "operate", get=if_enabled(diagnostics.status)),
)


def takes_a_call(path: str) -> bool:
    """Whether requests at a path of this application are served by `Lane.REQUESTS`: all of data but streams."""
    first, *others = path[1:].split("/")
    return (first == "users" and others != ["stream"]) or (first == "animal" and len(others) != 1)
