"""The declaration of a resource: a table, and what the service offers on it."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from typing import Any, Self, Unpack, cast

import msgspec

from asgi_app.tables.live_table import LiveOptions, LiveTable
from asgi_app.tables.resource_error import refuse_unknown_options
from asgi_app.tables.table import Table
from asgi_app.tables.table_options import TableOptions, name_of
from asgi_app.tables.types import Native

OWN_KEYSPACES = frozenset(
    (
        "system",
        "system_auth",
        "system_distributed",
        "system_schema",
        "system_traces",
        "system_views",
        "system_virtual_schema",
    )
)
"""The keyspaces of Cassandra itself. Nobody writes to them through this service."""

UNIQUE_TYPES = (Native("uuid"), Native("timeuuid"))
"""The types of which the server can make a value that no other row has."""


@dataclass(frozen=True)
class Resource(TableOptions):
    """A table served over HTTP: the struct of its rows, its name, its keys, and the options of the service.

    A declaration raises ResourceError for an option that there is not, and for nothing else. `declaration.problems_of`
    finds the mistakes of all declarations at once.

    Key: `partition_key` and `clustering` name fields of the struct. `-at` in `clustering` is descending order. `static`
    columns belong to the partition. `keyspace` defaults to the one of the settings, `path` to the table's name.

    Columns: `generated` maps columns to functions that make their values. `bound` maps key columns to functions of the
    principal: such a column is in no address and no body. `hidden` columns are never shown, filtered by or compared.
    `read_only` columns are shown but not accepted. `allow_filtering` columns may be filtered by without an index.

    Writes: `plain` writes overwrite, `conditional` ones are lightweight transactions. `version` is a uuid or timeuuid
    column that changes with each write and makes the ETag; `require_match` refuses writes without `If-Match`. `ttl` is
    the largest `Cassandra-TTL` in seconds; `ttl_on_patch` allows PATCH although rows may expire. `batch` is how an
    array of rows is written. `patch_creates` allows PATCH to create rows, `delete_prefix` to delete many rows of a
    partition, `delete_counters` to delete counters. `consistency` are the levels that a client may ask for. `check`
    yields what is wrong with a decoded body.
    """

    struct: type[msgspec.Struct]
    table_name: str
    _: KW_ONLY
    partition_key: tuple[str, ...]
    clustering: tuple[str, ...] = ()
    static: tuple[str, ...] = ()

    def __new__(cls, *args: Any, **options: Any) -> Self:
        """Raise ResourceError for an option that there is not."""
        refuse_unknown_options(cls, options, args[1] if len(args) > 1 else options.get("table_name", cls.__name__))
        return object.__new__(cls)

    @staticmethod
    def from_table(table_name: str, *, keyspace: str | None = None, **options: Unpack[LiveOptions]) -> LiveTable:
        """Return the declaration of a table that is served as Cassandra has it, without a struct.

        `options` are those of `Resource`, without `static`, which Cassandra says. They are checked as far as possible
        when the application is made, and against the columns of the table when it was read. Raises ResourceError for
        an option that there is not.
        """
        return LiveTable(table_name, keyspace=keyspace, **cast(Any, options))

    @cached_property
    def table(self) -> Table:
        """The declared table. Raises TypeError or ValueError if the declaration has mistakes."""
        clustering, descending = self.clustering_columns, {name[1:] for name in self.clustering if name.startswith("-")}
        return Table.from_struct(
            self.struct,
            self.table_name,
            partition_key=self.partition_key,
            clustering_columns=clustering,
            descending=descending,
            static=self.static,
            keyspace=self.keyspace,
        )

    @property
    def clustering_columns(self) -> tuple[str, ...]:
        """The names in `clustering`, without the sign of their order."""
        return tuple(name.removeprefix("-") for name in self.clustering)

    @property
    def primary_key(self) -> tuple[str, ...]:
        """The columns of the partition key, then the clustering columns."""
        return self.partition_key + self.clustering_columns

    @property
    def name(self) -> str:
        """The name for scopes, metrics and operation ids: the path without its slash, or else the table's name."""
        return name_of(self.table_name, self.path)

    @property
    def segment(self) -> str:
        """The first segment of the resource's addresses. It needs no percent-encoding."""
        return self.name

    @cached_property
    def makes_keys(self) -> bool:
        """Whether the server makes the key of a new row, so that no other row can have it."""
        return any(self.table.column(name).type in UNIQUE_TYPES for name in self.generated if name in self.primary_key)
