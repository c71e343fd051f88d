"""What an import writes, and what is told before the first write if the table or the files do not allow it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from asgi_app.tables.table import Column, Table
from asgi_app.tables.types import is_known
from asgi_app.transfer.manifest import Format
from asgi_app.transfer.outcomes import Refused
from asgi_app.transfer.sources import Source
from asgi_app.transfer.table_lookup import chosen_columns


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """How to import.

    `format`: that of a file whose name does not say it. `select`: the columns to write, all if there are none.
    `parallel`: how many statements are in flight. `batch`: the most rows of one write, and
    `partitions` those of its partitions, where rows come in the order of the ring. `timestamp`: of all writes,
    in microseconds; `export` is the time of the export, `now` the time of each write. `ttl` in seconds. `nulls`: what a
    null does to the value of a row that exists. `max_rejects`: the import stops above so many rejected rows.
    `state` and `rejects`: files in place of those beside the export.
    """

    format: Format | None = None
    select: Sequence[str] = ()
    consistency: str | None = None
    parallel: int = 64
    batch: int = 32
    partitions: int = 1
    timestamp: int | Literal["now", "export"] = "now"
    ttl: int | None = None
    nulls: Literal["keep", "delete"] = "keep"
    max_rejects: int = 100
    resume: bool = False
    dry_run: bool = False
    state: Path | None = None
    rejects: Path | None = None


def columns_to_write(table: Table, source: Source, select: Sequence[str]) -> tuple[Column, ...]:
    """Return the columns to write. Raises Refused if the table or the files do not allow it."""
    _check_writable(table)
    _check_present(table, source, select)
    columns = chosen_columns(table, select or source.columns or ())
    _check_key(table, columns)
    _check_types(table, columns, source)
    return columns


def _check_writable(table: Table) -> None:
    name = f"{table.keyspace}.{table.name}"
    if table.is_view:
        raise Refused(f"{name} is a materialized view: import into the table that it is a view of.")
    if table.is_counter:
        raise Refused(f"{name} has counters, which can only be added to: to repeat a write would count twice.")


def _check_present(table: Table, source: Source, select: Sequence[str]) -> None:
    """Raise Refused if the files lack a column that was chosen, or the table lacks one of theirs and none was."""
    if source.columns is None:
        return
    absent = [column for column in select if column not in source.columns]
    if absent:
        raise Refused(f"The files have no column {', '.join(absent)}. They have {', '.join(source.columns)}.")
    missing = [column or "(without a name)" for column in source.columns if column not in table.column_names]
    if missing and not select:
        raise Refused(
            f"{table.keyspace}.{table.name} has no column {', '.join(missing)}, of which the files have values. Add "
            "it, or name the columns to write with --select."
        )


def _check_key(table: Table, columns: Sequence[Column]) -> None:
    names = [column.name for column in columns]
    lacking = [column for column in table.primary_key if column not in names]
    if lacking:
        raise Refused(
            f"The key of {table.keyspace}.{table.name} has {', '.join(lacking)}, of which there are no values."
        )


def _check_types(table: Table, columns: Sequence[Column], source: Source) -> None:
    strange = [f"{column.name} ({column.type})" for column in columns if not is_known(column.type)]
    if strange:
        raise Refused(f"Values of these columns cannot be written: {', '.join(strange)}. Leave them out with --select.")
    exported = [(column, source.types.get(column.name, str(column.type))) for column in columns]
    differing = [
        f"{column.name} (is {column.type}, exported as {cql_type})"
        for column, cql_type in exported
        if _unfrozen(cql_type) != _unfrozen(str(column.type))
    ]
    if differing:
        raise Refused(f"{table.keyspace}.{table.name} has other types than the files: see {', '.join(differing)}.")


def _unfrozen(cql_type: str) -> str:
    """Return a type without `frozen<…>`, which makes no difference to values."""
    return cql_type.replace("frozen<", "").replace(">", "")


def timestamp_of_writes(table: Table, source: Source, options: ImportOptions) -> int | None:
    """Return the timestamp of all writes, None for the time of each. Raises Refused if there can be none."""
    if options.timestamp == "now":
        return None
    if source.digest is None and not table.is_repeatable:
        raise Refused(
            f"{table.keyspace}.{table.name} has lists, which double if they are written twice with one timestamp. Only "
            "the import of a folder remembers how often it ran: leave --timestamp out."
        )
    if options.timestamp != "export":
        return options.timestamp
    if source.exported_at is None:
        raise Refused("--timestamp export needs the folder of an export: a file does not say when it was made.")
    return int(source.exported_at.timestamp() * 1_000_000)
