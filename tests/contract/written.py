"""The tables that the tests of writes declare, create and serve."""

from __future__ import annotations

import datetime
import enum
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from ipaddress import IPv4Address, IPv6Address
from typing import Annotated, Any, Literal

import httpx
import msgspec
from cassandra.cluster import Session
from helpers.service import client_of, settings_for
from starlette.requests import HTTPConnection

from asgi_app.app import create_app
from asgi_app.errors import FieldError, Forbidden, Unauthorized
from asgi_app.http.auth import Action, Principal
from asgi_app.settings import Settings
from asgi_app.tables.cql import Queries, create_types
from asgi_app.tables.resource import Resource
from asgi_app.tables.table import CQLType, Index, Table

JSON = {"Content-Type": "application/json"}


class Address(msgspec.Struct):
    street: str
    zip: Annotated[int, msgspec.Meta(ge=0)] | None = None


class Place(msgspec.Struct):
    """A user type that other types contain."""

    name: str | None = None
    spot: tuple[float, float] | None = None


class Item(msgspec.Struct):
    """A row with every kind of collection, and columns that its partition shares."""

    tenant: str
    day: datetime.date
    at: datetime.datetime
    id: uuid.UUID
    kind: Annotated[str, msgspec.Meta(max_length=10)]
    size: Annotated[int, msgspec.Meta(ge=0, le=1000)] | None = None
    tags: set[Annotated[str, msgspec.Meta(max_length=5)]] | None = None
    attrs: dict[str, Annotated[int, msgspec.Meta(ge=0)]] | None = None
    steps: list[str] | None = None
    home: Annotated[Address, CQLType("address")] | None = None
    office: Annotated[Address, CQLType("frozen<address>")] | None = None
    owner: Annotated[str, msgspec.Meta(max_length=10)] | None = None
    labels: set[str] | None = None


class Kind(enum.Enum):
    """The kinds of rides."""

    CAR = "car"
    BIKE = "bike"


class Stars(enum.IntEnum):
    """How a ride was liked."""

    ONE = 1
    TWO = 2


class Stop(msgspec.Struct):
    place: str
    kind: Kind | None = None


class Ride(msgspec.Struct):
    """A row whose columns list their values."""

    kind: Kind
    id: int
    state: Literal["new", "done"] = "new"
    stars: Annotated[Stars, msgspec.Meta(description="How it was liked.")] | None = None
    level: Annotated[Literal[1, 2, 3], CQLType("tinyint")] | None = None
    paid: Literal["cash", "card", None] = None
    kinds: set[Kind] | None = None
    counts: dict[Kind, int] | None = None
    stop: Annotated[Stop, CQLType("stop")] | None = None
    host: IPv4Address | None = None


class Document(msgspec.Struct):
    id: str
    title: Annotated[str, msgspec.Meta(max_length=20)]
    size: int | None = None
    tags: set[str] | None = None
    secret: str | None = None
    made_by: str | None = None
    created: datetime.datetime | None = None
    rev: uuid.UUID | None = None


class Note(msgspec.Struct):
    id: uuid.UUID
    text: str | None = None
    copies: int = 1


class Tally(msgspec.Struct):
    id: str
    seen: Annotated[int, CQLType("counter")] | None = None
    sold: Annotated[int, CQLType("counter")] | None = None


class Visit(msgspec.Struct):
    site: str
    page: str
    seen: Annotated[int, CQLType("counter")] | None = None
    total: Annotated[int, CQLType("counter")] | None = None


class FirmEvent(msgspec.Struct):
    tenant: str
    id: str
    text: str | None = None
    owner: str | None = None


class Edge(msgspec.Struct):
    head: str
    tail: str


class Brief(msgspec.Struct):
    id: str
    text: str | None = None
    more: str | None = None


class Long(msgspec.Struct):
    a: str
    b: str
    c: str
    d: bytes


class Scaled(msgspec.Struct):
    id: str
    at: Decimal


class Reading(msgspec.Struct):
    """A row whose key has bounds."""

    sensor: Annotated[str, msgspec.Meta(pattern="^[a-z]+$", max_length=8)]
    hour: Annotated[int, msgspec.Meta(ge=0, le=23)]
    value: float | None = None
    code: Annotated[str, msgspec.Meta(pattern=r"^[0-9]{13}$")] | None = None
    place: str | None = None


class Found(msgspec.Struct):
    id: str
    word: Annotated[str, Index()] | None = None
    words: Annotated[dict[str, str], Index(target="entries"), Index(target="keys")] | None = None
    close: Annotated[list[float], CQLType("vector<float, 3>"), Index(similarity="cosine")] | None = None
    far: Annotated[list[float], CQLType("vector<float, 3>"), Index(similarity="euclidean")] | None = None


