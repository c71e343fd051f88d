"""Every CQL type, and each kind of result, with a real Cassandra and each version of the protocol."""

import json
import struct
from collections.abc import Mapping
from ipaddress import ip_address
from uuid import uuid4

import pytest
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
from cassandra.query import SimpleStatement

from asgi_app.driver.page import JSON_OBJECTS, RowPage
from asgi_app.driver.protocol import RawProtocolHandler, keep_page

LONG = "1" * 5000
SOME_UUID = "b26b2a23-4d70-41c3-88a7-a9aa9e135a93"
SOME_TIMEUUID = "50554d6e-29bb-11e5-b345-feff819cdc9f"

TYPES = {
    "ascii_": "ascii",
    "bigint_": "bigint",
    "blob_": "blob",
    "boolean_": "boolean",
    "date_": "date",
    "decimal_": "decimal",
    "double_": "double",
    "duration_": "duration",
    "float_": "float",
    "inet_": "inet",
    "int_": "int",
    "smallint_": "smallint",
    "text_": "text",
    "time_": "time",
    "timestamp_": "timestamp",
    "timeuuid_": "timeuuid",
    "tinyint_": "tinyint",
    "uuid_": "uuid",
    "varchar_": "varchar",
    "varint_": "varint",
    "list_": "list<int>",
    "set_": "set<text>",
    "map_text": "map<text, int>",
    "map_int": "map<int, text>",
    "map_boolean": "map<boolean, text>",
    "map_timestamp": "map<timestamp, text>",
    "map_tuple": "map<frozen<tuple<int, text>>, int>",
    "map_udt": "map<frozen<point>, int>",
    "map_list": "map<frozen<list<int>>, int>",
    "tuple_": "tuple<int, text, double>",
    "udt": "point",
    "nested": "list<frozen<map<text, frozen<list<frozen<tuple<int, point>>>>>>>",
    "holder": "frozen<home>",
    "vector_float": "vector<float, 3>",
    "vector_double": "vector<double, 2>",
    "vector_bigint": "vector<bigint, 2>",
    "vector_boolean": "vector<boolean, 2>",
    "vector_date": "vector<date, 2>",
    "vector_smallint": "vector<smallint, 2>",
    "vector_text": "vector<text, 2>",
    "vector_time": "vector<time, 1>",
    "vector_timestamp": "vector<timestamp, 1>",
    "vector_tinyint": "vector<tinyint, 2>",
    "vector_tuple": "vector<frozen<tuple<int, int>>, 2>",
    "vector_udt": "vector<frozen<home>, 1>",
    "vector_uuid": "vector<uuid, 1>",
    "vector_vector": "vector<vector<int, 2>, 2>",
}

