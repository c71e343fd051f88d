"""Schemas of the values of CQL types: as answers have them, as bodies may have them, and as parameters may.

What each type looks like is said in docs/types.md. An answer's schema describes the values that clients write; other
programs may store odder ones, such as years after 9999.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from msgspec import inspect

from asgi_app.openapi.bounds import ANYTHING, Described, bounded, field_rules, inner_hints
from asgi_app.openapi.components import Components, Schema
from asgi_app.tables.types import (
    CqlType,
    ListOf,
    MapOf,
    Native,
    SetOf,
    TupleOf,
    UnknownType,
    UserType,
    VectorOf,
    is_frozen,
    is_known,
)

NULL: Schema = {"type": "null"}

_INTEGER = "(0|-?[1-9][0-9]*)"
_TEXT_OF_INTEGER = rf"^{_INTEGER}$"
_TEXT_OF_NUMBER = r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]{1,10})?$"
_TIMEUUID = "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-1[0-9a-fA-F]{3}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"
_UNITS = {"y": 7, "mo": 9, "w": 7, "d": 9, "h": 6, "m": 7, "s": 9, "ms": 12, "us": 15, "ns": 18}
"""The units of a duration, with as many digits as always are within its range."""

_DURATION = "^-?(?=[0-9])" + "".join(f"([0-9]{{1,{digits}}}{unit})?" for unit, digits in _UNITS.items()) + "$"
_TIME = r"^([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?$"
_BLOB = "^0x([0-9a-fA-F]{2})*$"
NOT_FINITE = ("NaN", "Infinity", "-Infinity")
LARGEST_FLOAT = 3.4028234663852886e38
"""The largest finite value of CQL's 32-bit float (IEEE 754 binary32)."""


LARGEST_INDEXED = 1e17
"""The largest component of a vector in an indexed column."""

_NOT_FINITE: Schema = {"$ref": "#/components/schemas/NotFinite"}


def _integer(bits: int, **more: Any) -> Schema:
    return {"type": "integer", **more, "minimum": -(2 ** (bits - 1)), "maximum": 2 ** (bits - 1) - 1}


def _number(form: str, **more: Any) -> Schema:
    return {"anyOf": [{"type": "number", "format": form, **more}, _NOT_FINITE]}


def _text(pattern: str, example: str) -> Schema:
    return {"type": "string", "pattern": pattern, "examples": [example]}


_ANSWERS: Mapping[str, Schema] = MappingProxyType(
    {
        "ascii": {"type": "string"},
        "bigint": {"type": "integer", "format": "int64"},
        "blob": _text(_BLOB, "0xdead"),
        "boolean": {"type": "boolean"},
        "counter": {"type": "integer", "format": "int64"},
        "date": {"type": "string", "format": "date"},
        "decimal": {"type": "string", "format": "decimal", "examples": ["10.50"]},
        "double": _number("double"),
        "duration": {"type": "string", "examples": ["1y2mo25d5h6m7s8ms9us10ns"]},
        "float": _number("float"),
        "inet": {"type": "string", "examples": ["2001:db8::1"]},
        "int": {"type": "integer", "format": "int32"},
        "smallint": {"type": "integer", "format": "int32"},
        "text": {"type": "string"},
        "time": {"type": "string", "examples": ["13:14:15.123456789"]},
        "timestamp": {"type": "string", "format": "date-time"},
        "timeuuid": {"type": "string", "format": "uuid"},
        "tinyint": {"type": "integer", "format": "int32"},
        "uuid": {"type": "string", "format": "uuid"},
        "varint": {"type": "string", "examples": ["123456789012345678901234567890"]},
    }
)

