"""Request limits for connections that h11 parses."""

from __future__ import annotations

from typing import Any

import h11

from asgi_app.cli.strict_h11 import StrictConnection, may_begin
from asgi_app.cli.timeouts import REQUEST_LINE_BYTES, RequestLimits
from asgi_app.errors import MalformedRequest, RequestError


class H11Limits(RequestLimits):
    """Request limits before uvicorn's h11 protocol.

    h11 keeps incomplete data in its buffer, and itself refuses a head that is larger than `max_head_bytes`.
    """

    conn: Any  # a StrictConnection; uvicorn declares h11's

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.conn = StrictConnection(self.config.max_head_bytes)

    def data_received(self, data: bytes) -> None:
        if self.conn.their_state is not h11.MUST_CLOSE:  # ignore data after the last request of a connection
            super().data_received(data)

    def _expects_head(self) -> bool:
        return self.conn.their_state is h11.IDLE

    def _head_has_begun(self) -> bool:
        return self._expects_head() and bool(self.conn.trailing_data[0])

    def _is_within_body(self) -> bool:
        return self.conn.their_state is h11.SEND_BODY or self.conn.failed_within_body

    def _fault(self) -> RequestError | None:
        return self.conn.fault or self._excess()  # after a fault the body may be the excess

    def _excess(self) -> RequestError | None:
        if self.conn.their_state not in (h11.IDLE, h11.ERROR):
            return None
        buffered, _ = self.conn.trailing_data
        first_line, _, _ = buffered[: self.config.max_head_bytes + 1].partition(b"\r\n")
        excess = self._size_error(len(first_line) - REQUEST_LINE_BYTES, len(buffered))
        return excess if excess is None or may_begin(first_line) else MalformedRequest()
