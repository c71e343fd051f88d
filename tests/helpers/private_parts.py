"""Compare the private names of a library that our modules use with what the installed version has."""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
from abc import ABC
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

_PYTHONS = frozenset(dir(ABC)) | frozenset(dir(Protocol))
"""Attributes that Python itself gives to abstract classes and protocols."""


def missing(names: Iterable[str]) -> list[str]:
    """Return the dotted names, such as `package.module.Class.attribute`, that the installed library does not have."""
    return [name for name in names if not _exists(name)]


def used_private_names(folder: Path) -> set[str]:
    """Return the private names that the modules of a folder use or override, and that are not their own.

    Attributes that a class of the folder sets or defines count as its own unless a library's base class has them too.
    """
    trees = [ast.parse(path.read_text()) for path in sorted(folder.glob("*.py"))]
    used = {name for tree in trees for name in _referred_to(tree)}
    own = {name for tree in trees for name in _defined_in(tree)}
    return {name for name in used - own if _is_private(name)} | _overridden(folder)


def _exists(name: str) -> bool:
    module, rest = _module_of(name)
    found: Any = module
    for part in rest[:-1]:
        found = getattr(found, part, None)
    last = rest[-1]
    return last in _attributes(found) if inspect.isclass(found) else hasattr(found, last)


def _module_of(name: str) -> tuple[ModuleType, list[str]]:
    parts = name.split(".")
    for end in range(len(parts) - 1, 0, -1):
        try:
            return importlib.import_module(".".join(parts[:end])), parts[end:]
        except ModuleNotFoundError:
            continue
    raise ModuleNotFoundError(name)


def _attributes(cls: type) -> set[str]:
    """Return the attributes of a class, and those that its methods set on an instance."""
    return set(dir(cls)).union(*(_set_by(base) for base in cls.__mro__ if base is not object))


@cache
def _set_by(cls: type) -> frozenset[str]:
    source = _source_of(cls.__module__)
    if source is None:
        return frozenset()
    tree = ast.parse(source)
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and node.name == cls.__name__]
    return frozenset(name for node in classes for name in _set_on_self(node))


def _source_of(module: str) -> str | None:
    """Return the source of a library's module, compiled or not; None for the standard library and for C alone."""
    if module.partition(".")[0] in sys.stdlib_module_names:
        return None
    file = Path(str(importlib.import_module(module).__file__))
    path = file.with_name(f"{file.name.partition('.')[0]}.py")
    return path.read_text() if path.exists() else None


def _set_on_self(node: ast.AST) -> Iterator[str]:
    for each in ast.walk(node):
        if isinstance(each, ast.Attribute) and isinstance(each.ctx, ast.Store) and _is_self(each.value):
            yield each.attr


def _is_self(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id == "self"


def _referred_to(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.ImportFrom):
            yield from (alias.name for alias in node.names)


def _defined_in(tree: ast.AST) -> Iterator[str]:
    yield from _set_on_self(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):  # in `__slots__`
            yield node.value


def _overridden(folder: Path) -> set[str]:
    """Return the private names that a class of the folder defines or sets and that a library's base class has too."""
    found: set[str] = set()
    for path in sorted(folder.glob("*.py")):
        module = ".".join(path.relative_to(folder.parents[1]).with_suffix("").parts)
        for _, cls in inspect.getmembers(importlib.import_module(module), inspect.isclass):
            if cls.__module__ == module:
                theirs = set().union(*(_attributes(base) for base in cls.__mro__ if _is_of_a_library(base)))
                ours = set().union(*(set(vars(base)) | _set_by(base) for base in cls.__mro__ if _is_ours(base)))
                found |= {name for name in ours & theirs - _PYTHONS if _is_private(name)}
    return found


def _is_ours(cls: type) -> bool:
    return cls.__module__.partition(".")[0] == "asgi_app"


def _is_of_a_library(cls: type) -> bool:
    return not _is_ours(cls) and cls.__module__.partition(".")[0] not in sys.stdlib_module_names


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")
