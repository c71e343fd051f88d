"""Rules for the options of a resource, each by itself: their types, and the names and numbers that they can be."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import msgspec

from asgi_app.tables.declared import names_of
from asgi_app.tables.live_table import LiveTable
from asgi_app.tables.resource import Resource

MAX_TTL = 630_720_000
"""The largest TTL that Cassandra takes: 20 years in seconds (`Attributes.MAX_TTL`)."""

MAX_TABLE_NAME = 222
MAX_KEYSPACE_NAME = 48

CONSISTENCY_LEVELS = ("ALL", "EACH_QUORUM", "LOCAL_ONE", "LOCAL_QUORUM", "ONE", "QUORUM", "THREE", "TWO")
"""The levels that both reads and writes can have."""

_WORD = re.compile(r"\w+", re.ASCII)
_PATH = re.compile(r"/?[A-Za-z0-9._~-]+")

_COLUMN_LISTS = ("partition_key", "clustering", "static", "hidden", "read_only", "allow_filtering")
_COLUMN_FUNCTIONS = ("generated", "bound")
_FLAGS = ("require_match", "ttl_on_patch", "delete_prefix", "delete_counters", "patch_creates")

COLUMN_OPTIONS = (*_COLUMN_LISTS, *_COLUMN_FUNCTIONS)
"""The options that name columns."""


def wrong_options(resource: Resource | LiveTable) -> dict[str, str]:
    """Return what is wrong with options whatever the others are: a sentence by option."""
    wrong: dict[str, str] = {}
    for option, is_right, form in _FORMS:
        if hasattr(resource, option) and not is_right(value := getattr(resource, option)):
            wrong[option] = f"{option} must be {form}, not {value!r}."
    for option in (*_COLUMN_LISTS, "consistency"):
        if hasattr(resource, option) and (problem := _list_problem(option, getattr(resource, option))):
            wrong[option] = problem
    return wrong


def right_options(resource: Resource, wrong: Collection[str]) -> Resource:
    """Return the resource without what its `wrong` options say of columns, so that the others can be looked at."""
    empty: dict[str, Any] = {
        **dict.fromkeys(_COLUMN_LISTS, ()),
        **dict.fromkeys(_COLUMN_FUNCTIONS, MappingProxyType({})),
        "version": None,
    }
    return replace(resource, **{option: value for option, value in empty.items() if option in wrong})


def _list_problem(option: str, names: Any) -> str | None:
    """Return a sentence if `names` is no tuple of texts, or names one twice."""
    if isinstance(names, str):
        return f'{option} must be a tuple of names, such as ("{names}",), not the text {names!r}.'
    if not isinstance(names, tuple) or not all(isinstance(name, str) for name in names):
        return f"{option} must be a tuple of names, not {names!r}."
    twice = [name for name, times in Counter(names).items() if times > 1]
    return f"{option} names {names_of(twice)} twice." if twice else None


def _is_struct(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, msgspec.Struct)


def _is_word(value: Any, longest: int) -> bool:
    return isinstance(value, str) and len(value) <= longest and _WORD.fullmatch(value) is not None


def _is_path(value: Any) -> bool:
    """Return whether `value` is one segment that clients leave as it is: `.` and `..` they resolve."""
    return isinstance(value, str) and _PATH.fullmatch(value) is not None and value.strip("/") not in (".", "..", "-")


def _is_ttl(value: Any) -> bool:
    return type(value) is int and 1 <= value <= MAX_TTL


def _maps_to_functions(value: Any) -> bool:
    return isinstance(value, Mapping) and all(map(callable, value.values()))


def _or_none(is_right: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or is_right(value)


_WORDS = "1 to {} letters, digits or underscores"

_FORMS: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
    ("struct", _is_struct, "a msgspec.Struct class"),
    ("table_name", lambda value: _is_word(value, MAX_TABLE_NAME), _WORDS.format(MAX_TABLE_NAME)),
    ("keyspace", _or_none(lambda value: _is_word(value, MAX_KEYSPACE_NAME)), _WORDS.format(MAX_KEYSPACE_NAME)),
    ("path", _or_none(_is_path), "one segment of letters, digits or any of -._~, and more than dots or a hyphen"),
    *((option, _maps_to_functions, "a mapping of columns to functions") for option in _COLUMN_FUNCTIONS),
    *((option, lambda value: isinstance(value, bool), "True or False") for option in _FLAGS),
    ("writes", lambda value: value in ("plain", "conditional", "none"), "'plain', 'conditional' or 'none'"),
    ("batch", lambda value: value in ("logged", "per_row", None), "'logged', 'per_row' or None"),
    ("ttl", _or_none(_is_ttl), f"an integer from 1 to {MAX_TTL} (seconds)"),
    ("version", _or_none(lambda value: isinstance(value, str)), "the name of a column"),
    ("check", _or_none(callable), "a function"),
)
"""Each option with its test, and what it must be. A declaration is checked although it is annotated, because most
programs run without a type checker."""
