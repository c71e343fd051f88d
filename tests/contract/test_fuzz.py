"""Random requests to every endpoint: no server error, a problem document for every error, and the service keeps on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal
from helpers.exchange import Exchange
from helpers.problems import STANDARD, reveals_no_internals
from hypothesis import HealthCheck, given, seed
from hypothesis import settings as budget
from hypothesis import strategies as st
from starlette.applications import Starlette

from asgi_app.app import create_app
from asgi_app.settings import Settings
from contract.samples import ADA, BO, OWL

Ask = Callable[[Exchange], Exchange]


@pytest.fixture(scope="module")
def ask(settings: Settings) -> Iterator[Ask]:
    """Send one request and wait for its answer, from outside the event loop, because hypothesis tests are not async."""
    app: Starlette = create_app(settings)
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(app.router.lifespan_context(app)),
    ):

        def answered(exchange: Exchange) -> Exchange:
            portal.call(exchange.run, app)
            return exchange

        yield answered


ID = "00000000-0000-4000-8000-000000000000"
SEGMENTS = ["users", "stream", "pages", "batch", "animal", "plant", "health", "livez", "readyz", "", ".", "..", ID, "*"]
segment = st.sampled_from(SEGMENTS) | st.text(st.characters(codec="utf-8"), max_size=20)
path = st.lists(segment, max_size=5).map(lambda parts: "/" + "/".join(parts))
known_path = st.sampled_from(
    ["/", "/users", f"/users/{ID}", "/users/batch", "/users/stream", "/users/stream/pages", "/animal"]
)
method = st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])

json_value = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(st.text(st.characters(), max_size=8), inner, max_size=5)
    ),
    max_leaves=20,
)
FIELDS = [*ADA, *OWL, "id", "users"]
member = st.dictionaries(st.sampled_from(FIELDS), json_value | st.sampled_from([*ADA.values(), *OWL.values()]))
almost_valid = st.sampled_from([ADA, BO, OWL]).flatmap(lambda valid: member.map(lambda wrong: valid | wrong))
document = (almost_valid | member | st.lists(almost_valid, max_size=3) | json_value).map(
    lambda value: json.dumps(value).encode()
)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Draw a document with some bytes replaced: almost JSON."""
    text = bytearray(draw(document))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(text)))
        text[at : at + draw(st.integers(0, 2))] = draw(
            st.binary(max_size=3) | st.sampled_from([b'"', b"\\", b"{", b"\xff"])
        )
    return bytes(text)


body = document | damaged() | st.binary(max_size=300)
parameter = st.tuples(
    st.sampled_from(["limit", "fetch_size", "age_filter", "page_state", "x"]),
    st.integers(-2, 6000).map(str) | st.text(max_size=10) | st.just("AQ" * 40),
)
query = st.lists(parameter, max_size=4).map(
    lambda pairs: "&".join(f"{name}={value}" for name, value in pairs).encode("utf-8", "replace")
) | st.binary(max_size=40)
header = st.tuples(
    st.sampled_from(
        [b"x-request-id", b"x-request-timeout", b"content-length", b"content-encoding", b"accept", b"range", b"cookie"]
    ),
    st.binary(max_size=20) | st.sampled_from([b"5", b"0.001", b"nan", b"gzip", b"*/*", b"9" * 30]),
)
media_type = st.sampled_from([b"application/json"] * 8 + [b"application/json; charset=utf-8", b"text/plain", b"\xff"])

bounded = budget(
    database=None,
    derandomize=True,
    max_examples=900,
    suppress_health_check=[*budget().suppress_health_check, HealthCheck.data_too_large],
)


@seed(3)
@bounded
@given(method, known_path, body, media_type)
def test_random_bodies(ask: Ask, method: str, path: str, body: bytes, media_type: bytes) -> None:
    _expect_no_fault(ask(Exchange(method, path, headers=[(b"content-type", media_type)], body=[body])))


@seed(3)
@bounded
@given(method, path | known_path, query, st.lists(header, max_size=3))
def test_random_paths_queries_and_headers(
    ask: Ask, method: str, path: str, query: bytes, headers: list[tuple[bytes, bytes]]
) -> None:
    _expect_no_fault(ask(Exchange(method, path, query=query, headers=headers)))


def test_service_answers_after_the_random_requests(ask: Ask) -> None:
    """Runs last, after the tests above."""
    sent = Exchange("POST", "/users", headers=[(b"content-type", b"application/json")], body=[json.dumps(ADA).encode()])
    assert ask(sent).status == 201
    assert ask(Exchange("GET", sent.headers["location"])).chunks == sent.chunks
    for path in ("/health", "/readyz", "/users", "/users/stream", "/users/stream/pages"):
        assert ask(Exchange("GET", path)).status == 200


def _expect_no_fault(exchange: Exchange) -> None:
    status, headers = exchange.status, exchange.headers
    assert exchange.complete
    assert status is not None
    assert status < 500 or status == 504, exchange.chunks
    assert headers["x-request-id"]
    content = b"".join(exchange.chunks)
    if exchange.scope["method"] == "HEAD":
        assert content == b""
    elif status >= 400:
        assert headers["content-type"] == "application/problem+json"
        found: dict[str, Any] = json.loads(content)
        assert set(found) >= STANDARD
        assert found["status"] == status
        reveals_no_internals(found)
    elif content:
        json.loads(content)
    if "content-length" in headers and exchange.scope["method"] != "HEAD":
        assert int(headers["content-length"]) == len(content)
