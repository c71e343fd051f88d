"""The page /docs: the document as forms, one for each operation."""

from __future__ import annotations

from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response

from asgi_app.http.assets import Assets
from asgi_app.http.context import settings_of

_FOLDERS = (files("asgi_app.openapi") / "page", files("asgi_app.http") / "browser")

DOCS_PAGE = Assets(*_FOLDERS, prefix="docs/")
"""The files of the page: its own, and those that all pages of the service share."""

_WITHOUT_CONSOLE = Assets(*_FOLDERS, prefix="docs/", without=b'<a href="console/">Console</a>\n')


async def docs_page(request: Request) -> Response:
    """Answer with the page. It leads to the console if there is one."""
    page = DOCS_PAGE if settings_of(request.scope).console else _WITHOUT_CONSOLE
    return await page.page(request)


async def without_slash(request: Request) -> Response:
    """Redirect to the page, whose own address has no slash at the end: its links are relative to that."""
    return Response(status_code=308, headers={"Location": "../docs"})
