"""Settings as command line options. Which there are is declared in `asgi_app.settings` alone."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from asgi_app.settings import SettingField, setting_fields

_ALSO_FOR_CONNECTING = ("protocol_version", "ssl_check_hostname", "request_timeout")


def connection_fields() -> tuple[SettingField, ...]:
    """The settings that say which Cassandra to talk to and how."""
    return tuple(
        field
        for field in setting_fields()
        if field.env.startswith(("CASSANDRA_", "ASTRA_")) or field.name in _ALSO_FOR_CONNECTING
    )


def settings_options(fields: Sequence[SettingField]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Gives a command an option for each setting, and calls it with those given: `overrides`, by variable name.

    All of them are text: `Settings.load` parses them, so that it reports everything that is wrong at once.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def run(*args: Any, **kwargs: Any) -> None:
            texts: Mapping[str, str | None] = {field.env: kwargs.pop(field.name) for field in fields}
            overrides = {name: text for name, text in texts.items() if text is not None}
            command(*args, overrides=overrides, **kwargs)

        decorated: Callable[..., None] = run
        for field in reversed(fields):
            decorated = _option(field)(decorated)
        return decorated

    return decorate


def _option(field: SettingField) -> Callable[[Callable[..., None]], Callable[..., None]]:
    name = "--" + field.name.replace("_", "-")
    return click.option(name, field.name, metavar=_metavar(field), help=_help(field))


def _metavar(field: SettingField) -> str:
    if field.choices:
        return "|".join(map(str, field.choices))
    names = {bool: "true|false", int: "INTEGER", float: "NUMBER", Path: "FILE"}
    return names.get(field.type, "TEXT")


def _help(field: SettingField) -> str:
    warning = " Better set the variable: other users of the machine can see options." if field.secret else ""
    return f"{field.description}{warning}  [{field.env}{_default(field)}]"


def _default(field: SettingField) -> str:
    if field.default is None or field.default == ():
        return ""
    if isinstance(field.default, tuple):
        return "; default: " + ",".join(point.host for point in field.default)
    if isinstance(field.default, float):
        return f"; default: {field.default:g}"
    return f"; default: {str(field.default).lower() if isinstance(field.default, bool) else field.default}"
