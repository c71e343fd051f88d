"""Decide whether Cassandra can answer a WHERE clause, and write it.

Cassandra finds rows by the partition key, which must be complete, then by the clustering columns in their order, by
indexes, and by reading everything (ALLOW FILTERING), which a resource must allow for each column. Its rules were taken
from StatementRestrictions of Cassandra 5.0; tests/tables/test_plans_on_node.py runs every kind of plan on a node.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from math import prod

from asgi_app.errors import FieldError
from asgi_app.tables.encoding import Encoded
from asgi_app.tables.relations import (
    LOWER,
    MEMBERS,
    OPERATORS,
    RANGES,
    WHOLE,
    Operator,
    Relation,
    index_serves,
    operand_type,
    parameter,
    type_refusal,
)
from asgi_app.tables.table import Column, Index, Table
from asgi_app.tables.types import CqlType, VectorOf
from asgi_app.tables.vectors import index_on_vector

MOST_KEYS = 100
"""The limit of members of `.in`, and of the combinations of several: each may be a partition to read."""

LONGEST_VALUE = 65535
"""The limit in bytes of a partition key, with three bytes for each column of several, and of a value compared with an
index that is not storage-attached."""


@dataclass(frozen=True, slots=True)
class Where:
    """A WHERE clause that Cassandra can answer.

    `cql` is empty without conditions. `filters`: whether it needs ALLOW FILTERING. `uses_index`: whether Cassandra
    will use an index. `one_partition`: whether the partition key is given by equality. `by_key`: whether it is given,
    by equality or by lists.
    """

    cql: str
    values: tuple[Encoded, ...]
    filters: bool
    uses_index: bool
    one_partition: bool
    by_key: bool = False

    def within(self, condition: str) -> str:
        """Return the clause with another condition before all others."""
        return f" WHERE {condition}{self.cql.replace(' WHERE ', ' AND ', 1)}"


class WherePlanner:
    """Plans the WHERE clauses of one table.

    `allow_filtering` are the columns that may be filtered by reading everything. `unnamed` are columns that clients
    cannot name.
    """

    def __init__(self, table: Table, allow_filtering: Collection[str], unnamed: Collection[str]) -> None:
        self.table = table
        self._allow_filtering = allow_filtering
        self._unnamed = unnamed
        self.places = {name: place for place, name in enumerate(table.primary_key + table.column_names)}
        self.places |= {name: place for place, name in enumerate(table.primary_key)}

    @cached_property
    def usable(self) -> tuple[str, ...]:
        """The parameters that can be used, some only along with others: `("tenant", "tenant.in", "at", "at.gt", …)`."""
        return tuple(parameter(column.name, operator) for column, operator in self.servable)

    @cached_property
    def servable(self) -> tuple[tuple[Column, Operator], ...]:
        """The comparisons that some request can have, in the order of the key and then of the columns."""
        named = [column for column in self.table.columns if column.name not in self._unnamed]
        return tuple(
            (column, operator)
            for column in sorted(named, key=lambda column: self.places[column.name])
            for operator in OPERATORS
            if self._may_serve(column, operator)
        )

    def _may_serve(self, column: Column, operator: Operator) -> bool:
        """Return whether a relation can be part of some request."""
        if self.operand(column, operator) is None:
            return False
        in_key = column.kind == "partition_key" and operator in WHOLE
        in_order = column.kind == "clustering" and operator not in MEMBERS
        return in_key or in_order or self.is_allowed(column) or self.index(column, operator) is not None

    def operand(self, column: Column, operator: Operator) -> CqlType | None:
        """Return the type of the value that `operator` compares with a column, or None if it cannot."""
        return None if self._hides_members(column, operator) else operand_type(column.type, operator)

    def refusal(self, column: Column, operator: Operator) -> str:
        """Return the sentence for an operator that has no operand."""
        if self._hides_members(column, operator) and operand_type(column.type, operator) is not None:
            return "cannot be used: Cassandra does not look into clustering columns of descending order"
        return type_refusal(column.type, operator)

    def _hides_members(self, column: Column, operator: Operator) -> bool:
        return operator in MEMBERS and column.name in self.table.descending

    def index_on_vector(self, column: Column) -> Index | None:
        """Return the index that finds the nearest vectors of a column, or None."""
        return index_on_vector(self.table, column)

    def plan(self, relations: Sequence[Relation], errors: list[FieldError], *, near: bool = False) -> Where:
        """Return the WHERE clause of these relations, and add what is wrong with them to `errors`.

        With `near`, the rows are ordered by an index on a vector. The result is only usable without errors.
        """
        if not relations:
            return Where("", (), filters=False, uses_index=near, one_partition=False)
        return (None if near else self._of_address(relations)) or _Plan(self, relations, errors, near=near).where()

    def _of_address(self, relations: Sequence[Relation]) -> Where | None:
        """Return the WHERE clause of equalities with a partition or a prefix of its rows; None for any other, or a key
        that may be too long. Most requests are such, and this is ten times as fast as the general plan.
        """
        key, length = self.table.primary_key[: len(relations)], len(self.table.partition_key)
        if len(relations) < length or tuple([relation.column.name for relation in relations]) != key:
            return None
        if any(relation.operator != "eq" for relation in relations):
            return None
        sizes = [len(relation.values[0]) for relation in relations[:length]]
        if sum(sizes) + 3 * length > LONGEST_VALUE or sizes == [0]:
            return None
        values = tuple([relation.values[0] for relation in relations])
        conditions = " AND ".join([relation.cql for relation in relations])
        return Where(f" WHERE {conditions}", values, filters=False, uses_index=False, one_partition=True, by_key=True)

    def is_allowed(self, column: Column) -> bool:
        """Return whether a column may be filtered by reading everything."""
        return column.name in self._allow_filtering and not self.is_indexed_vector(column)

    def is_indexed_vector(self, column: Column) -> bool:
        """Return whether Cassandra refuses to compare the column, because its index serves only the nearest vectors."""
        return isinstance(column.type, VectorOf) and any(i.column == column.name for i in self.table.indexes)

    def index(self, column: Column, operator: Operator) -> Index | None:
        """Return an index that serves a relation, preferably a storage-attached one: several can be used together."""
        serving = [i for i in self.table.indexes if i.column == column.name and index_serves(i, column, operator)]
        return min(serving, key=lambda index: index.kind != "sai", default=None)


class _Plan:
    """The plan of one WHERE clause."""

    def __init__(
        self, planner: WherePlanner, relations: Sequence[Relation], errors: list[FieldError], *, near: bool
    ) -> None:
        self._planner = planner
        self._table = planner.table
        self._near = near
        self._errors = errors
        self._relations = sorted(relations, key=self._place)
        self._by_column: dict[str, list[Relation]] = {}
        for relation in self._relations:
            self._by_column.setdefault(relation.column.name, []).append(relation)

    def where(self) -> Where:
        self._check_combinations()
        self._check_sizes()
        if self._errors:
            return Where("", (), filters=False, uses_index=False, one_partition=False)
        beside = [relation for relation in self._relations if relation not in self._by_key]
        uses_index = self._near or (bool(beside) and any(map(self._index, self._relations)))
        filtered = [relation for relation in beside if relation not in self._by_index]
        self._check_filtered(filtered)
        if self._near:
            self._check_static_beside_near()
        if uses_index:
            self._check_partition_beside_index()
            self._check_clustering_beside_index()
        conditions = " AND ".join(relation.cql for relation in self._relations)
        return Where(
            f" WHERE {conditions}" if conditions else "",
            tuple(relation.bound for relation in self._relations),
            bool(filtered),
            uses_index,
            self._has_partition and not self._partition_lists,
            self._has_partition,
        )

    # What serves each relation

    @cached_property
    def _has_partition(self) -> bool:
        """Whether each column of the partition key has a value or a list of them."""
        return all(self._is_whole(name) for name in self._table.partition_key)

    @cached_property
    def _partition_lists(self) -> list[Relation]:
        return [r for r in self._relations if r.column.kind == "partition_key" and r.operator == "in"]

    @cached_property
    def _by_key(self) -> list[Relation]:
        """The relations that the key serves: the partition, equalities from the first clustering column, one range."""
        if not self._has_partition:
            return []
        clustering = self._table.clustering_columns
        leading = list(takewhile(self._is_whole, clustering))
        ranged = clustering[len(leading) : len(leading) + 1]
        names = [*self._table.partition_key, *leading, *(name for name in ranged if self._is_range(name))]
        return [relation for name in names for relation in self._by_column[name]]

    @cached_property
    def _by_index(self) -> list[Relation]:
        """The relations that indexes serve: any number of storage-attached ones, or one other."""
        serving = [r for r in self._relations if r not in self._by_key and self._index(r) and not self._skips(r)]
        attached = [r for r in serving if self._is_attached(r)]
        return attached if attached or self._near else serving[:1]

    def _skips(self, relation: Relation) -> bool:
        """Return whether Cassandra will not use the index on this clustering column.

        It gives up the key's order as soon as one clustering column is out of order. Then all need an index, and only
        storage-attached ones can be used together.
        """
        in_order = [r for r in self._by_key if r.column.kind == "clustering"]
        if relation.column.kind != "clustering" or not in_order:
            return False
        return not all(map(self._is_attached, (relation, *in_order)))

    def _is_attached(self, relation: Relation) -> bool:
        """Return whether a storage-attached index serves a relation."""
        index = self._index(relation)
        return index is not None and index.kind == "sai"

    def _index(self, relation: Relation) -> Index | None:
        return self._planner.index(relation.column, relation.operator)

    def _is_whole(self, name: str) -> bool:
        return any(relation.operator in WHOLE for relation in self._by_column.get(name, ()))

    def _is_range(self, name: str) -> bool:
        relations = self._by_column.get(name, ())
        return bool(relations) and all(relation.operator in RANGES for relation in relations)

    # What Cassandra refuses

    def _check_combinations(self) -> None:
        for relations in self._by_column.values():
            for place, relation in enumerate(relations[1:], 1):
                other = next((r for r in relations[:place] if not _go_together(r.operator, relation.operator)), None)
                if other is not None:
                    self._refuse(relation, _contradiction(relation, other))
        lists = [relation for relation in self._relations if relation.operator == "in"]
        if prod(len(relation.values) for relation in lists) > MOST_KEYS:
            several = " together with the other lists" if len(lists) > 1 else ""
            self._refuse(lists[-1], f"must have at most {MOST_KEYS} members{several}")

    def _check_sizes(self) -> None:
        partition = [r for r in self._relations if r.column.kind == "partition_key"]
        if len(self._table.partition_key) == 1:
            for relation in partition:
                if not all(relation.values) and self._is_whole(relation.column.name):
                    self._refuse(relation, "must not be empty: Cassandra has no empty partition key")
        framing = 3 if len(self._table.partition_key) > 1 else 0
        if sum(max(map(len, r.values)) + framing for r in partition) > LONGEST_VALUE:
            self._refuse(partition[-1], f"makes the partition key longer than Cassandra's {LONGEST_VALUE} bytes")
        for relation in self._relations:
            if self._has_secondary_index(relation) and len(relation.values[0]) > LONGEST_VALUE:
                self._refuse(relation, f"must have at most {LONGEST_VALUE} bytes, because an index serves it")

    def _check_filtered(self, filtered: Iterable[Relation]) -> None:
        """Refuse the relations that would need ALLOW FILTERING and may not have it."""
        for relation in filtered:
            if self._near:
                self._refuse(relation, f"cannot be combined with `near`: {self._lack(relation)}")
            elif not self._planner.is_allowed(relation.column):
                self._refuse(relation, f"cannot be used so: {self._lack(relation)}")

    def _check_static_beside_near(self) -> None:
        """Refuse filters by static columns: Cassandra 5.0 finds no rows by their indexes, and does not say so."""
        for relation in self._by_index:
            if relation.column.kind == "static":
                message = "cannot be combined with `near`: Cassandra finds no vectors by a static column"
                self._refuse(relation, message)

    def _check_partition_beside_index(self) -> None:
        for relation in self._partition_lists:
            self._refuse(relation, "cannot be combined with an index: give one partition key, or none")
        partition = [r for r in self._relations if r.column.kind == "partition_key"]
        if self._near and not self._has_partition:
            for relation in partition:
                if relation in self._by_index:
                    self._refuse(relation, f"cannot be combined with `near`: {self._missing_partition()}")

    def _check_clustering_beside_index(self) -> None:
        """Refuse what makes Cassandra 5.0 fail with a NullPointerException where a partition has static values.

        That is an index on a column of the partition key, not storage-attached, beside a clustering column without the
        ones before it.
        """
        if self._has_partition or not self._table.static_columns:
            return
        indexed = [r for r in self._relations if r.column.kind == "partition_key" and self._has_secondary_index(r)]
        leading = len(list(takewhile(self._is_whole, self._table.clustering_columns)))
        later = self._table.clustering_columns[leading + 1 :]
        for relation in self._relations:
            if indexed and relation.column.name in later:
                message = (
                    f"cannot be combined with {indexed[0].name}, unless all clustering columns before it are given"
                )
                self._refuse(relation, message)

    def _has_secondary_index(self, relation: Relation) -> bool:
        index = self._index(relation)
        return index is not None and index.kind == "legacy"

    def _lack(self, relation: Relation) -> str:
        """Return why neither the key nor an index serves a relation."""
        column = relation.column
        indexes = [index for index in self._table.indexes if index.column == column.name]
        if column.kind == "partition_key":
            return self._lack_in_partition_key(relation)
        if column.kind == "clustering" and not indexes:
            return self._lack_in_order(relation)
        if not indexes:
            return "the column has no index"
        if self._planner.is_indexed_vector(column):
            return "the index of a vector finds only the nearest ones, with `near` in a search"
        if self._index(relation) is None:
            return "the column's index does not serve this operator"
        if self._skips(relation):
            return self._lack_in_order(relation)
        if self._near:
            return "the column's index is not storage-attached (SAI)"
        return "Cassandra uses no second index beside the one that serves another column here"

    def _lack_in_partition_key(self, relation: Relation) -> str:
        if not self._has_partition and relation.operator in WHOLE:
            return self._missing_partition()
        return "a column of the partition key takes only `=` and `.in`"

    def _missing_partition(self) -> str:
        missing = [name for name in self._table.partition_key if not self._is_whole(name)]
        return f"the partition key is only found as a whole, so it needs {_listed(missing)} too"

    def _lack_in_order(self, relation: Relation) -> str:
        if relation.operator in MEMBERS:
            return "the column has no index"
        if not self._has_partition:
            return self._missing_partition()
        clustering = self._table.clustering_columns
        before = clustering[: clustering.index(relation.column.name)]
        missing = [name for name in before if not self._is_whole(name)]
        return f"clustering columns are used in their order, so {_listed(missing)} must be given by `=` before it"

    def _refuse(self, relation: Relation, message: str) -> None:
        self._errors.append(FieldError(relation.field, message, self._planner.usable))

    def _place(self, relation: Relation) -> tuple[int, int]:
        return self._planner.places[relation.column.name], OPERATORS.index(relation.operator)


def _go_together(first: Operator, second: Operator) -> bool:
    """Return whether Cassandra takes two relations with the same column."""
    if first in MEMBERS and second in MEMBERS:
        return True
    return {first, second} <= RANGES and (first in LOWER) != (second in LOWER)


def _contradiction(relation: Relation, other: Relation) -> str:
    if relation.operator == other.operator:
        return f"is given more than once; several values are `{relation.column.name}.in`"
    return f"cannot be combined with {other.name}"


def _listed(names: Sequence[str]) -> str:
    """Return names as part of a sentence: `day`, `tenant and day`."""
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
