"""Run in a fresh process: how long the import of the service takes, and then the connect. Prints a line of JSON."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.types import Message, Scope


@dataclass(frozen=True, slots=True)
class Startup:
    """Seconds from the running interpreter to the imported application, and from there to its open session."""

    import_seconds: float
    connect_seconds: float

    @property
    def total(self) -> float:
        """Import and connect."""
        return self.import_seconds + self.connect_seconds


def measure() -> Startup:
    """Import the service and run its lifespan until it is connected. Raises RuntimeError where it is not."""
    began = time.perf_counter()
    import anyio

    from asgi_app.app import app

    imported = time.perf_counter()

    async def connect() -> float:
        async with app.router.lifespan_context(app):
            connected = time.perf_counter()
            await _expect_ready(app)
        return connected

    connected = anyio.run(connect, backend_options={"use_uvloop": True})
    return Startup(imported - began, connected - imported)


async def _expect_ready(app: Starlette) -> None:
    """The lifespan also ends its start where Cassandra is away: only GET /readyz tells."""
    statuses: list[int] = []

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        statuses.append(message.get("status", 0))

    scope: Scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "path": "/readyz",
        "query_string": b"",
        "headers": [],
    }
    await app(scope, receive, send)
    if statuses[0] != 200:
        raise RuntimeError(f"the service did not connect: /readyz answers {statuses[0]}")


if __name__ == "__main__":
    import json

    print(json.dumps(asdict(measure())))
