"""Random requests to the table that has everything: keys, searches and rows, half of them legal."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote, unquote, urlencode

import pytest
from anyio.from_thread import start_blocking_portal
from cassandra.cluster import Session
from helpers.cql_values import cells_of
from helpers.exchange import Exchange
from helpers.problems import STANDARD, reveals_no_internals
from helpers.service import settings_for
from hypothesis import HealthCheck, event, given
from hypothesis import settings as budget
from hypothesis import strategies as st

from asgi_app.app import create_app
from asgi_app.driver.declared_types import codec_of_type
from asgi_app.tables.relations import OPERATORS, Operator, operand_type, parameter
from asgi_app.tables.types import CqlType
from contract.resource_service import identify, keyspace_with
from contract.whole_table import AT, DAY, FIRM, THINGS, firm_statements, key

Answer = tuple[int, Any, dict[str, str]]
"""A status, the decoded body, and the headers."""

Ask = Callable[..., Answer]

FREE = replace(THINGS, path="free", allow_filtering=tuple(set(THINGS.table.column_names) - {"secret"}))
"""The same table, of which every column may be filtered by."""

RESOURCES = (THINGS, FREE, FIRM)
COLUMNS = {column.name: column.type for column in THINGS.table.columns}
SENT = [name for name in COLUMNS if name not in (*key(""), "owner", "limits", "made_by", "made", "rev")]
"""The columns that the body of a row may have beside the key."""


@pytest.fixture(scope="module")
def ask(cql: Session, node_address: tuple[str, int]) -> Iterator[Ask]:
    """Send one request from outside the event loop, because hypothesis tests are not async."""
    rows = [
        f'INSERT INTO {{ks}}."Select" ("Tenant", day, at, "order", kind, level, tags, near, owner) VALUES '
        f"('{tenant}', '{DAY}', '{AT}', {order}, '{tenant}', {order}, {{'a', 'b'}}, [1, {order}, 0], 'me')"
        for tenant in ("a", "b")
        for order in (1, 2, 3)
    ]
    with keyspace_with(cql, (THINGS,), *firm_statements(), *rows) as keyspace:
        app = create_app(settings_for(node_address, keyspace), resources=RESOURCES, authorize=identify)
        with start_blocking_portal() as portal, portal.wrap_async_context_manager(app.router.lifespan_context(app)):

            def answer(method: str, target: str, body: Any = None) -> Answer:
                path, _, query = target.partition("?")
                headers = [(b"content-type", b"application/json")]
                content = json.dumps(body).encode()
                sent = Exchange(method, unquote(path), query=query.encode(), headers=headers, body=[content])
                sent.scope["raw_path"] = path.encode()
                portal.call(sent.run, app)
                assert sent.complete
                assert sent.status is not None
                content = b"".join(sent.chunks)
                return sent.status, json.loads(content) if content else None, sent.headers

            yield answer


bounded = budget(database=None, derandomize=True, suppress_health_check=list(HealthCheck))


def expect_refusal(answer: Answer, *statuses: int) -> None:
    """Check that an answer is a problem of one of these statuses, whose errors are at JSON pointers."""
    status, found, _ = answer
    assert status in statuses, found
    assert set(found) >= STANDARD
    assert found["code"] != "rejected_by_cassandra", found
    reveals_no_internals(found)


# --- keys


@bounded
@given(st.text(max_size=60) | st.text("./%-+ \\~?#&=;:@\0é", max_size=6), st.integers(-(2**15), 2**15 - 1))
def test_any_text_is_a_key(ask: Ask, tenant: str, order: int) -> None:
    row = key(tenant, order=order)
    status, created, headers = ask("POST", "/things", {**row, "limit": order})
    assert status == 201, created
    by_query = f"/things/-/row?{urlencode(row)}"
    spelled = tenant not in ("", ".", "..", "-")
    by_path = f"/things/{quote(tenant, safe='')}/{DAY}/{quote(AT, safe='')}/{order}"
    assert headers["location"] == (by_path if spelled else by_query)
    for target in (headers["location"], by_query):
        assert ask("GET", target)[:2] == (200, created)
    if spelled:
        found = ask("GET", by_path.rpartition("/")[0])[1]
        assert created in found
        assert {row["Tenant"] for row in found} == {tenant}
    assert created in ask("GET", f"/things?{urlencode({'Tenant': tenant, 'day': DAY, 'limit': 100})}")[1]
    assert ask("DELETE", headers["location"])[0] == 204
    expect_refusal(ask("GET", by_query), 404)


# --- searches

JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(), max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(), max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


def values_of(cql_type: CqlType) -> st.SearchStrategy[Any]:
    """Return JSON values of a type, as answers have them."""
    return cells_of(cql_type).map(codec_of_type(cql_type).cell)


@st.composite
def relations(draw: st.DrawFn) -> tuple[str, Any]:
    """Return a member of `where`: mostly a column with an operator that its type takes, and a value of it."""
    name = draw(st.sampled_from(list(COLUMNS)))
    operators = [each for each in OPERATORS if operand_type(COLUMNS[name], each) is not None]
    operator: Operator = draw(st.sampled_from(operators or OPERATORS))
    operand = operand_type(COLUMNS[name], operator) or COLUMNS[name]
    values = values_of(operand)
    value = draw(st.lists(values, min_size=1, max_size=2) if operator == "in" else values)
    return parameter(name, operator), value


PARTITION = {"Tenant": "a", "day": DAY}
WHERE = st.tuples(
    st.sampled_from([{}, PARTITION, {**PARTITION, "at": AT}, {**PARTITION, "at.gte": AT}]),
    st.lists(relations(), max_size=2).map(dict),
).map(lambda parts: {**parts[1], **parts[0]})
NEAR = st.lists(st.floats(-10, 10, width=32), min_size=3, max_size=3).filter(any)
SEARCH = st.fixed_dictionaries(
    {},
    optional={
        "where": WHERE,
        "near": st.fixed_dictionaries({"near": NEAR}),
        "select": st.lists(st.sampled_from(list(COLUMNS)), min_size=1, max_size=4),
        "limit": st.sampled_from([1, 100, 1000]),
        "order": st.sampled_from(["at", "-at", "order"]),
        "per_partition_limit": st.sampled_from([1, 2**31 - 1]),
    },
)
DAMAGED = st.tuples(SEARCH, st.sampled_from(["where", "near", "select", "limit", "order", "x"]), JUNK).map(
    lambda parts: {**parts[0], parts[1]: parts[2]}
)


@bounded
@given(SEARCH | DAMAGED | JUNK)
def test_any_search_is_answered_or_refused(ask: Ask, body: Any) -> None:
    for path in ("/things/-/search", "/free/-/search"):
        answer = ask("POST", path, body)
        event(f"{path} {answer[0]}")
        if answer[0] == 200:
            continue
        expect_refusal(answer, 422)
        assert all(is_place(error["field"], body) for error in answer[1]["errors"]), answer[1]


def is_place(pointer: str, value: Any) -> bool:
    """Return whether a JSON pointer leads to a member of a value, or to one that a member of it lacks."""
    *tokens, last = pointer.split("/")[1:] or [""]
    for token in tokens:
        name = token.replace("~1", "/").replace("~0", "~")
        value = value[int(name)] if isinstance(value, list) else value.get(name) if isinstance(value, dict) else None
    return value is not None or not last


@bounded
@given(WHERE)
def test_search_finds_what_a_list_finds(ask: Ask, where: Mapping[str, Any]) -> None:
    """A value has one meaning as JSON and as the text of a parameter."""
    pairs: list[tuple[str, str]] = []
    for name, value in where.items():
        parameter_name = name if name not in ("limit", "order", "select") else f"{name}.eq"
        pairs += [(parameter_name, text_of(each)) for each in (value if name.endswith(".in") else [value])]
    for path in ("/things", "/free"):
        searched = ask("POST", f"{path}/-/search", {"where": where})
        listed = ask("GET", f"{path}?{urlencode(pairs)}")
        assert searched[0] == listed[0], (searched, listed)
        event(f"{path} {listed[0]}")
        if listed[0] == 200:
            assert searched[1] == listed[1]


def text_of(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


# --- rows

ROW = st.lists(st.sampled_from(SENT), max_size=6, unique=True).flatmap(
    lambda names: st.fixed_dictionaries({name: st.none() | values_of(COLUMNS[name]) for name in names})
)
DAMAGED_ROW = st.tuples(ROW, st.sampled_from([*SENT, "owner", "made", "x"]), JUNK).map(
    lambda parts: {**parts[0], parts[1]: parts[2]}
)


@bounded
@given(ROW | DAMAGED_ROW)
def test_any_row_is_written_or_refused(ask: Ask, body: dict[str, Any]) -> None:
    """What was accepted is read as it was answered, and replaces itself by each verb."""
    for path in ("things", "firm"):
        address = f"/{path}/random/{DAY}/{AT}/1"
        ask("DELETE", address)
        created = ask("POST", f"/{path}", {**key("random"), **body})
        changed = ask("PATCH", address, body)
        event(f"{path} {created[0]} {changed[0]}")
        if created[0] != 201:
            expect_refusal(created, 422)
            expect_refusal(ask("PUT", address, body), 422)
            expect_refusal(ask("POST", f"/{path}/-/batch", [{**key("random"), **body}]), 422)
            continue
        assert changed[0] in (200, 204) or not body or {} in body.values(), changed
        assert without_version(ask("GET", address)[1]) == without_version(created[1])
        assert ask("PUT", address, body)[0] in (200, 204)
        assert without_version(ask("GET", address)[1]) == without_version(created[1])


def without_version(row: Any) -> Any:
    return {**row, "rev": None}
