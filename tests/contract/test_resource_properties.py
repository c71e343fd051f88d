"""Random tables of random types: what is written over HTTP is read over HTTP, and by the driver alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any

import anyio
import msgspec
import pytest
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Session
from cassandra.query import BoundStatement
from helpers.cassandra import connected, own_keyspace
from helpers.cql_values import ANY_TYPE, NATIVE, cells_of, disordered
from helpers.service import client_of, settings_for
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as budget
from hypothesis import strategies as st

from asgi_app.app import create_app
from asgi_app.driver.declared_types import codec_of_type
from asgi_app.driver.protocol import RawProtocolHandler, keep_page
from asgi_app.settings import Settings
from asgi_app.tables.cql import Queries, select_row
from asgi_app.tables.encoding import encoder_of
from asgi_app.tables.resource import Resource
from asgi_app.tables.stored_form import stored_form_of
from asgi_app.tables.table import CQLType
from asgi_app.tables.types import CqlType, MapOf, Native, SetOf, UserType, types_inside

NAMES = ["plain", "Mixed", "select", "a b", "x.y", "Ünï", "it's", "limit", "order", "page_state", "~/"]
NO_KEYS = (Native("counter"), Native("duration"))


def holds(cql_type: CqlType, fits: Callable[[CqlType], bool]) -> bool:
    return fits(cql_type) or any(holds(inner, fits) for inner in types_inside(cql_type))


def is_refused(cql_type: CqlType) -> bool:
    """Return whether Cassandra has no such column, or needs a type of its own for it."""
    if isinstance(cql_type, SetOf | MapOf):
        return holds(types_inside(cql_type)[0], lambda inner: inner == Native("duration"))
    return cql_type == Native("counter") or isinstance(cql_type, UserType)


KEY_TYPE = NATIVE.filter(lambda cql_type: cql_type not in NO_KEYS)
VALUE_TYPE = ANY_TYPE.filter(lambda cql_type: not holds(cql_type, is_refused))
COLUMNS = st.tuples(
    st.lists(st.sampled_from(NAMES), min_size=5, max_size=7, unique=True),
    st.lists(KEY_TYPE, min_size=3, max_size=3),
    st.lists(VALUE_TYPE, min_size=4, max_size=4),
).map(lambda drawn: dict(zip(drawn[0], [*drawn[1], *drawn[2]], strict=False)))
"""Two columns of the partition key, a clustering column, and others."""


def declared(columns: Mapping[str, CqlType]) -> Resource:
    key = list(columns)[:3]
    fields: list[Any] = []
    for at, (name, cql_type) in enumerate(columns.items()):
        hint: Any = Annotated[Any, CQLType(str(cql_type))]
        if name in key:
            fields.append((f"f{at}", hint, msgspec.field(name=name)))
        else:
            fields.append((f"f{at}", hint | None, msgspec.field(name=name, default=None)))
    struct = msgspec.defstruct("Row", fields)
    return Resource(struct, "random", partition_key=tuple(key[:2]), clustering=(f"-{key[2]}",))


def read_alone(session: Session, resource: Resource, keyspace: str, key: Sequence[bytes | None]) -> dict[str, Any]:
    """Return the row as the driver alone reads it."""
    statement = session.prepare(select_row(keyspace, resource.table, resource.table.column_names))
    bound = BoundStatement(statement)
    bound.values = list(key)
    profile = session.execution_profile_clone_update(EXEC_PROFILE_DEFAULT, row_factory=keep_page)
    (row,) = session.execute(bound, execution_profile=profile).one().dicts()
    return dict(row)


def as_stored(cql_type: CqlType, value: Any) -> Any:
    """Return a value as Cassandra keeps it, and so as every later read has it."""
    cell: bytes | None = encoder_of(cql_type).from_json(value)
    form = stored_form_of(cql_type)
    kept = cell if cell is None or form is None else form(cell)
    return None if kept is None else codec_of_type(cql_type).cell(kept)


async def write_and_read(
    settings: Settings, session: Session, resource: Resource, rows: Sequence[Mapping[str, Any]]
) -> None:
    """Create each row over HTTP, and compare what was sent with the answer, with a later GET and with the driver."""
    types = {column.name: column.type for column in resource.table.columns}
    app = create_app(settings, resources=[resource])
    async with app.router.lifespan_context(app), client_of(app) as client:
        for row in rows:
            body = msgspec.json.encode({name: disordered(types[name], value) for name, value in row.items()})
            created = await client.post("/random", content=body, headers={"content-type": "application/json"})
            assert created.status_code == 201, created.text
            expected = {name: as_stored(types[name], value) for name, value in row.items()}
            assert created.json() == expected
            found = await client.get(created.headers["location"])
            assert (found.status_code, found.json()) == (200, expected)
            key = [encoder_of(types[name]).from_json(row[name]) for name in resource.primary_key]
            assert read_alone(session, resource, settings.keyspace, key) == expected


@pytest.fixture(scope="module")
def session(node_address: tuple[str, int]) -> Iterator[Session]:
    with connected(*node_address) as session:
        session.client_protocol_handler = RawProtocolHandler
        yield session


@pytest.fixture(scope="module")
def keyspace(node_address: tuple[str, int]) -> Iterator[str]:
    with connected(*node_address) as session, own_keyspace(session, ()) as name:
        yield name


@given(st.data())
# Without shrinking, which would make a table for each try.
@budget(
    max_examples=10, deadline=None, derandomize=True, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)
def test_rows_of_random_tables(
    node_address: tuple[str, int], cql: Session, session: Session, keyspace: str, data: st.DataObject
) -> None:
    columns = data.draw(COLUMNS)
    resource = declared(columns)
    table = f"{keyspace}.random"
    cql.execute(f"DROP TABLE IF EXISTS {table}", timeout=60)
    cql.execute(Queries(keyspace, resource.table).create_table(), timeout=60)
    values = {name: cells_of(cql_type).map(codec_of_type(cql_type).cell) for name, cql_type in columns.items()}
    rows = data.draw(st.lists(st.fixed_dictionaries(values), min_size=3, max_size=6))
    anyio.run(write_and_read, settings_for(node_address, keyspace), session, resource, rows)
