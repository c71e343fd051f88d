"""The tree of CQL types that declarations, DDL, decoding of requests and documents share.

`str(type)` is the type as CQL writes it, and as `system_schema.columns` has it. `parse_type` reads such a text, and
`type_of_hint` makes the type of a Python annotation.
"""

from __future__ import annotations

import datetime
import enum
import re
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from ipaddress import IPv4Address, IPv6Address
from types import MappingProxyType, NoneType, UnionType
from typing import Annotated, Any, Literal, NewType, Union, get_args, get_origin, get_type_hints

import msgspec

from asgi_app.tables.annotations import choices_of, described_type, reason_of

_NATIVE_NAMES = (
    "ascii bigint blob boolean counter date decimal double duration float inet int smallint text time timestamp "
    "timeuuid tinyint uuid varint"
)
NATIVE_TYPES = frozenset(_NATIVE_NAMES.split())
"""The types without parameters. CQL's `varchar` is `text`."""

_RESERVED = (
    "add allow alter and apply asc authorize batch begin by columnfamily create default delete desc describe drop "
    "entries execute from full grant if in index infinity insert into is keyspace limit materialized mbean mbeans "
    "modify nan norecursive not null of on or order primary rename replace revoke schema select set table to token "
    "truncate unlogged unset update use using view where with"
)
RESERVED_WORDS = frozenset(_RESERVED.split())
"""The words in Cassandra's class `ReservedKeywords`."""

_QUOTED_NAMES = RESERVED_WORDS | NATIVE_TYPES
"""Names that CQL reads as something else unless they are in quotes."""

