"""What msgspec knows of the annotations of a struct's fields: their types, bounds, and the values that they list."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NewType, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import inspect

ADDRESSES = (IPv4Address, IPv6Address)


class _EitherAddress(type):
    """Makes both kinds of addresses instances of a class."""

    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, ADDRESSES)


class EitherAddress(metaclass=_EitherAddress):
    """Stands for an address of either kind: msgspec knows no union of two classes that are not its own."""


def described_type(hint: Any) -> inspect.Type:
    """Return what msgspec knows of an annotation. `IPv4Address | IPv6Address` is the custom type `EitherAddress`.

    Raises TypeError for what msgspec refuses, such as a bound of a number on a text.
    """
    return inspect.type_info(with_either_address(hint, _describable))


def reason_of(error: TypeError) -> str:
    """Return why msgspec refuses an annotation, without the annotation itself."""
    return str(error).partition(" - type")[0].partition(", type `")[0].replace("`", "")


def plain_type(described: inspect.Type) -> inspect.Type:
    """Return a description without metadata, and without None if there is one other type beside it."""
    while True:
        if isinstance(described, inspect.Metadata):
            described = described.type
        elif isinstance(described, inspect.UnionType) and len(others := types_beside_none(described)) == 1:
            described = others[0]
        else:
            return described


def types_beside_none(union: inspect.UnionType) -> list[inspect.Type]:
    """Return the types of a union without None."""
    return [member for member in union.types if not isinstance(member, inspect.NoneType)]


def accepts_null(described: inspect.Type) -> bool:
    """Return whether a described type includes None."""
    while isinstance(described, inspect.Metadata):
        described = described.type
    if isinstance(described, inspect.LiteralType):
        return None in described.values
    return isinstance(described, inspect.UnionType) and any(map(_is_none, described.types))


def _is_none(described: inspect.Type) -> bool:
    return isinstance(described, inspect.NoneType)


def accepts_none(hint: Any, *, or_nothing: bool = False) -> bool:
    """Return whether an annotation includes None; with `or_nothing`, whether it includes None or a missing field."""
    if get_origin(hint) is Annotated:
        return accepts_none(get_args(hint)[0], or_nothing=or_nothing)
    if isinstance(hint, NewType):
        return accepts_none(hint.__supertype__, or_nothing=or_nothing)
    if get_origin(hint) is Literal:
        return None in get_args(hint)
    if get_origin(hint) not in (Union, UnionType):
        return hint is NoneType or (or_nothing and hint is msgspec.UnsetType)
    return any(accepts_none(member, or_nothing=or_nothing) for member in get_args(hint))


def choices_of(described: inspect.Type) -> tuple[str, ...] | tuple[int, ...] | None:
    """Return the texts or integers that an `enum.Enum` or a `Literal` lists, without None; None for another type.

    Raises TypeError for an enumeration of other values, or of none.
    """
    match plain_type(described):
        case inspect.EnumType(cls=listed):
            if issubclass(listed, enum.Flag):
                raise TypeError(f"{listed.__name__} is a set of flags, of which no list has all values")
            return _of_one_kind(tuple(member.value for member in listed))
        case inspect.LiteralType(values=values):
            return _of_one_kind(tuple(value for value in values if value is not None))
    return None


def listed_values(hint: Any) -> tuple[str, ...] | tuple[int, ...] | None:
    """Return the values that an annotation lists, as `choices_of`; None also for one that msgspec refuses."""
    try:
        return choices_of(described_type(hint))
    except TypeError:
        return None


def _of_one_kind(values: tuple[Any, ...]) -> tuple[str, ...] | tuple[int, ...]:
    kinds = set(map(type, values))
    if kinds in ({str}, {int}):
        return values
    raise TypeError("an enumeration lists either texts or integers, and at least one")


def with_either_address(hint: Any, of_struct: Callable[[type[msgspec.Struct]], Any] | None = None) -> Any:
    """Return an annotation with `EitherAddress` in place of each union of both kinds of addresses.

    `of_struct` gives what stands in place of a struct; without it, structs are left as they are.
    """
    if of_struct is not None and isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return of_struct(hint)
    inside = tuple(with_either_address(member, of_struct) for member in get_args(hint))
    is_union = get_origin(hint) in (Union, UnionType)
    if is_union and set(ADDRESSES) <= set(inside):
        inside = (*(member for member in inside if member not in ADDRESSES), EitherAddress)
    if inside == get_args(hint):
        return hint
    origin: Any = Union if is_union else get_origin(hint)
    return Annotated[inside] if origin is Annotated else origin[inside]


@lru_cache(maxsize=512)
def _describable(struct: type[msgspec.Struct]) -> type[msgspec.Struct]:
    """Return a struct, or one in its place whose fields, at any depth, have no union of both kinds of addresses."""
    return replaced_fields(struct, lambda hint: with_either_address(hint, _describable))


def replaced_fields(struct: type[msgspec.Struct], replace: Callable[[Any], Any]) -> type[msgspec.Struct]:
    """Return a struct like another, with the annotations that `replace` makes; the same one if it changes none."""
    hints: Mapping[str, Any] = get_type_hints(struct, include_extras=True)
    replaced = {name: replace(hint) for name, hint in hints.items()}
    if replaced == hints:
        return struct
    fields = msgspec.structs.fields(struct)
    return msgspec.defstruct(
        struct.__name__,
        [(each.name, replaced[each.name], _default_of(each)) for each in fields],
        rename={each.name: each.encode_name for each in fields},
        kw_only=True,
    )


def _default_of(field: msgspec.structs.FieldInfo) -> Any:
    return msgspec.field(default=field.default, default_factory=field.default_factory)  # type: ignore[call-overload]
