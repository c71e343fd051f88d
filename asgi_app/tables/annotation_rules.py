"""Rules for the annotations of a declared table: each must say what bodies are held to, or it would be ignored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import inspect

from asgi_app.tables.annotations import (
    ADDRESSES,
    EitherAddress,
    choices_of,
    described_type,
    reason_of,
    types_beside_none,
)
from asgi_app.tables.declared import COUNTER, Declared
from asgi_app.tables.encoding import WrongValue, encoder_of
from asgi_app.tables.table import Index
from asgi_app.tables.types import (
    CQLType,
    CqlType,
    ListOf,
    MapOf,
    Native,
    SetOf,
    TupleOf,
    UnknownType,
    UserType,
    VectorOf,
)


def ignored_annotations(declared: Declared) -> Iterator[str]:
    """Yield the annotations of columns that would be accepted and then ignored."""
    yield from _hooks(declared.resource.struct)
    for column, cql_type in declared.types.items():
        hint = declared.hints[column]
        yield from (f"{column}: {problem}" for problem in (*_extras(hint), *_misfits(cql_type, hint)))


def _hooks(struct: type[msgspec.Struct]) -> Iterator[str]:
    if hasattr(struct, "__post_init__"):
        yield f"{struct.__name__} has __post_init__, which is not called for a body: write its rules as check=."


# --- what stands beside a type in Annotated


def _extras(hint: Any, *, within: bool = False) -> Iterator[str]:
    """Yield what is beside a type and read by nobody. `within` says whether the annotation is within another type."""
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        yield from _hooks(hint)
        for inner in get_type_hints(hint, include_extras=True).values():
            yield from _extras(inner, within=True)
        return
    if get_origin(hint) is Annotated:
        inner, *extras = get_args(hint)
        yield from _problems_of_extras(extras, within=within)
        yield from _extras(inner, within=within)
        return
    is_union = get_origin(hint) in (Union, UnionType)
    for inner in get_args(hint):
        yield from _extras(inner, within=within or not is_union)


def _problems_of_extras(extras: Sequence[Any], *, within: bool) -> Iterator[str]:
    for extra in extras:
        if not isinstance(extra, msgspec.Meta | CQLType | Index | str):  # a text explains
            yield f"{extra!r} is not read here: Annotated takes msgspec.Meta(...), CQLType(...) and Index(...)."
        if within and isinstance(extra, Index):
            yield "an Index within another type indexes nothing: Annotated[..., Index()] is for the whole column."
    if len([extra for extra in extras if isinstance(extra, CQLType)]) > 1:
        yield "two CQL types are named: leave one."


# --- whether the Python type is what bodies have


def _misfits(cql_type: CqlType, hint: Any) -> Iterator[str]:
    try:
        found = _misfit(cql_type, described_type(hint))
    except TypeError as error:
        found = _refused(error)
    if found is not None:
        yield f"{found}."


def _refused(error: TypeError) -> str:
    """Return why msgspec, or `choices_of`, refuses an annotation, with what to write instead of a bound."""
    reason = reason_of(error)
    if not reason.startswith("Can only set"):
        return reason
    return f"{reason}. Bound the type beside None, as in Annotated[int, ...] | None, and other types by check="


def _misfit(cql_type: CqlType, found: inspect.Type) -> str | None:
    """Return why bodies are not held to a described type; None if they are. Raises TypeError as `choices_of` does."""
    match found:
        case inspect.AnyType():
            return None
        case inspect.Metadata(type=inner):
            return _misfit(cql_type, inner)
        case inspect.UnionType():
            return _misfit_of_union(cql_type, found)
        case inspect.EnumType() | inspect.LiteralType():
            return _misfit_of_choices(cql_type, found)
    match cql_type:
        case UnknownType():
            return None
        case Native(name):
            return _misfit_of_plain(name, found)
        case UserType():
            return _misfit_of_fields(cql_type, found)
        case TupleOf(elements):
            return _misfit_of_tuple(cql_type, elements, found)
        case MapOf():
            return _misfit_of_map(cql_type, found)
        case ListOf(element) | SetOf(element) | VectorOf(element):
            return _misfit_of_array(cql_type, element, found)


def _misfit_of_union(cql_type: CqlType, union: inspect.UnionType) -> str | None:
    members = types_beside_none(union)
    if len(members) == 1:
        return _misfit(cql_type, members[0])
    return f"a body cannot say which type of {' | '.join(map(_name_of, members))} it has: annotate one of them"


def _misfit_of_choices(cql_type: CqlType, found: inspect.Type) -> str | None:
    choices = choices_of(found) or ()
    plain = inspect.StrType() if isinstance(choices[0], str) else inspect.IntType()
    if cql_type == COUNTER or (misfit := _misfit(cql_type, plain)) is not None:
        return f"a list of {'texts' if isinstance(choices[0], str) else 'integers'} does not describe {cql_type}"
    for choice in choices:
        try:
            encoder_of(cql_type).from_json(choice)
        except WrongValue as error:
            return f"{choice!r} does not fit {cql_type}: it {error.message}"
    return misfit


_JSON_TEXTS = "ascii blob date decimal duration inet text time timestamp timeuuid uuid varint"
_TEXTS = frozenset(_JSON_TEXTS.split())
"""The types whose JSON form is a text, or may be one."""

_NATIVES: Mapping[type[inspect.Type], frozenset[str]] = MappingProxyType(
    {
        inspect.BoolType: frozenset(("boolean",)),
        inspect.BytesType: frozenset(("blob",)),
        inspect.DateTimeType: frozenset(("timestamp",)),
        inspect.DateType: frozenset(("date",)),
        inspect.DecimalType: frozenset(("decimal",)),
        inspect.FloatType: frozenset(("decimal", "double", "float")),
        inspect.IntType: frozenset(("bigint", "counter", "int", "smallint", "tinyint", "varint")),
        inspect.StrType: _TEXTS,
        inspect.TimeType: frozenset(("time",)),
        inspect.UUIDType: frozenset(("timeuuid", "uuid")),
    }
)
"""The CQL types whose values each described type is right for."""

_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "blob": "bytes",
        "boolean": "bool",
        "date": "datetime.date",
        "decimal": "decimal.Decimal",
        "double": "float",
        "float": "float",
        "inet": "IPv4Address | IPv6Address",
        "time": "datetime.time",
        "timestamp": "datetime.datetime",
        "timeuuid": "uuid.UUID",
        "uuid": "uuid.UUID",
        **dict.fromkeys(("ascii", "duration", "text"), "str"),
        **dict.fromkeys(("bigint", "counter", "int", "smallint", "tinyint", "varint"), "int"),
    }
)
"""The annotation for each native type."""


def _misfit_of_plain(name: str, found: inspect.Type) -> str | None:
    if isinstance(found, inspect.CustomType) and found.cls in (*ADDRESSES, EitherAddress) and name == "inet":
        return None
    if name not in _NATIVES.get(type(found), ()):
        return f"{_name_of(found)} does not describe {name}: use {_WORDS[name]}"
    if isinstance(found, inspect.DateTimeType) and found.tz is False:
        return "a timestamp always has a zone, which tz=False forbids"
    if isinstance(found, inspect.TimeType) and found.tz is True:
        return "a time has no zone, which tz=True asks for"
    if name == "counter" and found != inspect.IntType():
        return "a counter has no bounds: only increments come in"
    return None


def _misfit_of_fields(user_type: UserType, found: inspect.Type) -> str | None:
    types = dict(user_type.fields)
    if not isinstance(found, inspect.StructType) or {field.encode_name for field in found.fields} != types.keys():
        return f"{_name_of(found)} does not describe {user_type}: use a msgspec.Struct with its fields"
    for field in found.fields:
        if (misfit := _misfit(types[field.encode_name], field.type)) is not None:
            return f"{field.encode_name}: {misfit}"
        if (
            field.default not in (msgspec.NODEFAULT, msgspec.UNSET, None)
            or field.default_factory is not msgspec.NODEFAULT
        ):
            return f"{field.encode_name}: a default is not used within {user_type}: a field that is absent is null"
    return None


def _misfit_of_tuple(cql_type: CqlType, elements: Sequence[CqlType], found: inspect.Type) -> str | None:
    if isinstance(found, inspect.ListType) and isinstance(found.item_type, inspect.AnyType):
        return None
    if not isinstance(found, inspect.TupleType) or len(found.item_types) != len(elements):
        return f"{_name_of(found)} does not describe {cql_type}: use tuple[...] with its elements"
    return _first(map(_misfit, elements, found.item_types))


def _misfit_of_map(cql_type: MapOf, found: inspect.Type) -> str | None:
    if isinstance(found, inspect.DictType):
        return _misfit(cql_type.key, found.key_type) or _misfit(cql_type.value, found.value_type)
    if isinstance(found, inspect.ListType) and not isinstance(cql_type.key, Native):  # in JSON it is an array of pairs
        return _misfit(TupleOf((cql_type.key, cql_type.value)), found.item_type)
    return f"{_name_of(found)} does not describe {cql_type}: use dict[...]"


def _misfit_of_array(cql_type: ListOf | SetOf | VectorOf, element: CqlType, found: inspect.Type) -> str | None:
    match found:
        case inspect.ListType(item_type=item) | inspect.VarTupleType(item_type=item):
            return _misfit(element, item)
        case inspect.SetType(item_type=item) | inspect.FrozenSetType(item_type=item) if isinstance(cql_type, SetOf):
            return _misfit(element, item)
        case inspect.TupleType(item_types=items) if isinstance(cql_type, VectorOf) and len(items) == cql_type.size:
            return _first(_misfit(element, item) for item in items)
    word = "set" if isinstance(cql_type, SetOf) else "list"
    return f"{_name_of(found)} does not describe {cql_type}: use {word}[...]"


def _first(misfits: Iterator[str | None]) -> str | None:
    return next((misfit for misfit in misfits if misfit is not None), None)


def _name_of(found: inspect.Type) -> str:
    """Return a described type as Python names it: `int`, `Literal`, or the name of a class."""
    if isinstance(found, inspect.LiteralType):
        return "Literal"
    of_class = getattr(found, "cls", None)
    return type(found).__name__.removesuffix("Type").lower() if of_class is None else of_class.__name__
