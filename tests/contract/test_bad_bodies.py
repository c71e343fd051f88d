"""Refused request bodies: status, named fields, and nothing written."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from cassandra.cluster import Session
from helpers.exchange import Exchange
from helpers.problems import problem
from starlette.applications import Starlette

from contract.samples import ADA, JSON, OWL, create

pytestmark = pytest.mark.anyio

WRITES = ["POST /users", "PUT /users/{id}", "PATCH /users/{id}", "POST /users/batch", "POST /animal"]
MIB = 1024 * 1024
TEMPLATES: dict[str, dict[str, Any]] = {"POST /animal": OWL | {"genus": "refused"}}
"""A valid member for an endpoint, if it is not a user."""


class Unchanged:
    """Remembers the rows of a table, to check that a request did not change them. Reads the table once per check."""

    def __init__(self, cql: Session, table: str) -> None:
        self._read = lambda: list(cql.execute(f"SELECT * FROM {table}"))
        self.refresh()

    def refresh(self) -> None:
        self._rows = self._read()
        self.checked = True

    def check(self) -> None:
        before = self._rows
        self.refresh()
        assert self._rows == before


class Target:
    """One endpoint that writes, and a check that it wrote nothing."""

    def __init__(self, endpoint: str, client: httpx.AsyncClient, user_id: str, rows: Unchanged) -> None:
        self.method, path = endpoint.split(" ")
        self.path = path.format(id=user_id)
        self.member = TEMPLATES.get(endpoint, ADA)
        self.prefix = "/0" if endpoint.endswith("batch") else ""
        self.client = client
        self.wrote_nothing = rows.check

    def body(self, member: bytes) -> bytes:
        """Return a body with `member` as its only member."""
        return b"[" + member + b"]" if self.prefix else member

    async def send(self, body: Any, **headers: str) -> httpx.Response:
        names = JSON | {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.client.request(self.method, self.path, content=body, headers=names)


@pytest.fixture(scope="module")
async def user_id(few_rows: None, service: tuple[Starlette, httpx.AsyncClient], anyio_backend: Any) -> str:
    """The id of a user, for the endpoints that change one."""
    user = await create(service[1])
    return str(user["id"])


@pytest.fixture(scope="module")
def tables(cql: Session, keyspace: str, user_id: str) -> dict[str, Unchanged]:
    return {name: Unchanged(cql, f"{keyspace}.{name}") for name in ("users", "animals")}


@pytest.fixture(scope="module", autouse=True)
def few_rows(cql: Session, keyspace: str) -> None:
    """Empty the tables. Their rows are read after each request, which is faster if there are few."""
    for table in ("users", "animals"):
        cql.execute(f"TRUNCATE {keyspace}.{table}")


@pytest.fixture(autouse=True)
def refresh_unchecked(tables: dict[str, Unchanged]) -> Iterator[None]:
    """Read the tables again after a test that did not check them, because it may have written."""
    for rows in tables.values():
        rows.checked = False
    yield
    for rows in tables.values():
        if not rows.checked:
            rows.refresh()


@pytest.fixture(params=WRITES)
def target(
    request: pytest.FixtureRequest, client: httpx.AsyncClient, user_id: str, tables: dict[str, Unchanged]
) -> Target:
    return Target(request.param, client, user_id, tables["animals" if "animal" in request.param else "users"])


def member(target: Target, **texts: bytes) -> bytes:
    """Return the JSON of a valid member, with the values of `texts` replaced by JSON text."""
    values = {name: json.dumps(value).encode() for name, value in target.member.items()} | texts
    return b"{" + b",".join(b'"%b":%b' % (name.encode(), value) for name, value in values.items()) + b"}"


# --- not JSON

VALID = json.dumps(ADA).encode()
MALFORMED = {
    "empty": b"",
    "blank": b" \r\n\t",
    "truncated": VALID[:-1],
    "truncated in a string": b'{"name": "Ad',
    "truncated in an escape": b'{"name": "Ad\\u00',
    "trailing": VALID + b"}",
    "two documents": VALID + VALID,
    "trailing comma": VALID[:-1] + b",}",
    "comment": b"/* */" + VALID,
    "BOM": b"\xef\xbb\xbf" + VALID,
    "single quotes": VALID.replace(b'"', b"'"),
    "unquoted name": b"{name: 1}",
    "NaN": VALID.replace(b"36", b"NaN"),
    "-Infinity": VALID.replace(b"36", b"-Infinity"),
    "leading zero": VALID.replace(b"36", b"036"),
    "plus": VALID.replace(b"36", b"+36"),
    "hex": VALID.replace(b"36", b"0x24"),
    "raw NUL": VALID.replace(b"Ada", b"A\0a"),
    "raw newline": VALID.replace(b"Ada", b"A\na"),
    "NUL after": VALID + b"\0",
    "bad escape": VALID.replace(b"Ada", b"\\x41"),
    "invalid UTF-8": VALID.replace(b"Ada", b"\xff\xfe"),
    "overlong UTF-8": VALID.replace(b"Ada", b"\xc0\xaf"),
    "surrogate in UTF-8": VALID.replace(b"Ada", b"\xed\xa0\x80"),
    "truncated UTF-8": VALID.replace(b"Ada", b"\xf0\x9f"),
    "UTF-16": json.dumps(ADA).encode("utf-16"),
    "form": b"name=Ada&email=ada%40example.com&age=36",
    "XML": b"<user/>",
    "word": b"undefined",
    "brackets": b"[" * 100_000,
    "closed brackets": b"[" * 100_000 + b"]" * 100_000,
    "braces": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "deep in an unknown field": VALID[:-1] + b',"x":' + b"[" * 50 + b"]" * 50 + b"}",
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
async def test_malformed_json_is_400(target: Target, body: bytes) -> None:
    problem(await target.send(body), 400, "malformed_json")
    target.wrote_nothing()


BROKEN_BESIDE_WRONG = {
    "invalid UTF-8 beside a wrong type": b'"\xff"',
    "bad escape beside a wrong type": b'"\\x41"',
    "bad literal beside a wrong type": b"tru",
    "leading zero beside a wrong type": b"01",
    "raw newline beside a wrong type": b'"a\nb"',
}


@pytest.mark.parametrize("broken", BROKEN_BESIDE_WRONG.values(), ids=BROKEN_BESIDE_WRONG)
@pytest.mark.parametrize("order", ["wrong first", "broken first", "in an unknown field"])
async def test_malformed_json_is_400_beside_other_errors(target: Target, broken: bytes, order: str) -> None:
    first, *_, last = target.member
    texts = {
        "wrong first": {first: b"[]", last: broken},
        "broken first": {first: broken, last: b"{}"},
        "in an unknown field": {first: b"[]", "unknown": broken},
    }[order]
    problem(await target.send(target.body(member(target, **texts))), 400, "malformed_json")
    target.wrote_nothing()


SLOW_TO_READ = {
    "open string of quotes": b"[" * 33 + b'"' + b'\\"' * MIB,
    "escapes": b"{" * 40 + b'"\\' * MIB,
    "brackets in strings": b'"[[[[[' * MIB,
    "braces": b'{"":' * MIB,
}


@pytest.mark.parametrize("text", SLOW_TO_READ.values(), ids=SLOW_TO_READ)
@pytest.mark.parametrize("path", ["/users", "/users/batch"])
async def test_refusing_a_body_takes_linear_time(app: Starlette, text: bytes, path: str) -> None:
    """With quadratic time, one body of a megabyte blocks the event loop for hours.

    The small body comes first, so that a failing test ends soon.
    """
    for size, seconds in ((16 * 1024, 0.5), (MIB, 3.0)):
        exchange = Exchange("POST", path, headers=[(b"content-type", b"application/json")], body=[text[:size]])
        began = time.perf_counter()
        await exchange.run(app)
        assert exchange.status in {400, 422}
        assert time.perf_counter() - began < seconds, f"{size} bytes"


@pytest.mark.parametrize("target", ["POST /users", "POST /users/batch"], indirect=True)
async def test_answer_to_very_many_wrong_fields_is_bounded(target: Target) -> None:
    body = b"{" + b",".join(b'"x%d":1' % number for number in range(60_000)) + b"}"
    response = await target.send(target.body(body))
    assert response.status_code == 422
    assert len(response.content) < 64 * 1024


# --- JSON, and wrong

NOT_STRINGS = [b"null", b"true", b"1", b"1.5", b"[]", b'["x"]', b"{}", b'{"a":1}']
NOT_UNICODE = [b'"\\ud800"', b'"a\\udfffb"', b'"\\udc00\\ud800"']
WITH_NUL = [b'"\\u0000"', b'"a\\u0000b"']
NOT_INTEGERS = [b"null", b"true", b"false", b"1.0", b"1e0", b'"1"', b'""', b"[]", b"[1]", b"{}", b"9" * 5000]
NOT_INTEGERS += [b"1e400", b"-1e400", b"0.5", b"-" + b"9" * 5000, b"1e-400"]
HUGE = [b"18446744073709551616", b"9223372036854775808", b"2147483648", b"-2147483649"]
BAD_MEMBERS: dict[str, dict[str, list[bytes]]] = {
    "user": {
        "name": [*NOT_STRINGS, *NOT_UNICODE, *WITH_NUL, b'""', b'"%b"' % (b"n" * 256), b'"%b"' % (b"n" * 100_000)],
        "email": [
            *NOT_STRINGS,
            *NOT_UNICODE,
            b'""',
            b'"x"',
            b'"a@b"',
            b'"@b.c"',
            b'"a@"',
            b'"a@.c"',
            b'"a@b."',
            b'"a@b..c"',
            b'"a@@b.c"',
            b'"a b@c.d"',
            b'"a@b.c\\n"',
            b'"\\na@b.c"',
            b'"a@b.c "',
            b'"a@b.c\\u0000"',
            b'"%b@b.c"' % (b"a" * 251),
            b'"%b"' % (b"a@b.c" * 50_000),
        ],
        "age": [*NOT_INTEGERS, *HUGE, b"-1", b"151"],
    },
    "animal": {
        "genus": [*NOT_STRINGS, *NOT_UNICODE, *WITH_NUL, b'""', b'"%b"' % (b"x" * 65_536)],
        "species": [*NOT_STRINGS, *NOT_UNICODE, *WITH_NUL, b'""', b'"%b"' % ("é" * 40_000).encode()],
        "image_url": [*NOT_STRINGS, *NOT_UNICODE, *WITH_NUL],
        "size_cm": [b"null", b"true", b'"1"', b'"NaN"', b"[]", b"{}", b"1e400", b"-1e400", b"9" * 5000, b"3.5e38"],
        "sightings": [*NOT_INTEGERS, *HUGE],
        "taxonomy": [b"null", b"true", b"1", b'"x"', b"{}", b"[null]", b"[1]", b"[[]]", b'["a",null]'],
    },
}
BAD_VALUES = [
    (kind, name, text) for kind, names in BAD_MEMBERS.items() for name, texts in names.items() for text in texts
]


def gets_every_value(endpoint: str) -> bool:
    """Return whether every wrong value is sent to the endpoint. Others share a decoder and get a quarter of them."""
    return endpoint in {"POST /users", "POST /animal"}


ENDPOINTS = [(endpoint, "animal" if endpoint == "POST /animal" else "user") for endpoint in WRITES]


@pytest.mark.parametrize(
    ("target", "name", "text"),
    [
        pytest.param(endpoint, name, text, id=f"{endpoint}-{name}-{ascii(text)[2:20]}-{len(text)}")
        for endpoint, kind in ENDPOINTS
        for number, (of, name, text) in enumerate(BAD_VALUES)
        if of == kind and (gets_every_value(endpoint) or number % 4 == 0)
    ],
    indirect=["target"],
)
async def test_wrong_value_is_422_and_names_its_field(target: Target, name: str, text: bytes) -> None:
    problem(
        await target.send(target.body(member(target, **{name: text}))),
        422,
        "invalid_input",
        f"{target.prefix}/{name}",
    )
    target.wrote_nothing()


@pytest.mark.parametrize("text", [b'["\\ud800"]', b'["a\\u0000"]', b'["a",["b"]]'])
async def test_wrong_taxon_is_422(client: httpx.AsyncClient, text: bytes) -> None:
    genus = uuid.uuid4().hex
    body = json.dumps(OWL | {"genus": genus}).encode().replace(json.dumps(OWL["taxonomy"]).encode(), text)
    response = await client.post("/animal", content=body, headers=JSON)
    assert response.status_code == 422, response.text
    (error,) = response.json()["errors"]
    assert error["field"].startswith("/taxonomy")
    assert (await client.get(f"/animal/{genus}")).json() == []


async def test_all_wrong_fields_are_named_at_once(target: Target) -> None:
    texts = dict.fromkeys(target.member, b"{}") | {"unknown": b"1", "other~/": b"null"}
    names = [*target.member, "unknown", "other~0~1"]
    response = await target.send(target.body(member(target, **texts)))
    problem(response, 422, "invalid_input", *[f"{target.prefix}/{name}" for name in names])
    target.wrote_nothing()


@pytest.mark.parametrize("surrogate_first", [True, False])
async def test_lone_surrogate_beside_another_wrong_field_is_422(target: Target, surrogate_first: bool) -> None:
    first, *_, last = target.member
    other = b"{}" if not surrogate_first else b'"\\ud800"'
    texts = {first: other, last: b"{}" if surrogate_first else b'"\\ud800"'}
    response = await target.send(target.body(member(target, **texts)))
    named = {error["field"] for error in response.json().get("errors", [])}
    assert response.status_code == 422, response.text
    assert named <= {f"{target.prefix}/{first}", f"{target.prefix}/{last}"}
    assert named
    target.wrote_nothing()


async def test_all_missing_fields_are_named(target: Target) -> None:
    missing = list(target.member) if target.method != "PATCH" else [""]
    fields = [f"{target.prefix}/{name}" if name else "" for name in missing]
    problem(await target.send(target.body(b"{}")), 422, "invalid_input", *fields)
    target.wrote_nothing()


@pytest.mark.parametrize("body", [b"null", b"true", b"1", b'"x"', b"[]", b"[{}]", b"1e400", b'"\\ud800"'])
async def test_json_that_is_not_an_object_is_422(target: Target, body: bytes) -> None:
    response = await target.send(target.body(body))
    assert response.status_code == 422, response.text
    assert {error["field"] for error in response.json()["errors"]} == {target.prefix}
    target.wrote_nothing()


async def test_last_of_duplicate_members_counts(client: httpx.AsyncClient) -> None:
    twice = b'{"name":1,"age":null,"name":"\\u0000","email":"x","name":"Last","email":"l@b.c","age":-1,"age":7}'
    for body in (twice, b"[" + twice + b"]", b'{"users":7,"users":[' + twice + b"]}"):
        path = "/users" if body == twice else "/users/batch"
        response = await client.post(path, content=body, headers=JSON)
        assert response.status_code == 201, response.text
        created = response.json()["users"][0] if "users" in response.json() else response.json()
        assert (created["name"], created["email"], created["age"]) == ("Last", "l@b.c", 7)


async def test_wrong_last_duplicate_member_is_422(target: Target) -> None:
    name = next(iter(target.member))
    text = member(target)[:-1] + b',"%b":null}' % name.encode()
    problem(await target.send(target.body(text)), 422, "invalid_input", f"{target.prefix}/{name}")
    target.wrote_nothing()


async def test_values_are_never_echoed(target: Target) -> None:
    response = await target.send(target.body(member(target, **dict.fromkeys(target.member, b'{"s3cret":"s3cret"}'))))
    assert response.status_code == 422
    assert "s3cret" not in response.text


# --- size and type


async def _chunked(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 65536):
        yield body[start : start + 65536]


@pytest.mark.parametrize("chunked", [False, True], ids=["with Content-Length", "chunked"])
async def test_body_over_one_mebibyte_is_413(target: Target, chunked: bool) -> None:
    body = target.body(member(target)).ljust(MIB + 1)
    found = problem(await target.send(_chunked(body) if chunked else body), 413, "body_too_large")
    assert str(MIB) in found["detail"]
    target.wrote_nothing()


@pytest.mark.parametrize("chunked", [False, True], ids=["with Content-Length", "chunked"])
async def test_body_of_one_mebibyte_is_accepted(client: httpx.AsyncClient, chunked: bool) -> None:
    body = json.dumps(ADA).encode().ljust(MIB)
    response = await client.post("/users", content=_chunked(body) if chunked else body, headers=JSON)
    assert response.status_code == 201


async def test_too_large_content_length_is_refused_without_reading(app: Starlette) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"9" * 30)]
    exchange = Exchange("POST", "/users", headers=headers, body=[b"{}"], whole=False)
    await exchange.run(app)
    assert (exchange.status, exchange.received) == (413, 0)


async def test_endless_body_is_refused_at_the_limit(app: Starlette) -> None:
    headers = [(b"content-type", b"application/json")]
    exchange = Exchange("POST", "/users", headers=headers, body=[b" " * MIB] * 50)
    await exchange.run(app)
    assert (exchange.status, exchange.received) == (413, 2)


async def test_very_long_taxonomy_is_no_server_error(client: httpx.AsyncClient, cql: Session, keyspace: str) -> None:
    animal = OWL | {"genus": uuid.uuid4().hex, "taxonomy": [""] * 340_000}
    body = json.dumps(animal, separators=(",", ":"))
    response = await client.post("/animal", content=body, headers=JSON)
    assert response.status_code in {201, 413, 422}, response.text
    if response.status_code == 201:
        assert (await client.get(response.headers["location"])).json() == animal
    cql.execute(f"TRUNCATE {keyspace}.animals")  # a row of this size would slow every later check


NOT_JSON_TYPES = ["", "text/plain", "text/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
NOT_JSON_TYPES += ["application/xml", "application/jsonp", "application/json5", "application/ld+jsonx", "json", "*/*"]
NOT_JSON_TYPES += ["application/json; charset=latin-1", "application/json;charset=utf-16;a=b"]
NOT_JSON_TYPES += ["application/json; charset='utf-16'", "application/json;charset=\"utf-8'"]
NOT_JSON_TYPES += ["application/json; charset=utf8; charset=latin-1", "application/json charset=utf-8"]
NOT_JSON_TYPES += ["application/json;charset="]
NOT_JSON_TYPES += ["application/json, text/plain", "application/", "application/+json", "application/merge-patch+xml"]


@pytest.mark.parametrize("media_type", NOT_JSON_TYPES)
async def test_body_of_another_media_type_is_415(target: Target, media_type: str) -> None:
    response = await target.send(target.body(member(target)), Content_Type=media_type)
    problem(response, 415, "unsupported_media_type")
    assert response.headers["accept"] == "application/json"
    patches = "application/json, application/merge-patch+json" if target.method == "PATCH" else None
    assert response.headers.get("accept-patch") == patches
    assert "accept-encoding" not in response.headers
    target.wrote_nothing()


async def test_body_without_content_type_is_415(target: Target) -> None:
    response = await target.client.request(target.method, target.path, content=target.body(member(target)))
    problem(response, 415, "unsupported_media_type")
    target.wrote_nothing()


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "gzip, identity", "x", "identity;q=1"])
async def test_compressed_body_is_415(target: Target, encoding: str) -> None:
    response = await target.send(target.body(member(target)), Content_Encoding=encoding)
    problem(response, 415, "unsupported_media_type")
    assert response.headers["accept-encoding"] == "identity"
    assert "accept" not in response.headers
    target.wrote_nothing()


@pytest.mark.parametrize("encoding", ["", " ", "identity", "Identity", "identity, identity", ",identity,"])
async def test_body_with_identity_coding_is_accepted(client: httpx.AsyncClient, encoding: str) -> None:
    response = await client.post("/users", json=ADA, headers={"Content-Encoding": encoding})
    assert response.status_code == 201


@pytest.mark.parametrize(
    "media_type",
    [
        "application/json",
        "application/json; charset=utf-8",
        "application/json;charset=UTF-8",
        "APPLICATION/JSON",
        "application/json ; a=b",
        "application/json;",
        "application/json; ; charset=utf-8;",
        "application/json; charset=utf8",
        'application/json; charset="utf-8"',
        "application/json; charset='utf-8'",
        "Application/JSON ; Charset = UTF-8 ; a=b",
        "application/vnd.api+json",
        "application/merge-patch+json",
    ],
)
async def test_body_of_a_json_media_type_is_accepted(client: httpx.AsyncClient, media_type: str) -> None:
    response = await client.post("/users", content=json.dumps(ADA), headers={"Content-Type": media_type})
    assert response.status_code == 201


# --- ids

ID = "0123abcd-4567-89ab-cdef-0123456789ab"
NOT_IDS = ["x", "1", "null", "undefined", ID[:-1], f"{ID}0", f"{{{ID}}}", f"urn:uuid:{ID}", ID.replace("-", "")]
NOT_IDS += [ID.replace("0", "\u0660"), f"{ID}%20", f"%20{ID}", f"{ID}%0a", f"{ID}%00", ID.replace("a", "g")]
NOT_IDS += [ID.replace("-", "_"), "0" * 5000, "%ff", "..%2f", "'%20OR%201=1", ID[:8] + ID[9:] + "-"]


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "HEAD"])
@pytest.mark.parametrize("text", NOT_IDS, ids=lambda text: ascii(text)[:30])
async def test_id_that_is_not_a_uuid_is_422(client: httpx.AsyncClient, method: str, text: str) -> None:
    body = {"age": 1} if method == "PATCH" else ADA
    response = await client.request(method, f"/users/{text}", json=body)
    if method == "HEAD":
        assert (response.status_code, response.content) == (422, b"")
    else:
        problem(response, 422, "invalid_input", "path.user_id")