ORDINARY = {
    "ascii_": ("'plain'", "plain"),
    "bigint_": ("9223372036854775807", 2**63 - 1),
    "blob_": ("0xDEAD", "0xdead"),
    "boolean_": ("true", True),
    "date_": ("'2024-02-29'", "2024-02-29"),
    "decimal_": ("12345678900.100", "12345678900.100"),
    "double_": ("0.1", 0.1),
    "duration_": ("1y2mo25d5h6m7s8ms9us10ns", "1y2mo25d5h6m7s8ms9us10ns"),
    "float_": ("0.1", 0.1),
    "inet_": ("'2001:db8:0:0:0:0:0:1'", "2001:db8::1"),
    "int_": ("-2147483648", -(2**31)),
    "smallint_": ("-32768", -32768),
    "text_": ("'𝄞 é \"quoted\" \\ and ''single'''", "𝄞 é \"quoted\" \\ and 'single'"),
    "time_": ("'13:14:15.123456789'", "13:14:15.123456789"),
    "timestamp_": ("'2024-01-02T03:04:05.678Z'", "2024-01-02T03:04:05.678Z"),
    "timeuuid_": (SOME_TIMEUUID, SOME_TIMEUUID),
    "tinyint_": ("-128", -128),
    "uuid_": (SOME_UUID, SOME_UUID),
    "varchar_": ("'a\nb'", "a\nb"),
    "varint_": ("-123456789012345678901234567890", "-123456789012345678901234567890"),
    "list_": ("[3, 1, 2]", [3, 1, 2]),
    "set_": ("{'b', 'a'}", ["a", "b"]),
    "map_text": ("{'b': 2, 'a': 1}", {"a": 1, "b": 2}),
    "map_int": ("{10: 'ten', -1: 'minus'}", {"-1": "minus", "10": "ten"}),
    "map_boolean": ("{true: 'yes', false: 'no'}", {"false": "no", "true": "yes"}),
    "map_timestamp": ("{1500: 'x'}", {"1970-01-01T00:00:01.500Z": "x"}),
    "map_tuple": ("{(1, 'a'): 2}", [[[1, "a"], 2]]),
    "map_udt": ("{{x: 1, y: 'a'}: 2}", [[{"x": 1, "y": "a"}, 2]]),
    "map_list": ("{[1, 2]: 3}", [[[1, 2], 3]]),
    "tuple_": ("(1, 'a', 0.5)", [1, "a", 0.5]),
    "udt": ("{x: 1, y: 'a'}", {"x": 1, "y": "a"}),
    "nested": (
        "[{'k': [(1, {x: 1, y: 'a'}), (2, {x: 2})]}, {}]",
        [{"k": [[1, {"x": 1, "y": "a"}], [2, {"x": 2, "y": None}]]}, {}],
    ),
    "holder": (
        "{street: 's', \"Flat\": {x: 1}, phones: ['p', 'q'], rooms: {'r': {left: 1, right: 2}}}",
        {"street": "s", "Flat": {"x": 1, "y": None}, "phones": ["p", "q"], "rooms": {"r": {"left": 1, "right": 2}}},
    ),
    "vector_float": ("[0.1, 1, -2.5]", [0.1, 1.0, -2.5]),
    "vector_double": ("[0.1, -1e300]", [0.1, -1e300]),
    "vector_bigint": ("[1, -2]", [1, -2]),
    "vector_boolean": ("[true, false]", [True, False]),
    "vector_date": ("['2024-02-29', '1970-01-01']", ["2024-02-29", "1970-01-01"]),
    "vector_smallint": ("[1, -2]", [1, -2]),
    "vector_text": ("['a', 'é']", ["a", "é"]),
    "vector_time": ("['01:02:03']", ["01:02:03.000000000"]),
    "vector_timestamp": ("[1500]", ["1970-01-01T00:00:01.500Z"]),
    "vector_tinyint": ("[1, -2]", [1, -2]),
    "vector_tuple": ("[(1, 2), (3, 4)]", [[1, 2], [3, 4]]),
    "vector_udt": (
        "[{street: 's'}]",
        [{"street": "s", "Flat": None, "phones": None, "rooms": None}],
    ),
    "vector_uuid": (f"[{SOME_UUID}]", [SOME_UUID]),
    "vector_vector": ("[[1, 2], [3, 4]]", [[1, 2], [3, 4]]),
}

LOWEST = {
    "bigint_": ("-9223372036854775808", -(2**63)),
    "date_": ("0", "-5877641-06-23"),
    "decimal_": ("1E-2000", "1E-2000"),
    "double_": ("4.9E-324", 5e-324),
    "duration_": ("-1mo", "-1mo"),
    "float_": ("1.17549435E-38", 1.1754944e-38),
    "inet_": ("'0.0.0.0'", "0.0.0.0"),
    "time_": ("'00:00:00'", "00:00:00.000000000"),
    "varint_": ("-" + LONG, "-" + LONG),
    "uuid_": ("00000000-0000-0000-0000-000000000000", "00000000-0000-0000-0000-000000000000"),
    "text_": ("''", ""),
    "ascii_": ("''", ""),
    "blob_": ("0x", "0x"),
    "tuple_": ("(null, null, null)", [None, None, None]),
    "nested": ("[]", None),  # Cassandra stores no empty collection that is not frozen
}

