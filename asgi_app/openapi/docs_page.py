"""The page /docs: the document as forms, one for each operation."""

from __future__ import annotations

from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response

from asgi_app.http.assets import Assets

DOCS_PAGE = Assets(files("asgi_app.openapi") / "page", files("asgi_app.http") / "browser", prefix="docs/")
"""The files of the page: its own, and those that all pages of the service share."""


async def without_slash(request: Request) -> Response:
    """Redirect to the page, whose own address has no slash at the end: its links are relative to that."""
    return Response(status_code=308, headers={"Location": "../docs"})
