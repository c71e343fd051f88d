"""What `Patience` asks about a connection that httptools parses, and how that parser is kept in bounds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.flow_control import FlowControl

from asgi_app.cli.heads import Fields, checked_fields, origin_form, with_host
from asgi_app.cli.ignored_upgrades import UpgradeIgnoringParser
from asgi_app.cli.timeouts import Patience
from asgi_app.errors import RequestError

PIECE = 8192
"""Bytes that are parsed at once: some hundred requests at most."""


class HoldableFlow(FlowControl):
    """uvicorn's, which does not read on while data is held."""

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__(transport)
        self.held = False

    def resume_reading(self) -> None:
        if not self.held:
            super().resume_reading()

    def hold(self, held: bool) -> None:
        """Whether there is data that must be parsed before more is read."""
        if held:
            self.held = True
            self.pause_reading()
        elif self.held:
            self.held = False
            self.resume_reading()


class HttpToolsPatience(Patience):
    """httptools reports what is complete; until then it buffers, and so the bytes are counted here.

    It parses all that is there, and uvicorn makes a cycle of each request, which takes more memory than the request,
    and reads on after each answer: a client that sends and does not take would fill the memory. So data is parsed in
    pieces, and not while a request waits for the answer to the one before.
    """

    url: bytes
    headers: list[tuple[bytes, bytes]]
    scope: Any
    parser: UpgradeIgnoringParser
    on_url: Callable[[bytes], None]
    on_header: Callable[[bytes, bytes], None]
    pipeline: Any
    flow: HoldableFlow

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._in_head = False
        self._in_message = False
        self._unreported = 0
        self._unparsed = b""
        self._answered: Any = None  # the cycle whose turn it is; uvicorn's `cycle` is the newest
        self._broken_rule: RequestError | None = None
        self._upgrade_ignored = False
        self.length_fields = b""
        super().__init__(*args, **kwargs)
        self.parser = UpgradeIgnoringParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.flow = HoldableFlow(self.transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._unparsed = b""
        if self._answered is not None:  # uvicorn tells the newest alone, and this one would go on to write
            self._answered.disconnected = not self._answered.response_complete
            self._answered.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._unparsed or self.pipeline or len(data) > PIECE:
            self._unparsed += data
            self._parse_on()
        else:
            self._parse(data)

    def on_response_complete(self) -> None:
        if self.pipeline:
            self._answered, _ = self.pipeline[-1]
        super().on_response_complete()
        if self._unparsed:
            self._parse_on()

    def _parse(self, data: bytes) -> None:
        self._unreported += len(data)
        super().data_received(data)

    def _parse_on(self) -> None:
        while self._unparsed and not self.pipeline and not self.transport.is_closing():
            piece, self._unparsed = self._unparsed[:PIECE], self._unparsed[PIECE:]
            self._parse(piece)
        self.flow.hold(bool(self._unparsed))

    def on_message_begin(self) -> None:
        self._in_head = self._in_message = True
        parent: Any = super()
        parent.on_message_begin()

    def on_headers_complete(self) -> None:
        # `self.headers` stays as it is, for trailers: they are no header fields (RFC 9110 section 6.5.1).
        try:
            self.scope["headers"] = fields = self._checked_fields()
        except RequestError as error:
            self._broken_rule = error
            raise
        parent: Any = super()
        parent.on_headers_complete()
        self._in_head = False
        self._unreported = 0
        if not self.pipeline:
            self._answered = self.cycle
        if self.parser.should_upgrade():
            self._upgrade_ignored = True
            self.length_fields = _length_fields(fields, self.cycle.keep_alive)

    def _checked_fields(self) -> list[tuple[bytes, bytes]]:
        """Return the fields for the application, and put the target into origin form. Raises RequestError."""
        method, version = self.parser.get_method(), self.parser.get_http_version()
        fields = checked_fields(version, method, self.headers)
        if version == "1.0":
            self.expect_100_continue = False  # RFC 9110 section 10.1.1
        if self.url.startswith(b"/") and b"#" not in self.url:  # nearly always, so this saves a call
            return fields
        self.url, authority = origin_form(method, self.url)
        return fields if authority is None else with_host(fields, authority)

    def on_body(self, body: bytes) -> None:
        self._unreported = 0
        parent: Any = super()
        parent.on_body(body)

    def on_message_complete(self) -> None:
        if self._upgrade_ignored:  # it is not complete: the parser says so to stop
            self._upgrade_ignored = False
            return
        self._in_message = False
        self._unreported = 0
        parent: Any = super()
        parent.on_message_complete()

    def _waits_for_head(self) -> bool:
        return self._in_head or not (self._in_message or self._is_answering())

    def _head_has_begun(self) -> bool:
        return self._in_head

    def _is_within_body(self) -> bool:
        return self._in_message and not self._in_head

    def _excess(self) -> RequestError | None:
        # Endless extensions of a chunk, and trailers, are buffered as fields are.
        return self._too_long(len(self.url) if self._in_head else 0, self._unreported)

    def _fault(self) -> RequestError | None:
        return self._broken_rule or self._excess()

    def _withdraw_queued(self) -> bool:
        if not self.pipeline:
            return False
        self.pipeline.popleft()
        self.cycle = self.pipeline[0][0] if self.pipeline else self._answered
        return True


def _length_fields(fields: Fields, keep_alive: bool) -> bytes:
    """Return the lines of a head whose body has the same length, and after which the connection ends or not."""
    lines = [b"%b: %b\r\n" % field for field in fields if field[0] in (b"content-length", b"transfer-encoding")]
    return b"".join(lines if keep_alive else [*lines, b"connection: close\r\n"])