HIGHEST = {
    "date_": ("4294967295", "+5881580-07-11"),
    "decimal_": ("1E+100", "1E+100"),
    "double_": ("1.7976931348623157E308", 1.7976931348623157e308),
    "duration_": (
        "2147483647mo2147483647d9223372036854775807ns",
        "178956970y7mo2147483647d2562047h47m16s854ms775us807ns",
    ),
    "float_": ("3.4028235E38", 3.4028235e38),
    "inet_": ("'255.255.255.255'", "255.255.255.255"),
    "int_": ("2147483647", 2**31 - 1),
    "time_": ("'23:59:59.999999999'", "23:59:59.999999999"),
    "timestamp_": ("253402300799999", "9999-12-31T23:59:59.999Z"),
    "varint_": (LONG, LONG),
}

# Where Cassandra's own JSON loses the value, or writes something else than docs/types.md.
OURS_ALONE = [
    ("timestamp_", "253402300800000", "+10000-01-01T00:00:00.000Z"),
    ("timestamp_", "9223372036854775807", "+292278994-08-17T07:12:55.807Z"),
    ("timestamp_", "-9223372036854775808", "-292275055-05-16T16:47:04.192Z"),
    ("timestamp_", "-62135596800001", "+0000-12-31T23:59:59.999Z"),
    ("date_", "2146764179", "+0000-02-29"),
    ("float_", "NaN", "NaN"),
    ("float_", "-Infinity", "-Infinity"),
    ("double_", "Infinity", "Infinity"),
    ("double_", "-NaN", "NaN"),
    ("duration_", "0s", "0s"),
    ("int_", "blob_as_int(0x)", None),
    ("timestamp_", "blob_as_timestamp(0x)", None),
    ("uuid_", "blob_as_uuid(0x)", None),
    ("time_", "blob_as_time(0x7fffffffffffffff)", "2562047:47:16.854775807"),
    ("vector_float", "[NaN, Infinity, 1]", ["NaN", "Infinity", 1.0]),
    ("inet_", "blob_as_inet(0x00000000000000000000ffff01020304)", "::ffff:1.2.3.4"),
]


def parsed(text: str):
    """Return the server's JSON, with floats and with integers of too many digits for Python as text."""
    return json.loads(text, parse_float=str, parse_int=lambda digits: int(digits) if len(digits) <= 20 else digits)


def single(text):
    """Return the 32-bit float that a text stands for."""
    return struct.unpack(">f", struct.pack(">f", float(text)))[0]


def unquoted(fields):
    return {name.strip('"'): value for name, value in fields.items()}


FROM_SERVER = {
    "decimal_": str,
    "double_": float,
    "float_": single,
    "holder": unquoted,
    "inet_": lambda text: str(ip_address(text)),
    "map_int": lambda entries: {str(key): value for key, value in entries.items()},
    "map_list": lambda entries: [[parsed(key), value] for key, value in entries.items()],
    "map_timestamp": lambda entries: {key.replace(" ", "T"): value for key, value in entries.items()},
    "map_tuple": lambda entries: [[parsed(key), value] for key, value in entries.items()],
    "map_udt": lambda entries: [[parsed(key), value] for key, value in entries.items()],
    "timestamp_": lambda text: text.replace(" ", "T"),
    "tuple_": lambda items: [*items[:2], None if items[2] is None else float(items[2])],
    "varint_": str,
    "vector_double": lambda items: list(map(float, items)),
    "vector_float": lambda items: list(map(single, items)),
    "vector_timestamp": lambda items: [text.replace(" ", "T") for text in items],
    "vector_udt": lambda items: list(map(unquoted, items)),
}
"""Functions from the server's form of a column to ours, if docs/types.md says that they differ in form only."""

OURS_TO_COMPARE = {"float_": single, "vector_float": lambda items: list(map(single, items))}


def connect(node_address, protocol_version):
    host, port = node_address
    profile = ExecutionProfile(row_factory=keep_page, request_timeout=60)
    return Cluster(
        [host],
        port=port,
        protocol_version=protocol_version,
        execution_profiles={EXEC_PROFILE_DEFAULT: profile},
    )


