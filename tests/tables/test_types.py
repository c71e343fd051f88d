"""The tree of CQL types: read from CQL text, and made of Python annotations."""

from __future__ import annotations

import datetime
import uuid
from dataclasses import replace
from decimal import Decimal
from ipaddress import IPv4Address, IPv6Address
from typing import Annotated, Any, Optional

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_app.tables.types import (
    NATIVE_TYPES,
    CQLType,
    ListOf,
    MapOf,
    Native,
    SetOf,
    TupleOf,
    UnknownType,
    UserType,
    VectorOf,
    freeze,
    is_frozen,
    is_known,
    parse_type,
    type_of_hint,
)

INT, TEXT, FLOAT = Native("int"), Native("text"), Native("float")
ADDRESS = UserType("address", (("street", TEXT), ("number", INT)))
SELECT, LIKE_INT = UserType("select", (("a", INT),)), UserType("int", (("a", INT),))
MIXED = UserType('Mixed "one"', (("a", INT),))
STRANGE = UserType("strange", (("a", UnknownType("'org.example.Strange'")),))
USER_TYPES = {named.name: named for named in (ADDRESS, MIXED, SELECT, LIKE_INT, STRANGE)}

NATIVE = st.sampled_from(sorted(NATIVE_TYPES)).map(Native)
INSIDE = st.one_of(NATIVE, st.sampled_from([ADDRESS, MIXED, SELECT, LIKE_INT]))


def containers(types: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    inside = types.map(freeze)
    return st.one_of(
        st.builds(ListOf, inside),
        st.builds(SetOf, inside),
        st.builds(MapOf, inside, inside),
        st.lists(inside, min_size=1, max_size=3).map(tuple).map(TupleOf),
        st.builds(VectorOf, types, st.integers(1, 8192)),
    )


ANY_TYPE = st.recursive(INSIDE, containers, max_leaves=6)


@given(ANY_TYPE, st.booleans())
def test_a_type_is_what_its_text_says(cql_type: Any, frozen: bool) -> None:
    expected = freeze(cql_type) if frozen else cql_type
    assert parse_type(str(expected), USER_TYPES) == expected
    assert is_frozen(parse_type(str(freeze(cql_type)), USER_TYPES))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("varchar", TEXT),
        ("MAP< Text,INT >", MapOf(TEXT, INT)),
        ("list<list<int>>", ListOf(ListOf(INT, frozen=True))),
        ("frozen<map<text, set<address>>>", MapOf(TEXT, SetOf(freeze(ADDRESS), frozen=True), frozen=True)),
        ("tuple<int, list<text>>", TupleOf((INT, ListOf(TEXT, frozen=True)))),
        ("frozen<tuple<int, text>>", TupleOf((INT, TEXT))),
        ("vector<float, 3>", VectorOf(FLOAT, 3)),
        ("vector<list<int>, 2>", VectorOf(ListOf(INT), 2)),
        ("list<vector<frozen<address>, 1>>", ListOf(VectorOf(freeze(ADDRESS), 1))),
        ("frozen<vector<float, 3>>", VectorOf(FLOAT, 3)),
        ('frozen<"Mixed ""one""">', freeze(MIXED)),
        ("Address", ADDRESS),
        ('"address"', ADDRESS),
        ("int", INT),
        ("frozen<int>", freeze(USER_TYPES["int"])),
        ("map<int, frozen<int>>", MapOf(INT, freeze(USER_TYPES["int"]))),
        ("frozen<list<int>>", ListOf(INT, frozen=True)),
    ],
)
def test_texts_of_types(text: str, expected: Any) -> None:
    assert parse_type(text, USER_TYPES) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "'org.apache.cassandra.db.marshal.DateType'",
        "list<'org.apache.cassandra.db.marshal.DateType'>",
        "frozen<strange>",
        "nothing",
        '"Address"',
        "empty",
        "list",
        "list<>",
        "list<int",
        "list<int, int>",
        "list<3>",
        "list<int>>",
        "map<int>",
        "tuple<>",
        "tuple<int, 3>",
        "vector<float>",
        "vector<3, float>",
        "vector<float, 0>",
        "vector<float, 3, 3>",
        "frozen<bigint>",
        "int int",
        "int<text>",
        "address<text>",
        "3",
        ",",
        "int;",
        "list<" * 5000 + "int" + ">" * 5000,
    ],
)
def test_a_text_of_no_known_type(text: str) -> None:
    assert parse_type(text, USER_TYPES) == UnknownType(text)
    assert str(parse_type(text, USER_TYPES)) == text


@given(st.text(alphabet="aint<>,\"' 3frozevcl"))
def test_no_text_is_an_error(text: str) -> None:
    assert str(parse_type(text, USER_TYPES)) is not None


