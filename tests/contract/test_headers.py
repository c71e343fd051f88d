"""The header fields that any request may have: X-Request-ID and X-Request-Timeout."""

from __future__ import annotations

import logging
import re
import uuid
from typing import Any

import httpx
import pytest
from cassandra import ConsistencyLevel
from cassandra.cluster import Session
from helpers.cassandra import column, count
from helpers.exchange import Exchange
from helpers.problems import problem
from helpers.service import serving, settings_for
from starlette.applications import Starlette

from contract.samples import ADA, OWL, create, every_loop, insert_users

pytestmark = pytest.mark.anyio

GENERATED = re.compile(r"[0-9a-f]{32}")
SANE = [
    "a",
    "0",
    "7f0c",
    "req-1_2.3:4/5+6=7@8",
    "x" * 128,
    "87a0ac11-221c-4c91-8461-61d885d107d4",
    "00-4bf92f3577b34da6a3ce929d0e0e4736-01",
]
INSANE = [
    b"",
    b"x" * 129,
    b"a b",
    b"a\tb",
    b"a,b",
    b'"a"',
    b"<script>",
    b"${jndi:ldap://x}",
    b"\xc3\xa9",
    b"\xff",
    b"\x1b[31m",
    b"a\x00b",
    b"a\nb",
    b"a\r\nSet-Cookie: x=1",
    b"%0a",
    b"{}",
]
ANSWERS = [
    ("GET", "/", 200),
    ("GET", "/health", 200),
    ("GET", "/users/stream", 200),
    ("HEAD", "/users", 200),
    ("GET", "/users/x", 422),
    ("GET", "/nowhere", 404),
    ("TRACE", "/users", 405),
    ("POST", "/users", 415),
    ("DELETE", f"/users/{uuid.UUID(int=1)}", 204),
]


@pytest.mark.parametrize(("method", "path", "status"), ANSWERS)
@pytest.mark.parametrize("sent", SANE)
async def test_valid_request_id_is_returned(
    client: httpx.AsyncClient, sent: str, method: str, path: str, status: int
) -> None:
    response = await client.request(method, path, headers={"X-Request-ID": sent})
    assert (response.status_code, response.headers.get_list("x-request-id")) == (status, [sent])


@pytest.mark.parametrize(("method", "path", "status"), ANSWERS)
async def test_missing_request_id_is_generated(client: httpx.AsyncClient, method: str, path: str, status: int) -> None:
    responses = [await client.request(method, path) for _ in range(2)]
    ids = [response.headers["x-request-id"] for response in responses]
    assert [response.status_code for response in responses] == [status] * 2
    assert all(GENERATED.fullmatch(request_id) for request_id in ids)
    assert ids[0] != ids[1]


@pytest.mark.parametrize("path", ["/livez", "/nowhere", "/users/stream"])
@pytest.mark.parametrize("sent", INSANE, ids=ascii)
async def test_invalid_request_id_is_replaced(app: Starlette, sent: bytes, path: str) -> None:
    exchange = Exchange("GET", path, headers=[(b"x-request-id", sent)])
    await exchange.run(app)
    assert GENERATED.fullmatch(exchange.headers["x-request-id"])


@pytest.mark.parametrize("path", ["/users?limit=1", "/nowhere", "/users/x", "/users/stream"])
async def test_request_id_is_logged(client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture, path: str) -> None:
    caplog.set_level(logging.INFO, logger="asgi_app")
    request_id = uuid.uuid4().hex
    await client.get(path, headers={"X-Request-ID": request_id})
    lines = [record.getMessage() for record in caplog.records if record.name == "asgi_app.access"]
    assert [line for line in lines if request_id in line] == lines != []


async def test_path_cannot_inject_log_lines(app: Starlette, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="asgi_app")
    await Exchange("GET", "/x\r\nINFO forged \x1b[31m\u202e\u2028").run(app)
    assert all(record.getMessage().isprintable() for record in caplog.records)
    assert caplog.records


