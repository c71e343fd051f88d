"""An httptools parser that continues after a request with `Connection: Upgrade`.

llhttp stops at such a request, because the following bytes may be in another protocol. If the server ignores the
upgrade, they are the body of that request (RFC 9110 section 7.8), but llhttp no longer knows its length. So a second
parser continues. It first gets a made-up head that announces the same length, and does not report that head.
"""

from __future__ import annotations

from array import array
from typing import Protocol, TypeAlias

import httptools

Data: TypeAlias = "bytes | bytearray | memoryview | array[int]"


class ParsedInto(Protocol):
    """The callbacks of httptools, and the attributes that the second parser needs."""

    parser: UpgradeIgnoringParser
    length_fields: bytes
    """The lines of the newest head that give the length of its body, and say whether the connection ends after it."""

    def on_message_begin(self) -> None: ...

    def on_url(self, url: bytes) -> None: ...

    def on_header(self, name: bytes, value: bytes) -> None: ...

    def on_headers_complete(self) -> None: ...

    def on_body(self, body: bytes) -> None: ...

    def on_message_complete(self) -> None: ...


class UpgradeIgnoringParser(httptools.HttpRequestParser):
    """A parser for which a request with an upgrade, and the requests after it, are like any other.

    At an upgrade it makes a second parser and assigns it to the protocol. The protocol must ignore the first
    `on_message_complete` of that request: the second parser calls it again when the body is complete.
    """

    def __init__(self, protocol: ParsedInto, callbacks: object | None = None) -> None:
        super().__init__(callbacks or protocol)
        self._protocol = protocol
        self.set_dangerous_leniencies(
            lenient_data_after_close=True
        )  # as uvicorn does: later data is ignored, not refused

    def feed_data(self, data: Data) -> None:
        """Parse `data`. Raises httptools.HttpParserError, but never HttpParserUpgrade."""
        try:
            super().feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            rest: Data | None = data[upgrade.args[0] :]
            while rest is not None:
                rest = self._successor()._parse(rest)

    def _parse(self, data: Data) -> Data | None:
        """Parse up to the next upgrade. Return the data after it, or None if there was no upgrade."""
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
    """Callbacks that pass on everything except the first head."""

    def __init__(self, protocol: ParsedInto) -> None:
        self.on_body = protocol.on_body
        self.on_message_complete = protocol.on_message_complete
        self._protocol = protocol
        self._is_past_head = False

    def on_message_begin(self) -> None:
        if self._is_past_head:
            self._protocol.on_message_begin()

    def on_url(self, url: bytes) -> None:
        if self._is_past_head:
            self._protocol.on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._is_past_head:
            self._protocol.on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._is_past_head:
            self._protocol.on_headers_complete()
        self._is_past_head = True
