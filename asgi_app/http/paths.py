"""The path of a request as the client sent it, and the prefix that the application is served under.

ASGI has two forms of a path: `path` is decoded, and `raw_path`, which is optional, has the bytes that were sent. Only
`raw_path` distinguishes a `/` within a key (`%2F`) from one between two segments. But a parent may rewrite `path`
alone, so `raw_path` is used only if it decodes to `path`. No other module reads it. Servers and parents differ in these
ways, all of which are supported:

- Starlette's Mount leaves the prefix in `path` and adds it to `root_path`; other parents take it off `path`.
- uvicorn puts its `--root-path`, as it was typed, in front of both; hypercorn puts it in front of neither.
- `raw_path` may be None, may include the query, and may be an absolute URL (RFC 9112 section 3.2.2).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import quote, unquote_to_bytes

import msgspec
from starlette.requests import Request
from starlette.types import Scope

_SPLIT = "asgi_cassandra.path"

_SAFE = "%/:@!$&'()*+,;=-._~"
"""Characters that are not encoded in a path: those of RFC 3986 section 3.3, `%` and `/`."""

_plain = re.compile(rb"[/:@!$&'()*+,;=._~0-9A-Za-z-]*(?:%[0-9A-Fa-f]{2}[/:@!$&'()*+,;=._~0-9A-Za-z-]*)*")
_lone_percent = re.compile(r"%(?![0-9A-Fa-f]{2})")
_unreserved = re.compile(r"[A-Za-z0-9_~-]+")
_origin = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")


class SplitPath(msgspec.Struct):
    """A path split at the end of its prefix; the first three fields are those of the scope it was made from."""

    path: str
    root_path: str
    raw_path: bytes | None
    sent: bytes
    """The whole path, percent-encoded."""
    segments: list[str]
    """The decoded segments below the prefix. Bytes that are not UTF-8 become lone surrogates, so keys stay distinct."""
    skipped: int
    """The number of segments of `sent` that are the prefix."""


def split_path(scope: Scope) -> SplitPath:
    """Return the request's path, split. The result is kept in the scope until a parent changes the path."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    raw: bytes | None = scope.get("raw_path")
    kept: SplitPath | None = scope.get(_SPLIT)
    if kept is not None and kept.path is path and kept.root_path is root and kept.raw_path is raw:
        return kept
    if raw and path.isascii() and raw == path.encode() and b"%" not in raw:
        segments = path.split("/")
        skipped = _count_prefix(root, segments) if root else 0
        split = SplitPath(path, root, raw, raw, segments[1 + skipped :], skipped)
    else:
        split = _split_encoded(path, root, raw)
    scope[_SPLIT] = split
    return split


def encoded_path(scope: Scope) -> str:
    """Return the whole path, prefix included, in percent-encoded ASCII, so without control characters."""
    split = split_path(scope)
    root = split.root_path
    if not root or (split.skipped and not root.endswith("/")):
        return _encode(split.sent)
    below = split.sent.split(b"/")[1 + split.skipped :]
    return _prefix_of(split) + _join(map(_encode, below))


def location(request: Request, path: str) -> str:
    """Return `path` of this application as its clients see it: below the prefix it is mounted or proxied under.

    `path` is percent-encoded, and so is the result. `root_path` is decoded text, so it is encoded: as the client sent
    it, if that is known. A server's `--root-path` that is already percent-encoded is not encoded again. The result is a
    path and never begins with a host (`//host`, RFC 3986 section 4.2).
    """
    return _prefix_of(split_path(request.scope)) + path if request.scope.get("root_path") else path


def path_segment(text: str) -> str:
    """Return `text` as one encoded segment of a path; `.` and `..` are encoded too, because clients resolve them."""
    if _unreserved.fullmatch(text):  # nearly every key
        return text
    return _encode_dots(quote(text, safe="", errors="replace"))


def _encode_dots(segment: str) -> str:
    return segment.replace(".", "%2E") if segment in (".", "..") else segment


