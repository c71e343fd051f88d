"""Refused query parameters and page tokens."""

from __future__ import annotations

import uuid
from typing import Any

import anyio
import httpx
import pytest
from cassandra.cluster import Session
from helpers.cassandra import column
from helpers.problems import problem
from starlette.applications import Starlette

from contract.samples import create, insert_users, token_in

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_users")]

TOO_LONG = "9" * 5000
NOT_PLAIN = ["", "abc", "+5", " 5", "5 ", "5.0", "1e2", "\uff11\uff10", "\u0663", "0x5", "5_0", "null", "5\0"]
NOT_INTEGERS = [*NOT_PLAIN, "-1", TOO_LONG]
BAD_LIMITS = [*NOT_INTEGERS, "0", "101"]
BAD_SIZES = [*NOT_INTEGERS, "0", "5001"]


@pytest.mark.parametrize("limit", BAD_LIMITS, ids=lambda text: ascii(text)[:12])
async def test_list_limit_out_of_bounds_is_422(client: httpx.AsyncClient, limit: str) -> None:
    problem(await client.get("/users", params={"limit": limit}), 422, "invalid_input", "query.limit")


@pytest.mark.parametrize("path", ["/users/stream", "/users/stream/pages"])
@pytest.mark.parametrize(
    ("name", "text"),
    [
        *[("limit", text) for text in [*NOT_INTEGERS, "9007199254740992"]],
        *[("fetch_size", text) for text in BAD_SIZES],
        *[("age_filter", text) for text in [*NOT_INTEGERS, "151"]],
    ],
    ids=lambda text: ascii(text)[:12],
)
async def test_stream_parameter_out_of_bounds_is_422(
    client: httpx.AsyncClient, path: str, name: str, text: str
) -> None:
    problem(await client.get(path, params={name: text}), 422, "invalid_input", f"query.{name}")


@pytest.mark.parametrize("path", ["/users/stream", "/users/stream/pages"])
async def test_all_wrong_parameters_are_named_at_once(client: httpx.AsyncClient, path: str) -> None:
    wrong = {"limit": "-1", "fetch_size": "0", "age_filter": "x"}
    problem(await client.get(path, params=wrong), 422, "invalid_input", *[f"query.{name}" for name in wrong])


@pytest.mark.parametrize(
    ("begun", "sent", "named"),
    [
        ("limit=9", {"limit": "8"}, ["query.limit"]),
        ("limit=9", {"limit": "10"}, ["query.limit"]),
        ("limit=9", {"limit": "0"}, ["query.limit"]),
        ("limit=9", {"age_filter": "0"}, ["query.age_filter"]),
        ("", {"limit": "9"}, ["query.limit"]),
        ("age_filter=1", {"age_filter": "0"}, ["query.age_filter"]),
        ("age_filter=1&limit=9", {"age_filter": "2", "limit": "3"}, ["query.age_filter", "query.limit"]),
        ("", {"age_filter": "1"}, ["query.age_filter"]),
    ],
)
async def test_parameter_that_contradicts_the_token_is_422(
    client: httpx.AsyncClient, cql: Session, users: str, begun: str, sent: dict[str, str], named: list[str]
) -> None:
    insert_users(cql, users, list(range(12)))
    token = (await client.get(f"/users/stream/pages?fetch_size=2&{begun}")).json()["page_state"]
    problem(await client.get("/users/stream/pages", params=sent | {"page_state": token}), 422, "invalid_input", *named)
    assert (await client.get("/users/stream/pages", params={"page_state": token})).json()["users"]


# --- page tokens


def _flip(token: str, at: int) -> str:
    return token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]


TAMPERED = {
    "empty": lambda token: "",
    "truncated by one": lambda token: token[:-1],
    "truncated by half": lambda token: token[: len(token) // 2],
    "first only": lambda token: token[:1],
    "first byte": lambda token: _flip(token, 0),
    "nonce": lambda token: _flip(token, 8),
    "middle": lambda token: _flip(token, len(token) // 2),
    "tag": lambda token: _flip(token, len(token) - 3),
    "longer": lambda token: token + "AAAA",
    "padded": lambda token: token + "=",
    "spaces": lambda token: f" {token}",
    "newline": lambda token: f"{token}\n",
    "twice": lambda token: token + token,
    "not base64": lambda token: "!" * 40,
    "unicode": lambda token: "é" * 40,
    "NUL": lambda token: f"{token}\0",
    "raw Cassandra state": lambda token: "AAAAAf____8A",
    "hex": lambda token: token.encode().hex(),
    "long": lambda token: "A" * 8_000,
    "null": lambda token: "null",
}


@pytest.mark.parametrize("path", ["/users", "/users/stream/pages"])
@pytest.mark.parametrize("tamper", TAMPERED.values(), ids=TAMPERED)
async def test_tampered_token_is_422(
    client: httpx.AsyncClient, cql: Session, users: str, path: str, tamper: Any
) -> None:
    insert_users(cql, users, [1] * 3)
    first = await client.get(path, params={"limit": "2", "fetch_size": "1"})
    token = token_in(first) if path == "/users" else first.json()["page_state"]
    response = await client.get(path, params={"page_state": tamper(token)})
    problem(response, 422, "invalid_page_state", "query.page_state")


async def test_token_of_another_endpoint_is_422(client: httpx.AsyncClient, cql: Session, users: str) -> None:
    insert_users(cql, users, [1] * 3)
    listed = token_in(await client.get("/users?limit=1"))
    paged = (await client.get("/users/stream/pages?fetch_size=1")).json()["page_state"]
    for path, token in (("/users", paged), ("/users/stream/pages", listed)):
        response = await client.get(path, params={"page_state": token})
        problem(response, 422, "invalid_page_state", "query.page_state")


async def test_garbage_tokens_do_not_disturb_other_requests(
    app: Starlette, client: httpx.AsyncClient, cql: Session, users: str
) -> None:
    insert_users(cql, users, [1] * 3)
    user = await create(client)
    connections = _open_connections(app)
    statuses: dict[str, set[int]] = {"garbage": set(), "read": set()}

    async def ask(kind: str, path: str, params: dict[str, str]) -> None:
        statuses[kind].add((await client.get(path, params=params)).status_code)

    async with anyio.create_task_group() as tasks:
        for number in range(40):
            garbage = {"page_state": uuid.uuid4().hex * (1 + number)}
            tasks.start_soon(ask, "garbage", ["/users", "/users/stream/pages"][number % 2], garbage)
            tasks.start_soon(ask, "read", f"/users/{user['id']}", {})
    assert statuses == {"garbage": {422}, "read": {200}}
    assert _open_connections(app) == connections


async def test_token_does_not_reveal_its_content(client: httpx.AsyncClient, cql: Session, users: str) -> None:
    insert_users(cql, users, [1] * 3)
    tokens = [(await client.get("/users/stream/pages?fetch_size=1")).json()["page_state"] for _ in range(2)]
    assert tokens[0] != tokens[1]
    key = uuid.UUID(column(cql, users, "id")[0].hex)
    for token in tokens:
        assert key.hex not in token
        assert token.isascii()
        assert token.replace("-", "").replace("_", "").isalnum()


def _open_connections(app: Starlette) -> set[int]:
    pools = app.state.database.session.get_pools()
    return {id(connection) for pool in pools for connection in pool.get_connections() if not connection.is_closed}
