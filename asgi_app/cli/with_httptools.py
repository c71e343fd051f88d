"""Request limits for connections that httptools parses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from asgi_app.cli.heads import Fields, check_trailers, checked_fields, expects_continue, origin_form, with_host
from asgi_app.cli.ignored_upgrades import UpgradeIgnoringParser
from asgi_app.cli.pipelining import PipelinedInput
from asgi_app.cli.timeouts import RequestLimits
from asgi_app.errors import RequestError

Checked = TypeVar("Checked")


class HttpToolsInput(RequestLimits):
    """Tracks the position within a request, checks its head, and ignores upgrades.

    httptools reports only what is complete and buffers the rest, so the bytes that it has not reported are counted.
    """

    url: bytes
    headers: list[tuple[bytes, bytes]]
    scope: Any
    parser: UpgradeIgnoringParser
    on_url: Callable[[bytes], None]
    on_header: Callable[[bytes, bytes], None]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._in_head = False
        self._in_message = False
        self._unreported = 0
        self._broken_rule: RequestError | None = None
        self._upgrade_ignored = False
        self._head_fields = 0  # how many of `headers` are no trailers
        self.length_fields = b""
        super().__init__(*args, **kwargs)
        self.parser = UpgradeIgnoringParser(self)

    def data_received(self, data: bytes) -> None:
        self._unreported += len(data)
        super().data_received(data)

    def on_message_begin(self) -> None:
        self._in_head = self._in_message = True
        parent: Any = super()
        parent.on_message_begin()

    def on_headers_complete(self) -> None:
        # `self.headers` stays as it is, for trailers: they are no header fields (RFC 9110 section 6.5.1).
        self._head_fields = len(self.headers)
        self.scope["headers"] = fields = self._obeying(self._checked_fields)
        parent: Any = super()
        parent.on_headers_complete()
        self._in_head = False
        self._unreported = 0
        if self.parser.should_upgrade():
            self._upgrade_ignored = True
            self.length_fields = _length_fields(fields, self.cycle.keep_alive)

    def _checked_fields(self) -> list[tuple[bytes, bytes]]:
        """Return the fields for the application, and put the target into origin form. Raises RequestError."""
        method, version = self.parser.get_method(), self.parser.get_http_version()
        authority = None
        if not self.url.startswith(b"/") or b"#" in self.url:  # rare, so this usually saves a call
            self.url, authority = origin_form(method, self.url)
        fields = checked_fields(version, method, self.headers)
        self.expect_100_continue = version == "1.1" and expects_continue(fields)  # uvicorn allows no blank or list
        return fields if authority is None else with_host(fields, authority)

    def _obeying(self, check: Callable[[], Checked]) -> Checked:
        """Return what `check` returns. Keep the error that it raises, because httptools raises another one instead."""
        try:
            return check()
        except RequestError as error:
            self._broken_rule = error
            raise

    def on_body(self, body: bytes) -> None:
        self._unreported = 0
        parent: Any = super()
        parent.on_body(body)

    def on_message_complete(self) -> None:
        if self._upgrade_ignored:  # the parser reports this to stop at the upgrade; the message goes on
            self._upgrade_ignored = False
            return
        if len(self.headers) > self._head_fields:
            self._obeying(self._check_trailers)
        self._in_message = False
        self._unreported = 0
        parent: Any = super()
        parent.on_message_complete()

    def _check_trailers(self) -> None:
        check_trailers(name for name, _ in self.headers[self._head_fields :])

    def _expects_head(self) -> bool:
        return self._in_head or not (self._in_message or self._is_answering())

    def _head_has_begun(self) -> bool:
        return self._in_head

    def _is_within_body(self) -> bool:
        return self._in_message and not self._in_head

    def _excess(self) -> RequestError | None:
        # httptools also buffers chunk extensions and trailers, which may be endless, so they count like fields.
        return self._size_error(len(self.url) if self._in_head else 0, self._unreported)

    def _fault(self) -> RequestError | None:
        return self._broken_rule or self._excess()


class HttpToolsLimits(PipelinedInput, HttpToolsInput):
    """Request limits before uvicorn's httptools protocol; pipelined requests take bounded memory too."""


def _length_fields(fields: Fields, keep_alive: bool) -> bytes:
    """Return the lines of a head with the same body length, and the same choice to keep the connection or not."""
    lines = [b"%b: %b\r\n" % field for field in fields if field[0] in (b"content-length", b"transfer-encoding")]
    return b"".join(lines if keep_alive else [*lines, b"connection: close\r\n"])
