"""Load declared resources from the user's code, as the option `--resources module:name` names them."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

import click

from asgi_app.tables.declaration import ResourceError, check_declarations
from asgi_app.tables.resource import Resource


def load_resources(reference: str | None) -> tuple[Resource, ...]:
    """Return the resources that `module:name` refers to; none without a reference.

    Raises click.BadParameter if there are none, or if their declarations have mistakes (also if `create_app` in the
    module finds them), and what the module's own code raises.
    """
    if reference is None:
        return ()
    try:
        resources = _as_resources(_named(reference), reference)
        check_declarations(resources)
    except ResourceError as error:
        raise _refusal(f"{reference} has mistakes:\n{error}") from error
    return resources


def _as_resources(found: object, reference: str) -> tuple[Resource, ...]:
    """Return a resource, or several, as a tuple."""
    members = (found,) if isinstance(found, Resource) else found
    if not isinstance(members, list | tuple) or not members or not all(isinstance(one, Resource) for one in members):
        raise _refusal(f"{reference} must be a Resource, or a list or tuple of them.")
    return tuple(members)


def _named(reference: str) -> object:
    """Import the module, also from the working directory, and return what the name is in it."""
    module_name, _, name = reference.partition(":")
    if not module_name or not name:
        raise _refusal(f"must be module:name, such as shop.tables:resources, not {reference!r}.")
    module = _imported(module_name)
    if not hasattr(module, name):
        raise _refusal(f"the module {module_name} has no {name}.")
    return getattr(module, name)


def _imported(name: str) -> ModuleType:
    if (folder := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, folder)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise  # the module is there, and imports another that is not
        raise _refusal(f"there is no module {error.name} in the working directory or installed.") from error


def _refusal(message: str) -> click.BadParameter:
    return click.BadParameter(message, param_hint="--resources")
