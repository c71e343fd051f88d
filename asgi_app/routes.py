"""Every path the built-in application serves. The first match answers, so fixed segments come before parameters."""

from __future__ import annotations

from starlette.routing import Route

from asgi_app import diagnostics, operations, species, users
from asgi_app.diagnostics import if_enabled
from asgi_app.routing import path

OPERATIONS: tuple[Route, ...] = (
    path("/", get=operations.welcome),
    path("/health", get=operations.health),
    path("/livez", get=operations.livez),
    path("/readyz", get=operations.readyz),
    path("/metrics", get=operations.metrics),
)

USERS: tuple[Route, ...] = (
    path("/users", get=users.list_users, post=users.create_user),
    path("/users/batch", post=users.create_users),
    path("/users/stream", get=users.stream_users),
    path("/users/stream/pages", get=users.page_users),
    path(
        "/users/{user_id}",
        get=users.get_user,
        put=users.replace_user,
        patch=users.change_user,
        delete=users.delete_user,
    ),
)

SPECIES: tuple[Route, ...] = (
    path("/animal", post=species.write_animal),
    path("/animal/{genus}", get=species.stream_animals),
    path("/animal/{genus}/{species}", get=species.get_animal),
    path("/plant/{genus}", get=species.stream_plants),
)

DIAGNOSTICS: tuple[Route, ...] = (
    path("/performance/async", get=if_enabled(diagnostics.performance_async)),
    path("/performance/sync", get=if_enabled(diagnostics.performance_sync)),
    path("/slow_query", get=if_enabled(diagnostics.slow_query)),
    path("/long_running_query", get=if_enabled(diagnostics.long_running_query)),
    path("/context_manager_safety/query_error", post=if_enabled(diagnostics.query_error)),
    path("/context_manager_safety/streaming_error", post=if_enabled(diagnostics.streaming_error)),
    path("/context_manager_safety/concurrent_streams", post=if_enabled(diagnostics.concurrent_streams)),
    path("/context_manager_safety/nested_contexts", post=if_enabled(diagnostics.nested_contexts)),
    path("/context_manager_safety/cancellation", post=if_enabled(diagnostics.cancellation)),
    path("/context_manager_safety/status", get=if_enabled(diagnostics.status)),
)


def takes_a_call(path: str) -> bool:
    """Whether requests at a path of this application are served by `Share.CALLS`: all of data but streams."""
    first, *others = path[1:].split("/")
    return (first == "users" and others != ["stream"]) or (first == "animal" and len(others) != 1)
