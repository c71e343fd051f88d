"""The page /console/: the tables, their rows and streams, and the state of the service, in a browser."""

from __future__ import annotations

from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from asgi_app.http.assets import Assets
from asgi_app.http.context import settings_of

CONSOLE_PAGE = Assets(files("asgi_app.resources") / "console", files("asgi_app.http") / "browser")
"""The files of the page: its own, and those that all pages of the service share."""


async def with_slash(request: Request) -> Response:
    """Redirect to the page, whose own address has a slash at the end: its links are relative to that."""
    return Response(status_code=308, headers={"Location": "console/"})


def has_console(scope: Scope) -> bool:
    """Return whether the settings allow the page, and the document that it is made from."""
    settings = settings_of(scope)
    return settings.console and settings.docs