@pytest.fixture(scope="module")
def keyspace(node_address):
    name = f"types_{uuid4().hex}"
    with connect(node_address, 4) as cluster:
        session = cluster.connect()
        session.execute(
            f"CREATE KEYSPACE {name} WITH replication = {{'class': 'SimpleStrategy', 'replication_factor': 1}}"
        )
        session.set_keyspace(name)
        create_tables(session)
        yield name
        session.execute(f"DROP KEYSPACE {name}", timeout=120)


def create_tables(session):
    columns = ", ".join(f"{name} {cql_type}" for name, cql_type in TYPES.items())
    for statement in (
        "CREATE TYPE point (x int, y text)",
        "CREATE TYPE couple (left int, right int)",
        'CREATE TYPE home (street text, "Flat" frozen<point>, phones list<text>, rooms map<text, frozen<couple>>)',
        "CREATE TYPE address (street text)",
        "CREATE TABLE addresses (id int PRIMARY KEY, v vector<frozen<address>, 2>)",
        f"CREATE TABLE everything (id int PRIMARY KEY, {columns})",
        "CREATE TABLE counts (id int PRIMARY KEY, n counter)",
        "CREATE TABLE pages (id int, n int, at timestamp, PRIMARY KEY (id, n))",
        "CREATE TABLE unique_names (name text PRIMARY KEY, age int)",
        "CREATE TABLE growing (id int PRIMARY KEY, a int)",
    ):
        session.execute(statement)


@pytest.fixture(scope="module", params=[3, 4, 5], ids="v{}".format)
def session(request, node_address, keyspace):
    with connect(node_address, request.param) as cluster:
        session = cluster.connect(keyspace)
        session.client_protocol_handler = RawProtocolHandler
        yield session


def page_of(session, statement, values=None, **options) -> RowPage:
    page = session.execute(statement, values, **options).one()
    assert isinstance(page, RowPage)
    return page


def store(session, key: int, literals: Mapping[str, str]) -> None:
    names, values = ", ".join(literals), ", ".join(literals.values())
    session.execute(f"INSERT INTO everything (id, {names}) VALUES ({key}, {values})")


def stored(session, key: int, expected) -> dict:
    (row,) = page_of(session, f"SELECT {', '.join(expected)} FROM everything WHERE id = {key}").dicts()
    return row


def server_json(session, key: int, columns) -> dict:
    names = ", ".join(columns)
    ((text,),) = page_of(session, f"SELECT JSON {names} FROM everything WHERE id = {key}").tuples()
    return parsed(text)


def agreeing(forms, row):
    return {name: forms[name](value) if name in forms and value is not None else value for name, value in row.items()}


def test_the_table_has_a_value_of_every_type():
    assert set(ORDINARY) == set(TYPES)


@pytest.mark.parametrize("case", [ORDINARY, LOWEST, HIGHEST], ids=["ordinary", "lowest", "highest"])
def test_every_type_has_its_value_and_agrees_with_select_json(session, case):
    expected = {name: value for name, (_, value) in case.items()}
    store(session, 1, dict.fromkeys(TYPES, "null") | {name: literal for name, (literal, _) in case.items()})
    row = stored(session, 1, expected)
    assert row == expected
    assert agreeing(FROM_SERVER, server_json(session, 1, expected)) == agreeing(OURS_TO_COMPARE, row)


@pytest.mark.parametrize(("column", "literal", "expected"), OURS_ALONE)
def test_values_whose_form_differs_from_cassandras(session, column, literal, expected):
    store(session, 2, {column: literal})
    assert stored(session, 2, [column]) == {column: expected}


def test_vector_of_a_user_type_with_a_name_of_digits(session):
    session.execute("INSERT INTO addresses (id, v) VALUES (1, [{street: 's'}, {street: null}])")
    assert page_of(session, "SELECT v FROM addresses").tuples() == [([{"street": "s"}, {"street": None}],)]


def test_a_row_of_nulls(session):
    store(session, 3, dict.fromkeys(TYPES, "null"))
    assert stored(session, 3, TYPES) == dict.fromkeys(TYPES)


