"""Encode the rows of files: the values that an INSERT binds, or what is wrong with a row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from asgi_app.errors import FieldError
from asgi_app.tables.encoding import Encoded, WrongValue, encoder_of, has_decimals, pointer_token
from asgi_app.tables.table import Column, Table
from asgi_app.tables.wrong_value import MOST_ERRORS
from asgi_app.transfer.csv_cells import cell_reader

Cell = Encoded | UnsetType | None


@dataclass(slots=True, eq=False)
class Row:
    """The values of one row of a file, encoded, in the order of the columns.

    `line` is the number of its line, or of its row in a file without lines. `partition` are the cells of its partition
    key, `key` those of its clustering columns; all of these are null in a row that has only static values. `source` is
    the row as the file has it, for the file of rejected rows.
    """

    line: int
    cells: list[Cell]
    partition: tuple[Cell, ...]
    key: tuple[Cell, ...]
    size: int
    source: Any
    is_static: bool = False


class RowErrors(Exception):
    """A row that cannot be written, and what is wrong with it."""

    def __init__(self, errors: Sequence[FieldError]) -> None:
        super().__init__(errors)
        self.errors = tuple(errors[:MOST_ERRORS])


@dataclass(frozen=True, slots=True)
class _Writer:
    """A column, and how its values are encoded."""

    name: str
    from_json: Callable[[Any], bytes]
    from_text: Callable[[str], bytes]


class RowEncoder:
    """Encodes rows of some columns of a table, among them its primary key.

    `nulls`: what a null does to a row that is in the table already: UNSET leaves the value there, None deletes it.
    `strict`: whether a member that names no column is an error; else it is ignored. `of_export`: whether the
    rows are those of an export, which has partitions without rows even if it left their static values out. Immutable:
    any number of threads may use it.

    `columns` are those to write, `other_static` the static columns of the table that are not among them.
    """

    def __init__(
        self,
        table: Table,
        columns: Sequence[Column],
        *,
        nulls: UnsetType | None = UNSET,
        strict: bool = True,
        of_export: bool = False,
    ) -> None:
        self._strict = strict
        self.columns = tuple(columns)
        self.other_static = tuple(column for column in table.static_columns if column not in self.columns)
        self.needs_exact_numbers = any(has_decimals(column.type) for column in columns)
        self._writers = [_writer(column) for column in columns]
        self._names = frozenset(column.name for column in columns)
        self._nulls = nulls
        names = [column.name for column in columns]
        self._partition = [names.index(name) for name in table.partition_key]
        self._clustering = [names.index(name) for name in table.clustering_columns]
        self._static = [place for place, column in enumerate(columns) if column.kind == "static"]
        self._static_may_be_left_out = of_export and bool(self.other_static)
        self._regular = [place for place, column in enumerate(columns) if column.kind == "regular"]

    def of_members(self, line: int, value: Any, source: Any) -> Row | None:
        """Return the row that a decoded JSON object describes. An absent member is left alone. Raises RowErrors.

        None stands for a partition that has nothing but static values, none of which are to be written.
        """
        if not isinstance(value, dict):
            raise RowErrors([FieldError("", "must be a JSON object")])
        try:
            cells = [self._cell(writer, value) for writer in self._writers]
        except WrongValue:
            raise RowErrors(self._errors(value)) from None
        if self._strict and not self._names >= value.keys():
            raise RowErrors(self._unknown(value))
        others = any(value.get(column.name) is not None for column in self.other_static)
        return self._row(line, cells, source, others)

    def of_texts(
        self, line: int, texts: Sequence[str | None], source: Any, *, has_other_static: bool = False
    ) -> Row | None:
        """Return the row whose values these texts stand for, in the order of the columns; None as `of_members`.

        `has_other_static`: whether the record has a value of one of `other_static`. Raises RowErrors.
        """
        if len(texts) != len(self._writers):
            message = f"must have {len(self._writers)} fields, as the header has, and has {len(texts)}"
            raise RowErrors([FieldError("", message)])
        cells: list[Cell] = []
        errors: list[FieldError] = []
        for writer, text in zip(self._writers, texts, strict=True):
            try:
                cells.append(self._nulls if text is None else Encoded(writer.from_text(text)))
            except WrongValue as error:
                errors += _within(error, writer.name)
        if errors:
            raise RowErrors(errors)
        return self._row(line, cells, source, has_other_static)

    def _cell(self, writer: _Writer, value: Mapping[str, Any]) -> Cell:
        given = value.get(writer.name, UNSET)
        if given is None:
            return self._nulls
        return UNSET if given is UNSET else Encoded(writer.from_json(given))

    def _errors(self, value: Mapping[str, Any]) -> list[FieldError]:
        """Return everything that is wrong with a row's members."""
        errors: list[FieldError] = []
        for writer in self._writers:
            try:
                self._cell(writer, value)
            except WrongValue as error:
                errors += _within(error, writer.name)
        return errors + self._unknown(value) if self._strict else errors

    def _unknown(self, value: Mapping[str, Any]) -> list[FieldError]:
        unknown = (name for name in value if name not in self._names)
        usable = tuple(column.name for column in self.columns)
        return [
            FieldError(f"/{pointer_token(name)}", "is not a column that may be written here", usable=usable)
            for name in islice(unknown, MOST_ERRORS)
        ]

    def _row(self, line: int, cells: list[Cell], source: Any, has_other_static: bool) -> Row | None:
        partition = tuple([cells[place] for place in self._partition])
        key = tuple([cells[place] for place in self._clustering])
        missing = [place for place in (*self._partition, *self._clustering) if type(cells[place]) is not Encoded]
        is_static = bool(missing) and self._is_without_row(cells, missing)
        if is_static and not any(type(cells[place]) is Encoded for place in self._static):
            if has_other_static or self._static_may_be_left_out:
                return None
            is_static = False
        if missing and not is_static:
            raise RowErrors(
                [FieldError(f"/{pointer_token(self.columns[place].name)}", "is required") for place in missing]
            )
        size = sum([len(cell) for cell in cells if type(cell) is Encoded])
        return Row(line, cells, partition, key, size, source, is_static)

    def _is_without_row(self, cells: Sequence[Cell], missing: Sequence[int]) -> bool:
        """Return whether this is how a partition without rows is written: nothing but its key and static values."""
        return missing == self._clustering and all(type(cells[place]) is not Encoded for place in self._regular)


def _writer(column: Column) -> _Writer:
    encoder = encoder_of(column.type)
    return _Writer(column.name, encoder.write, cell_reader(encoder))


def _within(error: WrongValue, name: str) -> list[FieldError]:
    return [replace(each, field=f"/{pointer_token(name)}{each.field}") for each in error.errors]
