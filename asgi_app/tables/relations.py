"""The conditions that a query can have: operators, the types that take them, and the indexes that serve them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

from asgi_app.tables.cql import quoted
from asgi_app.tables.encoding import Encoded, encoded_list
from asgi_app.tables.table import Column, Index
from asgi_app.tables.types import CqlType, ListOf, MapOf, Native, SetOf, TupleOf, UnknownType, UserType, VectorOf

Operator = Literal["eq", "gt", "gte", "lt", "lte", "in", "contains", "contains_key"]

OPERATORS: tuple[Operator, ...] = get_args(Operator)
"""The operators of query parameters: `kind.gte=3`."""

_ending = re.compile(rf"\.({'|'.join(OPERATORS)})$")

_CQL: Mapping[Operator, str] = MappingProxyType(
    {
        "eq": "= ?",
        "gt": "> ?",
        "gte": ">= ?",
        "lt": "< ?",
        "lte": "<= ?",
        "in": "IN ?",
        "contains": "CONTAINS ?",
        "contains_key": "CONTAINS KEY ?",
    }
)
LOWER: frozenset[Operator] = frozenset(("gt", "gte"))
UPPER: frozenset[Operator] = frozenset(("lt", "lte"))
RANGES = LOWER | UPPER
MEMBERS: frozenset[Operator] = frozenset(("contains", "contains_key"))
WHOLE: frozenset[Operator] = frozenset(("eq", "in"))

_WITHOUT_RANGES_IN_SAI = frozenset(("ascii", "text", "boolean", "uuid"))
"""Types whose storage-attached index serves only equality."""


@dataclass(frozen=True, slots=True)
class Relation:
    """A condition on a column. `values` has the members of `in`, else one value. `field` names it in errors."""

    column: Column
    operator: Operator
    values: tuple[Encoded, ...]
    field: str

    @property
    def name(self) -> str:
        """The relation as a parameter: `kind.gte`, or `kind` for equality."""
        return parameter(self.column.name, self.operator)

    @property
    def bound(self) -> Encoded:
        """The value to bind: for `in` the list of its members."""
        return encoded_list(self.values) if self.operator == "in" else self.values[0]

    @property
    def cql(self) -> str:
        """The condition in CQL, with a marker."""
        return f"{quoted(self.column.name)} {_CQL[self.operator]}"


def parameter(column: str, operator: Operator) -> str:
    """Return the name of the parameter that compares a column: `kind.gte`, or `kind` for equality."""
    return column if operator == "eq" else f"{column}.{operator}"


def operator_ending(name: str) -> str | None:
    """Return the end of a column's name that a query takes for an operator, such as `.gte`; None if there is none."""
    found = _ending.search(name)
    return None if found is None else found[0]


def operand_type(cql_type: CqlType, operator: Operator) -> CqlType | None:
    """Return the type of the value that `operator` compares with a column of `cql_type`, or None if it cannot."""
    if operator in MEMBERS:
        return _member_type(cql_type, operator)
    if isinstance(cql_type, UnknownType) or (isinstance(cql_type, _MUTABLE) and not cql_type.frozen):
        return None
    if operator in RANGES and contains_duration(cql_type):
        return None
    return Native("bigint") if cql_type == Native("counter") else cql_type


_MUTABLE = (ListOf, SetOf, MapOf, UserType)


def _member_type(cql_type: CqlType, operator: Operator) -> CqlType | None:
    if isinstance(cql_type, MapOf):
        return cql_type.value if operator == "contains" else cql_type.key
    if isinstance(cql_type, ListOf | SetOf) and operator == "contains":
        return cql_type.element
    return None


def contains_duration(cql_type: CqlType) -> bool:
    """Return whether values of this type are or hold durations, which have no order."""
    match cql_type:
        case Native(name):
            return name == "duration"
        case ListOf(element) | SetOf(element) | VectorOf(element):
            return contains_duration(element)
        case MapOf(key, value):
            return contains_duration(key) or contains_duration(value)
        case TupleOf(elements):
            return any(map(contains_duration, elements))
        case UserType():
            return any(contains_duration(field_type) for _, field_type in cql_type.fields)
        case UnknownType():
            return False


def type_refusal(cql_type: CqlType, operator: Operator) -> str:
    """Return the sentence for an operator that the type of a column does not take."""
    if isinstance(cql_type, UnknownType):
        return "cannot be used: Cassandra's type of this column is not one that this service can compare"
    if operator == "contains":
        return "cannot be used: only lists, sets and maps contain members"
    if operator == "contains_key":
        return "cannot be used: only maps contain keys"
    if isinstance(cql_type, UserType) and not cql_type.frozen:
        return "cannot be used: Cassandra compares no user-defined type that is not frozen"
    if isinstance(cql_type, _MUTABLE) and not cql_type.frozen:
        return "cannot be used: a collection that is not frozen is only searched for its members, by `.contains`"
    return "cannot be used: durations have no order"


def index_serves(index: Index, column: Column, operator: Operator) -> bool:
    """Return whether the index finds the rows of a relation with its column."""
    if index.kind == "other" or operator == "in" or isinstance(column.type, VectorOf):
        return False
    if operator in MEMBERS:
        return _target(index, column) == ("values" if operator == "contains" else "keys")
    if isinstance(column.type, ListOf | SetOf | MapOf):
        return operator == "eq" and index.target == "full"
    return operator == "eq" or _serves_ranges(index, column.type)


def _target(index: Index, column: Column) -> str:
    """Return what the index has of a collection. Without a target in its DDL, an index has the values."""
    return index.target or ("values" if isinstance(column.type, _MUTABLE) and not column.type.frozen else "")


def _serves_ranges(index: Index, cql_type: CqlType) -> bool:
    return index.kind == "sai" and isinstance(cql_type, Native) and cql_type.name not in _WITHOUT_RANGES_IN_SAI
