"""Decide which tables of the live schema are served, and make a resource of each."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

import msgspec

from asgi_app.tables.live_schema import LiveSchema
from asgi_app.tables.live_table import LiveTable, table_of_settings
from asgi_app.tables.option_rules import OPTIONS_OF_WRITES
from asgi_app.tables.query_plan import SIMILARITY
from asgi_app.tables.relations import operator_ending
from asgi_app.tables.resource import OWN_KEYSPACES, Resource
from asgi_app.tables.table import Column, CQLType, Table
from asgi_app.tables.types import is_known

ALL = "*"
"""Stands for all tables of a keyspace."""

_word = re.compile(r"\w+", re.ASCII)
_not_in_field = re.compile(r'["\\\x00-\x1f]')
"""The characters that msgspec allows in no name of a field."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A table that is not served, and why: a clause without a full stop, such as `there is no such table`.

    `is_wanted`: a setting names it, if only as one that clients may write to.
    """

    name: str
    reason: str
    is_wanted: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """The resources that are served, the tables that are not, and what is special about those that are.

    `notes` has a clause for a resource, by its name: why it is read-only, which columns it lacks.
    """

    served: tuple[Resource, ...]
    left_out: tuple[LeftOut, ...]
    notes: Mapping[str, str]


def by_keyspace(names: Sequence[str], default: str) -> dict[str, tuple[str, ...]]:
    """Return names of tables by keyspace: `events` is in `default`, `shop.events` and `shop.*` are in `shop`."""
    found: dict[str, list[str]] = {}
    for name in names:
        keyspace, _, table = name.rpartition(".")
        found.setdefault(keyspace or default, []).append(table)
    return {keyspace: tuple(tables) for keyspace, tables in found.items()}


def choose(
    schema: LiveSchema,
    tables: Sequence[str],
    writable: Sequence[str],
    reserved: Collection[str] = (),
    scopes: Collection[str] = (),
    *,
    make: Callable[[Table, LiveTable], Resource] | None = None,
) -> Choice:
    """Return which of the named tables and views of a keyspace are served, and how.

    `tables` and `writable` are names in this keyspace, or `*` for all. `reserved` are the first segments of paths that
    are taken, and `scopes` the names in scopes that are. `make` makes the resource of a table, by default
    `resource_of`. The names that are served or left out are those of the tables, sorted if `*` is asked for. Never
    raises.
    """
    make = make or resource_of
    served: list[Resource] = []
    left_out: list[LeftOut] = []
    notes: dict[str, str] = {}
    for name in sorted(schema.tables) if ALL in tables else dict.fromkeys(tables):
        if reason := _why_left_out(schema, name, reserved, scopes):
            left_out.append(LeftOut(name, reason))
            continue
        table, asked = schema.tables[name], ALL in writable or name in writable
        served.append(make(table, table_of_settings(name, schema.keyspace, writable=asked)))
        if note := note_of(table, writable=asked):
            notes[name] = note
    return Choice(tuple(served), tuple(left_out), notes)


def _why_left_out(schema: LiveSchema, name: str, reserved: Collection[str], scopes: Collection[str]) -> str | None:
    """Return why a name of a table is not served; None if it is."""
    if name not in schema.tables:
        return f"the keyspace {schema.keyspace} has no such table"
    if name in reserved:
        return f"the application has a path /{name} of its own"
    if name in scopes:
        return f"the application has a scope {name} of its own"
    return why_not_served(schema.tables[name])


def resource_of(live: Table, declaration: LiveTable) -> Resource:
    """Return a resource of a table of the live schema, with the options of its declaration.

    Its struct has the columns of the table, all but those of the key optional. A column whose name would be taken for
    something else is left out. A column whose type is not known is read-only, and so is a table that Cassandra lets
    nobody write to. Never raises; `declaration.problems_of` finds options that do not fit the table.
    """
    columns = served_table(live).columns
    unknown = [column.name for column in columns if not is_known(column.type) and column.name not in live.primary_key]
    options = declaration.options
    if why_read_only(live) is not None:
        options |= {name: getattr(_READ_ONLY, name) for name in ("writes", *OPTIONS_OF_WRITES)}
    shown = [name for name in unknown if name not in (*declaration.hidden, *declaration.read_only)]
    return Resource(
        _struct_of(live, columns),
        live.name,
        partition_key=live.partition_key,
        clustering=tuple(f"-{name}" if name in live.descending else name for name in live.clustering_columns),
        static=tuple(column.name for column in columns if column.kind == "static"),
        **(options | {"keyspace": live.keyspace, "read_only": (*declaration.read_only, *shown)}),
    )


_READ_ONLY = LiveTable("", writes="none")


def served_table(live: Table) -> Table:
    """Return the table without the columns that are left out."""
    columns = tuple(column for column in live.columns if why_column_left_out(column) is None)
    return live if len(columns) == len(live.columns) else replace(live, columns=columns)


def why_not_served(table: Table) -> str | None:
    """Return why a table cannot be served at all; None if it can."""
    if not _word.fullmatch(table.name):
        return "its name has other characters than letters, digits and underscores"
    for name in table.primary_key:
        if reason := why_column_left_out(table.column(name)):
            return f"{printable(name)} is in its key, and {reason}"
    for name in table.clustering_columns:
        if name.startswith("-"):
            return f"{name} is in its key, and a name that begins with a hyphen means descending order"
    return None


def why_column_left_out(column: Column) -> str | None:
    """Return why a column cannot be served; None if it can."""
    if ending := operator_ending(column.name):
        return f"its name ends in {ending}, which is an operator in queries"
    if column.name == SIMILARITY:
        return "searches give its name to the similarity of a vector"
    if _not_in_field.search(column.name):
        return "its name has a quotation mark, a backslash or a control character"
    return None


def printable(name: str) -> str:
    """Return a name for logs and terminals: control characters are written as escapes."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in name)


