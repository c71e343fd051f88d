"""The path of a request as the client sent it, and the prefix that the application is served under.

ASGI gives a path twice: `path` is decoded, and `raw_path`, which is optional, holds the bytes that were sent. Only the
latter tells a `/` within a key (`%2F`) from one between two segments. But a parent may rewrite `path` alone, so
`raw_path` counts only where it decodes to `path`. Servers and parents differ in these ways, all of which are read here:

- Starlette's Mount leaves the prefix in `path` and adds it to `root_path`; other parents take it off `path`.
- uvicorn puts its `--root-path`, as it was typed, in front of both; hypercorn puts it in front of neither.
- `raw_path` may be None, may hold the query as well, and may be an absolute URL (RFC 9112 section 3.2.2).
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
"""Stays as it is in a path: RFC 3986 section 3.3 with `%` and `/`."""

_plain = re.compile(rb"[/:@!$&'()*+,;=._~0-9A-Za-z-]*(?:%[0-9A-Fa-f]{2}[/:@!$&'()*+,;=._~0-9A-Za-z-]*)*")
_lone_percent = re.compile(r"%(?![0-9A-Fa-f]{2})")
_origin = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")


class SplitPath(msgspec.Struct):
    """A path split at the end of its prefix."""

    path: str
    root_path: str
    raw_path: bytes | None
    sent: bytes
    """The whole path, percent-encoded."""
    segments: list[str]
    """The decoded segments below the prefix; bytes that are no UTF-8 are lone surrogates, so keys stay different."""
    skipped: int
    """How many segments of `sent` come before these."""


def split_path(scope: Scope) -> SplitPath:
    """Return the request's path, split; it is split anew only where a parent has changed the scope."""
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


def segments_below(scope: Scope) -> list[str]:
    """Return the decoded segments of the path below the prefix of a mount or a proxy."""
    return split_path(scope).segments


def path_below(scope: Scope) -> str:
    """Return the decoded path below the prefix of a mount or a proxy."""
    return _join(split_path(scope).segments)


def encoded_path(scope: Scope) -> str:
    """Return the whole path, prefix included, in percent-encoded ASCII: no control character of a client is in it."""
    split = split_path(scope)
    root = split.root_path
    if not root or (split.skipped and not root.endswith("/")):
        return _encode(split.sent)
    below = split.sent.split(b"/")[1 + split.skipped :]
    return _prefix_of(split) + _join(map(_encode, below))


def location(request: Request, path: str) -> str:
    """Return `path` of this application as its clients see it: below the prefix it is mounted or proxied under.

    `path` is percent-encoded, and so is the result. `root_path` is decoded text, so it is encoded: as the client sent
    it where that is known. A server's `--root-path` that is percent-encoded already stays as it is. The result is a
    path and never names a host (`//host`, RFC 3986 section 4.2).
    """
    split = split_path(request.scope)
    return _prefix_of(split) + path if split.root_path else path


def path_segment(text: str) -> str:
    """Return `text` as one segment of a path; clients resolve `.` and `..`, so these are encoded too."""
    return _not_a_step(quote(text, safe="", errors="replace"))


def _not_a_step(segment: str) -> str:
    return segment.replace(".", "%2E") if segment in (".", "..") else segment


def _split_encoded(path: str, root: str, raw: bytes | None) -> SplitPath:
    if raw and not root and _text(raw) == path:  # the usual case, at half the price
        return SplitPath(path, root, raw, raw, _decoded(raw)[1:], 0)
    below, skipped = _below(path, root, raw)
    for sent in _readings(raw):
        count = _count_before(sent, below)
        if count is None and _text(sent) == _replaced(path):
            count = 0  # the prefix ends within a segment as it was sent: this path has none of ours below it
        if count is not None:
            return SplitPath(path, root, raw, sent, _decoded(sent)[1 + count :], count)
    sent = quote(_to_bytes(path), safe="/").encode()
    return SplitPath(path, root, raw, sent, _decoded(sent)[1 + skipped :], skipped)


def _below(path: str, root: str, raw: bytes | None) -> tuple[str, int]:
    """Return the decoded path below the prefix, and of how many segments of `path` the prefix consists.

    A parent that has taken the prefix off is known by `raw_path`, which still has it.
    """
    segments = path.split("/")
    skipped = _count_prefix(root, segments)
    if skipped and raw is not None and _text(raw) == root.rstrip("/") + _replaced(path):
        skipped = 0
    return _join(segments[1 + skipped :]), skipped


def _readings(raw: bytes | None) -> list[bytes]:
    """Return what `raw_path` may mean: its bytes, or these without a query and without the origin of a URL."""
    if not raw:
        return []
    path = raw.partition(b"?")[0]
    origin = _origin.match(path)
    return [raw, path[origin.end() :] if origin else path]


def _count_before(sent: bytes, below: str) -> int | None:
    """Return how many segments come before those that decode to the path `below`; None where none do."""
    expected = _replaced(below)
    segments = [_text(segment) for segment in sent.split(b"/")]
    at, length = len(segments), 0
    while at > 1 and length < len(expected):
        at -= 1
        length += 1 + len(segments[at])
    return at - 1 if _join(segments[at:]) == expected else None


def _count_prefix(root: str, segments: list[str]) -> int:
    """Return how many segments, after what comes before the first slash, are the prefix; 0 where it is not there."""
    wanted = root.rstrip("/")
    if not wanted.startswith("/"):  # "db" for "/db"; uvicorn then makes the path "db/users"
        return 0
    number = wanted.count("/")
    if "/".join(segments[: number + 1]) != wanted:
        return 0
    # uvicorn puts a prefix "/db/" in front of "/users" as it is: "/db//users".
    doubled = root.endswith("/") and len(segments) > number + 2 and not segments[number + 1]
    return number + doubled


def _prefix_of(split: SplitPath) -> str:
    root = split.root_path.rstrip("/")
    lead = b"/".join(split.sent.split(b"/")[: 1 + split.skipped]).rstrip(b"/")
    decoded = _text(lead)
    text = lead if decoded in (root, _text(_to_bytes(root))) else _to_bytes(root)
    return _as_path(_encode(text))


def _as_path(encoded: str) -> str:
    """Return the prefix as an absolute path that clients cannot take for anything else."""
    path = "/".join(map(_not_a_step, encoded.split("/")))
    if path.startswith("//"):
        return f"/%2F{path[2:]}"
    return path if path.startswith("/") or not path else f"/{path}"


def _encode(sent: bytes) -> str:
    """Return the path in ASCII; what is percent-encoded already stays, and a lone `%` is encoded."""
    if _plain.fullmatch(sent):
        return sent.decode("ascii")
    return _lone_percent.sub("%25", quote(sent, safe=_SAFE))


def _decoded(sent: bytes) -> list[str]:
    return [unquote_to_bytes(segment).decode("utf-8", "surrogateescape") for segment in sent.split(b"/")]


def _text(sent: bytes) -> str:
    """Decode as servers do: `urllib.parse.unquote`, in which bytes that are no UTF-8 become U+FFFD."""
    return unquote_to_bytes(sent).decode("utf-8", "replace")


def _replaced(text: str) -> str:
    """Return the text as `_text` would have decoded it, for servers that keep bytes as surrogates."""
    return text if text.isascii() else _to_bytes(text).decode("utf-8", "replace")


def _to_bytes(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def _join(segments: Iterable[str]) -> str:
    return "".join(f"/{segment}" for segment in segments)
