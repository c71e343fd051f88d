"""The options of a served table, whether its columns are declared or those of the live schema."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any, Literal

from asgi_app.errors import FieldError


@dataclass(frozen=True, kw_only=True)
class TableOptions:
    """The options that `Resource` and `LiveTable` share. `Resource` describes them."""

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

    def __post_init__(self) -> None:
        """Copy lists to tuples and dicts to read-only mappings, so that nothing can change the declaration."""
        for option in fields(self):
            object.__setattr__(self, option.name, _unchangeable(getattr(self, option.name)))


def _unchangeable(value: Any) -> Any:
    if isinstance(value, list | set | frozenset):
        return tuple(value)
    return MappingProxyType(dict(value)) if isinstance(value, Mapping) else value


def name_of(table_name: str, path: str | None) -> str:
    """Return a resource's name: its path without the slash, or else the table's name."""
    return table_name if path is None else path.removeprefix("/")