def test_a_user_type_is_frozen_where_the_text_says_so() -> None:
    frozen = {"address": replace(ADDRESS, frozen=True)}
    assert parse_type("address", frozen) == ADDRESS
    assert parse_type("frozen<address>", {"address": ADDRESS}) == replace(ADDRESS, frozen=True)


def test_a_type_with_an_unknown_type_inside_is_not_known() -> None:
    assert not is_known(ListOf(TupleOf((INT, freeze(STRANGE)))))
    assert is_known(MapOf(TEXT, freeze(ADDRESS)))


class Address(msgspec.Struct):
    street: str
    tags: list[str] | None = None


class HomeOffice(msgspec.Struct):
    address: Address
    at: Annotated[int, CQLType("bigint")] = 0


class Own(msgspec.Struct):
    within: list[Own]


ADDRESS_OF_STRUCT = UserType("address", (("street", TEXT), ("tags", ListOf(TEXT, frozen=True))))
HOME_OFFICE = UserType("home_office", (("address", freeze(ADDRESS_OF_STRUCT)), ("at", Native("bigint"))))


@pytest.mark.parametrize(
    ("hint", "expected"),
    [
        (str, "text"),
        (int, "int"),
        (float, "double"),
        (bool, "boolean"),
        (bytes, "blob"),
        (uuid.UUID, "uuid"),
        (datetime.datetime, "timestamp"),
        (datetime.date, "date"),
        (datetime.time, "time"),
        (Decimal, "decimal"),
        (IPv4Address, "inet"),
        (IPv6Address, "inet"),
        (IPv4Address | IPv6Address | None, "inet"),
        (Optional[int], "int"),  # noqa: UP045
        (int | None | msgspec.UnsetType, "int"),
        (Annotated[str, msgspec.Meta(max_length=3)], "text"),
        (Annotated[int, CQLType("bigint")] | None, "bigint"),
        (Annotated[int | None, CQLType("varint")], "varint"),
        (Annotated[bytes, CQLType("'org.example.Strange'")], "'org.example.Strange'"),
        (list[str], "list<text>"),
        (set[int], "set<int>"),
        (frozenset[int], "set<int>"),
        (dict[str, list[int]], "map<text, frozen<list<int>>>"),
        (list[Annotated[int, CQLType("tinyint")]], "list<tinyint>"),
        (tuple[int, set[str]], "frozen<tuple<int, frozen<set<text>>>>"),
        (Annotated[list[float], CQLType("vector<float, 3>")], "vector<float, 3>"),
        (Annotated[list[int], CQLType("frozen<list<int>>")], "frozen<list<int>>"),
        (dict[Address, int], "map<frozen<address>, int>"),
        (Annotated[dict[str, Address], CQLType("frozen<map<ascii, address>>")], "frozen<map<ascii, frozen<address>>>"),
    ],
)
def test_annotations(hint: Any, expected: str) -> None:
    assert str(type_of_hint(hint)) == expected


@pytest.mark.parametrize(
    ("hint", "expected"),
    [
        (Address, ADDRESS_OF_STRUCT),
        (Address | None, ADDRESS_OF_STRUCT),
        (HomeOffice, HOME_OFFICE),
        (Annotated[Address, CQLType("frozen<address>")], freeze(ADDRESS_OF_STRUCT)),
        (Annotated[Address | None, CQLType('"Place"')], UserType("Place", ADDRESS_OF_STRUCT.fields)),
        (Annotated[Address, CQLType("Frozen<PLACE>")], UserType("place", ADDRESS_OF_STRUCT.fields, frozen=True)),
        (list[Annotated[Address, CQLType("place")]], ListOf(UserType("place", ADDRESS_OF_STRUCT.fields, frozen=True))),
    ],
)
def test_structs_are_user_types(hint: Any, expected: Any) -> None:
    assert type_of_hint(hint) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [("Address", "address"), ("HomeOffice", "home_office"), ("HTTPLine2", "http_line2"), ("a_b", "a_b")],
)
def test_the_name_of_a_user_type(name: str, expected: str) -> None:
    assert str(type_of_hint(msgspec.defstruct(name, [("a", int)]))) == expected


@pytest.mark.parametrize(
    "hint",
    [
        complex,
        object,
        Any,
        None,
        list,
        tuple,
        tuple[int, ...],
        tuple[()],
        dict[str, complex],
        dict[int],  # type: ignore[type-arg]
        int | str,
        Own,
        Annotated[int, CQLType("bigit")],
        Annotated[int, CQLType("list<")],
        Annotated[Address, CQLType("list<")],
        Annotated[Address, CQLType("")],
        Annotated[list[Address], CQLType("list<frozen<other>>")],
    ],
)
def test_an_annotation_without_a_cql_type(hint: Any) -> None:
    with pytest.raises(TypeError, match="CQL"):
        type_of_hint(hint)
