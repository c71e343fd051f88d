"""The bounds that `msgspec.Meta` gives to the fields of a struct, as keywords of JSON Schema."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from types import MappingProxyType
from typing import Any

from msgspec import inspect

from asgi_app.openapi.components import Schema, enumeration
from asgi_app.tables.annotations import accepts_null, choices_of, types_beside_none
from asgi_app.tables.types import CqlType, ListOf, MapOf, SetOf, TupleOf, VectorOf

_NUMBERS = {
    "ge": "minimum",
    "gt": "exclusiveMinimum",
    "le": "maximum",
    "lt": "exclusiveMaximum",
    "multiple_of": "multipleOf",
}

_ADDRESS_FORMS: Mapping[type, str] = MappingProxyType({IPv4Address: "ipv4", IPv6Address: "ipv6"})


@dataclass(frozen=True)
class Described:
    """What a struct's annotation says of a value: `plain` is msgspec's description, without None and metadata.

    `annotations` are keywords that describe: title, description, examples.
    """

    plain: inspect.Type
    annotations: Mapping[str, Any]


@dataclass(frozen=True)
class FieldRule:
    """What a struct says of one of its fields."""

    hint: Described
    required: bool
    nullable: bool


ANYTHING = Described(inspect.AnyType(), {})
"""The description of a value of which no annotation says anything."""


def described(found: inspect.Type) -> Described:
    """Return what an annotation says of a value, of what `described_type` says of it."""
    annotations: dict[str, Any] = {}
    while True:
        if isinstance(found, inspect.Metadata):
            annotations |= {k: v for k, v in (found.extra_json_schema or {}).items() if k not in annotations}
            found = found.type
        elif isinstance(found, inspect.UnionType) and len(members := types_beside_none(found)) == 1:
            found = members[0]
        else:
            return Described(found, annotations)


def inner_hints(cql_type: CqlType, hint: Described) -> Sequence[Described]:
    """Return the descriptions of the types within a container, in their order."""
    plain = hint.plain
    match cql_type:
        case ListOf() | SetOf() | VectorOf():
            return [described(item)] if (item := getattr(plain, "item_type", None)) is not None else [ANYTHING]
        case MapOf():
            if isinstance(plain, inspect.DictType):
                return [described(plain.key_type), described(plain.value_type)]
            return [ANYTHING, ANYTHING]
        case TupleOf(elements):
            if isinstance(plain, inspect.TupleType) and len(plain.item_types) == len(elements):
                return [described(item) for item in plain.item_types]
            return [ANYTHING] * len(elements)
    return []


def field_rules(hint: Described) -> Mapping[str, FieldRule]:
    """Return the rules of the fields of a user-defined type, by name; none if no struct describes it."""
    if not isinstance(hint.plain, inspect.StructType):
        return {}
    rules = {}
    for field in hint.plain.fields:
        null = accepts_null(field.type)
        rules[field.encode_name] = FieldRule(described(field.type), field.required and not null, null)
    return rules


def bounded(schema: Schema, hint: Described) -> Schema:
    """Return the schema with the bounds and the descriptions of an annotation, or an equal one without any."""
    keywords = _keywords(hint.plain)
    if (form := _address_form(hint.plain)) is not None:
        return {"type": "string", "format": form, **hint.annotations}
    if "anyOf" in schema and keywords:  # a number, or a text for one: the bounds are those of the number
        first, *others = schema["anyOf"]
        return {"anyOf": [_merged(first, keywords), *others], **hint.annotations}
    return {**_merged(schema, keywords), **hint.annotations}


def _merged(schema: Schema, keywords: Schema) -> Schema:
    """Return the schema with more keywords. Of two bounds on the same side the narrower stays."""
    merged = {**schema, **keywords}
    if "minimum" in schema and "minimum" in keywords:
        merged["minimum"] = max(schema["minimum"], keywords["minimum"])
    if "maximum" in schema and "maximum" in keywords:
        merged["maximum"] = min(schema["maximum"], keywords["maximum"])
    return merged


def _keywords(plain: inspect.Type) -> Schema:
    match plain:
        case inspect.StrType():
            return _present(minLength=plain.min_length, maxLength=plain.max_length, pattern=_ecma(plain.pattern))
        case inspect.IntType() | inspect.FloatType():
            return {word: bound for name, word in _NUMBERS.items() if (bound := getattr(plain, name)) is not None}
        case inspect.BytesType():  # "0x" and two digits a byte
            least, most = plain.min_length, plain.max_length
            return _present(minLength=least and 2 + 2 * least, maxLength=most and 2 + 2 * most)
        case inspect.EnumType() | inspect.LiteralType():
            return _enumerated(choices_of(plain) or ())
        case inspect.ListType() | inspect.SetType() | inspect.FrozenSetType() | inspect.VarTupleType():
            return _present(minItems=plain.min_length, maxItems=plain.max_length)
        case inspect.DictType():
            return _present(minProperties=plain.min_length, maxProperties=plain.max_length)
    return {}


def _enumerated(choices: Sequence[str] | Sequence[int]) -> Schema:
    """Return the keywords of an enumeration. The type and the bounds of its values say no more."""
    texts = [choice for choice in choices if isinstance(choice, str)]
    return enumeration(texts) if texts else {"enum": list(choices)}


def _address_form(plain: inspect.Type) -> str | None:
    """Return the format of an address of one kind."""
    return _ADDRESS_FORMS.get(plain.cls) if isinstance(plain, inspect.CustomType) else None


def _ecma(pattern: str | None) -> str | None:
    """Return a regular expression of Python as ECMA-262 writes it: other anchors, and other names of groups."""
    return None if pattern is None else pattern.replace(r"\A", "^").replace(r"\Z", "$").replace("(?P<", "(?<")


def _present(**keywords: Any) -> Schema:
    return {name: value for name, value in keywords.items() if value is not None}
