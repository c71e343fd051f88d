"""Read Cassandra's schema tables into `Table`s, and compare a declared table with the live one.

Run the statements below with the keyspace's name as their one value, and pass the rows to `read_schema`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from types import MappingProxyType
from typing import Any, Literal, cast

from asgi_app.tables.cql import Statement
from asgi_app.tables.table import Column, Index, Table
from asgi_app.tables.types import (
    CqlType,
    ListOf,
    MapOf,
    SetOf,
    TupleOf,
    UnknownType,
    UserType,
    VectorOf,
    is_frozen,
    may_be_user_type,
    parse_type,
    without_quotes,
)

Row = Mapping[str, Any]
"""A row of a schema table: its cells by the names of their columns."""


def _select(columns: str, table: str) -> Statement:
    return Statement(f"SELECT {columns} FROM {table} WHERE keyspace_name = ?", idempotent=True, writes=False)


_COLUMN = "table_name, column_name, kind, position, clustering_order, type"

TABLES = _select("table_name, flags, default_time_to_live, comment", "system_schema.tables")
VIEWS = _select("view_name, comment", "system_schema.views")
COLUMNS = _select(_COLUMN, "system_schema.columns")
INDEXES = _select("table_name, index_name, kind, options", "system_schema.indexes")
TYPES = _select("type_name, field_names, field_types", "system_schema.types")
VIRTUAL_TABLES = _select("table_name, comment", "system_virtual_schema.tables")
VIRTUAL_COLUMNS = _select(_COLUMN, "system_virtual_schema.columns")

_TARGET = re.compile(r"(?:(keys|values|entries|full)\()?(.+?)\)?", re.DOTALL)
"""An index's target: a column, or a part of a column. A name with other characters than letters, digits and underscores
cannot be indexed, so that no name contains a parenthesis."""

_SAI_CLASSES = frozenset({"sai", "storageattachedindex"})


@dataclass(frozen=True, slots=True)
class SchemaRows:
    """The rows of the schema tables for one keyspace, each list by the statement that selects it."""

    tables: Sequence[Row] = ()
    views: Sequence[Row] = ()
    columns: Sequence[Row] = ()
    indexes: Sequence[Row] = ()
    types: Sequence[Row] = ()
    virtual_tables: Sequence[Row] = ()
    virtual_columns: Sequence[Row] = ()


@dataclass(frozen=True, slots=True)
class LiveSchema:
    """The tables and views of a keyspace, and its user-defined types, by name."""

    keyspace: str
    tables: Mapping[str, Table]
    user_types: Mapping[str, UserType]


def read_schema(keyspace: str, rows: SchemaRows) -> LiveSchema:
    """Return the schema that `rows` describe. A type that is not known becomes an UnknownType. Never raises.

    A table whose columns were not read yet (the schema changed in between) is left out.
    """
    user_types = read_user_types(rows.types)
    parse = cache(partial(parse_type, user_types=user_types))  # a keyspace has few types and many columns
    columns = _grouped([*rows.columns, *rows.virtual_columns])
    indexes = _grouped(rows.indexes)
    tables = {}
    for name, facts in _tables_and_views(rows).items():
        in_cql = _visible(columns[name], facts.flags)
        if any(row["kind"] == "partition_key" for row in in_cql):
            tables[name] = _table(keyspace, name, facts, in_cql, indexes[name], partial(_type_of, parse, user_types))
    return LiveSchema(keyspace, tables, user_types)


def schema_of_session(session: Any, keyspace: str) -> LiveSchema:
    """Read a keyspace by a session of the driver; one that does not exist has no tables. Raises the driver's errors."""

    def rows(statement: Statement) -> Sequence[Row]:
        result = session.execute(session.prepare(statement.cql), (keyspace,))
        return [dict(zip(result.column_names, row, strict=True)) for row in result]

    has_virtual = keyspace.startswith("system_")  # not every server has these schema tables
    found = SchemaRows(
        tables=rows(TABLES),
        views=rows(VIEWS),
        columns=rows(COLUMNS),
        indexes=rows(INDEXES),
        types=rows(TYPES),
        virtual_tables=rows(VIRTUAL_TABLES) if has_virtual else (),
        virtual_columns=rows(VIRTUAL_COLUMNS) if has_virtual else (),
    )
    return read_schema(keyspace, found)


def read_user_types(rows: Iterable[Row]) -> dict[str, UserType]:
    """Return the keyspace's user-defined types by name. Types may contain others, in any order of the rows."""
    rows = list(rows)
    known: dict[str, UserType] = {}
    while True:  # each pass resolves one more level of nesting
        found = {row["type_name"]: _user_type(row, known) for row in rows}
        if found == known:
            return known
        known = found


