"""httptools' parser without the end that it makes at an upgrade.

At a request with `Connection: Upgrade`, llhttp stops: what follows is in another protocol. Where the server does not
change the protocol, what follows is the body of that request (RFC 9110 section 7.8), and llhttp has lost its length.
So another parser goes on. It is given a head of the same length first, and keeps that to itself.
"""

from __future__ import annotations

from array import array
from typing import Protocol, TypeAlias

import httptools

Data: TypeAlias = "bytes | bytearray | memoryview | array[int]"


class ParsedInto(Protocol):
    """What httptools calls, and what the parser that goes on needs."""

    parser: UpgradeIgnoringParser
    length_fields: bytes
    """The lines of the newest head that say how long its body is, and whether the connection ends after it."""

    def on_message_begin(self) -> None: ...

    def on_url(self, url: bytes) -> None: ...

    def on_header(self, name: bytes, value: bytes) -> None: ...

    def on_headers_complete(self) -> None: ...

    def on_body(self, body: bytes) -> None: ...

    def on_message_complete(self) -> None: ...


class UpgradeIgnoringParser(httptools.HttpRequestParser):
    """Parses the body of a request that asks for an upgrade, and the requests after it, like any other.

    At such a request it makes another parser and gives it to the protocol. The protocol must ignore the first
    `on_message_complete` of the request: the other parser calls it again when the body is there.
    """

    def __init__(self, protocol: ParsedInto, callbacks: object | None = None) -> None:
        super().__init__(callbacks or protocol)
        self._protocol = protocol
        self.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does: it is ignored, not refused

    def feed_data(self, data: Data) -> None:
        """Parse `data`. Raises httptools.HttpParserError, and never HttpParserUpgrade."""
        try:
            super().feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            rest: Data | None = data[upgrade.args[0] :]
            while rest is not None:
                rest = self._successor()._parse(rest)

    def _parse(self, data: Data) -> Data | None:
        """Parse up to an upgrade, and return what comes after it."""
        try:
            super().feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            offset: int = upgrade.args[0]
            return data[offset:]
        return None

    def _successor(self) -> UpgradeIgnoringParser:
        protocol = self._protocol
        successor = UpgradeIgnoringParser(protocol, _AfterHead(protocol))
        protocol.parser = successor
        successor._parse(b"POST / HTTP/1.1\r\n" + protocol.length_fields + b"\r\n")
        return successor


class _AfterHead:
    """Passes everything on but the first head."""

    def __init__(self, protocol: ParsedInto) -> None:
        self.on_body = protocol.on_body
        self.on_message_complete = protocol.on_message_complete
        self._protocol = protocol
        self._passes_on = False

    def on_message_begin(self) -> None:
        if self._passes_on:
            self._protocol.on_message_begin()

    def on_url(self, url: bytes) -> None:
        if self._passes_on:
            self._protocol.on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._passes_on:
            self._protocol.on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._passes_on:
            self._protocol.on_headers_complete()
        self._passes_on = True
