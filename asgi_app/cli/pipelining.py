"""Bound the memory that pipelined requests take under uvicorn's httptools protocol.

httptools parses all data that it is given, and uvicorn makes a cycle of each request, which takes more memory than the
request itself. It also resumes reading after each response. So a client that sends requests and never reads a response
could fill the memory. Here data is parsed in pieces, and not while a request waits for the response to another one.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.flow_control import FlowControl

PIECE = 8192
"""Bytes that are parsed at once: some hundred requests at most."""


class HoldableFlow(FlowControl):
    """uvicorn's flow control, which does not resume reading while it is held."""

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__(transport)
        self._held = False

    def resume_reading(self) -> None:
        if not self._held:
            super().resume_reading()

    def hold(self, held: bool) -> None:
        """Stop reading, or resume it after an earlier stop."""
        if held:
            self._held = True
            self.pause_reading()
        elif self._held:
            self._held = False
            self.resume_reading()


class PipelinedInput(asyncio.Protocol):
    """A mixin that parses received data in pieces, and only while no request is queued."""

    transport: Any
    cycle: Any  # uvicorn's: that of the newest request
    pipeline: Any  # uvicorn's queue of cycles and their applications, with the newest on the left
    flow: HoldableFlow

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._unparsed = b""
        self._running: Any = None  # the cycle whose application runs, or ran last
        super().__init__(*args, **kwargs)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.flow = HoldableFlow(self.transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._unparsed = b""
        if self._running is not None:  # uvicorn informs only the newest cycle; this one would continue to write
            self._running.disconnected = not self._running.response_complete
            self._running.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._unparsed or self.pipeline or len(data) > PIECE:
            self._unparsed += data
            self._parse_pieces()
        else:
            super().data_received(data)

    def on_response_complete(self) -> None:
        parent: Any = super()
        parent.on_response_complete()
        if self._unparsed:
            self._parse_pieces()

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._running = cycle
        parent: Any = super()
        parent._start_asgi_task(cycle, app)

    def _parse_pieces(self) -> None:
        while self._unparsed and not self.pipeline and not self.transport.is_closing():
            piece, self._unparsed = self._unparsed[:PIECE], self._unparsed[PIECE:]
            super().data_received(piece)
        self.flow.hold(bool(self._unparsed))

    def _withdraw_queued(self) -> bool:
        if not self.pipeline:
            return False
        self.pipeline.popleft()
        self.cycle = self.pipeline[0][0] if self.pipeline else self._running
        return True
