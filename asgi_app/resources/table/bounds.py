"""Check decoded JSON against what the annotations of a struct's fields say beyond the types of the columns.

The encoder of a column checks its type before. What is checked here: the numbers, lengths and patterns of
`msgspec.Meta`, and the values that an `Enum` or a `Literal` lists, also within collections; within user types also
which fields are required and which may be null.
"""

from __future__ import annotations

import ipaddress
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import inspect

from asgi_app.errors import FieldError
from asgi_app.http.validation import explain
from asgi_app.tables.annotations import ADDRESSES, accepts_null, choices_of, types_beside_none
from asgi_app.tables.encoding import pointer_token

Bounds = Callable[[Any, str], Iterator[FieldError]]
"""Takes a value and its JSON pointer, and yields what is wrong with it."""


def bounds_of(described: inspect.Type, *, of_members: bool = False) -> Bounds | None:
    """Return the check of the bounds of a type that `described_type` returned; None for a type without bounds.

    With `of_members`, it is the check of what is added to a value: without the bounds of a collection's length, and
    without the fields of a user type that a whole value must have.
    """
    match described:
        case inspect.Metadata(type=inner, extra_json_schema=extra):
            return _explained(bounds_of(inner, of_members=of_members), (extra or {}).get("description", ""))
        case inspect.UnionType():
            members = types_beside_none(described)
            return bounds_of(members[0], of_members=of_members) if len(members) == 1 else None
        case inspect.StrType():
            return _of_value(described, str, str, ("min_length", "max_length", "pattern"))
        case inspect.IntType():
            return _of_value(described, int, int, _NUMBER)
        case inspect.FloatType():
            return _of_value(described, float, float, _NUMBER)
        case inspect.EnumType() | inspect.LiteralType():
            return _of_choices(choices_of(described) or ())
        case inspect.CustomType(cls=kind) if kind in ADDRESSES:
            return _of_address(kind)
        case inspect.BytesType():
            return _of_length(described, lambda text: len(text) // 2 - 1, "bytes")  # "0x" and two digits a byte
        case inspect.ListType() | inspect.SetType() | inspect.FrozenSetType() | inspect.VarTupleType():
            is_set = isinstance(described, inspect.SetType | inspect.FrozenSetType)
            length = None if of_members else _of_length(described, _different if is_set else len, "members")
            return _both(length, _of_items(bounds_of(described.item_type)))
        case inspect.TupleType(item_types=items):
            return _of_tuple([bounds_of(item) for item in items])
        case inspect.DictType(key_type=key, value_type=value):
            length = None if of_members else _of_length(described, len, "members")
            return _both(length, _of_entries(bounds_of(key), bounds_of(value)))
        case inspect.StructType(fields=fields):
            return _of_fields(fields, of_members)
    return None


_NUMBER = ("gt", "ge", "lt", "le", "multiple_of")


def _explained(check: Bounds | None, description: str) -> Bounds | None:
    """Return the check with its own message, if the description of the type is one: a predicate that begins so."""
    if check is None or not description.startswith("must "):
        return check

    def explained(value: Any, pointer: str) -> Iterator[FieldError]:
        if any(check(value, pointer)):
            yield FieldError(pointer, description)

    return explained


def _of_value(described: Any, plain: type, convert: Callable[[Any], Any], names: Sequence[str]) -> Bounds | None:
    """Return the check of a text or number by msgspec. `convert` makes JSON's other forms of a number one."""
    bounds = {name: bound for name in names if (bound := getattr(described, name)) is not None}
    if not bounds:
        return None
    bounded: Any = Annotated[plain, msgspec.Meta(**bounds)]

    def check(value: Any, pointer: str) -> Iterator[FieldError]:
        try:
            msgspec.convert(convert(value), bounded)
        except msgspec.ValidationError as error:
            yield FieldError(pointer, explain(error))

    return check


_MOST_NAMED = 20
"""A longer list of values is not written into the sentence of an error, but only beside it."""


def _of_choices(choices: Sequence[str] | Sequence[int]) -> Bounds:
    """Return the check that a value is one of some texts or integers. An integer may be text of its digits."""
    allowed, usable = frozenset(choices), tuple(map(str, choices))
    convert = type(choices[0])
    listed = ", ".join(usable) if len(usable) <= _MOST_NAMED else f"{len(usable)} values"

    def check(value: Any, pointer: str) -> Iterator[FieldError]:
        if convert(value) not in allowed:
            yield FieldError(pointer, f"must be one of {listed}", usable=usable)

    return check


def _of_address(kind: type) -> Bounds:
    def check(value: Any, pointer: str) -> Iterator[FieldError]:
        if not isinstance(ipaddress.ip_address(value), kind):
            yield FieldError(pointer, f"must be an {kind.__name__.removesuffix('Address')} address")

    return check


def _of_length(described: Any, length_of: Callable[[Any], int], things: str) -> Bounds | None:
    least, most = described.min_length, described.max_length
    wrong = [
        (limit, fails, f"must have at {word} {limit} {things}")
        for limit, fails, word in ((least, operator.lt, "least"), (most, operator.gt, "most"))
        if limit is not None
    ]

    def check(value: Any, pointer: str) -> Iterator[FieldError]:
        length = length_of(value)
        yield from (FieldError(pointer, message) for limit, fails, message in wrong if fails(length, limit))

    return check if wrong else None


def _different(members: Iterable[Any]) -> int:
    """Return how many members a set will have: those that are sent twice count once."""
    return len(set(map(msgspec.json.encode, members)))


def _both(first: Bounds | None, second: Bounds | None) -> Bounds | None:
    if first is None or second is None:
        return first or second

    def check(value: Any, pointer: str) -> Iterator[FieldError]:
        yield from first(value, pointer)
        yield from second(value, pointer)

    return check


def _of_items(item: Bounds | None) -> Bounds | None:
    if item is None:
        return None

    def check(value: Any, pointer: str) -> Iterator[FieldError]:
        for index, member in enumerate(value):
            yield from item(member, f"{pointer}/{index}")

    return check


def _of_tuple(items: Sequence[Bounds | None]) -> Bounds | None:
    def check(value: Any, pointer: str) -> Iterator[FieldError]:
        for index, (item, member) in enumerate(zip(items, value, strict=False)):
            if item is not None and member is not None:
                yield from item(member, f"{pointer}/{index}")

    return check if any(items) else None


def _of_entries(key: Bounds | None, value: Bounds | None) -> Bounds | None:
    def check(given: Any, pointer: str) -> Iterator[FieldError]:
        for key_place, name, value_place, member in _entries(given, pointer):
            if key is not None:
                yield from key(name, key_place)
            if value is not None:
                yield from value(member, value_place)

    return check if key or value else None


def _entries(given: Any, pointer: str) -> Iterable[tuple[str, Any, str, Any]]:
    """Yield the keys and values of a map with their places, in both of its forms: an object, or an array of pairs."""
    if isinstance(given, dict):
        for name, member in given.items():
            place = f"{pointer}/{pointer_token(name)}"
            yield place, name, place, member
    else:
        for index, (name, member) in enumerate(given):
            yield f"{pointer}/{index}/0", name, f"{pointer}/{index}/1", member


def _of_fields(fields: Sequence[inspect.Field], of_members: bool) -> Bounds:
    rules = [(field, accepts_null(field.type), bounds_of(field.type)) for field in fields]

    def check(value: Any, pointer: str) -> Iterator[FieldError]:
        for field, nullable, bounds in rules:
            name, place = field.encode_name, f"{pointer}/{pointer_token(field.encode_name)}"
            if name not in value:
                if field.required and not nullable and not of_members:
                    yield FieldError(place, "is required")
            elif value[name] is None:
                if not nullable:
                    yield FieldError(place, "must not be null")
            elif bounds is not None:
                yield from bounds(value[name], place)

    return check