class Sorted(msgspec.Struct):
    """A row of sets and maps, which Cassandra keeps in order."""

    id: str
    s_bigint: Annotated[set[int], CQLType("set<bigint>")] | None = None
    s_blob: set[bytes] | None = None
    s_boolean: set[bool] | None = None
    s_date: set[datetime.date] | None = None
    s_decimal: set[Decimal] | None = None
    s_double: set[float] | None = None
    s_float: Annotated[set[float], CQLType("set<float>")] | None = None
    s_inet: set[IPv4Address | IPv6Address] | None = None
    s_text: set[str] | None = None
    s_time: set[datetime.time] | None = None
    s_timestamp: set[datetime.datetime] | None = None
    s_timeuuid: Annotated[set[uuid.UUID], CQLType("set<timeuuid>")] | None = None
    s_uuid: set[uuid.UUID] | None = None
    s_varint: Annotated[set[int], CQLType("set<varint>")] | None = None
    s_list: set[tuple[int, str]] | None = None
    s_lists: Annotated[set[Any], CQLType("set<frozen<list<int>>>")] | None = None
    s_maps: Annotated[set[Any], CQLType("set<frozen<map<int, text>>>")] | None = None
    s_place: set[Place] | None = None
    s_vector: Annotated[set[Any], CQLType("set<vector<float, 2>>")] | None = None
    s_short_vector: Annotated[set[Any], CQLType("set<vector<smallint, 2>>")] | None = None
    m_words: Annotated[Any, CQLType("map<vector<text, 2>, int>")] | None = None
    m_sets: Annotated[Any, CQLType("map<frozen<set<decimal>>, int>")] | None = None
    l_vector: Annotated[Any, CQLType("list<vector<frozen<set<int>>, 2>>")] | None = None
    v_set: Annotated[Any, CQLType("vector<frozen<set<int>>, 2>")] | None = None
    m_tuple: dict[tuple[int, str], set[int]] | None = None
    f_set: Annotated[set[int], CQLType("frozen<set<int>>")] | None = None
    f_decimals: Annotated[set[Decimal], CQLType("frozen<set<decimal>>")] | None = None
    l_decimals: Annotated[Any, CQLType("list<frozen<set<decimal>>>")] | None = None
    t_set: tuple[int, set[int]] | None = None


class Everything(msgspec.Struct):
    """A row with a column of each type. The name of the last column is no identifier."""

    id: str
    c_ascii: Annotated[str, CQLType("ascii")] | None = None
    c_bigint: Annotated[int, CQLType("bigint")] | None = None
    c_blob: bytes | None = None
    c_boolean: bool | None = None
    c_date: datetime.date | None = None
    c_decimal: Decimal | None = None
    c_double: float | None = None
    c_duration: Annotated[str, CQLType("duration")] | None = None
    c_float: Annotated[float, CQLType("float")] | None = None
    c_inet: IPv4Address | IPv6Address | None = None
    c_int: int | None = None
    c_smallint: Annotated[int, CQLType("smallint")] | None = None
    c_text: str | None = None
    c_time: datetime.time | None = None
    c_timestamp: datetime.datetime | None = None
    c_timeuuid: Annotated[uuid.UUID, CQLType("timeuuid")] | None = None
    c_tinyint: Annotated[int, CQLType("tinyint")] | None = None
    c_uuid: uuid.UUID | None = None
    c_varint: Annotated[int, CQLType("varint")] | None = None
    c_list: list[int] | None = None
    c_set: set[str] | None = None
    c_map: dict[datetime.date, str] | None = None
    c_frozen: Annotated[list[int], CQLType("frozen<list<int>>")] | None = None
    c_nested: dict[str, list[dict[int, set[str]]]] | None = None
    c_pairs: dict[tuple[int, str], str] | None = None
    c_tuple: tuple[int, str, list[int]] | None = None
    c_vector: Annotated[list[float], CQLType("vector<float, 3>")] | None = None
    c_words: Annotated[list[str], CQLType("vector<text, 2>")] | None = None
    c_place: Annotated[Place, CQLType("place")] | None = None
    c_places: list[Place] | None = None
    mixed: Annotated[str, CQLType("text")] | None = msgspec.field(name="Mixed name/é.~", default=None)


def _no_x(body: Mapping[str, Any]) -> Iterator[FieldError]:
    """The `check` of items."""
    if body.get("kind") == "x" or body.get("owner") == "x":
        yield FieldError("/kind", "must not be x")


NOON = datetime.datetime(2026, 11, 28, 12, tzinfo=datetime.UTC)

_ITEM: dict[str, Any] = {"partition_key": ("tenant", "day"), "clustering": ("-at", "id"), "static": ("owner", "labels")}
items = Resource(
    Item,
    "items",
    **_ITEM,
    batch="logged",
    ttl=1000,
    ttl_on_patch=True,
    patch_creates=True,
    delete_prefix=True,
    consistency=("LOCAL_ONE", "ALL"),
    check=_no_x,
)
mine = Resource(
    Item, "items", **_ITEM, path="mine", bound={"tenant": lambda principal: principal.name}, patch_creates=True
)
each = Resource(Item, "items", **_ITEM, path="each", batch="per_row")
expiring = Resource(Item, "items", **_ITEM, path="expiring", ttl=1000, patch_creates=True)
shut = Resource(Item, "items", **_ITEM, path="shut", writes="none")