BAD_TIMEOUTS = ["0", "-1", "nan", "inf", "Infinity", "1e9", "1e1", "", " ", "abc", "300.1", "301", "0.0", "+5", "1,5"]
BAD_TIMEOUTS += ["5 s", "0x5", "1_0", "1.", ".", "--1", "5;q=1", "9" * 5000, "0." + "0" * 5000 + "1", "null", "5, 5"]
ANYWHERE = ["/", "/livez", "/health", "/users", "/users/stream", "/users/x", "/nowhere", "/animal/a"]


@pytest.mark.parametrize("sent", BAD_TIMEOUTS, ids=lambda text: text[:12])
async def test_timeout_out_of_bounds_is_400(client: httpx.AsyncClient, sent: str) -> None:
    for path in ANYWHERE:
        response = await client.get(path, headers={"X-Request-Timeout": sent})
        problem(response, 400, "invalid_header", "header.X-Request-Timeout")


@pytest.mark.parametrize("sent", [b"\xd9\xa3", b"\xff", b"5\x00", b"\xc2\xb2"])
async def test_timeout_in_non_ascii_digits_is_400(app: Starlette, sent: bytes) -> None:
    exchange = Exchange("GET", "/users", headers=[(b"x-request-timeout", sent)])
    await exchange.run(app)
    assert exchange.status == 400


async def test_repeated_timeout_is_400(client: httpx.AsyncClient) -> None:
    response = await client.get("/users", headers=[("X-Request-Timeout", "5"), ("X-Request-Timeout", "5")])
    problem(response, 400, "invalid_header", "header.X-Request-Timeout")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_write_with_bad_timeout_writes_nothing(
    client: httpx.AsyncClient, cql: Session, users: str, method: str
) -> None:
    user = await create(client)
    before = count(cql, users)
    path = "/users" if method == "POST" else f"/users/{user['id']}"
    response = await client.request(method, path, json=ADA | {"age": 99}, headers={"X-Request-Timeout": "301"})
    problem(response, 400, "invalid_header", "header.X-Request-Timeout")
    assert count(cql, users) == before
    assert (await client.get(f"/users/{user['id']}")).json() == user


@pytest.mark.parametrize("sent", ["300", "300.0", "299.999999999", "1", "0.9", "10", "007"])
async def test_timeout_within_bounds(client: httpx.AsyncClient, sent: str) -> None:
    for path in ("/", "/users", "/users/stream", "/health"):
        assert (await client.get(path, headers={"X-Request-Timeout": sent})).status_code == 200


async def test_maximum_timeout_is_configurable(node_address: tuple[str, int], keyspace: str) -> None:
    bounded = settings_for(node_address, keyspace, request_timeout=5.0, max_request_timeout=7.5)
    async with serving(bounded) as (_, client):
        assert (await client.get("/users", headers={"X-Request-Timeout": "7.5"})).status_code == 200
        refused = await client.get("/users", headers={"X-Request-Timeout": "7.6"})
        assert "7.5" in problem(refused, 400, "invalid_header", "header.X-Request-Timeout")["detail"]


USER_PATH = f"/users/{uuid.UUID(int=1)}"
DATA = [
    ("GET", "/users", None),
    ("GET", USER_PATH, None),
    ("GET", "/users/stream", None),
    ("GET", "/users/stream?age_filter=3", None),
    ("GET", "/users/stream/pages", None),
    ("GET", "/animal/Strix", None),
    ("GET", "/animal/Strix/aluco", None),
    ("GET", "/plant/Quercus", None),
    ("POST", "/users", ADA),
    ("POST", "/users/batch", [ADA]),
    ("PUT", USER_PATH, ADA),
    ("PATCH", USER_PATH, {"age": 1}),
    ("DELETE", USER_PATH, None),
    ("POST", "/animal", OWL | {"genus": "never written"}),
]


