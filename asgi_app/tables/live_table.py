"""The declaration of a resource whose columns and keys come from the live schema."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, Self, TypedDict

from asgi_app.errors import FieldError
from asgi_app.tables.resource_error import refuse_unknown_options
from asgi_app.tables.table_options import TableOptions, name_of


class LiveOptions(TypedDict, total=False):
    """The options of `Resource.from_table`: those of `Resource`, but for the struct and what it says."""

    path: str | None
    generated: Mapping[str, Callable[[], Any]]
    bound: Mapping[str, Callable[[Any], Any]]
    hidden: Sequence[str]
    read_only: Sequence[str]
    allow_filtering: Sequence[str]
    writes: Literal["plain", "conditional", "none"]
    version: str | None
    require_match: bool
    ttl: int | None
    ttl_on_patch: bool
    consistency: Sequence[str]
    batch: Literal["logged", "per_row"] | None
    delete_prefix: bool
    delete_counters: bool
    patch_creates: bool
    check: Callable[[Any], Iterable[FieldError]] | None


@dataclass(frozen=True)
class LiveTable(TableOptions):
    """A table served over HTTP as Cassandra has it: its name, and the options of the service.

    Made by `Resource.from_table`. The options are those of `Resource`, which describes them; columns, types, keys and
    static columns are read from the live schema.
    """

    table_name: str

    def __new__(cls, *args: Any, **options: Any) -> Self:
        """Raise ResourceError for an option that there is not."""
        refuse_unknown_options(cls, options, args[0] if args else options.get("table_name", cls.__name__))
        return object.__new__(cls)

    @property
    def name(self) -> str:
        """The name for scopes, metrics and operation ids: the path without its slash, or else the table's name."""
        return name_of(self.table_name, self.path)

    @property
    def segment(self) -> str:
        """The first segment of the resource's addresses. It needs no percent-encoding."""
        return self.name

    @property
    def options(self) -> dict[str, Any]:
        """The options by name, without the table's."""
        names = (option.name for option in fields(self) if option.name != "table_name")
        return {name: getattr(self, name) for name in names}


def table_of_settings(name: str, keyspace: str, *, writable: bool) -> LiveTable:
    """Return the declaration of a table that the settings name: read-only, or writable.

    A writable one takes POST, PUT, PATCH and DELETE. All of them may create rows: they are plain writes.
    """
    writes: Literal["plain", "none"] = "plain" if writable else "none"
    return LiveTable(name, keyspace=keyspace, writes=writes, patch_creates=writable)
