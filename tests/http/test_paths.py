"""`path` and `raw_path` of a scope, and prefixes in links."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote, unquote_to_bytes

import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from starlette.requests import Request

from asgi_app.http.headers import header_text, raw_headers
from asgi_app.http.paths import encoded_path, location, path_segment, split_path


def scope_of(path: str, raw: bytes | None, root: str = "") -> dict[str, Any]:
    return {"type": "http", "method": "GET", "path": path, "raw_path": raw, "root_path": root, "headers": []}


def link(path: str, raw: bytes | None, root: str) -> str:
    return location(Request(scope_of(path, raw, root)), "/users/1")


@pytest.mark.parametrize(
    ("path", "raw", "root", "segments"),
    [
        pytest.param("/users/1", b"/users/1", "", ["users", "1"], id="nothing encoded"),
        pytest.param("/users/a/b", b"/users/a%2Fb", "", ["users", "a/b"], id="a slash in a key"),
        pytest.param("/users/a%2Fb", b"/users/a%252Fb", "", ["users", "a%2Fb"], id="a per cent sign in a key"),
        pytest.param("/users/a b", None, "", ["users", "a b"], id="no raw path"),
        pytest.param("/users/a%2Fb", None, "", ["users", "a%2Fb"], id="no raw path and a per cent sign"),
        pytest.param("/users/ü", b"", "", ["users", "ü"], id="an empty raw path"),
        pytest.param("/users/ü", "/users/ü".encode(), "", ["users", "ü"], id="a raw path that is not encoded"),
        pytest.param("/users/\ufffd", b"/users/%ff", "", ["users", "\udcff"], id="no UTF-8, replaced"),
        pytest.param("/users/\udcff", b"/users/%ff", "", ["users", "\udcff"], id="no UTF-8, kept"),
        pytest.param("/users/\udcff", None, "", ["users", "\udcff"], id="no UTF-8 and no raw path"),
        # The parent rewrites.
        pytest.param("/users", b"/v1/people", "", ["users"], id="path alone"),
        pytest.param("/users/a/b", b"/v1/people/a%2Fb", "", ["users", "a", "b"], id="path alone, with a slash"),
        pytest.param("/users/ü", b"/v1/people/%C3%BC", "", ["users", "ü"], id="path alone, encoded"),
        pytest.param("/users/a/b", b"/users/a%2Fb", "", ["users", "a/b"], id="both"),
        pytest.param("/users/a", b"/v1/users/a%2Fb", "", ["users", "a"], id="path alone, the same beginning"),
        # The parent takes a prefix off.
        pytest.param("/users/a/b", b"/db/users/a%2Fb", "", ["users", "a/b"], id="off path, silently"),
        pytest.param("/users/a/b", b"/db/users/a%2Fb", "/db", ["users", "a/b"], id="off path"),
        pytest.param("/users/a/b", b"/users/a%2Fb", "/db", ["users", "a/b"], id="off both"),
        pytest.param("/users", None, "/db", ["users"], id="off path, no raw path"),
        pytest.param("/db/users/a/b", b"/db/users/a%2Fb", "/db", ["users", "a/b"], id="off neither, as Mount"),
        pytest.param("/db/users", b"/users", "/db", ["users"], id="off raw path"),
        pytest.param("/db/1", b"/db/db/1", "/db", ["db", "1"], id="off path, and the rest begins with it too"),
        pytest.param("/db/db/1", b"/db/db/1", "/db", ["db", "1"], id="off neither, and the rest begins with it too"),
        pytest.param("/dbx/users", b"/dbx/users", "/db", ["dbx", "users"], id="a longer name"),
        pytest.param("/a/users", b"/a%2Fusers", "/a", ["a/users"], id="the prefix ends within a segment"),
        pytest.param("/€/users/a/b", b"/%E2%82%AC/users/a%2Fb", "/€", ["users", "a/b"], id="an encoded prefix"),
        pytest.param("/a/b/users", b"/a%2Fb/users", "/a/b", ["users"], id="a slash in the prefix"),
        pytest.param("/\ufffd/users", b"/%ff/users", "/\ufffd", ["users"], id="a prefix that is no UTF-8"),
        # uvicorn --root-path
        pytest.param("/%E2%82%AC/users/a/b", b"/%E2%82%AC/users/a%2Fb", "/%E2%82%AC", ["users", "a/b"], id="typed"),
        pytest.param("/%41/€/users", b"/%41/%E2%82%AC/users", "/%41/€", ["users"], id="typed, and a mount"),
        pytest.param("db/users", b"db/users", "db", ["users"], id="typed without a slash"),
        pytest.param("/db/users", b"/db/users", "/db/", ["users"], id="typed with a slash at the end"),
        pytest.param("/db//users/1", b"/db//users/1", "/db/", ["users", "1"], id="typed with a slash, uvicorn"),
        pytest.param("/a%20b//users", b"/a%20b//users", "/a%20b/", ["users"], id="the same, encoded"),
        pytest.param("/db//", b"/db//", "/db/", [""], id="the same, the root"),
        pytest.param("/db//users", b"/db//users", "/db", ["", "users"], id="two slashes that the client sent"),
        # Servers
        pytest.param("/users/a/b", b"/users/a%2Fb?x=/y", "", ["users", "a/b"], id="raw path with the query"),
        pytest.param("/users/a/b", b"http://host:80/users/a%2Fb?x", "", ["users", "a/b"], id="an absolute URL"),
        pytest.param("*", b"*", "", [], id="an asterisk"),
        pytest.param("/", b"/", "", [""], id="the root"),
        pytest.param("/db/", b"/db/", "/db", [""], id="the root below a prefix"),
        pytest.param("/db", b"/db", "/db", [], id="the prefix alone"),
    ],
)
def test_segments_below_prefix(path: str, raw: bytes | None, root: str, segments: list[str]) -> None:
    scope = scope_of(path, raw, root)
    assert split_path(scope).segments == segments


def test_path_changed_after_it_was_split() -> None:
    scope = scope_of("/users/1", b"/users/1")
    assert split_path(scope).segments == ["users", "1"]
    scope["path"] = "/animal/x"
    assert split_path(scope).segments == ["animal", "x"]
    scope["root_path"] = "/animal"
    assert split_path(scope).segments == ["x"]
    scope |= {"path": "/animal/a/b", "raw_path": b"/animal/a%2Fb"}
    assert split_path(scope).segments == ["a/b"]


@pytest.mark.parametrize(
    ("path", "raw", "root", "expected"),
    [
        pytest.param("/users", b"/users", "", "", id="none"),
        pytest.param("/users", b"/users", "/", "", id="a slash"),
        pytest.param("/db/users", b"/db/users", "/db", "/db", id="Mount"),
        pytest.param("/users", b"/users", "/db", "/db", id="a proxy"),
        pytest.param("/users", b"/users", "db/", "/db", id="a proxy, typed oddly"),
        pytest.param("/€/users", b"/%E2%82%AC/users", "/€", "/%E2%82%AC", id="euro"),
        pytest.param("/€/users", b"/%e2%82%ac/users", "/€", "/%e2%82%ac", id="euro, as it was sent"),
        pytest.param("/€/users", None, "/€", "/%E2%82%AC", id="euro, no raw path"),
        pytest.param("/users", b"/users", "/€", "/%E2%82%AC", id="euro, a proxy's"),
        pytest.param("/users", b"/users", "/%E2%82%AC", "/%E2%82%AC", id="euro, a proxy's, encoded"),
        pytest.param("/%E2%82%AC/users", b"/%E2%82%AC/users", "/%E2%82%AC", "/%E2%82%AC", id="euro, uvicorn's"),
        pytest.param("/%41/€/users", b"/%41/%E2%82%AC/users", "/%41/€", "/%41/%E2%82%AC", id="uvicorn's, and a mount"),
        pytest.param("/%41/users", b"/%2541/users", "/%41", "/%2541", id="text that looks encoded"),
        pytest.param("/%41/users", None, "/%41", "/%2541", id="text that looks encoded, no raw path"),
        pytest.param("/100%/users", b"/100%25/users", "/100%", "/100%25", id="per cent"),
        pytest.param("/100%/users", b"/100%/users", "/100%", "/100%25", id="per cent, sent alone"),
        pytest.param("/users", b"/users", "/100%", "/100%25", id="per cent, a proxy's"),
        pytest.param("/\ufffd/users", b"/%ff/users", "/\ufffd", "/%ff", id="no UTF-8"),
        pytest.param("/\udcff/users", None, "/\udcff", "/%FF", id="no UTF-8, no raw path"),
        pytest.param("/\r\nX: y/users", b"/%0D%0AX:%20y/users", "/\r\nX: y", "/%0D%0AX:%20y", id="CR LF"),
        pytest.param("/\r\nX: y/users", None, "/\r\nX: y", "/%0D%0AX%3A%20y", id="CR LF, no raw path"),
        pytest.param("/\r\nX/users", b"/\r\nX/users", "/\r\nX", "/%0D%0AX", id="CR LF, sent as it is"),
        pytest.param('/a>"<b/users', b'/a>"<b/users', '/a>"<b', "/a%3E%22%3Cb", id="what ends a link"),
        pytest.param("/a;b,c/users", b"/a;b,c/users", "/a;b,c", "/a;b,c", id="what may stand in a path"),
        pytest.param("/a#?b/users", b"/a%23%3Fb/users", "/a#?b", "/a%23%3Fb", id="what ends a path"),
        pytest.param("/a/b/users", b"/a%2Fb/users", "/a/b", "/a%2Fb", id="a slash"),
        pytest.param("//evil.org/users", b"//evil.org/users", "//evil.org", "/%2Fevil.org", id="a host"),
        pytest.param("/\\evil/users", b"/\\evil/users", "/\\evil", "/%5Cevil", id="what browsers take for a slash"),
        pytest.param("/../users", b"/../users", "/..", "/%2E%2E", id="a step up"),
        pytest.param("/db//users", b"/db//users", "/db/", "/db", id="a slash at the end"),
        pytest.param("/users", b"/v1/db/users", "/db", "/db", id="another prefix went before"),
    ],
)
def test_link_has_encoded_prefix(path: str, raw: bytes | None, root: str, expected: str) -> None:
    assert link(path, raw, root) == f"{expected}/users/1"


TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12).filter(lambda text: "/" not in text)


@hypothesis_settings(deadline=None, max_examples=300)
@given(TEXT, TEXT, st.booleans())
@example("\r\nSet-Cookie: a=b", "x", False)
@example("%2F", "%", True)
def test_link_round_trip(tenant: str, key: str, has_raw: bool) -> None:
    sent = f"/{path_segment(tenant)}/users/{path_segment(key)}"
    place = location(
        Request(scope_of(unquote(sent), sent.encode() if has_raw else None, f"/{tenant}")),
        f"/users/{path_segment(key)}",
    )
    assert place.isascii()
    assert place.isprintable()
    assert not set(place) & set(' <>"\\^`{|}#?')
    assert unquote(place) == f"/{tenant}/users/{key}"
    assert split_path(scope_of(unquote(place), place.encode(), f"/{tenant}")).segments == ["users", key]


@hypothesis_settings(deadline=None, max_examples=300)
@given(st.binary(max_size=20), st.text(max_size=10), st.text(max_size=10))
def test_paths_and_links_are_ascii(raw: bytes, path: str, root: str) -> None:
    scope = scope_of(f"/{path}", raw, root)
    assert encoded_path(scope).isascii()
    assert encoded_path(scope).isprintable()
    assert link(f"/{path}", raw, root).isprintable()
    assert not link(f"/{path}", raw, root).startswith("//")
    assert isinstance(split_path(scope).segments, list)


@pytest.mark.parametrize(
    ("path", "raw", "root", "expected"),
    [
        ("/users/a/b", b"/users/a%2Fb", "", "/users/a%2Fb"),
        ("/users/a\nb", None, "", "/users/a%0Ab"),
        ("/db/users", b"/db/users", "/db", "/db/users"),
        ("/users/ü", b"/users/%C3%BC", "/db", "/db/users/%C3%BC"),
        ("/users/a/b", b"/db/users/a%2Fb", "", "/db/users/a%2Fb"),
        ("/users", b"/v1/people", "", "/users"),
        ("/€/x>y", b"/%E2%82%AC/x>y", "/€", "/%E2%82%AC/x%3Ey"),
    ],
)
def test_encoded_path(path: str, raw: bytes | None, root: str, expected: str) -> None:
    assert encoded_path(scope_of(path, raw, root)) == expected


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        ("/users/1", b"/users/1"),
        ('</a>; rel="next"', b'</a>; rel="next"'),
        ("100 %", b"100 %"),
        ("/€/ü", b"/%E2%82%AC/%C3%BC"),
        ("/a\r\nSet-Cookie: b=c", b"/a%0D%0ASet-Cookie: b=c"),
        ("\ud800", b"?"),
        ("\x00\x7f", b"%00%7F"),
    ],
)
def test_header_text(value: str, sent: bytes) -> None:
    assert raw_headers({"Location": value}) == [(b"location", sent)]
    assert header_text(value).encode() == sent


def test_key_that_is_not_utf_8_keeps_its_bytes() -> None:
    (key,) = split_path(scope_of("/\ufffd(", b"/%C3%28")).segments
    assert key.encode("utf-8", "surrogateescape") == unquote_to_bytes("%C3%28")