def why_read_only(table: Table) -> str | None:
    """Return why a table can only be read; None if it can be written."""
    if table.is_view:
        return "it is a materialized view"
    if table.is_virtual:
        return "it is a virtual table"
    if table.keyspace in OWN_KEYSPACES:
        return "it is one of Cassandra's own tables"
    if table.is_compact:
        return "it is WITH COMPACT STORAGE, where a row without values is not stored"
    if unknown := [name for name in table.primary_key if not is_known(table.column(name).type)]:
        return f"{unknown[0]} is in its key, and has a type that this service does not know"
    return None


def note_of(table: Table, *, writable: bool) -> str | None:
    """Return what is special about a table that is served; None for most. `writable`: whether writes were asked for."""
    return "; ".join(_notes(table, writable=writable)) or None


def _notes(table: Table, *, writable: bool) -> Iterator[str]:
    reason = why_read_only(table)
    if reason and writable:
        yield f"read-only: {reason}"
    for column in table.columns:
        if column.name in table.primary_key:
            continue
        if left_out := why_column_left_out(column):
            yield f"without the column {printable(column.name)}: {left_out}"
        elif not is_known(column.type):
            yield f"the column {column.name} is read-only: this service does not know the type {column.type}"


def _struct_of(table: Table, columns: Sequence[Column]) -> type[msgspec.Struct]:
    """Return a struct with a field for each column, by the column's name in JSON."""
    names = {f"column_{at}": column.name for at, column in enumerate(columns)}
    fields: list[Any] = []
    for field, column in zip(names, columns, strict=True):
        hint = Annotated[Any, CQLType(column.type)]
        fields.append((field, hint) if column.name in table.primary_key else (field, hint | None, None))
    return msgspec.defstruct(_struct_name(table.name), fields, rename=names, kw_only=True, module=__name__)


def _struct_name(table: str) -> str:
    """Return a name of a class: `UserEvents` for `user_events`."""
    return "".join(part[:1].upper() + part[1:] for part in table.split("_")) or "Row"