_BODIES: Mapping[str, Schema] = MappingProxyType(
    {
        "ascii": {"type": "string", "pattern": r"^[\x00-\x7f]*$"},
        "bigint": _integer(64, format="int64"),
        "blob": _text(_BLOB, "0xdead"),
        "boolean": {"type": "boolean"},
        "counter": _integer(64, format="int64"),
        "date": {"type": "string", "format": "date"},
        "decimal": {"anyOf": [{"type": "number"}, _text(_TEXT_OF_NUMBER, "10.50")]},
        "double": _number("double"),
        "duration": _text(_DURATION, "1y2mo25d5h6m7s8ms9us10ns"),
        "float": _number("float", minimum=-LARGEST_FLOAT, maximum=LARGEST_FLOAT),
        "inet": {"anyOf": [{"type": "string", "format": "ipv4"}, {"type": "string", "format": "ipv6"}]},
        "int": _integer(32, format="int32"),
        "smallint": _integer(16, format="int32"),
        "text": {"type": "string"},
        "time": _text(_TIME, "13:14:15.123456789"),
        "timestamp": {"type": "string", "format": "date-time"},
        "timeuuid": {"type": "string", "format": "uuid", "pattern": _TIMEUUID},
        "tinyint": _integer(8, format="int32"),
        "uuid": {"type": "string", "format": "uuid"},
        "varint": {"anyOf": [{"type": "integer"}, _text(_TEXT_OF_INTEGER, "123456789012345678901234567890")]},
    }
)

_PARAMETERS: Mapping[str, Schema] = MappingProxyType(
    {
        **_BODIES,
        "decimal": _text(_TEXT_OF_NUMBER, "10.50"),
        "varint": _text(_TEXT_OF_INTEGER, "123456789012345678901234567890"),
    }
)
"""In an address a value is text, so a decimal is a text of its digits: a client would round a number."""

_KEYS: Mapping[str, Schema] = MappingProxyType(
    {
        **_PARAMETERS,
        **{name: {"pattern": _TEXT_OF_INTEGER} for name in ("bigint", "counter", "int", "smallint", "tinyint")},
        "boolean": {"enum": ["true", "false"]},
        "double": {"anyOf": [{"pattern": _TEXT_OF_NUMBER}, {"enum": list(NOT_FINITE)}]},
        "float": {"anyOf": [{"pattern": _TEXT_OF_NUMBER}, {"enum": list(NOT_FINITE)}]},
    }
)
"""The names of the members of an object that is a map."""

_NUMBERS_AS_TEXT: Mapping[str, str] = MappingProxyType({"decimal": "DecimalText", "varint": "VarintText"})
"""The components of the numbers that are texts in an address: bounds of a number say nothing of a text."""

_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "bigint": "Bigint",
        "blob": "Blob",
        "counter": "Bigint",
        "decimal": "Decimal",
        "double": "Double",
        "duration": "Duration",
        "float": "Float",
        "inet": "Inet",
        "int": "Int",
        "smallint": "Smallint",
        "time": "Time",
        "timeuuid": "Timeuuid",
        "tinyint": "Tinyint",
        "varint": "Varint",
    }
)
"""The components of the types whose schemas are longer than a reference to one."""

RESERVED = (*_NAMES.values(), "DecimalText", "DoubleAnswer", "FloatAnswer", "NotFinite", "VarintText")
"""The names of the components that this module makes for types without parameters."""


def nullable(schema: Schema) -> Schema:
    """Return the schema of a value that may be null."""
    if "anyOf" in schema and len(schema) == 1:
        return {"anyOf": [*schema["anyOf"], NULL]}
    return {"anyOf": [schema, NULL]}


