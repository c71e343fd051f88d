"""The service, and beside it on the same event loop a clock that tells how late the loop is.

While the application lives a task sleeps for some milliseconds, again and again, and keeps by how much it overslept.
`GET /benchmark/lag` answers what was kept since it was asked last, in seconds. uvloop counts in whole milliseconds, so
an idle loop shows up to two.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

import msgspec
from starlette.types import ASGIApp, Receive, Scope, Send

from asgi_app.app import app as service
from benchmarks.contenders import LAG_PATH

_NAP = 0.005


class Watched:
    """An ASGI application that serves `LAG_PATH` itself and leaves everything else to another."""

    def __init__(self, application: ASGIApp) -> None:
        self._application = application
        self._lags: list[float] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the whole lifespan."""
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
        elif scope["type"] == "http" and scope["path"] == LAG_PATH:
            await self._tell(send)
        else:
            await self._application(scope, receive, send)

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        watch = asyncio.create_task(self._watch())
        try:
            await self._application(scope, receive, send)
        finally:
            watch.cancel()
            with suppress(asyncio.CancelledError):
                await watch

    async def _watch(self) -> None:
        while True:
            due = time.perf_counter() + _NAP
            await asyncio.sleep(_NAP)
            self._lags.append(max(0.0, time.perf_counter() - due))

    async def _tell(self, send: Send) -> None:
        kept, self._lags = self._lags, []
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": msgspec.json.encode(kept)})


app = Watched(service)
