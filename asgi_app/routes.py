"""Every path the built-in application serves. The first match answers, so fixed segments come before parameters."""

from __future__ import annotations

from starlette.routing import Route

from asgi_app import operations, species, users
from asgi_app.routing import path

OPERATIONS: tuple[Route, ...] = (
    path("/", get=operations.welcome),
    path("/health", get=operations.health),
    path("/livez", get=operations.livez),
    path("/readyz", get=operations.readyz),
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