class Values:
    """The schemas of values in one document."""

    def __init__(self, components: Components) -> None:
        self._components = components

    # --- answers

    def answer(self, cql_type: CqlType) -> Schema:
        """Return the schema of a value in an answer that is not null."""
        match cql_type:
            case Native(name):
                shared = {"double": "DoubleAnswer", "float": "FloatAnswer"}.get(name)
                return self._shared(shared, _ANSWERS[name]) if shared else dict(_ANSWERS[name])
            case UserType(name):
                return self._named_answer(cql_type, name, lambda: self._answer_fields(cql_type))
            case UnknownType():
                return {}
            case MapOf(Native()):
                name = str(replace(cql_type, frozen=False))
                return self._named_answer(cql_type, name, lambda: _container(cql_type, self.answer))
            case _:
                return _container(cql_type, self.answer)

    def _named_answer(self, cql_type: UserType | MapOf, name: str, make: Callable[[], Schema]) -> Schema:
        """Return a reference to the component of a type: generators make one class of it."""
        return self._components.refer("schemas", ("answer", replace(cql_type, frozen=False)), name, make)

    def _answer_fields(self, user_type: UserType) -> Schema:
        fields = {name: nullable(self.answer(inner)) for name, inner in user_type.fields}
        return {"type": "object", "required": list(fields), "properties": fields}

    # --- bodies

    def body(self, cql_type: CqlType, hint: Described = ANYTHING) -> Schema:
        """Return the schema of a value in a body that is not null. `hint` is what a struct's annotation says of it."""
        match cql_type:
            case Native(name):
                if isinstance(hint.plain, inspect.EnumType):
                    return self._enumeration(hint.plain.cls, _BODIES[name], hint)
                schema = bounded(_BODIES[name], hint)
                return self._shared(_NAMES.get(name), schema) if schema == _BODIES[name] else schema
            case UserType():
                return self._user_type(cql_type, hint)
            case _:
                hints = inner_hints(cql_type, hint)
                inner = iter(hints)
                return bounded(_container(cql_type, lambda each: self.body(each, next(inner)), self.key), hint)

    def _enumeration(self, listed: type, schema: Schema, hint: Described) -> Schema:
        """Return a reference to the component of an `enum.Enum`: generators make one class of it."""
        made = bounded(schema, replace(hint, annotations={}))
        reference = self._components.refer("schemas", ("enum", listed, repr(made)), listed.__name__, lambda: made)
        return {**reference, **hint.annotations}

    def indexed_vector(self, vector: CqlType, hint: Described = ANYTHING) -> Schema:
        """Return the schema of a vector in a body, of floats that an index takes: numbers, and not the largest."""
        number = {"type": "number", "format": "float", "minimum": -LARGEST_INDEXED, "maximum": LARGEST_INDEXED}
        return bounded(_container(vector, lambda _: bounded(number, inner_hints(vector, hint)[0])), hint)

    def _user_type(self, user_type: UserType, hint: Described) -> Schema:
        key = ("body", replace(user_type, frozen=False), getattr(hint.plain, "cls", None))
        name = f"{user_type.name}_input"
        return self._components.refer("schemas", key, name, lambda: self._body_fields(user_type, hint))

    def _body_fields(self, user_type: UserType, hint: Described) -> Schema:
        rules = field_rules(hint)
        fields = {}
        for name, inner in user_type.fields:
            rule = rules.get(name)
            schema = self.body(inner, ANYTHING if rule is None else rule.hint)
            fields[name] = nullable(schema) if rule is None or rule.nullable else schema
        required = [name for name in fields if name in rules and rules[name].required]
        return _closed(fields, required)

    def change(self, cql_type: CqlType, hint: Described = ANYTHING) -> Schema:
        """Return the schema of a change of a value by PATCH that is not null: the value, or what is merged into it."""
        if cql_type == Native("counter"):
            increase = self._shared("Bigint", dict(_BODIES["bigint"]))
            return self._components.refer(
                "schemas", "Increment", "Increment", lambda: _closed({"$inc": increase}, ["$inc"])
            )
        if is_frozen(cql_type):
            return self.body(cql_type, hint)
        whole = self.body(cql_type, hint)
        match cql_type:
            case ListOf() | SetOf():
                return {"anyOf": [whole, self._members(cql_type, hint)]}
            case MapOf(key, value) if isinstance(key, Native):
                inner = inner_hints(cql_type, hint)
                members = {"additionalProperties": nullable(self.body(value, inner[1])), "propertyNames": self.key(key)}
                return {"type": "object", "minProperties": 1, **members}
            case UserType():
                return self._merged_fields(cql_type, hint)
        return whole

    def _members(self, cql_type: ListOf | SetOf, hint: Described) -> Schema:
        item = inner_hints(cql_type, hint)[0]
        added = {"type": "array", "minItems": 1, "items": self.body(cql_type.element, item)}
        removed = {"type": "array", "minItems": 1, "items": self.body(cql_type.element)}
        return {**_closed({"$add": added, "$remove": removed}), "minProperties": 1}

    def _merged_fields(self, user_type: UserType, hint: Described) -> Schema:
        key = ("change", user_type, getattr(hint.plain, "cls", None))

        def make() -> Schema:
            rules, fields = field_rules(hint), {}
            for name, inner in user_type.fields:
                rule = rules.get(name)
                schema = self.body(inner, ANYTHING if rule is None else rule.hint)
                fields[name] = nullable(schema) if rule is None or rule.nullable else schema
            return {**_closed(fields), "minProperties": 1}

        return self._components.refer("schemas", key, f"{user_type.name}_change", make)

    # --- addresses

    def parameter(self, cql_type: CqlType, hint: Described = ANYTHING) -> Schema:
        """Return `{"schema": …}`, or `{"content": …}` where the text of a parameter is JSON. `hint` is as in `body`."""
        if isinstance(cql_type, Native):
            plain = _PARAMETERS[cql_type.name]
            if isinstance(hint.plain, inspect.EnumType) and cql_type.name not in _NUMBERS_AS_TEXT:
                return {"schema": self._enumeration(hint.plain.cls, plain, hint)}
            schema = plain if cql_type.name in _NUMBERS_AS_TEXT else bounded(plain, hint)
            name = _NUMBERS_AS_TEXT.get(cql_type.name, _NAMES.get(cql_type.name))
            return {"schema": self._shared(name, schema) if schema == plain else schema}
        return {"content": {"application/json": {"schema": self.body(cql_type, hint)}}}

    def listed_parameter(self, cql_type: CqlType, most: int) -> Schema:
        """Return the same for a parameter that is there several times, each time with one value."""
        items = self.parameter(cql_type).get("schema", {"type": "string", "contentMediaType": "application/json"})
        return {"schema": {"type": "array", "minItems": 1, "maxItems": most, "items": items}}

    def key(self, cql_type: CqlType) -> Schema:
        """Return the schema of the name of a member, where a map is an object."""
        return {"type": "string", **_KEYS[cql_type.name]} if isinstance(cql_type, Native) else {}

    def _shared(self, name: str | None, schema: Schema) -> Schema:
        """Return a reference to the component of this name, or the schema itself if it has none."""
        if name is None:
            return dict(schema)
        if _NOT_FINITE in schema.get("anyOf", ()):
            texts = {"type": "string", "enum": list(NOT_FINITE)}
            self._components.refer("schemas", "NotFinite", "NotFinite", lambda: texts)
        return self._components.refer("schemas", name, name, lambda: dict(schema))