_PLAIN_NAME = re.compile(r"[a-z][a-z0-9_]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Native:
    """A type without parameters, such as `int`."""

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class ListOf:
    """`list<element>`."""

    element: CqlType
    frozen: bool = False

    def __str__(self) -> str:
        return _written(f"list<{self.element}>", self.frozen)


@dataclass(frozen=True, slots=True)
class SetOf:
    """`set<element>`."""

    element: CqlType
    frozen: bool = False

    def __str__(self) -> str:
        return _written(f"set<{self.element}>", self.frozen)


@dataclass(frozen=True, slots=True)
class MapOf:
    """`map<key, value>`."""

    key: CqlType
    value: CqlType
    frozen: bool = False

    def __str__(self) -> str:
        return _written(f"map<{self.key}, {self.value}>", self.frozen)


@dataclass(frozen=True, slots=True)
class TupleOf:
    """`tuple<…>`. It is always frozen."""

    elements: tuple[CqlType, ...]

    def __str__(self) -> str:
        return f"frozen<tuple<{', '.join(map(str, self.elements))}>>"


@dataclass(frozen=True, slots=True)
class VectorOf:
    """`vector<element, size>`. It is always frozen, and CQL does not write so."""

    element: CqlType
    size: int

    def __str__(self) -> str:
        return f"vector<{self.element}, {self.size}>"


@dataclass(frozen=True, slots=True)
class UserType:
    """A user-defined type (UDT) of the table's keyspace: its name without quotes, and its fields in order."""

    name: str
    fields: tuple[tuple[str, CqlType], ...]
    frozen: bool = False

    def __str__(self) -> str:
        plain = _PLAIN_NAME.fullmatch(self.name) and self.name not in _QUOTED_NAMES
        name = self.name if plain else '"' + self.name.replace('"', '""') + '"'
        return _written(name, self.frozen)


@dataclass(frozen=True, slots=True)
class UnknownType:
    """A type that this service does not know, as text: its columns are served read-only."""

    text: str

    def __str__(self) -> str:
        return self.text


CqlType = Native | ListOf | SetOf | MapOf | TupleOf | VectorOf | UserType | UnknownType


def without_quotes(text: str) -> str:
    """Return the text of a type without the quotes of names. Cassandra leaves them out where CQL needs them."""
    return text.replace('"', "")


def is_frozen(cql_type: CqlType) -> bool:
    """Return whether a value of this type can only be replaced as a whole."""
    return not isinstance(cql_type, ListOf | SetOf | MapOf | UserType) or cql_type.frozen


def freeze(cql_type: CqlType) -> CqlType:
    """Return the type with `frozen<…>` around it, if CQL writes that for this type."""
    if isinstance(cql_type, ListOf | SetOf | MapOf | UserType):
        return replace(cql_type, frozen=True)
    return cql_type


def is_known(cql_type: CqlType) -> bool:
    """Return whether this service knows the type and every type inside it, so that it can write values of it."""
    return not isinstance(cql_type, UnknownType) and all(map(is_known, types_inside(cql_type)))


def types_inside(cql_type: CqlType) -> Sequence[CqlType]:
    """Return the types of the elements, keys and values, or fields of a type, in order."""
    match cql_type:
        case ListOf(element) | SetOf(element) | VectorOf(element):
            return (element,)
        case MapOf(key, value):
            return (key, value)
        case TupleOf(elements):
            return elements
        case UserType():
            return tuple(field_type for _, field_type in cql_type.fields)
        case _:
            return ()


def _written(text: str, frozen: bool) -> str:
    return f"frozen<{text}>" if frozen else text


# --- types as text

_NO_USER_TYPES: Mapping[str, UserType] = MappingProxyType({})
_TOKEN = re.compile(r'\s*(?:([A-Za-z]\w*)|"((?:[^"]|"")+)"|([0-9]+)|([<>,]))', re.ASCII)
_ALIASES: Mapping[str, str] = MappingProxyType({"varchar": "text"})


def parse_type(text: str, user_types: Mapping[str, UserType] = _NO_USER_TYPES) -> CqlType:
    """Return the type that a CQL text names, such as `map<text, frozen<list<int>>>`. Never raises.

    `user_types` are the user-defined types of the keyspace by their names without quotes. Types inside collections and
    tuples are frozen, whether the text says so or not. Those inside vectors are what the text says: both are legal, and
    Cassandra keeps the difference. A text that names a type that is
    not known here, also inside of another type, is an `UnknownType`: a quoted Java class, or a name of nothing.

    Cassandra writes the name of a user type that is called like one of its own without quotes. `frozen<text>` can only
    be that user type. `text` alone is the native one here; see `may_be_user_type`.
    """
    try:
        found = _Parser(text, user_types).parse()
    except (ValueError, RecursionError):
        return UnknownType(text)
    return found if is_known(found) else UnknownType(text)


def may_be_user_type(found: CqlType, user_types: Collection[str]) -> bool:
    """Return whether the text of a column's type, which was read as `found`, may as well name one of the user types."""
    match found:
        case Native(name):
            return name in user_types
        case VectorOf(element):
            return may_be_user_type(element, user_types)
    return False


class _Parser:
    """Reads one text by recursive descent. Raises ValueError for a text that is not a known type."""

    def __init__(self, text: str, user_types: Mapping[str, UserType]) -> None:
        self._tokens = list(_tokens(text))
        self._user_types = user_types

    def parse(self) -> CqlType:
        found = self._type()
        if self._tokens:
            raise ValueError("text after the type")
        return found

    def _type(self, *, is_frozen: bool = False) -> CqlType:
        kind, name = self._next()
        if kind == "quoted":
            return self._user_type(name)
        if kind != "name":
            raise ValueError("not a name of a type")
        if self._tokens[:1] == [("sign", "<")]:
            return self._parametrized(name.lower())
        name = _ALIASES.get(name.lower(), name.lower())
        is_native = name in NATIVE_TYPES and not (is_frozen and name in self._user_types)
        return Native(name) if is_native else self._user_type(name)

    def _user_type(self, name: str) -> UserType:
        if name not in self._user_types:
            raise ValueError("no such user type")
        return replace(self._user_types[name], frozen=False)

    def _parametrized(self, name: str) -> CqlType:
        self._expect("<")
        inside: list[CqlType | int] = [self._parameter(is_frozen=name == "frozen")]
        while (sign := self._next()) == ("sign", ","):
            inside.append(self._parameter())
        if sign != ("sign", ">") or name not in _PARAMETRIZED:
            raise ValueError("not a type with parameters")
        return _PARAMETRIZED[name](inside)

    def _parameter(self, *, is_frozen: bool = False) -> CqlType | int:
        if self._tokens and self._tokens[0][0] == "number":
            return int(self._next()[1])
        return self._type(is_frozen=is_frozen)

    def _expect(self, sign: str) -> None:
        if self._next() != ("sign", sign):
            raise ValueError(f"no {sign}")

    def _next(self) -> tuple[str, str]:
        if not self._tokens:
            raise ValueError("the text ends too early")
        return self._tokens.pop(0)


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    """Yield each token with its kind: `name`, `quoted` (without its quotes), `number` or `sign`."""
    at, text = 0, text.rstrip()
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise ValueError("not a token of a type")
        kind = ("name", "quoted", "number", "sign")[(found.lastindex or 1) - 1]
        yield kind, found[found.lastindex or 1].replace('""', '"')
        at = found.end()


def _only_types(parameters: Sequence[CqlType | int], count: int) -> list[CqlType]:
    types = [parameter for parameter in parameters if not isinstance(parameter, int)]
    if len(types) != len(parameters) or len(types) != count:
        raise ValueError("wrong parameters of a type")
    return types


def _list_of(parameters: Sequence[CqlType | int]) -> ListOf:
    (element,) = _only_types(parameters, 1)
    return ListOf(freeze(element))


def _set_of(parameters: Sequence[CqlType | int]) -> SetOf:
    (element,) = _only_types(parameters, 1)
    return SetOf(freeze(element))


def _map_of(parameters: Sequence[CqlType | int]) -> MapOf:
    key, value = _only_types(parameters, 2)
    return MapOf(freeze(key), freeze(value))


def _tuple_of(parameters: Sequence[CqlType | int]) -> TupleOf:
    return TupleOf(tuple(map(freeze, _only_types(parameters, len(parameters)))))


def _vector_of(parameters: Sequence[CqlType | int]) -> VectorOf:
    element, size = parameters
    if isinstance(element, int) or not isinstance(size, int) or size < 1:
        raise ValueError("wrong parameters of a vector")
    return VectorOf(element, size)


def _frozen(parameters: Sequence[CqlType | int]) -> CqlType:
    (inside,) = _only_types(parameters, 1)
    if isinstance(inside, Native):
        raise ValueError("CQL has no frozen types without parameters")
    return freeze(inside)


_PARAMETRIZED: Mapping[str, Callable[[Sequence[CqlType | int]], CqlType]] = MappingProxyType(
    {
        "frozen": _frozen,
        "list": _list_of,
        "map": _map_of,
        "set": _set_of,
        "tuple": _tuple_of,
        "vector": _vector_of,
    }
)


# --- types of Python annotations

_NATIVE_OF_HINT: Mapping[Any, str] = MappingProxyType(
    {
        bool: "boolean",
        bytes: "blob",
        datetime.date: "date",
        datetime.datetime: "timestamp",
        datetime.time: "time",
        Decimal: "decimal",
        float: "double",
        int: "int",
        IPv4Address: "inet",
        IPv6Address: "inet",
        str: "text",
        uuid.UUID: "uuid",
    }
)

_CONTAINERS: Mapping[Any, str] = MappingProxyType(
    {dict: "map", frozenset: "set", list: "list", set: "set", tuple: "tuple"}
)


@dataclass(frozen=True, slots=True)
class CQLType:
    """Overrides a column's CQL type: `Annotated[int, CQLType("bigint")]` is a `bigint`, a plain `int` an `int`.

    `name` is any CQL text. A user-defined type in it is one of the structs in the annotation: its name here, or the
    struct's name in snake_case. A type that is known already stands for itself.
    """

    name: str | CqlType


def type_of_hint(hint: Any) -> CqlType:
    """Return the CQL type of a Python annotation; `T | None` has the type of `T`.

    A `msgspec.Struct` is a user-defined type, named by the class in snake_case. An `enum.Enum` or a `Literal` has the
    type of its values, texts or integers. `Annotated[…, CQLType(…)]` names another type. Types inside of others are
    frozen. Raises TypeError for an annotation without a CQL type.
    """
    return _type_of_hint(hint, ())


def _type_of_hint(hint: Any, within: tuple[type, ...]) -> CqlType:
    """Return the type of an annotation; `within` are the structs that contain it."""
    if get_origin(hint) is Annotated:
        inner, *extras = get_args(hint)
        overrides = [extra.name for extra in extras if isinstance(extra, CQLType)]
        return _overridden(inner, overrides[0], within) if overrides else _type_of_hint(inner, within)
    if isinstance(hint, NewType):
        return _type_of_hint(hint.__supertype__, within)
    if get_origin(hint) in (Union, UnionType):
        return _type_of_union(hint, within)
    if get_origin(hint) is Literal or (isinstance(hint, type) and issubclass(hint, enum.Enum)):
        return _type_of_choices(hint)
    if get_origin(hint) in _CONTAINERS:
        return _type_of_container(hint, within)
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return _type_of_struct(hint, _snake_case(hint.__name__), within)
    try:
        return Native(_NATIVE_OF_HINT[hint])
    except (KeyError, TypeError):
        raise TypeError(_no_type(hint)) from None


def _no_type(hint: Any) -> str:
    return f"{hint!r} has no CQL type: name one with Annotated[..., CQLType('...')]"


def _type_of_union(hint: Any, within: tuple[type, ...]) -> CqlType:
    members = [member for member in get_args(hint) if member not in (NoneType, msgspec.UnsetType)]
    types = [_type_of_hint(member, within) for member in members]
    if not types or any(other != types[0] for other in types):
        raise TypeError(_no_type(hint))
    return types[0]


def _type_of_choices(hint: Any) -> CqlType:
    try:
        choices = choices_of(described_type(hint)) or ()
    except TypeError as error:
        raise TypeError(f"{hint!r} has no CQL type: {reason_of(error)}") from None
    return Native("text" if isinstance(choices[0], str) else "int")


def _type_of_container(hint: Any, within: tuple[type, ...]) -> CqlType:
    if Ellipsis in get_args(hint) or not get_args(hint):
        raise TypeError(f"{hint!r} has no CQL type: a CQL tuple has a fixed length; use list[...] for any length")
    inside = [_type_of_hint(member, within) for member in get_args(hint)]
    try:
        return _PARAMETRIZED[_CONTAINERS[get_origin(hint)]](inside)
    except ValueError:
        raise TypeError(_no_type(hint)) from None


def _type_of_struct(struct: type[msgspec.Struct], name: str, within: tuple[type, ...]) -> UserType:
    if struct in within:
        raise TypeError(f"{struct!r} has no CQL type: a user-defined type cannot contain itself")
    hints = get_type_hints(struct, include_extras=True)
    fields = [
        (encoded, freeze(_type_of_hint(hints[field], (*within, struct))))
        for field, encoded in zip(struct.__struct_fields__, struct.__struct_encode_fields__, strict=True)
    ]
    return UserType(name, tuple(fields))


def _overridden(hint: Any, text: str | CqlType, within: tuple[type, ...]) -> CqlType:
    """Return the type that `text` names, or is. Of a struct a text renames the user type."""
    if not isinstance(text, str):
        return text
    direct = _struct_of(hint)
    if direct is None:
        user_types = dict(_user_types_in(hint, within))
    else:
        name = _user_type_name(text)
        user_types = {name: _type_of_struct(direct, name, within)}
    found = parse_type(text, user_types)
    if isinstance(found, UnknownType) and not text.strip().startswith("'"):
        raise TypeError(f"{text!r} is not a CQL type, or names a user-defined type that is no struct in {hint!r}")
    return found


def _struct_of(hint: Any) -> type[msgspec.Struct] | None:
    """Return the struct that `hint` is, or is beside None."""
    members = [hint]
    if get_origin(hint) in (Union, UnionType):
        members = [member for member in get_args(hint) if member not in (NoneType, msgspec.UnsetType)]
    if len(members) == 1 and isinstance(members[0], type) and issubclass(members[0], msgspec.Struct):
        return members[0]
    return None


def _user_type_name(text: str) -> str:
    """Return the name of the user type in `address`, `frozen<address>` or `"Address"`; "" if there is none."""
    found = re.fullmatch(r"\s*(?:frozen\s*<\s*([^<>]*?)\s*>|([^<>]*?))\s*", text, re.IGNORECASE)
    name = (found[1] or found[2] or "") if found else ""
    return name[1:-1].replace('""', '"') if name.startswith('"') else name.lower()


def _user_types_in(hint: Any, within: tuple[type, ...]) -> Iterator[tuple[str, UserType]]:
    """Yield the user types of the structs in an annotation, by name."""
    found = _user_type_of(hint, within)
    if found is not None:
        yield found.name, found
        return
    for member in get_args(hint):
        yield from _user_types_in(member, within)


def _user_type_of(hint: Any, within: tuple[type, ...]) -> UserType | None:
    inner = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    if _struct_of(inner) is None:
        return None
    found = _type_of_hint(hint, within)
    return found if isinstance(found, UserType) else None


def _snake_case(name: str) -> str:
    """Return a class's name as Python writes names of variables: `HTTPAddress2Line` is `http_address2_line`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
