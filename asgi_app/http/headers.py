"""The bounds of a request's head, checked before anything else is done for it, whichever server brought it."""

from __future__ import annotations

import re

from starlette.types import Scope

from asgi_app.errors import FieldError, HeadersTooLarge, InvalidHeader, UriTooLong
from asgi_app.http.paths import split_path
from asgi_app.settings import Settings
from asgi_app.telemetry.request_record import TRACEPARENT

MOST_HEADERS = 100
"""Header fields of one request."""

_SINGLE = {
    b"authorization": "Authorization",
    b"content-encoding": "Content-Encoding",
    b"content-length": "Content-Length",
    b"content-type": "Content-Type",
    b"host": "Host",
    b"origin": "Origin",
    b"x-api-key": "X-API-Key",
}
"""Fields of which a second one would leave it to chance which counts."""

REQUEST_ID = b"x-request-id"
REQUEST_TIMEOUT = b"x-request-timeout"

_READ = frozenset({*_SINGLE, REQUEST_ID, REQUEST_TIMEOUT, TRACEPARENT})

_host = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9_-]+(?:\.[a-z0-9_-]+)*)(?::[0-9]{0,5})?", re.ASCII)


class Head:
    """What the service reads of a request's head before its handler does, found in one pass over the fields."""

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
        """The values of every field of this name; it must be one of those that are read."""
        return [value.decode("latin-1") for value in self.found[name]] if name in self.found else []


def check_head(head: Head, scope: Scope, settings: Settings) -> None:
    """Raises UriTooLong, HeadersTooLarge, or InvalidHeader for a field that is there twice or a host not trusted."""
    path = split_path(scope).sent
    if len(path) + len(scope["query_string"]) >= settings.max_url_bytes:  # between them stands a question mark
        raise UriTooLong(settings.max_url_bytes)
    for name, values in head.found.items():
        if len(values) > 1 and name in _SINGLE:
            raise _invalid(_SINGLE[name], "must be there only once")
    if head.size > settings.max_header_bytes or head.count > MOST_HEADERS:
        raise HeadersTooLarge(settings.max_header_bytes, MOST_HEADERS)
    if settings.trusted_hosts and not _is_trusted(head.found.get(b"host", [b""])[0], settings.trusted_hosts):
        raise _invalid("Host", "must name this service")


def _is_trusted(sent: bytes, trusted: tuple[str, ...]) -> bool:
    found = _host.fullmatch(sent.decode("latin-1").lower())
    if found is None:
        return False
    host = found[1]
    return any(host == name or (name.startswith("*.") and host.endswith(name[1:])) for name in trusted)


def _invalid(name: str, message: str) -> InvalidHeader:
    return InvalidHeader(f"{name} {message}.", errors=(FieldError(f"header.{name}", message),))