def _container(
    cql_type: CqlType, inner: Callable[[CqlType], Schema], key: Callable[[CqlType], Schema] | None = None
) -> Schema:
    """Return the schema of a list, set, map, tuple or vector, with `inner` for the types in it, in their order.

    `key` makes the schema of the names of an object that is a map, None for any names.
    """
    match cql_type:
        case ListOf(element) | SetOf(element):
            return {"type": "array", "items": inner(element)}
        case VectorOf(element, size):
            return {"type": "array", "minItems": size, "maxItems": size, "items": inner(element)}
        case TupleOf(elements):
            return _fixed([nullable(inner(element)) for element in elements])
        case MapOf(name, value):
            first, second = inner(name), inner(value)
            if not isinstance(name, Native):
                return {"type": "array", "items": _fixed([first, second])}
            names = first if name in (Native("ascii"), Native("text")) else key(name) if key else {}
            restricts = key is not None and names != {"type": "string"}
            return {
                "type": "object",
                "additionalProperties": second,
                **({"propertyNames": names} if restricts else {}),
            }
    return {}


def _fixed(elements: list[Schema]) -> Schema:
    """Return the schema of an array with exactly these elements."""
    size = len(elements)
    return {"type": "array", "minItems": size, "maxItems": size, "prefixItems": elements}


def _closed(properties: Mapping[str, Schema], required: list[str] | None = None) -> Schema:
    """Return the schema of an object that has no other members than these."""
    return {
        "type": "object",
        "additionalProperties": False,
        **({"required": required} if required else {}),
        "properties": dict(properties),
    }


def is_writable(cql_type: CqlType) -> bool:
    """Return whether a body can have values of the type."""
    return is_known(cql_type)
