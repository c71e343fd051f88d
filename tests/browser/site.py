"""The service at three addresses of one server: `/`, mounted below `/db`, and below `/cut` behind what cuts that off.

uvicorn browser.site:parent
"""

from __future__ import annotations

from contract.written import documents, everything, founds, items, tallies
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from asgi_app import create_app, lifespan_of

RESOURCES = (everything, items, documents, tallies, founds)
PREFIXES = ("/", "/db/", "/cut/")

app = create_app(resources=RESOURCES, examples=True, diagnostics=True)


def as_a_proxy_cuts(prefix: str, served: ASGIApp) -> ASGIApp:
    """Return an application that gets requests below the prefix as a proxy forwards them that hides the prefix."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        path, raw = scope["path"].removeprefix(prefix), scope["raw_path"].removeprefix(prefix.encode())
        await served({**scope, "root_path": "", "path": path, "raw_path": raw}, receive, send)

    return answer


parent = Starlette(
    routes=[Mount("/db", app), Mount("/cut", as_a_proxy_cuts("/cut", app))],
    lifespan=lifespan_of(app),
)
parent.router.default = app  # not a Mount, which matches no path with the end of a line in it
