"""Header fields: the limits that a request's fields are checked against, and the fields of responses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import quote

from starlette.types import Scope

from asgi_app.errors import FieldError, HeadersTooLarge, InvalidHeader, UriTooLong
from asgi_app.http.paths import split_path
from asgi_app.settings import Settings
from asgi_app.telemetry.request_record import TRACEPARENT

RawHeaders = tuple[tuple[bytes, bytes], ...]

MOST_HEADERS = 100
"""The most header fields of a request."""

REQUEST_ID = b"x-request-id"
REQUEST_TIMEOUT = b"x-request-timeout"

NO_STORE = {"Cache-Control": "no-store"}
"""A field of every response of the service's own: rows and errors must not come from a cache."""

VARY_BY_ACCEPT = {"Vary": "Accept"}
"""A field of every response that depends on the field Accept."""

RAW_NO_STORE = (b"cache-control", b"no-store")
"""`NO_STORE` as ASGI has it."""

_SINGLE = {
    b"authorization": "Authorization",
    b"content-encoding": "Content-Encoding",
    b"content-length": "Content-Length",
    b"content-type": "Content-Type",
    b"host": "Host",
    b"origin": "Origin",
    b"x-api-key": "X-API-Key",
}
"""Fields that may occur only once, because software disagrees on which of two counts."""

_READ = frozenset({*_SINGLE, REQUEST_ID, REQUEST_TIMEOUT, TRACEPARENT})

_PRINTABLE = "".join(map(chr, range(0x20, 0x7F)))

_CHEAP: RawHeaders = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
)

_host = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9_-]+(?:\.[a-z0-9_-]+)*)(?::[0-9]{0,5})?", re.ASCII)


class Head:
    """The header fields that the service reads before the handler runs, found in one pass.

    `size` is the total size of all fields in bytes, `count` their number, `found` the values by name in lower case.
    """

    __slots__ = ("count", "found", "size")

    def __init__(self, scope: Scope) -> None:
        headers = scope["headers"]
        self.count = len(headers)
        size = 4 * self.count  # colon, space, and the end of the line
        found: dict[bytes, list[bytes]] = {}
        for name, value in headers:
            size += len(name) + len(value)
            if name in _READ:
                if name in found:
                    found[name].append(value)
                else:
                    found[name] = [value]
        self.size = size
        self.found = found

    def values(self, name: bytes) -> list[str]:
        """Return the values of all fields with this name, which must be in `_READ`."""
        return [value.decode("latin-1") for value in self.found.get(name, ())]


def check_head(head: Head, scope: Scope, settings: Settings) -> None:
    """Check the size of path and query, and the header fields.

    Raises UriTooLong, HeadersTooLarge, or InvalidHeader for a repeated field or an untrusted host.
    """
    path = split_path(scope).sent
    if len(path) + len(scope["query_string"]) >= settings.max_url_bytes:  # the question mark is one byte more
        raise UriTooLong(settings.max_url_bytes)
    for name, values in head.found.items():
        if len(values) > 1 and name in _SINGLE:
            raise _invalid(_SINGLE[name], "must be there only once")
    if head.size > settings.max_header_bytes or head.count > MOST_HEADERS:
        raise HeadersTooLarge(settings.max_header_bytes, MOST_HEADERS)
    if settings.trusted_hosts and not _is_trusted(head.found.get(b"host", [b""])[0], settings.trusted_hosts):
        raise _invalid("Host", "must name this service")


def raw_headers(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """Return the fields as ASGI has them.

    Any text is encoded rather than refused: a write that succeeded must not be answered with 500.
    """
    return [(name.lower().encode("ascii"), header_text(value).encode("ascii")) for name, value in headers.items()]


def header_text(value: str) -> str:
    """Return the value with everything but printable ASCII percent-encoded (RFC 9110 section 5.5).

    The end of a line would begin another field, and other characters mean different things to different software.
    """
    if value.isascii() and value.isprintable():
        return value
    return quote(value, safe=_PRINTABLE, errors="replace")


def next_page(target: str) -> str:
    """Return the value of a Link (RFC 8288) to the next page. Many clients split it at any `;` and `,`."""
    return f'<{target.replace(";", "%3B").replace(",", "%2C")}>; rel="next"'


def security_headers(settings: Settings) -> RawHeaders:
    """Return the fields that the settings add to every response; called once, when the application starts."""
    headers = _CHEAP if settings.security_headers else ()
    if settings.hsts_seconds:
        headers += ((b"strict-transport-security", f"max-age={settings.hsts_seconds}".encode()),)
    return headers


def _is_trusted(sent: bytes, trusted: tuple[str, ...]) -> bool:
    found = _host.fullmatch(sent.decode("latin-1").lower())
    if found is None:
        return False
    host = found[1]
    return any(host == name or (name.startswith("*.") and host.endswith(name[1:])) for name in trusted)


def _invalid(name: str, message: str) -> InvalidHeader:
    return InvalidHeader(f"{name} {message}.", errors=(FieldError(f"header.{name}", message),))
