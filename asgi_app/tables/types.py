"""The tree of CQL types that declarations, DDL, decoding of requests and documents share.

`str(type)` is the type as CQL writes it, and as `system_schema.columns` has it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

NATIVE_TYPES = frozenset(
    "ascii bigint blob boolean counter date decimal double duration float inet int smallint text time timestamp "
    "timeuuid tinyint uuid varint".split()
)
"""The types without parameters. CQL's `varchar` is `text`."""

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
        name = self.name if _PLAIN_NAME.fullmatch(self.name) else '"' + self.name.replace('"', '""') + '"'
        return _written(name, self.frozen)


@dataclass(frozen=True, slots=True)
class UnknownType:
    """A type that this service does not know, as text: its columns are served read-only."""

    text: str

    def __str__(self) -> str:
        return self.text


CqlType = Native | ListOf | SetOf | MapOf | TupleOf | VectorOf | UserType | UnknownType


def is_frozen(cql_type: CqlType) -> bool:
    """Return whether a value of this type can only be replaced as a whole."""
    return not isinstance(cql_type, ListOf | SetOf | MapOf | UserType) or cql_type.frozen


def _written(text: str, frozen: bool) -> str:
    return f"frozen<{text}>" if frozen else text