def test_counters(session):
    session.execute("TRUNCATE counts")
    session.execute("UPDATE counts SET n = n - 5 WHERE id = 1")
    assert page_of(session, "SELECT id, n FROM counts").tuples() == [(1, -5)]


def test_a_prepared_statement_gives_what_a_simple_one_gives(session):
    store(session, 4, {name: literal for name, (literal, _) in ORDINARY.items()})
    columns = ", ".join(TYPES)
    prepared = session.prepare(f"SELECT {columns} FROM everything WHERE id = ?")
    simple = page_of(session, f"SELECT {columns} FROM everything WHERE id = 4")
    pages = [page_of(session, prepared, [4]) for _ in range(2)]
    assert [page.tuples() for page in pages] == [simple.tuples()] * 2
    assert pages[0].description.layout is pages[1].description.layout
    assert pages[0].dicts() == [{name: value for name, (_, value) in ORDINARY.items()}]
    assert json.loads(b"[" + pages[0].encoded(JSON_OBJECTS) + b"]") == pages[0].dicts()


def test_a_prepared_statement_survives_a_new_column(session):
    column = f"c{uuid4().hex}"
    session.execute("INSERT INTO growing (id, a) VALUES (1, 7)")
    prepared = session.prepare("SELECT * FROM growing WHERE id = ?")
    before = page_of(session, prepared, [1]).dicts()
    session.execute(f"ALTER TABLE growing ADD {column} text")
    assert page_of(session, prepared, [1]).dicts() == [before[0] | {column: None}]


def test_timestamp_that_the_driver_cannot_read(session):
    for number, at in enumerate(["0", "9223372036854775807", "1"]):
        session.execute(f"INSERT INTO pages (id, n, at) VALUES (0, {number}, {at})")
    futures = [session.execute_async("SELECT n, at FROM pages WHERE id = 0") for _ in range(20)]
    for future in futures:
        assert future.result().one().tuples() == [
            (0, "1970-01-01T00:00:00.000Z"),
            (1, "+292278994-08-17T07:12:55.807Z"),
            (2, "1970-01-01T00:00:00.001Z"),
        ]
    connections = {id(future._connection) for future in futures}
    after = session.execute_async("SELECT n FROM pages WHERE id = 0")
    assert after.result().one().row_count == 3
    assert connections == {id(after._connection)}
    assert not after._connection.is_defunct
    assert not after._connection.is_closed


def test_pages_follow_each_other(session):
    insert = session.prepare("INSERT INTO pages (id, n) VALUES (?, ?)")
    for number in range(95):
        session.execute(insert, [1, number])
    for statement in (
        SimpleStatement("SELECT n FROM pages WHERE id = 1"),
        session.prepare("SELECT n FROM pages WHERE id = 1").bind([]),
    ):
        statement.fetch_size = 10
        sizes, numbers, state = [], [], None
        while True:
            future = session.execute_async(statement, paging_state=state)
            page = future.result().one()
            sizes.append(page.row_count)
            numbers += [number for (number,) in page.tuples()]
            state = future._paging_state
            if state is None:
                break
        assert numbers == list(range(95))
        assert sizes == [10] * 9 + [5]


def test_a_conditional_write_says_whether_it_was_applied(session):
    name = uuid4().hex
    insert = f"INSERT INTO unique_names (name, age) VALUES ('{name}', 1) IF NOT EXISTS"
    assert page_of(session, insert).dicts() == [{"[applied]": True}]
    assert page_of(session, insert).dicts() == [{"[applied]": False, "name": name, "age": 1}]
    missing = session.prepare("UPDATE unique_names SET age = 2 WHERE name = ? IF EXISTS")
    assert page_of(session, missing, [uuid4().hex]).encoded(JSON_OBJECTS) == b'{"[applied]":false}'


def test_results_without_rows_are_none_and_no_rows_are_an_empty_page(session):
    assert session.execute("INSERT INTO growing (id) VALUES (2)").one() is None
    assert session.execute("CREATE TABLE IF NOT EXISTS growing (id int PRIMARY KEY)").one() is None
    assert page_of(session, "SELECT * FROM growing WHERE id = -1").tuples() == []
