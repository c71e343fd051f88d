"""One request to an ASGI application without a server or a client between: every message seen, every moment chosen."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any

import anyio

Message = dict[str, Any]


class Exchange:
    """What a server does for one request, recorded.

    The body is sent in the given chunks; with `whole=False` more is announced and never comes. `on_chunk` is awaited
    before each body message is taken, as a server awaits a slow client.
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
        """Let `app` answer; raises what it raises."""
        await app(self.scope, self._receive, self._send)

    def disconnect(self) -> None:
        """The client leaves."""
        self._disconnected.set()

    @property
    def status(self) -> int | None:
        """The status, once the answer has begun."""
        return self.messages[0]["status"] if self.messages else None

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the answer, names in lower case."""
        return {name.decode().lower(): value.decode() for name, value in self.messages[0]["headers"]}

    @property
    def chunks(self) -> list[bytes]:
        """The body as it was sent, message by message."""
        return [message.get("body", b"") for message in self.messages[1:]]

    @property
    def complete(self) -> bool:
        """Whether the last message said that it was the last."""
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
