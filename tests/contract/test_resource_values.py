"""Values of every CQL type over HTTP: written, read back by HTTP and by the driver, and refused if they are wrong."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from ipaddress import ip_address
from random import Random
from typing import Any

import httpx
import pytest
from cassandra.cluster import NoHostAvailable, Session
from helpers.cassandra import column as stored_column
from helpers.problems import problem

from asgi_app.settings import Settings
from contract.written import edges, everything, founds, longs, serving_resources, sorted_values

pytestmark = pytest.mark.anyio

TIMEUUID = "50554d6e-29bb-11e5-b345-feff819cdc9f"
UUID = "b26b2a23-4d70-41c3-88a7-a9aa9e135a93"
DAY = "2024-02-29"
PAIR = [[1, "a"], "x"]
NAME = "Mixed name/é.~"
"""A column whose name needs quotes in CQL, and an escape in a JSON pointer."""
NAME_POINTER = "/Mixed name~1é.~0"


@pytest.fixture(scope="module")
async def client(anyio_backend: Any, settings: Settings, cql: Session) -> AsyncIterator[httpx.AsyncClient]:
    async with serving_resources(cql, settings, everything, founds, longs, edges, sorted_values) as started:
        yield started


GOOD: list[tuple[str, Any, Any]] = [
    ("c_ascii", "plain\x7f\x00", None),
    ("c_ascii", "", None),
    ("c_bigint", 2**63 - 1, None),
    ("c_bigint", -(2**63), None),
    ("c_blob", "0x", None),
    ("c_blob", "0x00ff10", None),
    ("c_blob", "0xAB", "0xab"),
    ("c_boolean", True, None),
    ("c_boolean", False, None),
    ("c_date", "2024-02-29", None),
    ("c_date", "0001-01-01", None),
    ("c_date", "-5877641-06-23", None),
    ("c_date", "+5881580-07-11", None),
    ("c_decimal", "1.10", None),
    ("c_decimal", "-0.000001", None),
    ("c_decimal", 12, "12"),
    ("c_decimal", 0.1, "0.1"),
    ("c_double", 0.1, None),
    ("c_double", 5, 5.0),
    ("c_double", 1.7976931348623157e308, None),
    ("c_double", "NaN", None),
    ("c_double", "-Infinity", None),
    ("c_duration", "1y2mo25d5h6m7s8ms9us10ns", None),
    ("c_duration", "-1d", None),
    ("c_float", 0.1, None),
    ("c_float", "Infinity", None),
    ("c_inet", "127.0.0.1", None),
    ("c_inet", "2001:db8::1", None),
    ("c_inet", "2001:0DB8:0:0::0001", "2001:db8::1"),
    ("c_int", -(2**31), None),
    ("c_int", 0, None),
    ("c_smallint", 32767, None),
    ("c_text", "🦉 é \u0000 \u2028 \\ \" '", None),
    ("c_text", "", None),
    ("c_text", "'; DROP TABLE users; --", None),
    ("c_time", "13:14:15.123456789", None),
    ("c_time", "13:14:15", "13:14:15.000000000"),
    ("c_timestamp", "2026-11-28T09:00:00.000Z", None),
    ("c_timestamp", "2026-11-28T11:00:00+02:00", "2026-11-28T09:00:00.000Z"),
    ("c_timestamp", "+10000-01-01T00:00:00.000Z", None),
    ("c_timeuuid", TIMEUUID, None),
    ("c_tinyint", -128, None),
    ("c_uuid", UUID, None),
    ("c_uuid", UUID.upper(), UUID),
    ("c_varint", 2**200, str(2**200)),
    ("c_varint", "-5", None),
    ("c_list", [3, 1, 1], None),
    ("c_list", [], ...),
    ("c_set", ["b", "a", "a"], ["a", "b"]),
    ("c_set", [], ...),
    ("c_map", {"2024-02-29": "leap", "0001-01-01": ""}, None),
    ("c_map", {}, ...),
    ("c_frozen", [], None),
    ("c_frozen", [2, 1], None),
    ("c_nested", {"a": [{"1": ["x", "y"], "2": []}, {}], "": []}, None),
    ("c_pairs", [[[1, "a"], "x"], [[2, None], "y"]], None),
    ("c_tuple", [1, "a", [2, 3]], None),
    ("c_tuple", [None, None, None], None),
    ("c_tuple", [None, "", []], None),
    ("c_vector", [0.5, -1.0, 3.0], None),
    ("c_words", ["a", ""], None),
    ("c_place", {"name": "x", "spot": [1.5, 2.5]}, None),
    ("c_place", {"name": "x"}, {"name": "x", "spot": None}),
    ("c_places", [{"name": "a", "spot": None}, {"name": None, "spot": [0.5, None]}], None),
    (NAME, "v", None),
]
"""A column, a value as it is sent, and as it is read: the same if None, null if `...`."""


@pytest.mark.parametrize(("column", "sent", "read"), GOOD, ids=lambda value: str(value)[:30])
async def test_value_in_and_out(
    client: httpx.AsyncClient, cql: Session, keyspace: str, column: str, sent: Any, read: Any
) -> None:
    shown = {None: sent, ...: None}.get(read if read is None or read is ... else "", read)
    row_id = uuid.uuid4().hex
    created = await client.post("/everything", json={"id": row_id, column: sent})
    assert created.status_code == 201, created.text
    assert created.json()[column] == shown
    assert (await client.get(f"/everything/{row_id}")).json() == created.json()
    # what was read can be written back, by each verb
    for method, address, body in (("PUT", f"/everything/{row_id}", {}), ("PATCH", f"/everything/{row_id}-2", {})):
        if method == "PATCH" and shown is None:
            continue
        assert (await client.request(method, address, json={**body, column: created.json()[column]})).status_code == 204
        assert (await client.get(address)).json()[column] == shown
    # Cassandra writes the value itself as JSON: the same bytes are stored under both ids
    name = f'"{column}"'
    cells = [
        cql.execute(f"SELECT toJson({name}) AS j FROM {keyspace}.everything WHERE id = '{stored_id}'").one()
        for stored_id in (row_id, f"{row_id}-2")
    ]
    if shown is not None:
        assert cells[0].j == cells[1].j
        assert (cells[0].j in ("null", None)) == (shown in ("NaN", "Infinity", "-Infinity"))


async def test_driver_reads_what_was_written(client: httpx.AsyncClient, cql: Session, keyspace: str) -> None:
    row_id = uuid.uuid4().hex
    body = {
        "id": row_id,
        "c_ascii": "a",
        "c_bigint": -5,
        "c_blob": "0x0102",
        "c_boolean": True,
        "c_date": "2024-02-29",
        "c_decimal": "1.50",
        "c_double": 2.5,
        "c_duration": "1mo2d3ns",
        "c_float": 0.5,
        "c_inet": "10.0.0.1",
        "c_time": "01:02:03.000000004",
        "c_timestamp": "2026-11-28T09:00:00.123Z",
        "c_timeuuid": TIMEUUID,
        "c_tinyint": -1,
        "c_uuid": UUID,
        "c_varint": 10**30,
        "c_list": [2, 1],
        "c_set": ["b", "a"],
        "c_map": {"2024-02-29": "x"},
        "c_pairs": [[[1, "a"], "x"]],
        "c_tuple": [1, None, [2]],
        "c_vector": [1, 2.5, 3],
        "c_words": ["a", "b"],
        "c_place": {"name": "n", "spot": [1, 2]},
    }
    assert (await client.put(f"/everything/{row_id}", json={n: v for n, v in body.items() if n != "id"})).is_success
    row = cql.execute(f"SELECT * FROM {keyspace}.everything WHERE id = '{row_id}'").one()
    assert (row.c_ascii, row.c_bigint, row.c_blob, row.c_boolean) == ("a", -5, b"\1\2", True)
    assert row.c_date.date() == datetime.date(2024, 2, 29)
    assert row.c_decimal.as_tuple() == Decimal("1.50").as_tuple()
    assert (row.c_duration.months, row.c_duration.days, row.c_duration.nanoseconds) == (1, 2, 3)
    assert (row.c_double, row.c_float, row.c_inet, row.c_tinyint) == (2.5, 0.5, "10.0.0.1", -1)
    assert row.c_time.nanosecond_time == 3723 * 10**9 + 4
    assert row.c_timestamp == datetime.datetime(2026, 11, 28, 9, 0, 0, 123000)
    assert (str(row.c_timeuuid), str(row.c_uuid), row.c_varint) == (TIMEUUID, UUID, 10**30)
    assert (row.c_list, sorted(row.c_set), list(row.c_map.values())) == ([2, 1], ["a", "b"], ["x"])
    assert dict(row.c_pairs.items()) == {(1, "a"): "x"}
    assert (row.c_tuple[0], row.c_tuple[1], list(row.c_tuple[2])) == (1, None, [2])
    assert (list(row.c_vector), list(row.c_words)) == ([1.0, 2.5, 3.0], ["a", "b"])
    assert (row.c_place.name, tuple(row.c_place.spot)) == ("n", (1.0, 2.0))
    assert row.c_text is None


BAD: list[tuple[str, list[tuple[Any, list[str]]]]] = [
    ("c_ascii", [("é", [""]), (1, [""]), ([], [""])]),
    ("c_bigint", [(2**63, [""]), ("1", [""]), (1.0, [""]), (True, [""]), ({"$inc": 1}, [""])]),
    ("c_blob", [("ff", [""]), ("0xf", [""]), ("0Xff", [""]), ("0xzz", [""]), ("AP8=", [""]), ("", [""])]),
    ("c_boolean", [(1, [""]), ("true", [""])]),
    ("c_date", [("2023-02-29", [""]), ("2024-2-9", [""]), (19000, [""]), ("2024-01-01T00:00:00Z", [""])]),
    ("c_decimal", [("x", [""]), ("NaN", [""]), ("Infinity", [""]), ("1e99999999999", [""]), (True, [""])]),
    ("c_double", [("1", [""]), ("nan", [""]), (True, [""]), ([], [""])]),
    ("c_duration", [("1", [""]), ("1y-2d", [""]), ("99999999999y", [""]), (5, [""]), ("", [""])]),
    ("c_float", [(1e39, [""]), ("1e5", [""])]),
    ("c_inet", [("localhost", [""]), ("1.2.3", [""]), ("1.2.3.4/8", [""]), ("fe80::1%eth0", [""]), (1, [""])]),
    ("c_int", [(2**31, [""]), (-(2**31) - 1, [""]), ("1", [""]), (1.5, [""]), (False, [""])]),
    ("c_smallint", [(32768, [""])]),
    ("c_text", [(1, [""]), ({}, [""])]),
    ("c_time", [("24:00:00", [""]), ("13:14", [""]), ("1:2:3", [""]), ("13:14:15.1234567890", [""])]),
    ("c_timestamp", [("2026-11-28T09:00:00", [""]), ("2026-11-28", [""]), (0, [""]), ("2026-13-01T00:00:00Z", [""])]),
    ("c_timeuuid", [(UUID, [""]), ("x", [""])]),
    ("c_tinyint", [(128, [""]), (-129, [""])]),
    ("c_uuid", [(UUID.replace("-", ""), [""]), ("{" + UUID + "}", [""]), (1, [""])]),
    ("c_varint", [("1.0", [""]), ("x", [""]), (1.5, [""]), ("9" * 4001, [""]), ("0x1", [""])]),
    ("c_list", [("a", [""]), ({}, [""]), ([1, None], ["/1"]), ([1, "2", 3.5], ["/1", "/2"]), ([[1]], ["/0"])]),
    ("c_set", [({"$add": ["a"]}, [""]), ([None], ["/0"]), (["a", 1], ["/1"])]),
    ("c_map", [([], [""]), ({"x": "y"}, ["/x"]), ({DAY: None}, [f"/{DAY}"]), ({DAY: 1}, [f"/{DAY}"])]),
    ("c_frozen", [([None], ["/0"]), (1, [""])]),
    ("c_nested", [({"a": [{"x": []}]}, ["/a/0/x"]), ({"a": [{"1": [None]}]}, ["/a/0/1/0"]), ({"a": None}, ["/a"])]),
    ("c_pairs", [({}, [""]), ([[1]], ["/0"]), ([[[1, "a"], None]], ["/0/1"]), ([PAIR, PAIR], ["/1"])]),
    ("c_tuple", [([1, "a"], [""]), ([1, "a", [], 2], [""]), (["1", 2, [None]], ["/0", "/1", "/2/0"]), ({}, [""])]),
    ("c_vector", [([1, 2], [""]), ([1, 2, 3, 4], [""]), ([1, None, 3], ["/1"]), ([1, 2, 1e39], ["/2"]), ("x", [""])]),
    ("c_words", [(["a"], [""]), (["a", None], ["/1"])]),
    ("c_place", [([], [""]), ({"city": 1}, ["/city"]), ({"name": 1, "spot": [1]}, ["/name", "/spot"])]),
    ("c_places", [([None], ["/0"]), ([{"name": 1}], ["/0/name"]), ({"name": "a"}, [""])]),
    (NAME, [(1, [""])]),
]
"""A column, and values that are wrong, each with the pointers within it."""


@pytest.mark.parametrize(("column", "values"), BAD, ids=[column for column, _ in BAD])
async def test_wrong_value_is_named_and_nothing_is_written(
    client: httpx.AsyncClient, cql: Session, keyspace: str, column: str, values: list[tuple[Any, list[str]]]
) -> None:
    before = len(stored_column(cql, f"{keyspace}.everything", "id"))
    row_id = uuid.uuid4().hex
    pointer = NAME_POINTER if column == NAME else f"/{column}"
    for value, places in values:
        fields = [pointer + place for place in places]
        problem(await client.post("/everything", json={"id": row_id, column: value}), 422, "invalid_input", *fields)
        problem(await client.put(f"/everything/{row_id}", json={column: value}), 422, "invalid_input", *fields)
    assert len(stored_column(cql, f"{keyspace}.everything", "id")) == before


@pytest.mark.parametrize(
    ("column", "values"),
    # Of these columns a PATCH reads some of the values above as changes.
    [pair for pair in BAD if pair[0] not in ("c_map", "c_place", "c_set", "c_nested")],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_patch_with_a_wrong_value(
    client: httpx.AsyncClient, cql: Session, keyspace: str, column: str, values: list[tuple[Any, list[str]]]
) -> None:
    before = len(stored_column(cql, f"{keyspace}.everything", "id"))
    for value, _ in values:
        response = await client.patch(f"/everything/{uuid.uuid4()}", json={column: value})
        assert (response.status_code, response.json()["code"]) == (422, "invalid_input"), value
    assert len(stored_column(cql, f"{keyspace}.everything", "id")) == before


@pytest.mark.parametrize(
    ("change", "after"),
    [
        ({"0001-01-01": None, "2020-01-01": "n"}, {"2020-01-01": "n", "2024-02-29": "l"}),
        ({"0001-01-01": None, "2024-02-29": None}, None),
        ({"+5881580-07-11": ""}, {"0001-01-01": "f", "2024-02-29": "l", "+5881580-07-11": ""}),
    ],
    ids=str,
)
async def test_merge_of_a_map_with_keys_of_another_type(client: httpx.AsyncClient, change: Any, after: Any) -> None:
    address = f"/everything/{uuid.uuid4()}"
    await client.put(address, json={"c_map": {"2024-02-29": "l", "0001-01-01": "f"}})
    assert (await client.patch(address, json={"c_map": change})).status_code == 204
    assert (await client.get(address)).json()["c_map"] == after


async def test_wrong_merges_of_maps(client: httpx.AsyncClient) -> None:
    address = f"/everything/{uuid.uuid4()}"
    for change, fields in (
        ({"c_map": {"x": None}}, ["/c_map/x"]),
        ({"c_map": {"x": "y", "2024-02-29": 1}}, ["/c_map/x", "/c_map/2024-02-29"]),
        ({"c_pairs": {"x": None}}, ["/c_pairs"]),
        ({"c_place": {"spot": [1, 2, 3]}}, ["/c_place/spot"]),
    ):
        problem(await client.patch(address, json=change), 422, "invalid_input", *fields)
    problem(await client.get(address), 404, "not_found")


# --- the order of sets and maps


def random_sets(random: Random) -> dict[str, Any]:
    """Return values of each column of `Sorted`, in no order and with members that are equal."""

    def some(make: Callable[[], Any]) -> list[Any]:
        members = [make() for _ in range(random.randint(0, 6))]
        return members + members[:2]

    def integer(bits: int) -> int:
        return random.randint(-(1 << random.randint(0, bits - 1)), (1 << random.randint(0, bits - 1)) - 1)

    def number() -> Any:
        return random.choice([0.0, -0.0, "NaN", "Infinity", "-Infinity", 1.5, -1.5, random.uniform(-9, 9)])

    def single() -> Any:
        value = number()
        return round(value, 1) if isinstance(value, float) else value

    def text() -> str:
        return "".join(random.choices("aAzé🦉\x00", k=random.randint(0, 3)))

    def moment() -> str:
        seconds = random.randint(-62_135_596_800, 253_402_300_799)
        return (datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=seconds)).isoformat() + ".000Z"

    def pair() -> list[Any]:
        return [random.choice([None, integer(8)]), random.choice([None, text()])]

    pairs = {tuple(pair()): [integer(4) for _ in range(4)] for _ in range(4)}
    return {
        "s_bigint": some(lambda: integer(64)),
        "s_blob": some(lambda: "0x" + random.randbytes(random.randint(0, 2)).hex()),
        "s_boolean": some(lambda: random.random() < 0.5),
        "s_date": some(lambda: moment()[:10]),
        "s_decimal": some(lambda: random.choice(["0", "0.0", "1", "1.00", f"{integer(32)}e{integer(6)}"])),
        "s_double": some(number),
        "s_float": some(single),
        "s_inet": some(lambda: str(ip_address(random.randbytes(random.choice([4, 16]))))),
        "s_text": some(text),
        "s_time": some(lambda: moment()[11:19]),
        "s_timestamp": some(moment),
        "s_timeuuid": some(lambda: str(uuid.UUID(bytes=random.randbytes(16), version=1))),
        "s_uuid": some(lambda: str(uuid.UUID(bytes=random.randbytes(16), version=random.choice([1, 3, 4, 5])))),
        "s_varint": some(lambda: integer(200)),
        "s_list": some(pair),
        "s_lists": some(lambda: [integer(8) for _ in range(random.randint(0, 2))]),
        "s_maps": some(lambda: {str(integer(8)): text() for _ in range(random.randint(0, 2))}),
        "s_place": some(lambda: {"name": random.choice([None, text()]), "spot": None}),
        "s_vector": some(lambda: [single(), single()]),
        "s_short_vector": some(lambda: [integer(16), integer(16)]),
        "m_words": [[[text(), str(at)], at] for at in range(4)],
        "m_sets": [[[str(at), f"{at}.0", str(integer(8))], at] for at in (256, -256, 300)],
        "l_vector": [[some(lambda: integer(8)), some(lambda: integer(8))] for _ in range(3)],
        "v_set": [some(lambda: integer(8)), some(lambda: integer(8))],
        "m_tuple": [[list(key), value] for key, value in pairs.items()],
        "f_set": some(lambda: integer(32)),
        "f_decimals": ["1.00", "1", "-1", "1.0"],
        "l_decimals": [["1.00", "1", "-1", "1.0", "1"]],
        "t_set": [integer(8), some(lambda: integer(32))],
    }


@pytest.mark.parametrize("seed", range(12))
async def test_answer_has_sets_and_maps_as_cassandra_keeps_them(client: httpx.AsyncClient, seed: int) -> None:
    body = {"id": uuid.uuid4().hex, **random_sets(Random(seed))}
    created = await client.post("/sorted_values", json=body)
    assert created.status_code == 201, created.text
    read = (await client.get(f"/sorted_values/{body['id']}")).json()
    differing = {name: (created.json()[name], value) for name, value in read.items() if created.json()[name] != value}
    assert differing == {}


# --- what Cassandra would refuse


async def test_keys_that_are_too_long(client: httpx.AsyncClient, cql: Session, keyspace: str) -> None:
    before = len(stored_column(cql, f"{keyspace}.longs", "a"))
    for key, wrong in (
        ({"a": "x" * 65_536, "b": "", "c": ""}, "a"),
        ({"a": "", "b": "é" * 32_768, "c": ""}, "b"),
        ({"a": "", "b": "", "c": "x" * 65_536}, "c"),
        ({"a": "x" * 40_000, "b": "x" * 25_530, "c": ""}, "b"),
    ):
        body = {**key, "d": "0x"}
        problem(await client.post("/longs", json=body), 422, "invalid_input", f"/{wrong}")
        problem(await client.post("/longs/-/batch", json=[body]), 422, "invalid_input", f"/0/{wrong}")
    assert len(stored_column(cql, f"{keyspace}.longs", "a")) == before
    longest = {"a": "x" * 40_000, "b": "x" * 25_529, "c": "x" * 65_535, "d": "0x"}
    assert (await client.post("/longs", json=longest)).status_code == 201
    empty = {"a": "", "b": "", "c": "", "d": "0x"}
    created = await client.post("/longs", json=empty)
    assert (await client.get(created.headers["location"])).json() == empty


async def test_single_partition_key_is_not_empty(client: httpx.AsyncClient) -> None:
    problem(await client.post("/everything", json={"id": ""}), 422, "invalid_input", "/id")
    problem(await client.post("/edges", json={"head": "", "tail": "a"}), 422, "invalid_input", "/head")
    for method in ("PUT", "PATCH", "DELETE", "GET"):
        response = await client.request(method, "/everything/-/row?id=", json={"c_int": 1})
        problem(response, 422, "invalid_input", "query.id")
    created = await client.post("/edges", json={"head": "a", "tail": ""})
    assert (await client.get(created.headers["location"])).json() == {"head": "a", "tail": ""}


@pytest.mark.parametrize(
    ("column", "vector"),
    [
        ("close", [0, 0, 0]),
        ("close", [1e-30, 0, 0]),
        ("close", ["NaN", 1, 1]),
        ("close", [1, 1, "Infinity"]),
        ("close", [1e30, 1, 1]),
        ("far", [1e30, 1, 1]),
        ("far", ["-Infinity", 1, 1]),
    ],
    ids=str,
)
async def test_vector_that_its_index_refuses(
    client: httpx.AsyncClient, cql: Session, keyspace: str, column: str, vector: Any
) -> None:
    row_id = uuid.uuid4().hex
    good = {"id": f"{row_id}-2", column: [1, 2, 3]}
    for method, path, body, field in (
        ("POST", "/founds", {"id": row_id, column: vector}, f"/{column}"),
        ("POST", "/founds/-/batch", [good, {"id": row_id, column: vector}], f"/1/{column}"),
        ("PUT", f"/founds/{row_id}", {column: vector}, f"/{column}"),
        ("PATCH", f"/founds/{row_id}", {column: vector}, f"/{column}"),
    ):
        problem(await client.request(method, path, json=body), 422, "invalid_input", field)
    assert cql.execute(f"SELECT * FROM {keyspace}.founds WHERE id IN ('{row_id}', '{row_id}-2')").one() is None
    assert (await client.put(f"/founds/{row_id}", json={"far": [0, 0, 0]})).status_code == 204
    assert (await client.patch(f"/founds/{row_id}", json={column: [1, 2, 3]})).status_code == 204


@pytest.mark.parametrize("entry", [{"k" * 65_536: "v"}, {"k": "v" * 65_536}], ids=["key", "value"])
async def test_entry_that_its_index_refuses(
    client: httpx.AsyncClient, cql: Session, keyspace: str, entry: dict[str, str]
) -> None:
    """Cassandra answers the write with a server error, as the last lines show."""
    row_id, other = uuid.uuid4().hex, uuid.uuid4().hex
    for method, path, body, field in (
        ("POST", "/founds", {"id": row_id, "words": entry}, "/words"),
        ("POST", "/founds/-/batch", [{"id": other}, {"id": row_id, "words": entry}], "/1/words"),
        ("PUT", f"/founds/{row_id}", {"words": entry}, "/words"),
        ("PATCH", f"/founds/{row_id}", {"words": entry}, "/words"),
    ):
        problem(await client.request(method, path, json=body), 422, "invalid_input", field)
    assert cql.execute(f"SELECT * FROM {keyspace}.founds WHERE id IN ('{row_id}', '{other}')").one() is None
    longest = {key[:65_535]: value[:65_535] for key, value in entry.items()}
    assert (await client.put(f"/founds/{row_id}", json={"words": longest})).status_code == 204
    assert (await client.patch(f"/founds/{row_id}", json={"words": dict.fromkeys(entry)})).status_code == 204
    with pytest.raises(NoHostAvailable, match="65535"):
        cql.execute(f"UPDATE {keyspace}.founds SET words = %s WHERE id = '{row_id}'", (entry,))


async def test_refusal_by_cassandra_is_no_server_error(client: httpx.AsyncClient, cql: Session, keyspace: str) -> None:
    """An index that is not storage-attached has a limit that Cassandra checks itself."""
    cql.execute(f"CREATE INDEX too_long ON {keyspace}.everything (c_text)")
    try:
        address = f"/everything/{uuid.uuid4().hex}"
        for method, path in (("PUT", address), ("PATCH", address), ("POST", "/everything")):
            body = {"c_text": "x" * 65_535} | ({"id": "long"} if method == "POST" else {})
            problem(await client.request(method, path, json=body), 422, "rejected_by_cassandra")
        problem(await client.get(address), 404, "not_found")
    finally:
        cql.execute(f"DROP INDEX {keyspace}.too_long")


async def test_values_that_cassandra_warns_of_are_written(client: httpx.AsyncClient) -> None:
    """A large collection, and texts that are too long for their index, which then leaves them out."""
    for length in (8000, 9000, 900_000):
        address, word = f"/founds/{uuid.uuid4()}", uuid.uuid4().hex[0] * length
        assert (await client.put(address, json={"word": word})).status_code == 204
        found = (await client.post("/founds/-/search", json={"where": {"word": word}})).json()
        assert (found == []) is (length > 8192)
        assert (await client.get(address)).json()["word"] == word
    response = await client.put(f"/everything/{uuid.uuid4()}", json={"c_list": list(range(70_000))})
    assert response.status_code == 204
