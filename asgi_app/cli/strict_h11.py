"""An h11 connection that parses heads, chunks and trailers as strictly as llhttp does.

h11 by itself accepts bare line feeds, folded lines, control characters, repeated lengths, unknown methods, and anything
as the extension of a chunk.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import h11
from h11._receivebuffer import ReceiveBuffer

from asgi_app.cli.heads import OPTIONAL_WHITESPACE, check_trailers, checked_fields, origin_form
from asgi_app.errors import MalformedRequest, RequestError

METHODS = frozenset(
    b"DELETE GET HEAD POST PUT CONNECT OPTIONS TRACE COPY LOCK MKCOL MOVE PROPFIND PROPPATCH SEARCH UNLOCK BIND REBIND "
    b"UNBIND ACL REPORT MKACTIVITY CHECKOUT MERGE M-SEARCH NOTIFY SUBSCRIBE UNSUBSCRIBE PATCH PURGE MKCALENDAR LINK "
    b"UNLINK SOURCE QUERY".split()
)
"""The HTTP methods that llhttp 9 knows. The application answers 405 to those that it does not serve."""

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
_VALUE = rb"[\t\x20-\x7e\x80-\xff]*"
_QUOTED = rb'"(?:[\t\x20!\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*"'

_request_line = re.compile(rb"(?P<method>[A-Z-]+) +(?P<target>[\x21-\x7e]+) +HTTP/(?P<version>[0-9]\.[0-9])")
_beginning = re.compile(rb"[\r\n]*(?P<method>[A-Z-]+) +[\x21-\x7e]*(?: .*)?", re.DOTALL)
_field = re.compile(rb"(?P<name>%b+):(?P<value>%b)" % (_TOKEN, _VALUE))
_length = re.compile(rb"[0-9]+")
_chunk = re.compile(rb"(?P<size>[0-9A-Fa-f]+)(?:;%b+(?:=(?:%b*|%b))?)*\r\n" % (_TOKEN, _TOKEN, _QUOTED))

_LENGTH_LIMIT = 2**64  # llhttp counts with 64 bits


class StrictConnection(h11.Connection):
    """The server side of a connection that refuses what llhttp refuses.

    After `next_event` has raised, `fault` is the reason, if one is known that h11's error does not have.
    `failed_within_body` says whether the error was in a body.
    """

    def __init__(self, max_incomplete_event_size: int) -> None:
        super().__init__(h11.SERVER, max_incomplete_event_size)
        self._receive_buffer = self._strict_buffer = _StrictBuffer()
        self.fault: RequestError | None = None
        self.failed_within_body = False

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """Return the next event; the target of a request is in origin form. Raises h11.RemoteProtocolError."""
        within_body = self.their_state is h11.SEND_BODY
        self._strict_buffer.reads_head = self.their_state is h11.IDLE
        try:
            return super().next_event()
        except RequestError as fault:
            self.fault, self.failed_within_body = fault, within_body
            raise h11.RemoteProtocolError(fault.detail) from fault
        except h11.RemoteProtocolError:
            self.failed_within_body = within_body
            raise


class _StrictBuffer(ReceiveBuffer):
    """A receive buffer that checks the lines that h11 extracts: heads, trailers, and the first lines of chunks."""

    reads_head = False
    """Whether the lines that h11 extracts next are the head of a request."""

    def maybe_extract_lines(self) -> list[bytearray] | None:
        if self.reads_head:
            self._skip_empty_lines()
        before = len(self)
        lines: list[bytearray] | None = super().maybe_extract_lines()
        if lines is None:
            return None
        if before - len(self) != sum(len(line) + 2 for line in lines) + 2:
            raise MalformedRequest  # a line ended with a bare line feed
        if self.reads_head:
            return _checked_head(lines)
        check_trailers(name for name, _ in _fields(lines))
        return lines

    def maybe_extract_next_line(self) -> bytearray | None:
        line: bytearray | None = super().maybe_extract_next_line()
        if line is None:
            return None
        found = _chunk.fullmatch(line)
        size = int(found["size"], 16) if found else _LENGTH_LIMIT
        if size >= _LENGTH_LIMIT:
            raise MalformedRequest
        return bytearray(b"%x\r\n" % size)

    def _skip_empty_lines(self) -> None:
        """Drop the empty lines that RFC 9112 section 2.2 allows before a request line."""
        while bytes(self._data[:1]) in (b"\r", b"\n"):
            self.maybe_extract_at_most(1)


def may_begin(data: bytes | bytearray) -> bool:
    """Return whether a request line may begin like this."""
    found = _beginning.fullmatch(data)
    return found is not None and found["method"] in METHODS


def _checked_head(lines: Sequence[bytearray]) -> list[bytearray]:
    """Return the lines of a head in the form that h11 expects.

    Raises MalformedRequest or InvalidHeader; the checks run in the same order as llhttp's, so the errors are the same.
    """
    request = _request_line.fullmatch(lines[0]) if lines else None
    if request is None or request["method"] not in METHODS:
        raise MalformedRequest
    fields = _fields(lines[1:])
    _check_lengths(fields)
    method = bytes(request["method"])
    target, authority = origin_form(method, bytes(request["target"]))
    checked_fields(request["version"].decode(), method, fields)
    head = bytearray(b"%b %b HTTP/%b" % (method, target, request["version"]))
    ends = [bytearray(b"connection: close")] if _names_proxy_connection_close(fields) else []
    if authority is None:
        return [head, *lines[1:], *ends]
    others = [line for line, (name, _) in zip(lines[1:], fields, strict=True) if name != b"host"]
    return [head, bytearray(b"host: " + authority), *others, *ends]


def _names_proxy_connection_close(fields: Sequence[tuple[bytes, bytes]]) -> bool:
    """Return whether an old client's `Proxy-Connection` says `close`, which llhttp takes for a `Connection: close`."""
    options = [value.lower().split(b",") for name, value in fields if name == b"proxy-connection"]
    return any(option.strip(OPTIONAL_WHITESPACE) == b"close" for given in options for option in given)


def _fields(lines: Sequence[bytearray]) -> list[tuple[bytes, bytes]]:
    found = [_field.fullmatch(line) for line in lines]
    if None in found:
        raise MalformedRequest
    return [
        (bytes(it["name"]).lower(), bytes(it["value"]).strip(OPTIONAL_WHITESPACE)) for it in found if it is not None
    ]


def _check_lengths(fields: Sequence[tuple[bytes, bytes]]) -> None:
    lengths = [value for name, value in fields if name == b"content-length"]
    if len(lengths) > 1 or any(not _length.fullmatch(length) or int(length) >= _LENGTH_LIMIT for length in lengths):
        raise MalformedRequest
