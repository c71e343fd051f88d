"""Run an export or import: connect, show its progress, let a signal end it well, and give its end an exit code."""

from __future__ import annotations

import asyncio
import logging
import shlex
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from importlib.util import find_spec
from typing import Any, TypeVar

import anyio
import click
from anyio import CancelScope, to_thread

from asgi_app.cli.failures import Failure, WrongSettings
from asgi_app.cli.session import open_session
from asgi_app.cli.signals import INTERRUPTED, Interruption
from asgi_app.cli.transfer_view import View
from asgi_app.db import Database
from asgi_app.errors import NotConnected, ServiceError
from asgi_app.settings import Settings
from asgi_app.transfer.outcomes import Partial, Refused, RowsRejected, TransferError
from asgi_app.transfer.table_lookup import parts_of

T = TypeVar("T")

CONNECTING_SECONDS = 0.1
"""Seconds between two looks whether the database is connected, after the first attempt failed and another succeeded."""


class PartialTransfer(Failure):
    """A part is done: exit code 3."""

    exit_code = 3


class RejectedRows(Failure):
    """Rows were rejected, and all others are written: exit code 4."""

    exit_code = 4


def run_transfer(settings: Settings, work: Callable[[Database], Awaitable[T]], view: View, *, resumable: bool) -> T:
    """Run `work` with a connected database on an event loop of its own, and return its result.

    Ctrl-C and SIGTERM cancel it. Raises a `click.ClickException` with the exit code for how it ended; with `resumable`,
    its text has the command that does the rest.
    """
    logging.getLogger("asgi_app").addHandler(logging.NullHandler())  # what matters is said in the error
    options = {"use_uvloop": True} if find_spec("uvloop") is not None else {}
    with Interruption().watched() as interruption:
        try:
            return anyio.run(_run, settings, work, view, interruption, backend_options=options)
        except (TransferError, ServiceError) as error:
            sentence = _sentence(error, settings)
            view.end(_outcome(error), sentence)
            raise _failure(error, sentence, resumable) from error


async def _run(
    settings: Settings, work: Callable[[Database], Awaitable[T]], view: View, interruption: Interruption
) -> T:
    with CancelScope() as scope:
        interruption.on_arrival(partial(asyncio.get_running_loop().call_soon_threadsafe, scope.cancel))
        async with _connected(settings) as database, view.refreshed():
            return await work(database)
    raise Partial(INTERRUPTED)


@asynccontextmanager
async def _connected(settings: Settings) -> AsyncIterator[Database]:
    """Open a connected database. Raises the driver's error, which `report_failures` explains, if it cannot connect."""
    async with Database.open(settings) as database:
        while not _has_session(database):
            await to_thread.run_sync(_try_to_connect, settings)
            await anyio.sleep(CONNECTING_SECONDS)
        yield database


def _has_session(database: Database) -> bool:
    try:
        return database.session is not None
    except NotConnected:
        return False


def _try_to_connect(settings: Settings) -> None:
    with open_session(settings):
        pass


def _outcome(error: Exception) -> str:
    """Return how `--json` names the end of a command."""
    if isinstance(error, Partial):
        return "partial"
    return "rejected" if isinstance(error, RowsRejected) else "failed"


def _sentence(error: Exception, settings: Settings) -> str:
    """Return the text of an error, after the address of Cassandra if that is what failed."""
    is_of_cassandra = isinstance(error, ServiceError) or isinstance(error.__cause__, ServiceError)
    return f"Cassandra at {settings.address}: {error}" if is_of_cassandra else str(error)


def _failure(error: Exception, sentence: str, resumable: bool) -> click.ClickException:
    if isinstance(error, Refused):
        return WrongSettings(sentence)
    if isinstance(error, RowsRejected):
        return RejectedRows(sentence)
    if isinstance(error, Partial) and resumable:
        return PartialTransfer(f"{sentence} To do the rest:\n  {resume_command()}")
    return Failure(sentence)


def resume_command() -> str:
    """Return this process's command line, with `--resume`."""
    arguments = [argument for argument in sys.argv[1:] if argument != "--resume"]
    return shlex.join(["asgi-cassandra", *arguments, "--resume"])


def comma_separated(_: click.Context, __: click.Parameter, text: str | None) -> tuple[str, ...]:
    """Return the names in an option's text; the callback of an option."""
    return tuple(filter(None, (name.strip() for name in (text or "").split(","))))


def table_name(_: click.Context, __: click.Parameter, text: str) -> str:
    """Return the name of a table as it was given; the callback of an argument. Raises a usage error if it is none."""
    try:
        parts_of(text)
    except Refused as error:
        raise click.BadParameter(str(error)) from None
    return text


def need_extra(module: str, extra: str) -> None:
    """Raise a usage error if a module of an extra is not installed."""
    if find_spec(module) is None:
        raise WrongSettings(f"This needs the extra {extra}; in a clone of the project: pip install '.[{extra}]'.")


def json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--json` and `--quiet` to a command."""
    command = click.option("--quiet", "-q", is_flag=True, help="Print nothing but errors.")(command)
    return click.option(
        "--json", "as_json", is_flag=True, help="Print progress and the end as JSON, an object a line, for programs."
    )(command)
