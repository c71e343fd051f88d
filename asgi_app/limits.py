"""The bounds of a request's head, checked before anything else is done for it, whichever server brought it."""

from __future__ import annotations

import re

from starlette.types import Scope

from asgi_app.errors import FieldError, HeadersTooLarge, InvalidHeader, UriTooLong
from asgi_app.settings import Settings

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

_host = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9_-]+(?:\.[a-z0-9_-]+)*)(?::[0-9]{0,5})?", re.ASCII)


def check_head(scope: Scope, settings: Settings) -> None:
    """Raises UriTooLong, HeadersTooLarge, or InvalidHeader for a field that is there twice or a host not trusted."""
    path = scope.get("raw_path") or scope["path"].encode("utf-8", "replace")
    if len(path) + len(scope["query_string"]) >= settings.max_url_bytes:  # between them stands a question mark
        raise UriTooLong(settings.max_url_bytes)
    headers = scope["headers"]
    size = 4 * len(headers)  # colon, space, and the end of the line
    single: dict[bytes, bytes] = {}
    for name, value in headers:
        size += len(name) + len(value)
        if name in _SINGLE:
            if name in single:
                raise _invalid(_SINGLE[name], "must be there only once")
            single[name] = value
    if size > settings.max_header_bytes or len(headers) > MOST_HEADERS:
        raise HeadersTooLarge(settings.max_header_bytes, MOST_HEADERS)
    if settings.trusted_hosts and not _is_trusted(single.get(b"host", b""), settings.trusted_hosts):
        raise _invalid("Host", "must name this service")


def _is_trusted(sent: bytes, trusted: tuple[str, ...]) -> bool:
    found = _host.fullmatch(sent.decode("latin-1").lower())
    if found is None:
        return False
    host = found[1]
    return any(host == name or (name.startswith("*.") and host.endswith(name[1:])) for name in trusted)


def _invalid(name: str, message: str) -> InvalidHeader:
    return InvalidHeader(f"{name} {message}.", errors=(FieldError(f"header.{name}", message),))
