"""Starlette without a database: what uvicorn and Starlette cost by themselves for the same request and bytes."""

from __future__ import annotations

import os

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from benchmarks.sample import ROWS_VARIABLE, sample_users

_BODIES = {str(user.id): user.json() for user in sample_users(int(os.environ[ROWS_VARIABLE]))}


async def read_user(request: Request) -> Response:
    """GET /users/{user_id}."""
    body = _BODIES.get(request.path_params["user_id"])
    return Response(status_code=404) if body is None else Response(body, media_type="application/json")


app = Starlette(routes=[Route("/users/{user_id}", read_user)])
