"""Request headers of resources: consistency, time to live, conditions; and the ETag of a row.

A header that a resource does not allow, or that a request cannot honour, is an error: never ignored.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from starlette.requests import Request

from asgi_app.driver.result import Result
from asgi_app.errors import FieldError, InvalidHeader, PreconditionRequired
from asgi_app.http.requests import list_field
from asgi_app.tables.encoding import Encoded, WrongValue, encoder_of
from asgi_app.tables.resource import Resource

CONSISTENCY = "Cassandra-Consistency"
TTL = "Cassandra-TTL"

_name_of = itemgetter(0)
OWN_HEADERS = frozenset(
    {
        b"cassandra-consistency",
        b"cassandra-ttl",
        b"if-match",
        b"if-modified-since",
        b"if-none-match",
        b"if-unmodified-since",
    }
)
"""The headers that this module reads, by their names in ASGI."""

_digits = re.compile(r"[0-9]{1,10}", re.ASCII)
_entity_tag = re.compile(r'(W/)?"([\x21\x23-\x7e]*)"')  # RFC 9110 section 8.8.3
_entity_tags = re.compile(rf"[\s,]*{_entity_tag.pattern}(?:\s*,[\s,]*{_entity_tag.pattern})*[\s,]*")
_TAGS = 'must be * or a list of tags such as "b26b2a23-4d70-41c3-88a7-a9aa9e135a93"'


@dataclass(frozen=True, slots=True)
class Conditions:
    """The conditions of a write.

    `versions` are those of If-Match, None without the field; `exists` is true for `If-Match: *`; `absent` is true for
    `If-None-Match: *`.
    """

    versions: tuple[Encoded, ...] | None = None
    exists: bool = False
    absent: bool = False


_NO_CONDITIONS = Conditions()


def has_own_headers(request: Request) -> bool:
    """Return whether the request has a header that this module reads. Nearly every request has none."""
    return not OWN_HEADERS.isdisjoint(map(_name_of, request.scope["headers"]))


def asked_consistency(resource: Resource, request: Request) -> str | None:
    """Return the level of Cassandra-Consistency, None without one. Raises InvalidHeader if it is not allowed."""
    sent = list_field(request, CONSISTENCY) if has_own_headers(request) else None
    if sent is None:
        return None
    level = sent.strip().upper()
    if level in resource.consistency:
        return level
    if not resource.consistency:
        raise _wrong(CONSISTENCY, "is not allowed here")
    raise _wrong(CONSISTENCY, f"must be one of {', '.join(resource.consistency)}")


def refuse_ttl(request: Request) -> None:
    """Raise InvalidHeader if the request has a Cassandra-TTL, where nothing can expire."""
    if has_own_headers(request) and TTL in request.headers:
        raise _wrong(TTL, "is not allowed here")


def refuse_headers_of_writes(request: Request) -> None:
    """Raise InvalidHeader if a read has a header that only a write can honour."""
    if not has_own_headers(request):
        return
    for name in (TTL, "If-Match"):
        if name in request.headers:
            raise _wrong(name, "is for writes and cannot be honoured here")


def asked_ttl(resource: Resource, request: Request, *, allowed: bool) -> int | None:
    """Return the seconds of Cassandra-TTL, None without one. Raises InvalidHeader if it is not allowed or wrong."""
    sent = list_field(request, TTL) if has_own_headers(request) else None
    if sent is None:
        return None
    if resource.ttl is None or not allowed:
        raise _wrong(TTL, "is not allowed here")
    text = sent.strip()
    if _digits.fullmatch(text) and 1 <= int(text) <= resource.ttl:
        return int(text)
    raise _wrong(TTL, f"must be a number of seconds from 1 to {resource.ttl}")


def conditions(resource: Resource, request: Request, *, may_be_absent: bool) -> Conditions:
    """Return the conditions of the request.

    Raises InvalidHeader for a condition that this resource or this request cannot honour, PreconditionRequired if the
    resource demands If-Match. `may_be_absent` says whether `If-None-Match: *` makes sense here.
    """
    if not has_own_headers(request) and not resource.require_match:
        return _NO_CONDITIONS
    match, none_match = list_field(request, "If-Match"), list_field(request, "If-None-Match")
    for name in ("If-Modified-Since", "If-Unmodified-Since"):
        if name in request.headers:
            raise _wrong(name, "cannot be honoured; use If-Match")
    if (match is not None or none_match is not None) and resource.writes != "conditional":
        raise _wrong("If-Match" if match is not None else "If-None-Match", "cannot be honoured: writes are plain here")
    if match is not None and none_match is not None:
        raise _wrong("If-None-Match", "cannot stand beside If-Match")
    if none_match is not None:
        if none_match.strip() != "*" or not may_be_absent:
            raise _wrong("If-None-Match", "must be * and belongs to a PUT" if not may_be_absent else "must be *")
        return Conditions(absent=True)
    if match is None:
        if resource.require_match:
            raise PreconditionRequired
        return Conditions()
    if match.strip() == "*":
        return Conditions(exists=True)
    if resource.version is None:
        raise _wrong("If-Match", "cannot be honoured: rows have no version here; only * can")
    return Conditions(versions=_versions(resource, match))


def refuse_conditions(request: Request) -> None:
    """Raise InvalidHeader if the request has a condition, where none can be honoured."""
    if not has_own_headers(request):
        return
    for name in ("If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since"):
        if name in request.headers:
            raise _wrong(name, "cannot be honoured here")


def refuse_cassandra_headers(request: Request) -> None:
    """Raise InvalidHeader if the request asks for a consistency or a time to live where neither can be chosen."""
    for name in (CONSISTENCY, TTL):
        if name in request.headers:
            raise _wrong(name, "is not allowed here")


def etag(version: str | None) -> Mapping[str, str] | None:
    """Return the field ETag of a row with this version, as answers write it; None for a row without one."""
    return None if version is None else {"ETag": f'"{version}"'}


def etag_of(resource: Resource, result: Result) -> Mapping[str, str] | None:
    """Return the field ETag of the row in a result; None if the resource has no versions or the row has none."""
    if resource.version is None:
        return None
    value: Any = result.dicts()[0][resource.version]
    return etag(value)


def has_current(request: Request, tag: str | None) -> bool:
    """Return whether If-None-Match says that the client has the row with this entity tag (RFC 9110 section 13.1.2).

    Tags are compared weakly; no tag is that of a row without one. Raises InvalidHeader if the field is malformed.
    """
    sent = list_field(request, "If-None-Match")
    if sent is None:
        return False
    if sent.strip() == "*":
        return True
    if not _entity_tags.fullmatch(sent):
        raise _wrong("If-None-Match", _TAGS)
    return any(tag == f'"{opaque}"' for _, opaque in _entity_tag.findall(sent))


def _versions(resource: Resource, field: str) -> tuple[Encoded, ...]:
    """Return the versions in an If-Match field. A tag that is no version, or is weak, matches nothing."""
    read = encoder_of(resource.table.column(resource.version or "").type).from_text
    if not _entity_tags.fullmatch(field):
        raise _wrong("If-Match", _TAGS)
    found: list[Encoded] = []
    for weak, opaque in _entity_tag.findall(field):
        try:
            found += () if weak else (read(opaque),)
        except WrongValue:
            continue
    return tuple(dict.fromkeys(found))


def _wrong(name: str, message: str) -> InvalidHeader:
    return InvalidHeader(f"{name} {message}.", errors=(FieldError(f"header.{name}", message),))


def only_consistency(asked: str | None, needed: str) -> str:
    """Return the one level that a statement can have. Raises InvalidHeader if the client asked for another."""
    if asked not in (None, needed):
        raise _wrong(CONSISTENCY, f"must be {needed} beside `near`, or be left out")
    return needed
