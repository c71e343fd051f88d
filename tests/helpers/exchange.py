"""One request to an ASGI application without server and client, with control over every message."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any

import anyio

Message = dict[str, Any]


class Exchange:
    """Acts as the server for one request and records what the application sends.

    The request body is sent in the given chunks; with `whole=False`, more is announced and never comes. `on_chunk` is
    awaited before each body message of the response is accepted, as a server waits for a slow client.
    """

    def __init__(
        self,
        method: str,
        path: str,
        *,
        query: bytes = b"",
        headers: Iterable[tuple[bytes, bytes]] = (),
        body: Iterable[bytes] = (b"",),
        whole: bool = True,
        on_chunk: Callable[[Exchange], Awaitable[None]] | None = None,
    ) -> None:
        self.messages: list[Message] = []
        self.received = 0
        self._body: Iterator[Message] = iter(_body_messages(list(body), whole))
        self._on_chunk = on_chunk
        self._disconnected = anyio.Event()
        self.scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode("utf-8", "replace"),
            "query_string": query,
            "root_path": "",
            "headers": [(b"host", b"localhost:8000"), *headers],
            "server": ("localhost", 8000),
            "client": ("192.0.2.1", 50000),
        }

    async def run(self, app: Any) -> None:
        """Run `app` for this request. Raises what it raises."""
        await app(self.scope, self._receive, self._send)

    def disconnect(self) -> None:
        """Report to the application that the client disconnected."""
        self._disconnected.set()

    @property
    def status(self) -> int | None:
        """The status, or None before the response has begun."""
        return self.messages[0]["status"] if self.messages else None

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the response, with names in lower case."""
        return {name.decode().lower(): value.decode() for name, value in self.messages[0]["headers"]}

    @property
    def chunks(self) -> list[bytes]:
        """The body messages of the response."""
        return [message.get("body", b"") for message in self.messages[1:]]

    @property
    def complete(self) -> bool:
        """Whether the response was sent to its end."""
        return len(self.messages) > 1 and not self.messages[-1].get("more_body", False)

    async def _receive(self) -> Message:
        self.received += 1
        message = next(self._body, None)
        if message is not None:
            return message
        await self._disconnected.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.body" and self._on_chunk is not None:
            await self._on_chunk(self)
        self.messages.append(message)


def _body_messages(chunks: list[bytes], whole: bool) -> Iterator[Message]:
    for number, chunk in enumerate(chunks, 1):
        yield {"type": "http.request", "body": chunk, "more_body": number < len(chunks) or not whole}
