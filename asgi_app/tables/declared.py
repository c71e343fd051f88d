"""A resource with the annotations and types of its columns, as the rules for declarations read it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from asgi_app.tables.resource import UNIQUE_TYPES, Resource
from asgi_app.tables.types import CqlType, Native, types_inside

COUNTER = Native("counter")
DURATION = Native("duration")


@dataclass(frozen=True, slots=True)
class Declared:
    """A resource whose options have the right form, with the annotations and types of its columns by their names.

    `types` lacks the columns whose annotation has no CQL type.
    """

    resource: Resource
    hints: Mapping[str, Any]
    types: Mapping[str, CqlType]

    @property
    def is_counter(self) -> bool:
        """Whether the table holds counters."""
        return COUNTER in self.types.values()

    @property
    def makes_keys(self) -> bool:
        """Whether the server makes the key of a new row, as `Resource.makes_keys` has it."""
        generated = (self.types.get(name) for name in self.resource.generated if name in self.resource.primary_key)
        return any(cql_type in UNIQUE_TYPES for cql_type in generated)


def parts(cql_type: CqlType) -> Iterator[CqlType]:
    """Yield the type and all types within it."""
    yield cql_type
    for inside in types_inside(cql_type):
        yield from parts(inside)


def names_of(names: Iterable[str]) -> str:
    """Return names for a sentence."""
    return ", ".join(names)
