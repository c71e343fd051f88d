"""The service at three addresses of one server: `/`, mounted below `/db`, and below `/cut` behind what cuts that off.

Below `/million` it is the service too, but its stream of users has a million rows, more than a test can write first.

uvicorn browser.site:parent
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from contract.written import documents, everything, founds, items, readings, rides, tallies
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from asgi_app import create_app, lifespan_of

RESOURCES = (everything, items, documents, tallies, founds, readings, rides)
PREFIXES = ("/", "/db/", "/cut/")

app = create_app(resources=RESOURCES, examples=True, diagnostics=True)


def as_a_proxy_cuts(prefix: str, served: ASGIApp) -> ASGIApp:
    """Return an application that gets requests below the prefix as a proxy forwards them that hides the prefix."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        path, raw = scope["path"].removeprefix(prefix), scope["raw_path"].removeprefix(prefix.encode())
        await served({**scope, "root_path": "", "path": path, "raw_path": raw}, receive, send)

    return answer


MILLION = 1_000_000
ROWS_AT_ONCE = 500


async def million_users(_: Request) -> StreamingResponse:
    """Answer with a million rows as NDJSON, as fast as the client reads them."""
    row = '{"id":"a5b74f63-ee69-5ad7-b859-%012d","name":"Ann","email":"ann@example.org","age":36,"created_at":null}\n'

    async def parts() -> AsyncIterator[str]:
        for first in range(0, MILLION, ROWS_AT_ONCE):
            yield "".join(row % number for number in range(first, first + ROWS_AT_ONCE))

    return StreamingResponse(parts(), media_type="application/x-ndjson")


parent = Starlette(
    routes=[
        Mount("/db", app),
        Mount("/cut", as_a_proxy_cuts("/cut", app)),
        Route("/million/users/stream", million_users),
        Mount("/million", app),
    ],
    lifespan=lifespan_of(app),
)
parent.router.default = app  # not a Mount, which matches no path with the end of a line in it