def differences(declared: Table, live: Table | None) -> tuple[str, ...]:
    """Return the names of the columns that make `live` unfit for what `declared` says; all of them without a table.

    A column is named if it is missing, or if it has another type, kind, place in the key or clustering order. So is a
    key column that was not declared. Other columns that were not declared do not matter.
    """
    if live is None:
        return declared.column_names
    found = {column.name: column for column in live.columns}
    unfit = [column.name for column in declared.columns if not _fits(column, found.get(column.name))]
    moved = _places(declared).items() ^ _places(live).items()
    return tuple(dict.fromkeys([*unfit, *sorted(name for name, _ in moved)]))


def described_differences(declared: Table, live: Table) -> tuple[str, ...]:
    """Return the columns that `differences` names, each with what is declared and what there is."""
    wanted = {column.name: column for column in declared.columns}
    found = {column.name: column for column in live.columns}
    return tuple(_described(name, wanted.get(name), found.get(name)) for name in differences(declared, live))


def _described(name: str, declared: Column | None, live: Column | None) -> str:
    """Return the name of a column that differs, and how it does."""
    if declared is None:
        return f"{name} (in the key of the table, and not declared)"
    if live is None:
        return f"{name} (missing, declared as {declared.type})"
    if live.kind != declared.kind:
        return f"{name} (is {_KIND_WORDS[live.kind]}, declared as {_KIND_WORDS[declared.kind]})"
    if not _fits(declared, live):
        return f"{name} (is {live.type}, declared as {declared.type})"
    return f"{name} (has another place in the key, or another order)"


_KIND_WORDS = MappingProxyType(
    {
        "partition_key": "in the partition key",
        "clustering": "a clustering column",
        "static": "a static column",
        "regular": "a regular column",
    }
)


def other_static(declared: Table, live: Table) -> tuple[str, ...]:
    """Return the names of the live table's static columns that are not declared."""
    names = {column.name for column in declared.columns}
    return tuple(column.name for column in live.static_columns if column.name not in names)


@dataclass(frozen=True, slots=True)
class _Facts:
    """The facts about one table in the rows of `system_schema.tables` and `views`."""

    comment: str
    flags: frozenset[str] = frozenset({"compound"})
    has_default_ttl: bool = False
    is_view: bool = False
    is_virtual: bool = False

    @property
    def is_compact(self) -> bool:
        """Whether the table is WITH COMPACT STORAGE: only tables without it are `compound` and nothing else."""
        return "compound" not in self.flags or not self.flags.isdisjoint(("dense", "super"))


def _tables_and_views(rows: SchemaRows) -> dict[str, _Facts]:
    """Return the facts of each table, view and virtual table by its name."""
    tables = {
        row["table_name"]: _Facts(
            row["comment"] or "", frozenset(row["flags"] or ()), bool(row["default_time_to_live"])
        )
        for row in rows.tables
    }
    views = {row["view_name"]: _Facts(row["comment"] or "", is_view=True) for row in rows.views}
    virtual = {row["table_name"]: _Facts(row["comment"] or "", is_virtual=True) for row in rows.virtual_tables}
    return {**tables, **views, **virtual}


def _table(
    keyspace: str,
    name: str,
    facts: _Facts,
    columns: Sequence[Row],
    indexes: Sequence[Row],
    type_of: Callable[[Row], CqlType],
) -> Table:
    """Return the table of these rows. Its columns stand as in `SELECT *`: key, static columns, others by name."""
    ordered = sorted(columns, key=_select_order)
    partition_key, clustering = (
        tuple(row["column_name"] for row in ordered if row["kind"] == kind) for kind in ("partition_key", "clustering")
    )
    return Table(
        name,
        tuple(Column(row["column_name"], type_of(row), row["kind"]) for row in ordered),
        partition_key,
        clustering,
        descending=frozenset(row["column_name"] for row in columns if row["clustering_order"] == "desc"),
        indexes=tuple(map(_index, indexes)),
        keyspace=keyspace,
        is_view=facts.is_view,
        is_virtual=facts.is_virtual,
        has_default_ttl=facts.has_default_ttl,
        is_compact=facts.is_compact,
        comment=facts.comment,
    )


def _type_of(parse: Callable[[str], CqlType], user_types: Collection[str], row: Row) -> CqlType:
    """Return the type of a column; an UnknownType if its text may as well be the name of a user type.

    Columns of a key have no user types that are not frozen, so theirs is a native type.
    """
    found = parse(row["type"])
    is_plain = row["kind"] in ("static", "regular")
    return UnknownType(row["type"]) if is_plain and may_be_user_type(found, user_types) else found


