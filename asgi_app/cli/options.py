"""Turn settings into command line options. Only `asgi_app.settings` declares which settings there are."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from asgi_app.settings import SettingField, setting_fields

quiet_option = click.option("--quiet", "-q", is_flag=True, help="Show no progress, only results and errors.")

json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as one line of JSON.")

_ALSO_FOR_CONNECTING = ("protocol_version", "ssl_check_hostname", "request_timeout")


def connection_fields() -> tuple[SettingField, ...]:
    """Return the settings that say which Cassandra to connect to and how."""
    return tuple(
        field
        for field in setting_fields()
        if field.env.startswith(("CASSANDRA_", "ASTRA_")) or field.name in _ALSO_FOR_CONNECTING
    )


def settings_options(fields: Sequence[SettingField]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator that gives a command an option for each setting.

    The command receives the options that were given as `overrides`: texts by variable name. `Settings.load` parses
    them, so that it reports everything that is wrong at once. An option for a secret is always refused, because other
    users of the machine can read the command line of a process.
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
    if field.secret:
        return click.option(name, field.name, hidden=True, expose_value=True, callback=_refuse_secret)
    return click.option(name, field.name, metavar=_metavar(field), help=_help(field))


def _metavar(field: SettingField) -> str:
    if field.choices:
        return "|".join(map(str, field.choices))
    names = {bool: "true|false", int: "INTEGER", float: "NUMBER", Path: "FILE"}
    return names.get(field.type, "TEXT")


def _help(field: SettingField) -> str:
    text = field.description
    for name in ("tables", "writable"):  # on the command line the options have these names
        text = text.replace(f"ASGI_CASSANDRA_{name.upper()}", f"--{name}")
    return f"{text}  [{field.env}{_default(field)}]"


def _refuse_secret(_context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    if value is not None:
        raise click.UsageError(
            f"{parameter.opts[0]} is a secret, and other users of the machine can see command lines: set it in the "
            "environment or in .env. Replace the secret, because it may have been seen."
        )


def _default(field: SettingField) -> str:
    if field.default is None or field.default == ():
        return ""
    if isinstance(field.default, tuple):
        return "; default: " + ",".join(point.host for point in field.default)
    if isinstance(field.default, float):
        return f"; default: {field.default:g}"
    return f"; default: {str(field.default).lower() if isinstance(field.default, bool) else field.default}"
