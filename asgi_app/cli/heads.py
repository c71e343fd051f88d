"""Check the head of a request in the same way for both parsers.

Each of uvicorn's parsers accepts some heads that the other one refuses, or reads them differently. If a proxy in front
reads them differently too, one request can hide in another ("request smuggling"). So these checks apply the stricter
reading of RFC 9112 to both.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from asgi_app.errors import FieldError, InvalidHeader, MalformedRequest

Fields = Sequence[tuple[bytes, bytes]]
"""Header fields: names in lower case, and values."""

OPTIONAL_WHITESPACE = b" \t"
"""The whitespace that is allowed around a field's value (RFC 9110 section 5.6.3)."""

VERSIONS = ("1.1", "1.0")

_ONE_HOST = FieldError("header.Host", "must be there exactly once")

_NEVER_TRAILERS = frozenset({b"connection", b"proxy-connection", b"content-length", b"transfer-encoding"})
"""The fields that say how long a message is, or whether the connection ends after it."""

_absolute_form = re.compile(
    rb"https?://(?P<authority>[A-Za-z0-9\-._~!$&'()*+,;=%:\[\]]+)(?P<path>/[^?#]*)?(?P<query>\?[^#]*)?", re.IGNORECASE
)


def checked_fields(version: str, method: bytes, fields: Fields) -> list[tuple[bytes, bytes]]:
    """Return a new list of the fields, without whitespace around their values.

    Raises MalformedRequest or InvalidHeader if the head breaks a rule of RFC 9112 that a parser does not check:

    - The version is 1.1 or 1.0.
    - The method is not CONNECT: a tunnel's data may follow it, and the service is not a proxy.
    - The only transfer coding is `chunked`, not with HTTP/1.0, and not beside a Content-Length (section 6.1).
    - There is exactly one `Host`; HTTP/1.0 may omit it (section 3.2).
    """
    if version not in VERSIONS or method == b"CONNECT":
        raise MalformedRequest
    checked = [(name, value.strip(OPTIONAL_WHITESPACE)) for name, value in fields]
    names = [name for name, _ in checked]
    if b"transfer-encoding" in names and not _is_chunked(version, checked):
        raise MalformedRequest
    hosts = names.count(b"host")
    if hosts > 1 or (not hosts and version == "1.1"):
        raise InvalidHeader("Host must be there exactly once.", errors=(_ONE_HOST,))
    return checked


def check_trailers(names: Iterable[bytes]) -> None:
    """Raise MalformedRequest where one of these trailers is a field that only a head may have (RFC 9110 section 6.5.1).

    llhttp obeys `Connection: close` among trailers: it ignores every request that comes after, and none is answered.
    """
    if not _NEVER_TRAILERS.isdisjoint(names):
        raise MalformedRequest


def expects_continue(fields: Fields) -> bool:
    """Return whether the client waits for 100 before it sends the body (RFC 9110 section 10.1.1)."""
    expected = [value for name, value in fields if name == b"expect"]
    return any(
        each.strip(OPTIONAL_WHITESPACE).lower() == b"100-continue" for value in expected for each in value.split(b",")
    )


def _is_chunked(version: str, fields: Fields) -> bool:
    codings = [value.lower() for name, value in fields if name == b"transfer-encoding"]
    return codings == [b"chunked"] and version == "1.1" and b"content-length" not in dict(fields)


def origin_form(method: bytes, target: bytes) -> tuple[bytes, bytes | None]:
    """Return the path and query of a request target, and its authority or None (RFC 9112 section 3.2).

    A target in absolute form is served by its path; its authority replaces `Host` (section 3.2.2). `*` is allowed for
    OPTIONS only. Raises MalformedRequest for everything else: other schemes, user information, fragments.
    """
    if target.startswith(b"/") and b"#" not in target:
        return target, None
    if target == b"*" and method == b"OPTIONS":
        return target, None
    found = _absolute_form.fullmatch(target)
    if found is None:
        raise MalformedRequest
    return (found["path"] or b"/") + (found["query"] or b""), found["authority"]


def with_host(fields: Fields, authority: bytes) -> list[tuple[bytes, bytes]]:
    """Return the fields with `authority` as the only Host."""
    return [(b"host", authority), *((name, value) for name, value in fields if name != b"host")]