_KINDS = ("partition_key", "clustering", "static", "regular")


def _select_order(row: Row) -> tuple[int, int, str]:
    return _KINDS.index(row["kind"]), row["position"], row["column_name"]


def _visible(columns: Sequence[Row], flags: frozenset[str]) -> list[Row]:
    """Return the columns that CQL shows, with the kinds that it gives them.

    Tables WITH COMPACT STORAGE have more in `system_schema.columns`: one without clustering columns (neither `compound`
    nor `dense`) has its columns as static ones beside a hidden clustering column and value; a dense one without values
    has a column of the type `empty`.
    """
    if not flags & {"compound", "dense", "super"}:
        shown = [row for row in columns if row["kind"] in ("partition_key", "static")]
        return [{**row, "kind": "regular"} if row["kind"] == "static" else row for row in shown]
    return [row for row in columns if row["type"] != "empty"]


def _index(row: Row) -> Index:
    """Return the index of a row of `system_schema.indexes`."""
    options = row["options"]
    part, column = _target(options.get("target", ""))
    similarity = options.get("similarity_function", "").lower()
    return Index(
        column,
        cast(Any, part),
        _index_kind(row["kind"], options.get("class_name", "")),
        cast(Any, similarity) if similarity in _SIMILARITIES else None,
        row["index_name"],
    )


_SIMILARITIES = ("cosine", "dot_product", "euclidean")


def _index_kind(kind: str, class_name: str) -> Literal["sai", "legacy", "other"]:
    """Return the kind of an index. Cassandra keeps the name of its class as it was written, with or without package."""
    if kind != "CUSTOM":
        return "legacy"
    return "sai" if class_name.rpartition(".")[2].lower() in _SAI_CLASSES else "other"


def _target(text: str) -> tuple[str, str]:
    """Return the indexed part of the column, or "", and the column's name without quotes."""
    match = _TARGET.fullmatch(text)
    part, name = (match[1] or "", match[2]) if match else ("", text)
    return part, name[1:-1].replace('""', '"') if name.startswith('"') else name


def _user_type(row: Row, known: Mapping[str, UserType]) -> UserType:
    fields = zip(row["field_names"] or (), row["field_types"] or (), strict=True)
    return UserType(row["type_name"], tuple((name, parse_type(text, known)) for name, text in fields))


def _grouped(rows: Iterable[Row]) -> defaultdict[str, list[Row]]:
    """Return the rows by the table that they are about."""
    groups: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row["table_name"]].append(row)
    return groups


def _places(table: Table) -> dict[str, tuple[int, bool]]:
    """Return the place of each key column, and whether its order is descending."""
    return {name: (place, name in table.descending) for place, name in enumerate(table.primary_key)}


def _fits(declared: Column, live: Column | None) -> bool:
    """Return whether the live column is of the declared kind and type.

    Where Cassandra does not say whether the type is a native one or a user type of that name, the declaration does.
    """
    if live is None or live.kind != declared.kind:
        return False
    if isinstance(live.type, UnknownType) and live.type.text == without_quotes(str(declared.type)):
        return True
    return is_frozen(live.type) == is_frozen(declared.type) and _same_type(declared.type, live.type)


def _same_type(declared: CqlType, live: CqlType) -> bool:
    """Return whether values have the same form in both types.

    Whether types inside others are frozen makes no difference to values, and Cassandra does not always write it. A live
    user-defined type may have further fields after the declared ones: ALTER TYPE appends them.
    """
    match declared, live:
        case (ListOf(ours), ListOf(theirs)) | (SetOf(ours), SetOf(theirs)):
            return _same_type(ours, theirs)
        case MapOf(key, value), MapOf(live_key, live_value):
            return _same_type(key, live_key) and _same_type(value, live_value)
        case TupleOf(ours), TupleOf(theirs):
            return len(ours) == len(theirs) and _all_same(ours, theirs)
        case VectorOf(ours, size), VectorOf(theirs, live_size):
            return size == live_size and _same_type(ours, theirs)
        case UserType(name, fields), UserType(live_name, live_fields):
            return name == live_name and _same_fields(fields, live_fields)
    return declared == live


def _same_fields(declared: Sequence[tuple[str, CqlType]], live: Sequence[tuple[str, CqlType]]) -> bool:
    """Return whether the live fields begin with the declared ones."""
    names = [name for name, _ in declared] == [name for name, _ in live[: len(declared)]]
    return names and _all_same([field for _, field in declared], [field for _, field in live])


def _all_same(declared: Iterable[CqlType], live: Iterable[CqlType]) -> bool:
    return all(_same_type(ours, theirs) for ours, theirs in zip(declared, live, strict=False))
