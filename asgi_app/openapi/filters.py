"""The filters of a table: the parameters of the query, and the body of a search."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType

from asgi_app.openapi.common import query_parameter
from asgi_app.openapi.components import Components, Schema, enumeration
from asgi_app.openapi.values import Values
from asgi_app.tables.query_plan import (
    DEFAULT_LIMIT,
    EVERY_OPTION,
    MOST_NEAREST,
    MOST_PER_PARTITION,
    MOST_ROWS,
    QueryPlanner,
)
from asgi_app.tables.relations import Operator, parameter
from asgi_app.tables.table import Column
from asgi_app.tables.types import CqlType
from asgi_app.tables.where import MOST_KEYS

_MEANINGS: Mapping[Operator, str] = MappingProxyType(
    {
        "eq": "Equal to this.",
        "gt": "Greater than this.",
        "gte": "At least this.",
        "lt": "Less than this.",
        "lte": "At most this.",
        "in": "One of these.",
        "contains": "Has this member.",
        "contains_key": "Has this key.",
    }
)


class Filters:
    """The filters of one resource."""

    def __init__(self, name: str, planner: QueryPlanner, components: Components, values: Values) -> None:
        self._name = name
        self._planner = planner
        self._components = components
        self._values = values
        self.vector_columns = [
            column for column in planner.columns.values() if planner.where.index_on_vector(column) is not None
        ]
        """The columns whose nearest vectors a search finds."""
        self._references: dict[tuple[str, Operator], Schema] = {}

    def parameters(self, *, without: Collection[str] = (), kinds: Collection[str] = ()) -> list[Schema]:
        """Return the parameters that some request can use, `without` the columns in its path.

        With `kinds`, only columns of these kinds.
        """
        return [
            self._reference(column, operator)
            for column, operator in self._planner.where.servable
            if column.name not in without and (not kinds or column.kind in kinds)
        ]

    def _reference(self, column: Column, operator: Operator) -> Schema:
        """Return the reference to a parameter, which most reads of the table have."""
        key = column.name, operator
        if key not in self._references:
            self._references[key] = self._parameter(column, operator)
        return self._references[key]

    def _parameter(self, column: Column, operator: Operator) -> Schema:
        def make() -> Schema:
            operand = self._operand(column, operator)
            listed = operator == "in"
            value = self._values.listed_parameter(operand, MOST_KEYS) if listed else self._values.parameter(operand)
            name = parameter(column.name, operator)
            if name in EVERY_OPTION:  # an option has the plain name
                name = f"{name}.eq"
            return {"name": name, "in": "query", "description": _MEANINGS[operator], **value}

        # Tables share the filters of columns with the same name and type.
        key = ("filter", column.name, operator, column.type)
        return self._components.refer("parameters", key, f"{column.name}_{operator}", make)

    def _operand(self, column: Column, operator: Operator) -> CqlType:
        found = self._planner.where.operand(column, operator)
        if found is None:
            raise ValueError(f"{column.name} cannot be compared by {operator}")
        return found

    def order(self) -> Schema | None:
        """Return the parameter `order`, or None if the rows of a partition have no order."""
        orders = self._orders()
        if not orders:
            return None
        return query_parameter("order", "The order within one partition.", self._enum("order", orders))

    def select(self) -> Schema | None:
        """Return the parameter `select`, or None if no column can be in it: a name with a comma cannot."""
        if all("," in name for name in self._planner.columns):
            return None
        items = {"type": "array", "minItems": 1, "items": self._column_name(with_commas=False)}
        return {**query_parameter("select", "The columns of the answer.", items), "style": "form", "explode": False}

    def _column_name(self, *, with_commas: bool) -> Schema:
        """Return a reference to the enumeration of the columns, or of those whose names have no comma."""
        names = [name for name in self._planner.columns if with_commas or "," not in name]
        return self._enum("column" if len(names) == len(self._planner.columns) else "plain_column", names)

    def _enum(self, name: str, members: list[str]) -> Schema:
        """Return a reference to an enumeration of this resource."""
        key, wanted = ("enum", self._name, name), f"{self._name}_{name}"
        return self._components.refer("schemas", key, wanted, lambda: enumeration(members))

    def _orders(self) -> list[str]:
        clustering = [name for name in self._planner.table.clustering_columns if name in self._planner.columns]
        return [sign + name for name in clustering for sign in ("", "-")]

    def search(self) -> Schema:
        """Return the schema of the body of a search."""
        orders = self._orders()
        return {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "where": self._where(),
                **self._near(),
                "select": {"type": "array", "minItems": 1, "items": self._column_name(with_commas=True)},
                "limit": {
                    "type": "integer",
                    "minimum": 1,
                    "maximum": MOST_NEAREST if self.vector_columns else MOST_ROWS,
                    "description": f"The number of rows; {DEFAULT_LIMIT} without it.",
                },
                **({"order": self._enum("order", orders)} if orders else {}),
                "per_partition_limit": {"type": "integer", "minimum": 1, "maximum": MOST_PER_PARTITION},
            },
        }

    def _where(self) -> Schema:
        members: Schema = {}
        for column, operator in self._planner.where.servable:
            value = self._values.body(self._operand(column, operator))
            if operator == "in":
                value = {"type": "array", "minItems": 1, "maxItems": MOST_KEYS, "items": value}
            members[parameter(column.name, operator)] = value
        return {"type": "object", "additionalProperties": False, "properties": members}

    def _near(self) -> Schema:
        """Return the member `near`, if there is a column for it."""
        if not self.vector_columns:
            return {}
        vectors = {column.name: self._values.indexed_vector(column.type) for column in self.vector_columns}
        one = {"type": "object", "additionalProperties": False, "minProperties": 1, "maxProperties": 1}
        return {"near": {**one, "properties": vectors}}
