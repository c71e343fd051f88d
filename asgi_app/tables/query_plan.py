"""The query grammar: turn the parameters of a read, or the body of a search, into one SELECT, or say what is wrong.

A parameter is `column=value`, `column.operator=value`, or an option such as `limit`. A column that is named like an
option is reached by `limit.eq=`. Each mistake is a `FieldError` that names the parameter, says why, and lists in
`usable` what can be used.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product, takewhile
from types import MappingProxyType
from typing import Any, Literal, NoReturn

from asgi_app.errors import FieldError, InvalidInput
from asgi_app.tables.cql import in_range, quoted
from asgi_app.tables.encoding import Encoded, Encoder, WrongValue, encoder_of, member_encoder_of
from asgi_app.tables.relations import MEMBERS, OPERATORS, WHOLE, Operator, Relation
from asgi_app.tables.slices import MOST_PARALLEL, Slice
from asgi_app.tables.stored_form import order_of
from asgi_app.tables.table import Column, Index, Table
from asgi_app.tables.vectors import vector_fault
from asgi_app.tables.where import MOST_KEYS, Where, WherePlanner
from asgi_app.tables.wrong_value import MOST_ERRORS

Kind = Literal["list", "stream", "export", "pages", "partitions"]

DEFAULT_LIMIT = 10
MOST_ROWS = 100
MOST_NEAREST = 1000
"""Cassandra's own limit of a search for the nearest vectors."""

MOST_STREAMED = 2**53 - 1
MOST_FETCHED = 5000
MOST_PER_PARTITION = 2**31 - 1
SIMILARITY = "$similarity"
"""The name of the similarity in the rows of a search for the nearest vectors."""

OPTIONS: Mapping[Kind, tuple[str, ...]] = MappingProxyType(
    {
        "list": ("limit", "page_state", "order", "per_partition_limit"),
        "stream": ("limit", "fetch_size", "order", "per_partition_limit", "select", "format", "slice", "parallel"),
        "export": ("limit", "fetch_size", "order", "per_partition_limit", "select", "slice", "parallel"),
        "pages": ("limit", "fetch_size", "page_state", "order", "per_partition_limit", "select", "slice"),
        "partitions": ("limit", "page_state"),
    }
)
_PLACES: Mapping[Kind, str] = MappingProxyType(
    {
        "list": "the list of rows",
        "stream": "/-/stream",
        "export": "/-/export",
        "pages": "/-/pages",
        "partitions": "/-/partitions",
    }
)
"""The kinds of reads in words, for what is an option elsewhere."""

EVERY_OPTION = frozenset(name for names in OPTIONS.values() for name in names)
SEARCH_MEMBERS = ("where", "near", "select", "limit", "order", "per_partition_limit")
_LONGEST_NAME = 100
"""Characters of a name in an error: longer names are cut."""

_Encode = Callable[[Encoder, Any], Encoded | None]