_DOCUMENT: dict[str, Any] = {
    "partition_key": ("id",),
    "writes": "conditional",
    "hidden": ("secret",),
    "read_only": ("made_by",),
    "generated": {"created": lambda: NOON},
}
documents = Resource(Document, "documents", **_DOCUMENT, version="rev", ttl=1000, ttl_on_patch=True, batch="per_row")
strict = Resource(Document, "documents", **_DOCUMENT, path="strict", version="rev", require_match=True)
fleeting = Resource(
    Document, "documents", path="fleeting", partition_key=("id",), writes="conditional", version="rev", ttl=1000
)
timed = Resource(Document, "documents", **_DOCUMENT, path="timed", ttl=1000)
loose = Resource(Document, "documents", **_DOCUMENT, path="loose")

notes = Resource(
    Note, "notes", partition_key=("id",), generated={"id": uuid.uuid4}, writes="conditional", batch="logged"
)
tallies = Resource(Tally, "tallies", partition_key=("id",))
erasable = Resource(Tally, "tallies", path="erasable", partition_key=("id",), delete_counters=True)
visits = Resource(Visit, "visits", partition_key=("site",), clustering=("page",), static=("total",))
firm_events = Resource(
    FirmEvent, "firm_events", partition_key=("tenant",), clustering=("id",), static=("owner",), writes="conditional"
)
edges = Resource(Edge, "edges", partition_key=("head",), clustering=("tail",))
firm_edges = Resource(Edge, "firm_edges", partition_key=("head",), clustering=("tail",), writes="conditional")
briefs = Resource(Brief, "briefs", partition_key=("id",), patch_creates=True)
half_briefs = Resource(
    Brief, "briefs", path="half_briefs", partition_key=("id",), patch_creates=True, ttl=630_720_000, ttl_on_patch=True
)
longs = Resource(Long, "longs", partition_key=("a", "b"), clustering=("c",), batch="logged", patch_creates=True)
scaled = Resource(Scaled, "scaled", partition_key=("id",), clustering=("at",), batch="per_row")
_READING: dict[str, Any] = {"partition_key": ("sensor",), "clustering": ("hour",), "static": ("place",)}
readings = Resource(Reading, "readings", **_READING, patch_creates=True)
firm_readings = Resource(Reading, "firm_readings", **_READING, writes="conditional")
founds = Resource(Found, "founds", partition_key=("id",), patch_creates=True, batch="logged")
sorted_values = Resource(Sorted, "sorted_values", partition_key=("id",))
rides = Resource(
    Ride,
    "rides",
    partition_key=("kind",),
    clustering=("id",),
    patch_creates=True,
    batch="per_row",
    allow_filtering=("state", "stars"),
)
everything = Resource(Everything, "everything", partition_key=("id",), patch_creates=True)

RESOURCES: Sequence[Resource] = (
    items,
    mine,
    each,
    expiring,
    shut,
    documents,
    strict,
    fleeting,
    timed,
    loose,
    notes,
    tallies,
    erasable,
    visits,
    firm_events,
    edges,
    firm_edges,
    briefs,
    half_briefs,
    longs,
    scaled,
    readings,
    firm_readings,
    founds,
    sorted_values,
    rides,
    everything,
)


def authorize(connection: HTTPConnection, action: Action) -> Principal:
    """Name the client by its field `X-Name`. One that says `X-Blind` may not read, or is unknown when it reads."""
    if action.verb == "read" and "x-blind" in connection.headers:
        raise Unauthorized if connection.headers["x-blind"] == "expired" else Forbidden
    return Principal(connection.headers.get("x-name", "acme"))


def create_tables(session: Session, keyspace: str, resources: Sequence[Resource]) -> None:
    """Create the tables of these resources with their types and indexes, unless an earlier call has."""
    tables: dict[str, Table] = {resource.table.name: resource.table for resource in resources}
    for statement in create_types(keyspace, tables.values()):
        session.execute(statement)
    for name, table in tables.items():
        queries = Queries(keyspace, table)
        options = " WITH default_time_to_live = 3600" if name == "briefs" else ""
        for statement in (queries.create_table() + options, *queries.create_indexes()):
            session.execute(statement)


@asynccontextmanager
async def serving_resources(
    session: Session, settings: Settings, *resources: Resource, **changes: Any
) -> AsyncIterator[httpx.AsyncClient]:
    """Create the tables of the resources and serve them; return a client. `changes` are arguments of `Settings`."""
    create_tables(session, settings.keyspace, resources)
    host = settings.cassandra_hosts[0]
    chosen = settings_for((host.host, host.port), settings.keyspace, **changes)
    app = create_app(chosen, resources=resources, authorize=authorize)
    async with app.router.lifespan_context(app), client_of(app, raise_app_exceptions=False) as client:
        yield client
