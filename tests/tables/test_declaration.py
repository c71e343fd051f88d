"""Mistakes in declarations: each is found, with a sentence that names it, and right declarations have none."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import uuid
from collections.abc import Callable
from decimal import Decimal
from ipaddress import IPv4Address, IPv6Address
from typing import Annotated, Any, Literal, NewType

import msgspec
import pytest

from asgi_app import Query
from asgi_app.tables.declaration import check_declarations, problems_of
from asgi_app.tables.resource import Resource
from asgi_app.tables.resource_error import ResourceError
from asgi_app.tables.table import CQLType, Index


class Place(msgspec.Struct):
    street: str


class Event(msgspec.Struct):
    tenant: str
    day: datetime.date
    at: datetime.datetime
    id: uuid.UUID
    kind: Annotated[str, msgspec.Meta(max_length=40)]
    rev: uuid.UUID
    owner: str | None = None
    tags: set[str] | None = None
    place: Place | None = None


class Hits(msgspec.Struct):
    page: str
    day: datetime.date
    hits: Annotated[int, CQLType("counter")]


def principal_name(principal: Any) -> str:
    return str(principal.name)


def event(**options: Any) -> Resource:
    key = {"partition_key": ("tenant", "day"), "clustering": ("-at", "id")}
    return Resource(Event, "events", **{**key, **options})


def hits(**options: Any) -> Resource:
    return Resource(Hits, "hits", **{"partition_key": ("page",), "clustering": ("day",), **options})


def of(**fields: Any) -> type[msgspec.Struct]:
    """Return a struct with the key `id` and these fields."""
    return msgspec.defstruct("Row", [("id", int), *fields.items()])


def row(**fields: Any) -> Resource:
    return Resource(of(**fields), "rows", partition_key=("id",))


RIGHT: list[Callable[[], Resource]] = [
    event,
    hits,
    lambda: event(generated={"id": uuid.uuid4}, bound={"tenant": principal_name}, path="/happenings"),
    lambda: event(writes="conditional", version="rev", require_match=True, batch="per_row"),
    lambda: event(writes="conditional", batch="logged", generated={"id": uuid.uuid4}),
    lambda: event(writes="none", version="rev", static=("owner",)),
    lambda: event(writes="conditional", static=("owner",)),
    lambda: event(ttl=60, ttl_on_patch=True, patch_creates=True, delete_prefix=True, batch="logged"),
    lambda: event(consistency=("ONE", "LOCAL_QUORUM"), hidden=("owner",), read_only=("kind",)),
    lambda: event(allow_filtering=("kind",), keyspace="Shop"),
    lambda: event(bound={"tenant": principal_name, "day": principal_name, "at": principal_name}),
    lambda: event(read_only=("id",), generated={"id": uuid.uuid4}),
    lambda: hits(delete_counters=True, delete_prefix=True, consistency=["QUORUM"]),
    lambda: event(clustering=["at", "-id"], hidden=["owner"]),
]


@pytest.mark.parametrize("resource", RIGHT)
def test_right_declarations(resource: Callable[[], Resource]) -> None:
    assert problems_of([resource()]) == []
    check_declarations([resource()])


WRONG: list[tuple[Resource, str]] = [
    (event(partition_key=("tenant", "dya")), "events: partition_key names dya, but Event has no such field."),
    (event(clustering=("-ta",)), "events: clustering names ta, but Event has no such field."),
    (event(static=("x", "y")), "events: static names x, y, but Event has no such field."),
    (event(hidden=("x",)), "events: hidden names x, but Event has no such field."),
    (event(read_only=("x",)), "events: read_only names x, but Event has no such field."),
    (event(allow_filtering=("x",)), "events: allow_filtering names x, but Event has no such field."),
    (event(generated={"x": uuid.uuid4}), "events: generated names x, but Event has no such field."),
    (event(bound={"x": principal_name}), "events: bound names x, but Event has no such field."),
    (
        event(writes="conditional", version="x"),
        "events: version names x, but Event has no such field.",
    ),
    (event(partition_key=()), "events: partition_key needs at least one column."),
    (event(clustering=("at", "-at")), "events: at stands in the key more than once."),
    (event(clustering=("at", "day")), "events: day stands in the key more than once."),
    (event(clustering=("owner",)), "events: owner is in the key, so it cannot be None or left out."),
    (
        Resource(of(tags=set[str]), "rows", partition_key=("id",), clustering=("tags",)),
        "rows: tags is in the key, so its type must be frozen: CQLType('frozen<set<text>>').",
    ),
    (
        Resource(of(place=Place), "rows", partition_key=("place",)),
        "rows: place is in the key, so its type must be frozen: CQLType('frozen<place>').",
    ),
    (hits(clustering=("hits",)), "hits: hits is in the key, so it cannot be a counter."),
    (
        Resource(of(d=Annotated[str, CQLType("duration")]), "rows", partition_key=("d",)),
        "rows: d is in the key, so it cannot hold a duration: durations have no order.",
    ),
    (
        Resource(of(d=Annotated[str, CQLType("'org.example.OfMine'")]), "rows", partition_key=("d",)),
        "rows: d is in the key, but this service does not know the type 'org.example.OfMine'.",
    ),
    (
        event(clustering=(), static=("owner",)),
        "events: static columns need clustering columns: without them a partition has one row.",
    ),
    (
        event(static=("owner",), generated={"owner": str}),
        "events: owner cannot be in static and in generated: a new row sets no static columns.",
    ),
    (
        Resource(
            msgspec.defstruct("Odd", [("id", int), ("a", int, msgspec.field(name="$similarity"))]),
            "rows",
            partition_key=("id",),
        ),
        "rows: no column can have the name $similarity, which searches give to the similarity of a vector.",
    ),
    (
        Resource(msgspec.defstruct("Odd", [("id", int), ("a", int, 2**31)]), "rows", partition_key=("id",)),
        "rows: a: the default does not fit int: must be an integer from -2147483648 to 2147483647.",
    ),
    (
        Resource(
            msgspec.defstruct("Odd", [("id", int), ("a", tuple[int, str], msgspec.field(default_factory=tuple))]),
            "rows",
            partition_key=("id",),
        ),
        "rows: a: the default does not fit frozen<tuple<int, text>>: must be an array of 2 elements.",
    ),
    (event(static=("at",)), "events: static names at, which cannot be static because the key has it."),
    (row(x=complex), "rows: x: <class 'complex'> has no CQL type: name one with Annotated[..., CQLType('...')]."),
    (
        Resource(
            msgspec.defstruct("Odd", [("id", int), ("a", int, msgspec.field(name="a.gte"))]),
            "rows",
            partition_key=("id",),
        ),
        "rows: the column a.gte ends in .gte, which is an operator in queries.",
    ),
    (row(x=Annotated[list[int], CQLType("list<counter>")]), "rows: x: list<counter> cannot hold counters."),
    (
        row(x=Annotated[list[str], CQLType("set<duration>")]),
        "rows: x: set<duration> is impossible: durations cannot be members of a set or keys of a map.",
    ),
    (
        row(x=list[msgspec.defstruct("Date", [("year", int)])]),
        "rows: x: a user-defined type cannot have the name date, which is a type of CQL. "
        "Name another with Annotated[..., CQLType('...')].",
    ),
    (row(x=msgspec.defstruct("Nothing", [])), "rows: x: the user-defined type nothing needs a field."),
    (event(bound={"kind": principal_name}), "events: bound names kind, but only key columns can be bound."),
    (
        event(bound={"id": principal_name}),
        "events: bound clustering columns must come before the others: Cassandra reads prefixes of the key.",
    ),
    (
        event(bound={"tenant": principal_name}, generated={"tenant": str}),
        "events: tenant cannot be in bound and in generated: a bound column is never seen or sent.",
    ),
    (
        event(bound={"tenant": principal_name}, hidden=("tenant",)),
        "events: tenant cannot be in bound and in hidden: a bound column is never seen or sent.",
    ),
    (event(hidden=("day",)), "events: hidden names day, but key columns are in every address."),
    (event(read_only=("day",)), "events: read_only names day, but nothing else sets these key columns."),
    (
        event(hidden=("kind",), allow_filtering=("kind",)),
        "events: kind cannot be in hidden and in allow_filtering.",
    ),
    (event(hidden=("kind",), read_only=("kind",)), "events: kind cannot be in hidden and in read_only."),
    (
        event(writes="conditional", version="kind"),
        "events: version names kind, whose type is text and must be uuid or timeuuid.",
    ),
    (
        event(writes="conditional", version="id"),
        "events: version names id, which must be a column of the row outside of the key.",
    ),
    (event(version="rev"), 'events: version needs writes="conditional": plain writes cannot honour If-Match.'),
    (
        event(writes="conditional", version="rev", hidden=("rev",)),
        "events: rev cannot be in version and in hidden or generated.",
    ),
    (
        event(writes="conditional", require_match=True),
        'events: require_match needs a version column and writes="conditional".',
    ),
    (event(writes="none", batch="logged", ttl=5), 'events: writes="none" rules out ttl, batch.'),
    (
        event(writes="conditional", patch_creates=True),
        'events: patch_creates needs writes="plain": a conditional PATCH changes only rows that exist.',
    ),
    (
        event(writes="conditional", delete_prefix=True),
        'events: delete_prefix needs writes="plain": Cassandra deletes many rows only without a condition.',
    ),
    (
        event(writes="conditional", batch="logged", generated={"kind": str}),
        'events: batch="logged" with writes="conditional" needs a key column of type uuid or timeuuid in generated: '
        'rows whose key the client chooses are written by one condition each, as batch="per_row" does.',
    ),
    (
        event(clustering=(), delete_prefix=True),
        "events: delete_prefix needs clustering columns: without them a partition has one row.",
    ),
    (
        event(consistency=("ANY", "ONE")),
        "events: consistency names ANY; it can name "
        "ALL, EACH_QUORUM, LOCAL_ONE, LOCAL_QUORUM, ONE, QUORUM, THREE, TWO.",
    ),
    (event(delete_counters=True), "events: delete_counters is for tables of counters, and Event has none."),
    (hits(clustering=()), "hits: a table of counters cannot have other columns beside the key: day."),
    (hits(writes="conditional"), 'hits: counters need writes="plain" or "none": they take no conditions.'),
    (hits(ttl=5, batch="logged"), "hits: counters can only be incremented, which rules out ttl, batch."),
    (
        row(x=Annotated[int, Index(kind="legacy")]),
        "rows: x: only a storage-attached index can be declared; others are read from the live schema.",
    ),
    (row(x=Annotated[int, Index(), Index()]), "rows: x has the same index twice."),
    (
        row(x=Annotated[int, Index(name="a-b")]),
        "rows: x: the name of an index has letters, digits and underscores, not 'a-b'.",
    ),
    (row(x=Annotated[int, Index(target="values")]), "rows: x: an index on int has no target."),
    (
        row(x=Annotated[set[int], Index(target="keys")]),
        "rows: x: an index on set<int> has no target or target='values'.",
    ),
    (row(x=Annotated[int, Index(similarity="cosine")]), "rows: x: similarity is for vectors, not for int."),
    (row(x=Annotated[Place, Index()]), "rows: x: Cassandra has no indexes on user-defined types that are not frozen."),
    (
        Resource(of(), "rows", partition_key=("id",), hidden="secret"),
        "rows: hidden must be a tuple of names, such as (\"secret\",), not the text 'secret'.",
    ),
    (event(hidden=("kind", "kind")), "events: hidden names kind twice."),
    (event(hidden=(1,)), "events: hidden must be a tuple of names, not (1,)."),
    (
        event(bound={"tenant": "me"}),
        "events: bound must be a mapping of columns to functions, not mappingproxy({'tenant': 'me'}).",
    ),
    (event(writes="sometimes"), "events: writes must be 'plain', 'conditional' or 'none', not 'sometimes'."),
    (event(batch=True), "events: batch must be 'logged', 'per_row' or None, not True."),
    (event(ttl=0), "events: ttl must be an integer from 1 to 630720000 (seconds), not 0."),
    (event(ttl=True), "events: ttl must be an integer from 1 to 630720000 (seconds), not True."),
    (event(require_match=1), "events: require_match must be True or False, not 1."),
    (event(keyspace="my shop"), "events: keyspace must be 1 to 48 letters, digits or underscores, not 'my shop'."),
    (event(check="x"), "events: check must be a function, not 'x'."),
    (event(version=5), "events: version must be the name of a column, not 5."),
    (
        Resource(Event, "my-events", partition_key=("tenant",)),
        "my-events: table_name must be 1 to 222 letters, digits or underscores, not 'my-events'.",
    ),
    (Resource(dict, "rows", partition_key=("id",)), "rows: struct must be a msgspec.Struct class, not <class 'dict'>."),
    *(
        (
            event(path=path),
            "events: path must be one segment of letters, digits or any of -._~, and more than dots or a hyphen, "
            f"not {path!r}.",
        )
        for path in ("/a/b", "/", "", "..", "/-", "/caf\u00e9", "/a%20b", 5)
    ),
]


@pytest.mark.parametrize(("resource", "sentence"), WRONG, ids=[sentence[:60] for _, sentence in WRONG])
def test_mistake_is_found(resource: Resource, sentence: str) -> None:
    problems = problems_of([resource])
    assert sentence in problems
    assert len(problems) == len(set(problems))


def test_annotation_that_cannot_be_read() -> None:
    class Local(msgspec.Struct):
        id: int

    class Odd(msgspec.Struct):
        local: Local

    (problem,) = problems_of([Resource(Odd, "odd", partition_key=("local",))])
    assert problem == "odd: an annotation of Odd cannot be read: name 'Local' is not defined."


def test_field_that_hides_the_module_of_its_annotation() -> None:
    import uuid as number

    class Odd(msgspec.Struct):
        number: number.UUID

    (problem,) = problems_of([Resource(Odd, "odd", partition_key=("number",))])
    assert problem == (
        "odd: an annotation of Odd cannot be read: 'member_descriptor' object has no attribute 'UUID'. "
        "A field has the name that stands there: import the type under another name."
    )


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Size(enum.IntEnum):
    SMALL = 1
    LARGE = 300


class Mixed(enum.Enum):
    ONE = 1
    RED = "red"


class Flags(enum.Flag):
    A = 1
    B = 2


class Checked(msgspec.Struct):
    a: int

    def __post_init__(self) -> None:
        raise ValueError


class Home(msgspec.Struct):
    street: str
    country: str = "FR"


class Indexed(msgspec.Struct):
    street: Annotated[str, Index()]


class Host(msgspec.Struct):
    address: IPv4Address | IPv6Address
    port: Annotated[Decimal, msgspec.Meta(ge=0)]


@dataclasses.dataclass
class Point:
    x: int


class Custom:
    pass


UserId = NewType("UserId", uuid.UUID)


@pytest.mark.parametrize(
    "hint",
    [
        Color,
        Size,
        Color | None,
        Literal["a", "b"],
        Literal["a", None],
        Literal[1, 2] | None,
        Annotated[Color, CQLType("ascii")],
        Annotated[Size, CQLType("smallint")],
        Annotated[Size, CQLType("varint")],
        set[Color],
        dict[Color, Size],
        tuple[Color, int | None],
        UserId,
        Annotated[UserId, CQLType("timeuuid")],
        IPv4Address,
        IPv6Address,
        Annotated[list[IPv4Address | IPv6Address], msgspec.Meta(max_length=3)],
        Annotated[str, "a text that explains"],
        Annotated[str, CQLType("date")],
        Annotated[float, CQLType("decimal")],
        Annotated[Any, CQLType("text")],
        Annotated[bytes, CQLType("'org.example.Strange'")],
        Annotated[list[str], CQLType("set<text>")],
        Annotated[tuple[int, ...], CQLType("list<int>")],
        Annotated[tuple[float, float], CQLType("vector<float, 2>")],
        Annotated[list[tuple[tuple[int, int], str]], CQLType("map<frozen<tuple<int, int>>, text>")],
        Annotated[list[Any], CQLType("tuple<int, text>")],
        msgspec.defstruct("Place", [("street", str), ("city", str | None, None)]),
        msgspec.defstruct("Place", [("street", str), ("city", str | msgspec.UnsetType, msgspec.UNSET)]),
    ],
    ids=str,
)
def test_annotation_that_bodies_are_held_to(hint: Any) -> None:
    assert problems_of([row(x=hint)]) == []


NOT_SET = "{}. Bound the type beside None, as in Annotated[int, ...] | None, and other types by check=."


@pytest.mark.parametrize(
    ("hint", "problem"),
    [
        (Mixed, f"{Mixed!r} has no CQL type: Enums must contain either all str or all int values."),
        (Flags, f"{Flags!r} has no CQL type: Flags is a set of flags, of which no list has all values."),
        (
            Literal["a", 1],
            "typing.Literal['a', 1] has no CQL type: an enumeration lists either texts or integers, and at least one.",
        ),
        (
            Literal["a"] | Literal["b"],
            "a body cannot say which type of Literal | Literal it has: annotate one of them.",
        ),
        (Annotated[Size, CQLType("tinyint")], "300 does not fit tinyint: it must be an integer from -128 to 127."),
        (Annotated[Color, CQLType("date")], "'red' does not fit date: it must be a date like 2024-02-29."),
        (Annotated[Color, CQLType("int")], "a list of texts does not describe int."),
        (Annotated[Size, CQLType("counter")], "a list of integers does not describe counter."),
        (Annotated[Point, CQLType("text")], "Point does not describe text: use str."),
        (Annotated[Custom, CQLType("text")], "Custom does not describe text: use str."),
        (Annotated[object, CQLType("int")], "object does not describe int: use int."),
        (Annotated[int, CQLType("text")], "int does not describe text: use str."),
        (Annotated[int, CQLType("double")], "int does not describe double: use float."),
        (
            Annotated[int | str, CQLType("varint")],
            "a body cannot say which type of int | str it has: annotate one of them.",
        ),
        (Annotated[bytearray, CQLType("blob")], "bytearray does not describe blob: use bytes."),
        (Annotated[datetime.timedelta, CQLType("duration")], "timedelta does not describe duration: use str."),
        (Annotated[list[int], CQLType("list<text>")], "int does not describe text: use str."),
        (Annotated[set[str], CQLType("list<text>")], "set does not describe list<text>: use list[...]."),
        (Annotated[dict[str, str], CQLType("set<text>")], "dict does not describe set<text>: use set[...]."),
        (Annotated[list[str], CQLType("map<text, text>")], "list does not describe map<text, text>: use dict[...]."),
        (
            Annotated[tuple[int], CQLType("tuple<int, int>")],
            "tuple does not describe frozen<tuple<int, int>>: use tuple[...] with its elements.",
        ),
        (
            Annotated[list[Home], CQLType("list<frozen<map<text, text>>>")],
            "Home does not describe frozen<map<text, text>>: use dict[...].",
        ),
        (Annotated[int, CQLType("bigint"), CQLType("int")], "two CQL types are named: leave one."),
        (
            Annotated[datetime.datetime, msgspec.Meta(tz=False)],
            "a timestamp always has a zone, which tz=False forbids.",
        ),
        (Annotated[datetime.time, msgspec.Meta(tz=True)], "a time has no zone, which tz=True asks for."),
        (Annotated[Decimal, msgspec.Meta(ge=0)], NOT_SET.format("Can only set ge on a numeric type")),
        (Annotated[int | None, msgspec.Meta(ge=0)], NOT_SET.format("Can only set ge on a numeric type")),
        (Host, NOT_SET.format("Can only set ge on a numeric type")),
        (
            Annotated[int, Size],
            f"{Size!r} is not read here: Annotated takes msgspec.Meta(...), CQLType(...) and Index(...).",
        ),
        (
            Annotated[int, Index],
            f"{Index!r} is not read here: Annotated takes msgspec.Meta(...), CQLType(...) and Index(...).",
        ),
        (
            list[Annotated[str, Index()]],
            "an Index within another type indexes nothing: Annotated[..., Index()] is for the whole column.",
        ),
        (
            Indexed,
            "an Index within another type indexes nothing: Annotated[..., Index()] is for the whole column.",
        ),
        (Home, "country: a default is not used within home: a field that is absent is null."),
        (Checked, "Checked has __post_init__, which is not called for a body: write its rules as check=."),
    ],
)
def test_annotation_that_would_be_ignored(hint: Any, problem: str) -> None:
    assert problems_of([row(x=hint)]) == [f"rows: x: {problem}"]


def test_bounds_of_a_counter() -> None:
    counter = Annotated[int, CQLType("counter"), msgspec.Meta(ge=0)]
    assert problems_of([row(x=counter)]) == ["rows: x: a counter has no bounds: only increments come in."]


def test_default_that_is_not_listed() -> None:
    struct = msgspec.defstruct("Row", [("id", int), ("a", Color, Color.RED), ("b", Literal["x"], "y")])
    sentence = "rows: b: the default is not one of the values that its annotation lists."
    assert problems_of([Resource(struct, "rows", partition_key=("id",))]) == [sentence]


@pytest.mark.parametrize("hint", [Color | None, Literal["red", None]])
def test_key_that_may_be_null(hint: Any) -> None:
    resource = Resource(of(x=hint), "rows", partition_key=("x",))
    assert problems_of([resource]) == ["rows: x is in the key, so it cannot be None or left out."]


@pytest.mark.parametrize("annotation", ["uuid.Uuid", "int |", "int[3]"])
def test_annotation_in_quotes_that_is_wrong(annotation: str) -> None:
    (problem,) = problems_of([row(odd=annotation)])
    assert problem.startswith("rows: an annotation of Row cannot be read: ")


def test_every_mistake_of_every_declaration_is_reported_at_once() -> None:
    resources = [event(ttl=-1), event(path="a", hidden=("x",), read_only=("y",), delete_counters=True), hits(ttl=3)]
    with pytest.raises(ResourceError) as raised:
        check_declarations(resources)
    assert len(raised.value.problems) == 5
    assert str(raised.value).splitlines() == list(raised.value.problems)


def test_mistakes_beside_an_option_of_a_wrong_form_are_reported_too() -> None:
    resource = Resource(of(odd=object), "rows", partition_key="id", clustering=("x",), writes="conditionally")  # type: ignore[arg-type]
    found = problems_of([resource])
    assert [problem.partition(" ")[2].split()[0] for problem in found[:2]] == ["writes", "partition_key"]
    assert found[2].startswith("rows: odd: ")
    assert found[3:] == ["rows: clustering names x, but Row has no such field."]


@pytest.mark.parametrize(
    ("declare", "sentence"),
    [
        (lambda: event(write="none"), "events: Resource has no option write. Did you mean writes?"),
        (lambda: Resource.from_table("t", hiden=("x",)), "t: LiveTable has no option hiden. Did you mean hidden?"),  # type: ignore[call-arg]
        (lambda: Query("/q", "SELECT a FROM t", cached=True), "/q: Query has no option cached."),  # type: ignore[call-arg]
    ],
)
def test_option_that_there_is_not_is_named_with_the_one_that_was_meant(
    declare: Callable[[], object], sentence: str
) -> None:
    with pytest.raises(ResourceError) as error:
        declare()
    assert error.value.problems == (sentence,)


def test_paths_of_the_service_and_of_others_are_taken() -> None:
    assert problems_of([event(path="/health")], {"health"}) == [
        "health: the service has a path of this name of its own. Give another with path=."
    ]
    assert problems_of([event(path="/service")], {"health"}, {"health", "service"}) == [
        "service: the service has a scope of this name of its own. Give another with path=."
    ]
    assert problems_of([event(), hits(path="events")]) == [
        "events: 2 resources have this path. Give another with path=."
    ]
    assert problems_of([event(), event(path="/other")]) == []


def test_plain_and_conditional_writes_cannot_share_a_table() -> None:
    conditional = event(path="/other", writes="conditional")
    assert problems_of([event(), conditional]) == [
        'events: one resource writes="plain" and another writes="conditional" cannot share a table.'
    ]
    assert problems_of([event(writes="none"), conditional]) == []
    assert problems_of([event(keyspace="elsewhere"), conditional]) == []


def test_user_type_has_one_form_in_a_keyspace() -> None:
    other = Resource(of(x=msgspec.defstruct("Place", [("city", str)])), "rows", partition_key=("id",))
    assert problems_of([event(), other]) == ["the user-defined type place is declared with different fields."]
    elsewhere = Resource(other.struct, "rows", partition_key=("id",), keyspace="elsewhere")
    assert problems_of([event(), elsewhere]) == []