_INTEGER = re.compile(r"[0-9]{1,19}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Plan:
    """A SELECT to run, and how.

    `values` are those of its markers. With `per_row_reads`, run the statement once with each of these values instead,
    and answer the rows in this order. `ring_cql`, for rows of all partitions, is the statement with the condition of
    `in_range` before all others; `slice` is the part of the ring that the client asked for, and `parallel` how many
    parts may be read at once. `limit` is the largest number of rows, None for all; only a search for the nearest
    vectors has it in its CQL too. `purpose` identifies the rows and their order: a page token holds only for
    the plan of the same purpose. `consistency` is the level that the statement needs, None for the usual one.
    `unshown` are columns of the result that are not for the client.
    """

    cql: str
    values: tuple[Encoded, ...]
    per_row_reads: tuple[tuple[Encoded, ...], ...] | None
    limit: int | None
    fetch_size: int | None
    page_state: str | None
    format: str | None
    purpose: str
    consistency: str | None = None
    unshown: tuple[str, ...] = ()
    ring_cql: str | None = None
    slice: Slice | None = None
    parallel: int | None = None


@dataclass(frozen=True, slots=True)
class Rules:
    """The limits on what a client may ask for.

    `allow_filtering` are the columns that may be filtered by reading every row. `hidden` columns are neither shown nor
    named. `bound` are the values of key columns that the client cannot choose.
    """

    allow_filtering: frozenset[str] = frozenset()
    hidden: frozenset[str] = frozenset()
    bound: Mapping[str, Encoded] = field(default_factory=lambda: MappingProxyType({}))
    keyspace: str = ""


class QueryPlanner:
    """Plans the reads of one table under one set of rules, for any number of clients. Immutable once it is made.

    `columns` are those that clients may name, in the table's order; `open_key` the key columns that are not bound.
    """

    def __init__(self, table: Table, rules: Rules) -> None:
        """Make the planner. Only the names of `rules.bound` count: each call has the values of its client."""
        unnamed = rules.hidden | rules.bound.keys()
        self.table = table
        self.columns = {column.name: column for column in table.columns if column.name not in unnamed}
        self.open_key = tuple(name for name in table.primary_key if name not in rules.bound)
        self.where = WherePlanner(table, rules.allow_filtering, unnamed)
        self.source = f" FROM {quoted(rules.keyspace)}.{quoted(table.name)}"
        """The FROM of every SELECT."""
        self._every_column = self._listed(self.columns)

    def query(
        self,
        key_prefix: Sequence[Encoded],
        parameters: Iterable[tuple[str, str]],
        kind: Kind,
        bound: Mapping[str, Encoded],
    ) -> Plan:
        """Return the plan of a GET. Raises InvalidInput that names every wrong parameter.

        `key_prefix` are the values in the address: those of the first columns of the primary key that are not bound.
        `parameters` are names and values of the query, percent-decoded. `bound` are the values of the bound columns for
        this client.
        """
        return _Request(self, bound, key_prefix, "query.").query(parameters, kind)

    def search(self, body: Any, bound: Mapping[str, Encoded]) -> Plan:
        """Return the plan of a search, of its body as `decode_json` decoded it. Raises InvalidInput.

        The body is an object of `where` (filters by name: a value, or an array for `in`), `near` (one vector column
        and a vector), `select` (an array of columns), `limit`, `order` and `per_partition_limit`. All are optional. The
        rows of a search with `near` have their similarity, greatest first, as `$similarity`.
        """
        return _Request(self, bound, (), "/").search(body)

    def rows(self, shown: Collection[str], verb: str = "SELECT", also: str = "") -> str:
        """Return the SELECT of some columns of all rows; `also` is another expression to select."""
        columns = self._every_column if shown is self.columns else self._listed(shown)
        return f"{verb} {columns}{also and ', '}{also}{self.source}"

    def _listed(self, columns: Iterable[str]) -> str:
        return ", ".join(map(quoted, columns))


@dataclass(slots=True)
class _Options:
    """The options of a request."""

    limit: int | None = None
    fetch_size: int | None = None
    page_state: str | None = None
    format: str | None = None
    order: str | None = None
    per_partition_limit: int | None = None
    select: Sequence[str] | None = None
    slice: Slice | None = None
    parallel: int | None = None


@dataclass(frozen=True, slots=True)
class _Near:
    """A search for the nearest vectors."""

    column: Column
    index: Index
    vector: Encoded

    @property
    def similarity(self) -> str:
        """The similarity of a row, in CQL."""
        function = f"similarity_{self.index.similarity or 'cosine'}"
        return f"{function}({quoted(self.column.name)}, ?) AS {quoted(SIMILARITY)}"

    @property
    def order(self) -> str:
        """The order of the rows, in CQL."""
        return f" ORDER BY {quoted(self.column.name)} ANN OF ?"


class _Request:
    """Reads one request and plans it. Mistakes are collected in `_errors` and raised together.

    `place` is the beginning of each error's field: `query.`, or `/` for a body.
    """

    def __init__(
        self, planner: QueryPlanner, bound: Mapping[str, Encoded], key_prefix: Sequence[Encoded], place: str
    ) -> None:
        self._planner = planner
        self._table = planner.table
        self._columns = planner.columns
        self._where = planner.where
        self._place = place
        self._bound = bound
        self._errors: list[FieldError] = []
        self._options: tuple[str, ...] = ()
        self._fixed = self._fixed_relations(bound, key_prefix)

    def query(self, parameters: Iterable[tuple[str, str]], kind: Kind) -> Plan:
        texts: dict[str, list[str]] = {}
        for name, text in parameters:
            texts.setdefault(name, []).append(text)
        relations, options = list(self._fixed), _Options()
        self._options = OPTIONS[kind]
        for name, given in texts.items():
            if name in EVERY_OPTION:
                self._read_option(options, kind, name, given)
            else:
                relations += self._relations(name, given, Encoder.from_text)
        return self._plan(kind, relations, options)

    def search(self, body: Any) -> Plan:
        if not isinstance(body, dict):
            self._refuse("", "must be a JSON object")
            self._raise()
        for name in (name for name in body if name not in SEARCH_MEMBERS):
            self._refuse(self._at(name), "is not a member of a search", SEARCH_MEMBERS)
        near = self._read_near(body["near"]) if "near" in body else None
        relations = [*self._fixed, *self._read_where(body.get("where", {}))]
        options = _Options(
            limit=self._integer(body, "limit", 1, MOST_ROWS if near is None else MOST_NEAREST) or DEFAULT_LIMIT,
            per_partition_limit=self._integer(body, "per_partition_limit", 1, MOST_PER_PARTITION),
            order=self._text(body, "order"),
            select=self._texts(body, "select"),
        )
        if near is not None:
            self._refuse_beside_near(body)
        # Reads of whole keys have no limit: all rows are answered.
        return self._plan("list", relations, options, near=near, has_limit="limit" in body)

    # Parameters and members

    def _fixed_relations(self, bound: Mapping[str, Encoded], key_prefix: Sequence[Encoded]) -> list[Relation]:
        """Return equalities with the values that the address and the client's identity give."""
        given = {**bound, **dict(zip(self._planner.open_key, key_prefix, strict=False))}
        return [Relation(self._table.column(name), "eq", (value,), f"path.{name}") for name, value in given.items()]

    def _read_option(self, options: _Options, kind: Kind, name: str, given: list[str]) -> None:
        if name not in OPTIONS[kind]:
            self._refuse_option(name, kind)
        elif len(given) > 1:
            self._refuse(self._at(name), "is given more than once")
        elif name == "select":
            options.select = given[0].split(",")
        elif name == "slice":
            options.slice = self._slice(given[0])
        elif name in ("page_state", "format", "order"):
            setattr(options, name, given[0])
        else:
            setattr(options, name, self._integer_of_text(name, given[0], *_bounds(kind, name)))

    def _refuse_option(self, name: str, kind: Kind) -> None:
        column = f"; the column is compared by {name}.eq" if self._named_column(name) else ""
        having = ", ".join(_PLACES[each] for each, names in OPTIONS.items() if name in names)
        self._refuse(self._at(name), f"is not an option of this operation, but of {having}{column}", OPTIONS[kind])

    def _relations(self, name: str, given: Sequence[Any], encode: _Encode) -> list[Relation]:
        """Return the relations of one parameter. `encode` is the method of `Encoder` for the given values."""
        column, operator = self._split(name)
        if column is None or operator is None:
            self._refuse_name(name, column)
            return []
        operand = self._where.operand(column, operator)
        if operand is None:
            self._refuse(self._at(name), self._where.refusal(column, operator), self._where.usable)
            return []
        if any(fixed.column is column for fixed in self._fixed):
            self._refuse(self._at(name), "is given by the address")
            return []
        encoder = member_encoder_of(operand) if operator in MEMBERS else encoder_of(operand)
        values = self._encoded(name, encoder, given, encode, listed=operator == "in")
        if operator == "in":
            return [Relation(column, operator, _different(column, values), self._at(name))] if values else []
        return [Relation(column, operator, (value,), self._at(name)) for value in values]

    def _split(self, name: str) -> tuple[Column | None, Operator | None]:
        """Return the column and the operator of a parameter's name; None for what does not exist."""
        base, _, suffix = name.rpartition(".")
        column, operator = self._named_column(base), next((each for each in OPERATORS if each == suffix), None)
        if column is not None and (operator is not None or name not in self._columns):
            return column, operator
        return self._named_column(name), "eq"

    def _named_column(self, name: str) -> Column | None:
        """Return the column if the table has it and clients may name it."""
        return self._columns.get(name)

    def _refuse_name(self, name: str, column: Column | None) -> None:
        if column is not None:
            self._refuse(self._at(name), "has an operator that does not exist", self._where.usable)
        elif self._is_body:
            self._refuse(self._at(name), "is not a column", self._where.usable)
        else:
            usable = tuple(dict.fromkeys((*self._where.usable, *self._options)))
            self._refuse(self._at(name), "is not a column or an option", usable)

    def _encoded(
        self, name: str, encoder: Encoder, given: Sequence[Any], encode: _Encode, *, listed: bool = False
    ) -> list[Encoded]:
        """Return the encoded values. `listed`: in a body they are an array, so that errors have an index."""
        values: list[Encoded] = []
        for place, value in enumerate(given):
            at = f"{self._at(name)}/{place}" if listed and self._is_body else self._at(name)
            try:
                encoded = encode(encoder, value)
            except WrongValue as error:
                self._errors += [FieldError(at + e.field * self._is_body, e.message) for e in error.errors]
                continue
            if encoded is None:
                self._refuse(at, "must not be null: Cassandra compares nothing with null")
            else:
                values.append(encoded)
        return values

    @property
    def _is_body(self) -> bool:
        """Whether errors are at JSON pointers. A parameter of a query is named as a whole."""
        return self._place.startswith("/")

    def _read_where(self, where: Any) -> list[Relation]:
        if not isinstance(where, dict):
            self._refuse("/where", "must be a JSON object")
            return []
        relations: list[Relation] = []
        self._place = "/where/"
        for name, value in where.items():
            given = self._list_of(name, value) if name.endswith(".in") else [value]
            relations += self._relations(name, given, Encoder.from_json)
        self._place = "/"
        return relations

    def _list_of(self, name: str, value: Any) -> list[Any]:
        if isinstance(value, list) and 1 <= len(value) <= MOST_KEYS:
            return value
        self._refuse(self._at(name), f"must be an array of 1 to {MOST_KEYS} values")
        return []

    def _read_near(self, near: Any) -> _Near | None:
        if not isinstance(near, dict) or len(near) != 1:
            self._refuse("/near", "must be a JSON object with one member: a vector column and a vector")
            return None
        ((name, value),) = near.items()
        self._place = "/near/"
        found = self._near(name, value)
        self._place = "/"
        return found

    def _near(self, name: str, value: Any) -> _Near | None:
        column = self._named_column(name)
        index = None if column is None else self._where.index_on_vector(column)
        if column is None or index is None:
            message = "is not a column with an index on vectors of floats"
            self._refuse(self._at(name), message, self._vector_columns())
            return None
        values = self._encoded(name, encoder_of(column.type), [value], Encoder.from_json)
        fault = vector_fault(index, values[0]) if values else None
        if fault is not None:
            self._refuse(self._at(name), fault)
        return _Near(column, index, values[0]) if values else None

    def _vector_columns(self) -> tuple[str, ...]:
        return tuple(name for name, column in self._columns.items() if self._where.index_on_vector(column))

    def _refuse_beside_near(self, body: Mapping[str, Any]) -> None:
        reasons = {
            "order": "cannot be combined with `near`, which has its own order",
            "per_partition_limit": "cannot be combined with `near`: Cassandra limits only the nearest rows of all",
        }
        for name in reasons.keys() & body.keys():
            self._refuse(f"/{name}", reasons[name])

    # Values of options

    def _slice(self, text: str) -> Slice | None:
        try:
            return Slice.parse(text)
        except WrongValue as error:
            self._refuse(self._at("slice"), error.message)
            return None

    def _integer_of_text(self, name: str, text: str, at_least: int, at_most: int) -> int | None:
        value = int(text) if _INTEGER.fullmatch(text) else None
        return self._within(name, value, at_least, at_most)

    def _integer(self, body: Mapping[str, Any], name: str, at_least: int, at_most: int) -> int | None:
        if name not in body:
            return None
        return self._within(name, body[name] if type(body[name]) is int else None, at_least, at_most)

    def _within(self, name: str, value: int | None, at_least: int, at_most: int) -> int | None:
        if value is None or not at_least <= value <= at_most:
            self._refuse(self._at(name), f"must be an integer from {at_least} to {at_most}")
            return None
        return value

    def _text(self, body: Mapping[str, Any], name: str) -> str | None:
        if name not in body or isinstance(body[name], str):
            return body.get(name)
        self._refuse(self._at(name), "must be text")
        return None

    def _texts(self, body: Mapping[str, Any], name: str) -> list[str] | None:
        if name not in body:
            return None
        value = body[name]
        if isinstance(value, list) and value and all(isinstance(member, str) for member in value):
            return value
        self._refuse(self._at(name), "must be an array of names of columns")
        return None

    # The plan

    def _plan(
        self,
        kind: Kind,
        relations: Sequence[Relation],
        options: _Options,
        *,
        near: _Near | None = None,
        has_limit: bool | None = None,
    ) -> Plan:
        shown = self._shown(kind, options.select)
        if kind == "partitions":
            self._check_partitions(relations)
        if near is None:
            self._check_static(shown, relations)
        if self._errors:
            self._raise()
        where = self._where.plan(relations, self._errors, near=near is not None)
        order = self._order(options.order, relations, where)
        self._check_slice(options.slice, where)
        keys = self._whole_keys(kind, relations, options, near)
        if keys is not None and (options.limit is not None if has_limit is None else has_limit):
            self._refuse(self._at("limit"), "cannot be combined with `.in` of whole keys, which answers all their rows")
        self._name_what_bound_columns_lack(relations)
        if self._errors:
            self._raise()
        if keys is not None:
            return self._point_reads(shown, keys)
        return self._select(kind, shown, where, order, options, near)

    def _name_what_bound_columns_lack(self, relations: Iterable[Relation]) -> None:
        """Replace errors of bound columns, which clients do not know, by the columns that are needed beside them."""
        bound = {f"path.{name}" for name in self._bound}
        given = {relation.column.name for relation in relations if relation.operator in WHOLE}
        missing = [name for name in self._table.partition_key if name not in given]
        if not missing or not any(error.field in bound for error in self._errors):
            return
        self._errors = [error for error in self._errors if error.field not in bound]
        place = self._place if self._place == "query." else "/where/"
        for name in missing:
            self._refuse(f"{place}{name}", "is required: the partition key is only found as a whole")

    def _shown(self, kind: Kind, select: Sequence[str] | None) -> Collection[str]:
        """Return the columns of the answer, in the table's order."""
        if kind == "partitions":
            return [name for name in self._table.partition_key if name in self._columns]
        if select is None:
            return self._columns
        if not self._columns.keys() >= {*select}:
            self._refuse(self._at("select"), "names what is not a column", tuple(self._columns))
        return [name for name in self._columns if name in select]

    def _check_static(self, shown: Iterable[str], relations: Iterable[Relation]) -> None:
        """Refuse to select only columns of partitions where rows are asked for."""
        of_rows = [relation.column.name for relation in relations if relation.column.kind == "clustering"]
        kinds = {self._columns[name].kind for name in shown if name in self._columns} if of_rows else set()
        if "static" in kinds and kinds <= {"partition_key", "static"}:
            message = f"must have a column of the rows too, because {of_rows[0]} is given: static ones have no rows"
            self._refuse(self._at("select"), message)

    def _check_slice(self, part: Slice | None, where: Where) -> None:
        if part is not None and where.by_key:
            self._refuse(self._at("slice"), "cannot be used where the partition key is given: it is a part of all keys")
        elif part is not None and self._table.is_virtual:
            self._refuse(self._at("slice"), "cannot be used: this table is virtual, and its keys have no tokens")

    def _check_partitions(self, relations: Iterable[Relation]) -> None:
        for relation in relations:
            if relation.column.kind not in ("partition_key", "static"):
                message = "cannot be used here: partitions are found by their key and static columns only"
                self._refuse(relation.field, message)

    def _order(self, order: str | None, relations: Iterable[Relation], where: Where) -> str:
        """Return the ORDER BY of a request: nothing for the order in which the rows are stored."""
        if order is None:
            return ""
        name, descends, orders = order.removeprefix("-"), order.startswith("-"), self._orders(relations)
        if name not in orders:
            usable = tuple(sign + name for name in orders for sign in ("", "-"))
            self._refuse(self._at("order"), "is not an order that the rows are stored in", usable)
        elif where.uses_index:
            self._refuse(self._at("order"), "cannot be combined with a filter that an index serves")
        elif not where.one_partition:
            missing = ", ".join(self._table.partition_key)
            message = f"needs one partition, given by `=`: rows have an order only within it (its key is {missing})"
            self._refuse(self._at("order"), message)
        elif descends != (name in self._table.descending):
            return f" ORDER BY {quoted(name)} {'DESC' if descends else 'ASC'}"
        return ""

    def _orders(self, relations: Iterable[Relation]) -> tuple[str, ...]:
        """Return the clustering columns that can name an order: the first, and the next after those with one value."""
        single = {relation.column.name for relation in relations if relation.operator == "eq"}
        clustering = self._table.clustering_columns
        leading = len(list(takewhile(single.__contains__, clustering)))
        return tuple(name for name in clustering[: leading + 1] if name in self._columns)

    def _whole_keys(
        self, kind: Kind, relations: Sequence[Relation], options: _Options, near: _Near | None
    ) -> tuple[tuple[Encoded, ...], ...] | None:
        """Return the keys to read one by one, if the request lists whole keys and nothing else; else None."""
        if kind != "list" or near or options.order or options.per_partition_limit or options.page_state is not None:
            return None
        by_column = {relation.column.name: relation for relation in relations if relation.operator in WHOLE}
        is_key = len(relations) == len(by_column) and by_column.keys() == {*self._table.primary_key}
        if not is_key or not any(relation.operator == "in" for relation in relations):
            return None
        return tuple(product(*(by_column[name].values for name in self._table.primary_key)))

    def _point_reads(self, shown: Collection[str], keys: tuple[tuple[Encoded, ...], ...]) -> Plan:
        conditions = " AND ".join(f"{quoted(name)} = ?" for name in self._table.primary_key)
        cql = f"{self._planner.rows(shown)} WHERE {conditions}"
        purpose = _purpose("keys", cql, [value for key in keys for value in key])
        return Plan(cql, (), keys, None, None, None, None, purpose)

    def _select(
        self, kind: Kind, shown: Collection[str], where: Where, order: str, options: _Options, near: _Near | None
    ) -> Plan:
        # DISTINCT needs all columns of the partition key, and clients see no bound ones: then take one row of each.
        distinct = kind == "partitions" and not self._bound
        verb = "SELECT DISTINCT" if distinct else "SELECT"
        unshown = () if near is None else self._static_beside(shown)
        also = [] if near is None else [near.similarity, *map(quoted, unshown)]
        select = self._planner.rows(shown, verb, ", ".join(also))
        per_partition = "" if options.per_partition_limit is None else " PER PARTITION LIMIT ?"
        if kind == "partitions" and not distinct:
            per_partition = " PER PARTITION LIMIT 1"
        limit = self._limit(kind, options)
        # Cassandra pages no virtual table: only its own limit holds there.
        has_limit = near is not None or bool(self._table.is_virtual and limit)
        ordered, limited = order if near is None else near.order, " LIMIT ?" if has_limit else ""
        filtering = " ALLOW FILTERING" if where.filters else ""
        rest = f"{ordered}{per_partition}{limited}{filtering}"
        cql = f"{select}{where.cql}{rest}"
        has_ring = near is None and not where.by_key and not self._table.is_virtual
        values = _values(where, options, near, limit if has_limit else None)
        return Plan(
            cql,
            values,
            None,
            limit,
            options.fetch_size if near is None else limit,
            options.page_state,
            options.format,
            _purpose(f"{kind} {options.slice}", self._planner.source + where.cql + rest, values),
            None if near is None else "LOCAL_ONE",
            unshown,
            f"{select}{where.within(in_range(self._table.partition_key))}{rest}" if has_ring else None,
            options.slice,
            options.parallel,
        )

    def _static_beside(self, shown: Collection[str]) -> tuple[str, ...]:
        """Return the static columns that are not shown. A search for the nearest vectors must read all of them.

        Cassandra 5.0 answers one that reads only some of them, or none beside a column of several cells such as a
        list, with a ReadFailure, if a row's partition has static values.
        """
        static = (*(column.name for column in self._table.static_columns), *self._table.other_static)
        return tuple(name for name in static if name not in shown)

    def _limit(self, kind: Kind, options: _Options) -> int | None:
        if options.limit is None and kind in ("list", "partitions"):
            return DEFAULT_LIMIT
        return options.limit

    # Errors

    def _at(self, name: str) -> str:
        """Return the field of an error with the parameter `name`, or with a member (RFC 6901 section 3)."""
        name = name[:_LONGEST_NAME].encode("utf-8", "replace").decode()
        return self._place + (name.replace("~", "~0").replace("/", "~1") if self._is_body else name)

    def _refuse(self, at: str, message: str, usable: tuple[str, ...] = ()) -> None:
        self._errors.append(FieldError(at, message, usable))
        if len(self._errors) >= MOST_ERRORS:  # a body may have many thousands of names
            self._raise()

    def _raise(self) -> NoReturn:
        """Raise the errors. A list of what can be used is sent once: a hundred long ones would make a huge response."""
        listed: set[tuple[str, ...]] = set()
        errors = []
        for error in self._errors:
            errors.append(FieldError(error.field, error.message) if error.usable in listed else error)
            listed.add(error.usable)
        raise InvalidInput(errors=tuple(errors))


def _different(column: Column, values: Iterable[Encoded]) -> tuple[Encoded, ...]:
    """Return the first of the values that find the same rows: a partition key is compared as bytes."""
    order = order_of(column.type) if column.kind == "clustering" else bytes
    found: dict[Any, Encoded] = {}
    for value in values:
        found.setdefault(order(value), value)
    return tuple(found.values())


def _bounds(kind: Kind, option: str) -> tuple[int, int]:
    """Return the bounds of an integer option."""
    if option == "limit":
        return (1, MOST_ROWS) if kind in ("list", "partitions") else (0, MOST_STREAMED)
    if option == "parallel":
        return 1, MOST_PARALLEL
    return 1, MOST_FETCHED if option == "fetch_size" else MOST_PER_PARTITION


def _values(where: Where, options: _Options, near: _Near | None, limit: int | None) -> tuple[Encoded, ...]:
    """Return the values of a SELECT, in the order of its markers. `limit` is that of its CQL."""
    before, after = ((), ()) if near is None else ((near.vector,), (near.vector,))
    integers = [options.per_partition_limit, None if limit is None else min(limit, MOST_PER_PARTITION)]
    return (*before, *where.values, *after, *(_encoded_int(value) for value in integers if value is not None))


def _encoded_int(value: int) -> Encoded:
    """Return a value of CQL's type `int`."""
    return Encoded(value.to_bytes(4, "big"))


def _purpose(kind: str, cql: str, values: Iterable[Encoded]) -> str:
    """Return a text that is the same for the same rows in the same order. `cql` has what decides that.

    The columns that are selected do not: a position in the rows stays valid when columns come and go.
    """
    digest = hashlib.sha256()
    for value in values:
        digest.update(len(value).to_bytes(4, "big") + value)
    return f"{kind} {cql} {digest.hexdigest()}"
