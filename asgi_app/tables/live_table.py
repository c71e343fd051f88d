"""The declaration of a resource whose columns and keys come from the live schema."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, fields
from typing import Any, Literal, Self, TypedDict

from asgi_app.errors import FieldError
from asgi_app.tables.resource import unchangeable
from asgi_app.tables.resource_error import refuse_unknown_options


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
class LiveTable:
    """A table served over HTTP as Cassandra has it: its name, and the options of the service.

    Made by `Resource.from_table`. The options are those of `Resource`, which describes them; columns, types, keys and
    static columns are read from the live schema.
    """

    table_name: str
    _: KW_ONLY
    keyspace: str | None = None
    path: str | None = None
    generated: Mapping[str, Callable[[], Any]] = field(default_factory=dict, hash=False)
    bound: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict, hash=False)
    hidden: tuple[str, ...] = ()
    read_only: tuple[str, ...] = ()
    allow_filtering: tuple[str, ...] = ()
    writes: Literal["plain", "conditional", "none"] = "plain"
    version: str | None = None
    require_match: bool = False
    ttl: int | None = None
    ttl_on_patch: bool = False
    consistency: tuple[str, ...] = ()
    batch: Literal["logged", "per_row"] | None = None
    delete_prefix: bool = False
    delete_counters: bool = False
    patch_creates: bool = False
    check: Callable[[Any], Iterable[FieldError]] | None = None

    def __new__(cls, *args: Any, **options: Any) -> Self:
        """Raise ResourceError for an option that there is not."""
        refuse_unknown_options(cls, options, args[0] if args else options.get("table_name", cls.__name__))
        return object.__new__(cls)

    def __post_init__(self) -> None:
        """Copy lists to tuples and dicts to read-only mappings, so that nothing can change the declaration."""
        for option in fields(self):
            object.__setattr__(self, option.name, unchangeable(getattr(self, option.name)))

    @property
    def name(self) -> str:
        """The name for scopes, metrics and operation ids: the path without its slash, or else the table's name."""
        return self.table_name if self.path is None else self.path.removeprefix("/")

    @property
    def segment(self) -> str:
        """The first segment of the resource's addresses. It needs no percent-encoding."""
        return self.name

    @property
    def options(self) -> dict[str, Any]:
        """The options by name, without the table's."""
        names = (option.name for option in fields(self) if option.name not in ("table_name", "_"))
        return {name: getattr(self, name) for name in names}


def table_of_settings(name: str, keyspace: str, *, writable: bool) -> LiveTable:
    """Return the declaration of a table that the settings name: read-only, or writable.

    A writable one takes POST, PUT, PATCH and DELETE. All of them may create rows: they are plain writes.
    """
    writes: Literal["plain", "none"] = "plain" if writable else "none"
    return LiveTable(name, keyspace=keyspace, writes=writes, patch_creates=writable)
