"""Rules for the columns and keys of a declared table: what Cassandra takes, and what a request can address."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec

from asgi_app.tables.annotation_rules import ignored_annotations
from asgi_app.tables.annotations import accepts_none, listed_values
from asgi_app.tables.declared import COUNTER, DURATION, Declared, names_of, parts
from asgi_app.tables.encoding import WrongValue, encoder_of
from asgi_app.tables.option_form import COLUMN_OPTIONS
from asgi_app.tables.python_values import json_form
from asgi_app.tables.query_plan import SIMILARITY
from asgi_app.tables.relations import operator_ending
from asgi_app.tables.types import (
    NATIVE_TYPES,
    CqlType,
    MapOf,
    SetOf,
    UserType,
    VectorOf,
    is_frozen,
    is_known,
    types_inside,
)


def _unknown_columns(declared: Declared) -> Iterator[str]:
    """Yield each option that names a column which the struct does not have."""
    resource = declared.resource
    named = {
        **{option: getattr(resource, option) for option in COLUMN_OPTIONS},
        "clustering": resource.clustering_columns,
        "version": (resource.version,) if resource.version is not None else (),
    }
    for option, names in named.items():
        if unknown := [name for name in names if name not in declared.hints]:
            yield f"{option} names {names_of(unknown)}, but {resource.struct.__name__} has no such field."


def _column_names(declared: Declared) -> Iterator[str]:
    for column in declared.hints:
        if ending := operator_ending(column):
            yield f"the column {column} ends in {ending}, which is an operator in queries."
        if column == SIMILARITY:
            yield f"no column can have the name {SIMILARITY}, which searches give to the similarity of a vector."


def _default_values(declared: Declared) -> Iterator[str]:
    """Yield the columns whose default is no value of their type: each creation would fail."""
    for field in msgspec.structs.fields(declared.resource.struct):
        factory = field.default_factory
        value = field.default if factory is msgspec.NODEFAULT else factory()
        cql_type = declared.types.get(field.encode_name)
        if value in (msgspec.NODEFAULT, msgspec.UNSET) or cql_type in (None, COUNTER):
            continue
        try:
            encoder_of(cql_type).from_json(json_form(cql_type, value))
        except (WrongValue, ValueError) as error:
            yield f"{field.encode_name}: the default does not fit {cql_type}: {error}."
            continue
        choices = listed_values(declared.hints[field.encode_name])
        if choices is not None and value is not None and json_form(cql_type, value) not in choices:
            yield f"{field.encode_name}: the default is not one of the values that its annotation lists."


def _column_types(declared: Declared) -> Iterator[str]:
    """Yield the columns whose type Cassandra does not take anywhere."""
    for column, cql_type in declared.types.items():
        yield from (f"{column}: {problem}" for problem in type_problems(cql_type))


def type_problems(cql_type: CqlType) -> Iterator[str]:
    """Yield why no column can have this type."""
    for part in parts(cql_type):
        yield from _problems_of_one(part)


def _problems_of_one(cql_type: CqlType) -> Iterator[str]:
    """Yield why no column can have this type, not looking at the types within it."""
    inside = types_inside(cql_type)
    if COUNTER in inside:
        yield f"{cql_type} cannot hold counters."
    if isinstance(cql_type, SetOf | MapOf) and inside[0] == DURATION:
        yield f"{cql_type} is impossible: durations cannot be members of a set or keys of a map."
    if isinstance(cql_type, UserType):
        if cql_type.name in (*NATIVE_TYPES, "varchar"):
            yield (
                f"a user-defined type cannot have the name {cql_type.name}, which is a type of CQL. "
                "Name another with Annotated[..., CQLType('...')]."
            )
        if not inside:
            yield f"the user-defined type {cql_type.name} needs a field."


def _key_columns(declared: Declared) -> Iterator[str]:
    """Yield what is wrong with the columns of the key, each by itself and together."""
    resource = declared.resource
    if not resource.partition_key:
        yield "partition_key needs at least one column."
    if repeated := [name for name, times in Counter(resource.primary_key).items() if times > 1]:
        yield f"{names_of(repeated)} stands in the key more than once."
    for name in dict.fromkeys(resource.primary_key):
        if name in declared.types:
            yield from _key_problems(name, declared.hints[name], declared.types[name])
            if resource.writes != "none" and not is_known(declared.types[name]):
                yield f"{name} is in the key, but this service does not know the type {declared.types[name]}."


def _key_problems(name: str, hint: Any, cql_type: CqlType) -> Iterator[str]:
    """Yield why a column cannot be in the key."""
    if accepts_none(hint, or_nothing=True):
        yield f"{name} is in the key, so it cannot be None or left out."
    if not is_frozen(cql_type):
        yield f"{name} is in the key, so its type must be frozen: CQLType('frozen<{cql_type}>')."
    if cql_type == COUNTER:
        yield f"{name} is in the key, so it cannot be a counter."
    if _orders_durations(cql_type):
        yield f"{name} is in the key, so it cannot hold a duration: durations have no order."


def _orders_durations(cql_type: CqlType) -> bool:
    """Return whether the type holds a duration. Cassandra does not look into vectors."""
    if isinstance(cql_type, VectorOf):
        return False
    return cql_type == DURATION or any(map(_orders_durations, types_inside(cql_type)))


def _static_columns(declared: Declared) -> Iterator[str]:
    resource = declared.resource
    if resource.static and not resource.clustering:
        yield "static columns need clustering columns: without them a partition has one row."
    if in_key := [name for name in resource.static if name in resource.primary_key]:
        yield f"static names {names_of(in_key)}, which cannot be static because the key has it."
    if made := [name for name in resource.static if name in resource.generated]:
        yield f"{names_of(made)} cannot be in static and in generated: a new row sets no static columns."


SINGLE_COLUMN_RULES = (_unknown_columns, _column_names, ignored_annotations, _default_values, _column_types)
"""Functions that yield mistakes of one declaration, each about one option or one column by itself."""

COLUMN_RULES = (*SINGLE_COLUMN_RULES, _key_columns, _static_columns)
"""Functions that yield mistakes of one declaration."""