@every_loop
@pytest.mark.parametrize(("method", "path", "body"), DATA)
async def test_passed_deadline_is_504_and_sends_nothing(
    client: httpx.AsyncClient, cql: Session, users: str, method: str, path: str, body: Any
) -> None:
    before = count(cql, users)
    response = await client.request(method, path, json=body, headers={"X-Request-Timeout": "0.000001"})
    problem(response, 504, "deadline_exceeded")
    assert count(cql, users) == before
    assert (await client.get("/animal/never%20written")).json() == []


async def test_write_past_deadline_has_outcome(client: httpx.AsyncClient, cql: Session, users: str) -> None:
    outcomes: dict[str, str | None] = {}
    for microseconds in (1, *range(50, 3000, 50)):  # one has passed before anything is sent
        name = f"{uuid.uuid4()}"
        headers = {"X-Request-Timeout": f"0.{microseconds:06d}"}
        response = await client.post("/users", json=ADA | {"name": name}, headers=headers)
        if response.status_code == 201:
            outcomes[name] = "written"
        else:
            outcomes[name] = response.json().get("outcome")
            problem(response, 504, "deadline_exceeded", outcome=outcomes[name])
    written = set(column(cql, users, "name"))
    assert set(outcomes.values()) <= {"written", None, "unknown"}
    assert None in outcomes.values()
    assert [name for name, outcome in outcomes.items() if outcome is None and name in written] == []
    assert [name for name, outcome in outcomes.items() if outcome == "written" and name not in written] == []


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_conditional_write_past_deadline_has_outcome(
    client: httpx.AsyncClient, cql: Session, users: str, method: str
) -> None:
    stored = cql.prepare(f"SELECT name FROM {users} WHERE id = ?")
    stored.consistency_level = ConsistencyLevel.SERIAL
    outcomes = set()
    for microseconds in (1, *range(100, 12_000, 150)):  # one has passed before anything is sent
        user = await create(client)  # a new user each time: a write with an unknown outcome may still arrive
        name = f"{uuid.uuid4()}"
        headers = {"X-Request-Timeout": f"0.{microseconds:06d}"}
        response = await client.request(method, f"/users/{user['id']}", json=ADA | {"name": name}, headers=headers)
        outcome = "applied" if response.status_code == 200 else response.json().get("outcome")
        if response.status_code != 200:
            problem(response, 504, "deadline_exceeded", outcome=outcome)
        if outcome != "unknown":
            found = cql.execute(stored, [uuid.UUID(user["id"])]).one().name
            assert (found == name) is (outcome == "applied"), (microseconds, outcome)
        outcomes.add(outcome)
    assert None in outcomes


async def test_read_has_no_outcome(client: httpx.AsyncClient, cql: Session, users: str) -> None:
    insert_users(cql, users, [1] * 200)
    for microseconds in range(100, 2000, 100):
        headers = {"X-Request-Timeout": f"0.{microseconds:06d}"}
        response = await client.get("/users/stream?fetch_size=200", headers=headers)
        if response.status_code != 200:
            problem(response, 504, "deadline_exceeded")


async def test_deadline_bounds_body(app: Starlette) -> None:
    headers = [(b"content-type", b"application/json"), (b"x-request-timeout", b"0.05")]
    exchange = Exchange("POST", "/users", headers=headers, body=[b'{"name":'], whole=False)
    await exchange.run(app)
    assert exchange.status == 408
    assert exchange.headers["connection"] == "close"
    assert exchange.complete


async def test_disconnect_during_upload_is_not_logged_as_error(
    app: Starlette, cql: Session, users: str, caplog: pytest.LogCaptureFixture
) -> None:
    before = count(cql, users)
    exchange = Exchange(
        "POST", "/users", headers=[(b"content-type", b"application/json")], body=[b'{"name":'], whole=False
    )
    exchange.disconnect()
    await exchange.run(app)
    assert exchange.status is None or exchange.status < 500
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []
    assert count(cql, users) == before
