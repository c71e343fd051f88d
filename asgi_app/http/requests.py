"""Read requests: bodies, path values and Accept fields, within the limits of the settings."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from urllib.parse import parse_qsl

import anyio
import mimeparse
import msgspec
from starlette.requests import ClientDisconnect, Request

from asgi_app.errors import BodyTooLarge, FieldError, InvalidInput, RequestTimeout, UnsupportedMediaType
from asgi_app.http.context import deadline_of, keep_body, settings_of
from asgi_app.http.validation import check_depth, check_text

LONGEST_KEY = 65535
"""Bytes of a key column: Cassandra stores the length in two bytes."""

_UUID_LENGTH = len("00000000-0000-0000-0000-000000000000")
# Accepts any parameter but another charset: JSON is UTF-8 (RFC 8259 section 8.1). Parameters may be empty (RFC 9110
# section 5.6.6), and many clients write `utf8` or quote the name, some of them with single quotes.
_json_types = re.compile(
    r"application/(?:[a-z0-9.-]+\+)?json\s*(?:;\s*+(?:(?!charset)[^;]*|charset\s*=\s*([\"']?)utf-?8\1\s*))*", re.ASCII
)

_JSON = "application/json"
_PLAIN_JSON = _JSON.encode()  # what nearly every client sends
_PATCHES = "application/json, application/merge-patch+json"


def query_items(request: Request) -> list[tuple[str, str]]:
    """Return the names and values of the query, decoded, in their order.

    Bytes that are not UTF-8 become lone surrogates in a value, as in a path, so that no other value is read for them.
    """
    sent: bytes = request.scope["query_string"]
    decoded = sent.decode("utf-8", "surrogateescape")
    items = parse_qsl(decoded, keep_blank_values=True, errors="surrogateescape")
    return [(_printable(name), value) for name, value in items]


def _printable(name: str) -> str:
    """Return a name as an error can repeat it."""
    return name if name.isascii() else name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def list_field(request: Request, name: str) -> str | None:
    """Return a field that is a list, its lines joined to one (RFC 9110 section 5.3), or None if it is absent."""
    lines = request.headers.getlist(name)
    return ", ".join(lines) if lines else None


def preferred(accept: str | None, offered: Sequence[str]) -> str | None:
    """Return the offered media type that an Accept field prefers (RFC 9110 section 12.5.1), or None if it accepts none.

    Of equally preferred types the first offered is returned. A missing or unreadable field accepts everything.
    """
    wanted = (accept or "*/*").strip().lower()
    if wanted == "*/*":
        return offered[0]
    if wanted in offered:
        return wanted
    try:
        return mimeparse.best_match(list(reversed(offered)), wanted) or None  # it returns the last of equals
    except (mimeparse.MimeTypeParseException, ValueError):
        return offered[0]


async def json_body(request: Request) -> bytes:
    """Return the whole body of a request whose Content-Type is JSON, and keep it for a second try.

    Raises UnsupportedMediaType, BodyTooLarge, MalformedJSON if it is not UTF-8 or nests too deep, RequestTimeout if the
    client sends nothing for the body timeout or the body is incomplete at the request's deadline, and ClientDisconnect.
    """
    settings = settings_of(request.scope)
    fields = dict(request.scope["headers"])  # of those that matter here, no request has two
    _expect_json(request.method, fields)
    _refuse_length(fields.get(b"content-length", b""), settings.max_body_bytes)
    body = await _read(request, settings.max_body_bytes, settings.body_timeout)
    keep_body(request.scope, body)
    check_text(body)
    check_depth(body, settings.max_json_depth)
    return body


def path_uuid(request: Request, name: str) -> uuid.UUID:
    """Return the path parameter `name`, a UUID in the 8-4-4-4-12 form in any case. Raises InvalidInput."""
    text: str = request.scope["path_params"][name]
    try:
        if len(text) == _UUID_LENGTH:  # msgspec accepts the form without hyphens too
            return msgspec.convert(text, uuid.UUID)
    except msgspec.ValidationError:
        pass
    raise InvalidInput(errors=(FieldError(f"path.{name}", "must be a UUID"),))


def path_key(request: Request, name: str) -> str:
    """Return the path parameter `name`, a text key. Raises InvalidInput if it is not UTF-8 or too long for a key."""
    text: str = request.scope["path_params"][name]
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise InvalidInput(errors=(FieldError(f"path.{name}", "must be UTF-8, percent-encoded"),))
    if key_fits(text):
        return text
    raise InvalidInput(errors=(FieldError(f"path.{name}", f"must have at most {LONGEST_KEY} bytes of UTF-8"),))


def key_fits(text: str) -> bool:
    """Return whether the text is short enough for a key column."""
    return len(text.encode("utf-8", "surrogatepass")) <= LONGEST_KEY


def _expect_json(method: str, fields: Mapping[bytes, bytes]) -> None:
    media_type = fields.get(b"content-type", b"")
    if media_type != _PLAIN_JSON and not _json_types.fullmatch(media_type.decode("latin-1").strip().lower()):
        accepted = {"Accept": _JSON, "Accept-Patch": _PATCHES} if method == "PATCH" else {"Accept": _JSON}
        raise UnsupportedMediaType(accepted=accepted)
    codings = fields.get(b"content-encoding", b"")
    if codings and any(coding.strip() not in (b"", b"identity") for coding in codings.lower().split(b",")):
        detail = "Send the body as it is, without a Content-Encoding."
        raise UnsupportedMediaType(detail, accepted={"Accept-Encoding": "identity"})


def _refuse_length(declared: bytes, limit: int) -> None:
    if declared.isdigit() and int(declared[:20]) > limit:
        raise BodyTooLarge(limit)


async def _read(request: Request, limit: int, longest_silence: float) -> bytes:
    chunks: list[bytes] = []
    size = 0
    now = anyio.current_time()
    end = now + deadline_of(request).remaining()
    with anyio.CancelScope(deadline=min(end, now + longest_silence)) as bound:
        while True:
            message = await request.receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            chunks.append(message.get("body", b""))
            size += len(chunks[-1])
            if size > limit:
                raise BodyTooLarge(limit)
            if not message.get("more_body", False):
                return b"".join(chunks)
            bound.deadline = min(end, anyio.current_time() + longest_silence)
    raise RequestTimeout("The body of this request did not arrive in the time it may take.")
