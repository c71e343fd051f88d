"""The shared parts of a document: each has one name, and is there only if something refers to it."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

Schema = dict[str, Any]
"""A JSON Schema (draft 2020-12), or another object of an OpenAPI document."""

_not_in_name = re.compile(r"[^A-Za-z0-9_]+")


class Names:
    """Gives out names of letters, digits and underscores that differ by more than case and underscores.

    Generators of clients make classes and files of such names, and change case and underscores in them.
    """

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def new(self, wanted: str) -> str:
        """Return a name like `wanted`, with a number after it if another name is like it already."""
        plain = _not_in_name.sub("_", wanted).strip("_") or "unnamed"
        plain = f"n{plain}" if plain[0].isdigit() else plain
        name, number = plain, 1
        while self._folded(name) in self._taken:
            number += 1
            name = f"{plain}_n{number}"
        self._taken.add(self._folded(name))
        return name

    @staticmethod
    def _folded(name: str) -> str:
        return name.replace("_", "").lower()


def enumeration(members: Sequence[str]) -> Schema:
    """Return the schema of one of these texts. A hyphen at the beginning means descending order.

    Generators make constants of the texts. If two would be alike, such as `name` and `Name`, all get distinct names.
    """
    wanted = [f"desc_{each[1:]}" if each.startswith("-") else each for each in members]
    distinct = Names()
    names = [distinct.new(each) for each in wanted]
    are_alike = any(name != Names().new(each) for name, each in zip(names, wanted, strict=True))
    return {"type": "string", "enum": list(members), **({"x-enum-varnames": names} if are_alike else {})}


class Components:
    """The components of one document, by section: `schemas`, `parameters`, `responses`, `headers`."""

    def __init__(self, reserved: Mapping[str, tuple[str, ...]]) -> None:
        """`reserved` are names by section that only the part of that key gets, whatever the tables are called."""
        self._sections: dict[str, dict[str, Schema]] = {}
        self._names: dict[str, Names] = {}
        self._by_key: dict[tuple[str, Hashable], str] = {}
        for section, names in reserved.items():
            for name in names:
                self._by_key[section, name] = self._names_of(section).new(name)

    def refer(self, section: str, key: Hashable, name: str, make: Callable[[], Schema]) -> Schema:
        """Return a reference to the part that `key` identifies. At its first use it is made, and named like `name`."""
        found = self._by_key.get((section, key))
        if found is None:
            found = self._by_key[section, key] = self._names_of(section).new(name)
        parts = self._sections.setdefault(section, {})
        if found not in parts:
            parts[found] = {}  # known before it is made, for parts that contain themselves
            parts[found] = make()
        return {"$ref": f"#/components/{section}/{found}"}

    def sections(self) -> dict[str, dict[str, Schema]]:
        """Return all parts that are referred to, in the order of their names."""
        return {section: dict(sorted(parts.items())) for section, parts in sorted(self._sections.items())}

    def _names_of(self, section: str) -> Names:
        return self._names.setdefault(section, Names())
