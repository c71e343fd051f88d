"""The page /console/: the tables, their rows and streams, and the state of the service, in a browser."""

from __future__ import annotations

from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from asgi_app.http.assets import Assets
from asgi_app.http.context import settings_of
from asgi_app.http.headers import NO_STORE, VARY_BY_ACCEPT
from asgi_app.http.requests import list_field, preferred

CONSOLE_PAGE = Assets(files("asgi_app.resources") / "console", files("asgi_app.http") / "browser")
"""The files of the page: its own, and those that all pages of the service share."""


async def with_slash(request: Request) -> Response:
    """Redirect to the page, whose own address has a slash at the end: its links are relative to that."""
    return Response(status_code=308, headers={"Location": "console/"})


def wants_page(request: Request) -> bool:
    """Return whether a request for the root of the service asks for a page, as browsers do, and there is one."""
    accept = list_field(request, "accept")
    return has_console(request.scope) and preferred(accept, ("application/json", "text/html")) == "text/html"


async def lead_to_page(request: Request) -> Response:
    """Redirect a browser from the root of the service to the page."""
    return Response(status_code=303, headers={"Location": "console/", **NO_STORE, **VARY_BY_ACCEPT})


def has_console(scope: Scope) -> bool:
    """Return whether the settings allow the page, and the document that it is made from."""
    settings = settings_of(scope)
    return settings.console and settings.docs
