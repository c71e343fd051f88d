"""Find the mistakes in declarations of resources: all of them at once, each as one sentence."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from types import MemberDescriptorType
from typing import Any

from asgi_app.tables.column_rules import COLUMN_RULES, SINGLE_COLUMN_RULES
from asgi_app.tables.declared import Declared, parts
from asgi_app.tables.index_rules import INDEX_RULES
from asgi_app.tables.live_table import LiveTable
from asgi_app.tables.option_form import right_options, wrong_options
from asgi_app.tables.option_rules import OPTION_RULES, problems_without_columns
from asgi_app.tables.resource import Resource
from asgi_app.tables.resource_error import ResourceError
from asgi_app.tables.table import column_hints
from asgi_app.tables.types import CqlType, UserType, type_of_hint

_RULES = (*COLUMN_RULES, *OPTION_RULES, *INDEX_RULES)
_RULES_BESIDE_WRONG_FORMS = (*SINGLE_COLUMN_RULES, *INDEX_RULES)


def problems_of(
    resources: Iterable[Resource | LiveTable], reserved: Collection[str] = (), scopes: Collection[str] = ()
) -> list[str]:
    """Return every mistake in all declarations.

    `reserved` are the first segments of the service's own paths, and `scopes` the names that its own operations have in
    scopes of API keys. What depends on an option of a wrong form is not looked at, and neither is what depends on the
    columns of a table of the live schema.
    """
    problems: list[str] = []
    well_formed: list[Declared] = []
    names: list[str] = []
    for resource in resources:
        if wrong := wrong_options(resource):
            own = [*wrong.values(), *_problems_beside(resource, wrong)]
            problems += (f"{resource.table_name}: {problem}" for problem in own)
            continue
        names.append(resource.name)
        if isinstance(resource, LiveTable):
            problems += (f"{resource.name}: {problem}" for problem in problems_without_columns(resource))
            continue
        declared, own = _declared(resource)
        if declared is not None:
            well_formed.append(declared)
            own += (problem for rule in _RULES for problem in rule(declared))
        problems += (f"{resource.name}: {problem}" for problem in own)
    return [*problems, *_problems_of_names(names, reserved, scopes), *_problems_between(well_formed)]


def _problems_beside(resource: Resource | LiveTable, wrong: Collection[str]) -> Iterator[str]:
    """Yield the mistakes of the columns of a resource that has options of a `wrong` form."""
    if isinstance(resource, Resource) and "struct" not in wrong:
        declared, own = _declared(right_options(resource, wrong))
        yield from own
        if declared is not None:
            yield from (problem for rule in _RULES_BESIDE_WRONG_FORMS for problem in rule(declared))


def check_declarations(resources: Iterable[Resource | LiveTable], reserved: Collection[str] = ()) -> None:
    """Raise ResourceError if `problems_of` finds a mistake."""
    if problems := problems_of(resources, reserved):
        raise ResourceError(problems)


def _declared(resource: Resource) -> tuple[Declared | None, list[str]]:
    """Return the resource with the types of its columns if they can be read, and what is wrong with them."""
    problems: list[str] = []
    types: dict[str, CqlType] = {}
    try:
        hints = column_hints(resource.struct)
    except (NameError, AttributeError, SyntaxError, TypeError) as error:  # what an annotation in quotes may raise
        return None, [f"an annotation of {resource.struct.__name__} cannot be read: {_clause(error)}.{_hint(error)}"]
    for column, hint in hints.items():
        try:
            types[column] = type_of_hint(hint)
        except TypeError as error:
            problems.append(f"{column}: {_clause(error)}.")
    return Declared(resource, hints, types), problems


def _clause(error: Exception) -> str:
    """Return the message of an error without a full stop at its end."""
    return str(error).rstrip(".")


def _hint(error: Exception) -> str:
    """Return a sentence about a field that hides the module or class of its own name; empty for another mistake."""
    hidden = isinstance(error, AttributeError) and isinstance(error.obj, MemberDescriptorType)
    return " A field has the name that stands there: import the type under another name." if hidden else ""


def _problems_of_names(names: Iterable[str], reserved: Collection[str], scopes: Collection[str]) -> Iterator[str]:
    """Yield conflicts of names with the service's own paths and scopes, and with one another."""
    for name, times in Counter(names).items():
        if name in reserved:
            yield f"{name}: the service has a path of this name of its own. Give another with path=."
        elif name in scopes:
            yield f"{name}: the service has a scope of this name of its own. Give another with path=."
        if times > 1:
            yield f"{name}: {times} resources have this path. Give another with path=."


def _problems_between(declarations: Sequence[Declared]) -> Iterator[str]:
    """Yield what two resources of one table, or of one keyspace, say differently."""
    for (_, table), kinds in _kinds_of_writes(declarations).items():
        if kinds >= {"plain", "conditional"}:
            yield f'{table}: one resource writes="plain" and another writes="conditional" cannot share a table.'
    for (_, name), shapes in _user_types(declarations).items():
        if len(shapes) > 1:
            yield f"the user-defined type {name} is declared with different fields."


def _kinds_of_writes(declarations: Iterable[Declared]) -> Mapping[tuple[str | None, str], set[str]]:
    """Return the kinds of writes to each table, by keyspace and name."""
    kinds: defaultdict[tuple[str | None, str], set[str]] = defaultdict(set)
    for declared in declarations:
        kinds[declared.resource.keyspace, declared.resource.table_name].add(declared.resource.writes)
    return kinds


def _user_types(declarations: Iterable[Declared]) -> Mapping[tuple[str | None, str], set[Any]]:
    """Return the fields that each user-defined type is declared with, by keyspace and name."""
    found: defaultdict[tuple[str | None, str], set[Any]] = defaultdict(set)
    for declared in declarations:
        for part in (part for cql_type in declared.types.values() for part in parts(cql_type)):
            if isinstance(part, UserType):
                found[declared.resource.keyspace, part.name].add(part.fields)
    return found