def _split_encoded(path: str, root: str, raw: bytes | None) -> SplitPath:
    if raw and not root and _text(raw) == path:  # the usual case, at half the cost
        return SplitPath(path, root, raw, raw, _decoded(raw)[1:], 0)
    below, skipped = _below(path, root, raw)
    for sent in _readings(raw):
        count = _count_before(sent, below)
        if count is None and _text(sent) == _replaced(path):
            count = 0  # the prefix ends within an encoded segment, so no segment of this application follows
        if count is not None:
            return SplitPath(path, root, raw, sent, _decoded(sent)[1 + count :], count)
    sent = quote(_to_bytes(path), safe="/").encode()
    return SplitPath(path, root, raw, sent, _decoded(sent)[1 + skipped :], skipped)


def _below(path: str, root: str, raw: bytes | None) -> tuple[str, int]:
    """Return the decoded path below the prefix, and the number of segments of `path` that are the prefix.

    If `raw_path` has the prefix once more than `path`, a parent has removed it from `path`.
    """
    segments = path.split("/")
    skipped = _count_prefix(root, segments)
    if skipped and raw is not None and _text(raw) == root.rstrip("/") + _replaced(path):
        skipped = 0
    return _join(segments[1 + skipped :]), skipped


def _readings(raw: bytes | None) -> list[bytes]:
    """Return the possible paths in `raw_path`: all of it, or without the query and the origin of a URL."""
    if not raw:
        return []
    path = raw.partition(b"?")[0]
    origin = _origin.match(path)
    return [raw, path[origin.end() :] if origin else path]


def _count_before(sent: bytes, below: str) -> int | None:
    """Return the number of segments before those that decode to the path `below`, or None if none do."""
    expected = _replaced(below)
    segments = [_text(segment) for segment in sent.split(b"/")]
    at, length = len(segments), 0
    while at > 1 and length < len(expected):
        at -= 1
        length += 1 + len(segments[at])
    return at - 1 if _join(segments[at:]) == expected else None


def _count_prefix(root: str, segments: list[str]) -> int:
    """Return the number of segments after the first slash that are the prefix; 0 if the path does not begin with it."""
    wanted = root.rstrip("/")
    if not wanted.startswith("/"):  # "db" for "/db"; uvicorn then makes the path "db/users"
        return 0
    number = wanted.count("/")
    if "/".join(segments[: number + 1]) != wanted:
        return 0
    # uvicorn puts the prefix "/db/" in front of "/users" unchanged: "/db//users".
    doubled = root.endswith("/") and len(segments) > number + 2 and not segments[number + 1]
    return number + doubled


def _prefix_of(split: SplitPath) -> str:
    root = split.root_path.rstrip("/")
    lead = b"/".join(split.sent.split(b"/")[: 1 + split.skipped]).rstrip(b"/")
    decoded = _text(lead)
    text = lead if decoded in (root, _text(_to_bytes(root))) else _to_bytes(root)
    return _as_path(_encode(text))


def _as_path(encoded: str) -> str:
    """Return the prefix as an absolute path that clients cannot read as a host or as a relative path."""
    path = "/".join(map(_encode_dots, encoded.split("/")))
    if path.startswith("//"):
        return f"/%2F{path[2:]}"
    return path if path.startswith("/") or not path else f"/{path}"


def _encode(sent: bytes) -> str:
    """Return the path in ASCII. Percent-encoded characters are not encoded again; a lone `%` is encoded."""
    if _plain.fullmatch(sent):
        return sent.decode("ascii")
    return _lone_percent.sub("%25", quote(sent, safe=_SAFE))


def _decoded(sent: bytes) -> list[str]:
    return [unquote_to_bytes(segment).decode("utf-8", "surrogateescape") for segment in sent.split(b"/")]


def _text(sent: bytes) -> str:
    """Return the decoded text as servers do, by `urllib.parse.unquote`: bytes that are not UTF-8 become U+FFFD."""
    return unquote_to_bytes(sent).decode("utf-8", "replace")


def _replaced(text: str) -> str:
    """Return the text as `_text` decodes it, because some servers keep bytes that are not UTF-8 as surrogates."""
    return text if text.isascii() else _to_bytes(text).decode("utf-8", "replace")


def _to_bytes(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def _join(segments: Iterable[str]) -> str:
    return "".join(f"/{segment}" for segment in segments)
