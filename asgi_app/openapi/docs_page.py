"""The page /docs: the document as forms, one for each operation."""

from __future__ import annotations

from importlib.resources import files

from asgi_app.http.assets import Assets

DOCS_PAGE = Assets(files("asgi_app.openapi") / "page", files("asgi_app.http") / "browser")
"""The files of the page: its own, and those that all pages of the service share."""
