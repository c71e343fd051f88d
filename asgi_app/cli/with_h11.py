"""What `Patience` asks about a connection that h11 parses."""

from __future__ import annotations

from typing import Any

import h11

from asgi_app.cli.strict_h11 import StrictConnection
from asgi_app.cli.timeouts import REQUEST_LINE, Patience
from asgi_app.errors import RequestError


class H11Patience(Patience):
    """h11 keeps what is not complete in its buffer, and refuses itself what would not fit."""

    conn: Any  # a StrictConnection; uvicorn declares h11's

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.conn = StrictConnection(self.config.max_head_bytes)

    def data_received(self, data: bytes) -> None:
        if self.conn.their_state is not h11.MUST_CLOSE:  # after the last request of a connection nothing is read
            super().data_received(data)

    def _waits_for_head(self) -> bool:
        return self.conn.their_state is h11.IDLE

    def _head_has_begun(self) -> bool:
        return self._waits_for_head() and bool(self.conn.trailing_data[0])

    def _is_within_body(self) -> bool:
        return self.conn.their_state is h11.SEND_BODY or self.conn.failed_within_body

    def _fault(self) -> RequestError | None:
        return self._excess() or self.conn.fault

    def _excess(self) -> RequestError | None:
        if self.conn.their_state not in (h11.IDLE, h11.ERROR):
            return None
        buffered, _ = self.conn.trailing_data
        first_line, _, _ = buffered[: self.config.max_head_bytes + 1].partition(b"\r\n")
        return self._too_long(len(first_line) - REQUEST_LINE, len(buffered))
