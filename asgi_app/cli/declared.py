"""Load what `module:name` names in the user's code: declared resources, or an application."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import click

from asgi_app.http.routing import SegmentRouter
from asgi_app.tables.declaration import check_declarations
from asgi_app.tables.live_table import LiveTable
from asgi_app.tables.resource import Resource
from asgi_app.tables.resource_error import ResourceError

MOST_NAMES = 5
"""Names of a module that an error lists."""

_KINDS = (Resource, LiveTable)


def load_resources(reference: str | None) -> tuple[Resource, ...]:
    """Return the resources that `module:name` refers to; none without a reference.

    Those of `Resource.from_table` are left out: their tables exist already. Raises click.BadParameter if there are no
    others, or if the declarations have mistakes (also if `create_app` in the module finds them), and what the module's
    own code raises.
    """
    declared = tuple(each for each in load_declarations(reference) if isinstance(each, Resource))
    if reference is not None and not declared:
        message = f"{reference} has no Resource with a struct, so it says nothing about tables to create."
        raise click.BadParameter(message, param_hint="--resources")
    return declared


def load_declarations(reference: str | None, parameter: str = "--resources") -> tuple[Resource | LiveTable, ...]:
    """Return the resources, also those of `Resource.from_table`, that `module:name` refers to.

    They may be those of an application. Raises as `load_resources`; `parameter` is where the reference was given.
    """
    if reference is None:
        return ()
    with _refusals(parameter, reference):
        found = _named(reference, lambda value: bool(_members(value)) or _router_of(value) is not None)
        resources = _as_resources(found, reference)
        check_declarations(resources)
    return resources


def check_application(reference: str) -> None:
    """Raise click.BadParameter unless `module:name` refers to an application that `create_app` made.

    Raises what the module's own code raises.
    """
    with _refusals("MODULE:NAME", reference):
        found = _named(reference, lambda value: _router_of(value) is not None, example="shop:app")
        if _members(found):
            name = reference.partition(":")[2]
            given = name if isinstance(found, list | tuple) else f"[{name}]"
            raise _Refused(f"{reference} declares tables. Serve them with app = create_app(resources={given}).")
        if _router_of(found) is None:
            raise _Refused(f"{reference} must be an application made by create_app. Serve others with uvicorn itself.")


class _Refused(Exception):
    """The reference does not lead to what the command needs; the text says why."""


@contextmanager
def _refusals(parameter: str, reference: str) -> Iterator[None]:
    """Turn what is wrong with a reference, or with the declarations behind it, into an error of the command line."""
    try:
        yield
    except _Refused as error:
        raise click.BadParameter(str(error), param_hint=parameter) from error
    except ResourceError as error:
        raise click.BadParameter(f"{reference} has mistakes:\n{error}", param_hint=parameter) from error


def _as_resources(found: object, reference: str) -> tuple[Resource | LiveTable, ...]:
    """Return a resource, several, or those of an application, as a tuple."""
    router = _router_of(found)
    if router is not None:
        if not router.declared:
            raise _Refused(f"{reference} is an application without resources.")
        found = router.declared
    members = _members(found)
    if not members:
        raise _Refused(f"{reference} must be a Resource, a list or tuple of them, or an application with some.")
    return members


def _members(found: object) -> tuple[Resource | LiveTable, ...]:
    """Return a resource, or the members of a list or tuple of resources; empty for another object."""
    members = tuple(found) if isinstance(found, list | tuple) else (found,)
    return members if all(isinstance(one, _KINDS) for one in members) else ()


def _router_of(found: object) -> SegmentRouter | None:
    """Return the router of an application that `create_app` made; None for another object."""
    router = getattr(found, "router", None)
    return router if isinstance(router, SegmentRouter) else None


def _named(reference: str, is_wanted: Callable[[object], bool], *, example: str = "shop.tables:resources") -> object:
    """Import the module, also from the working directory, and return what the name is in it.

    `is_wanted` says which of a module's values may be meant where the name is not there.
    """
    module_name, _, name = reference.partition(":")
    if not module_name or not name or module_name.endswith(".py"):
        meant = _references(module_name, is_wanted)
        question = f" Did you mean {' or '.join(meant)}?" if meant else ""
        raise _Refused(f"must be module:name, such as {example}, not {reference!r}.{question}")
    module = _imported(module_name)
    if not hasattr(module, name):
        wanted = ", ".join(_names(module, is_wanted))
        raise _Refused(f"the module {module_name} has no {name}." + (f" It has {wanted}." if wanted else ""))
    return getattr(module, name)


def _references(file: str, is_wanted: Callable[[object], bool]) -> list[str]:
    """Return how the wanted values of a module are named, of which only the module or its file was; none without it."""
    module_name = file.removesuffix(".py").removeprefix("./").replace("/", ".")
    if not all(part.isidentifier() for part in module_name.split(".")):
        return []
    try:
        module = _imported(module_name)
    except _Refused:
        return []
    return [f"{module_name}:{name}" for name in _names(module, is_wanted)]


def _names(module: ModuleType, is_wanted: Callable[[object], bool]) -> list[str]:
    """Return the names of a module's wanted values, the first `MOST_NAMES`."""
    return [name for name, value in vars(module).items() if is_wanted(value)][:MOST_NAMES]


def _imported(name: str) -> ModuleType:
    if (folder := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, folder)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise  # the module is there, and imports another that is not
        raise _Refused(f"there is no module {error.name} in the working directory or installed.") from error
