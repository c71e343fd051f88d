"""What went wrong → one sentence on standard error and an exit code."""

from __future__ import annotations

import functools
import logging
import sys
import traceback
from collections.abc import Callable
from typing import Any

import click

from asgi_app.settings import SettingsError


class Failure(click.ClickException):
    """Ends the command with a sentence and exit code 1."""


class WrongSettings(Failure):
    """Ends the command with a sentence and exit code 2: as it is set up it can never work."""

    exit_code = 2


def in_sentences(command: Callable[..., None]) -> Callable[..., None]:
    """Makes every error of a command a `Failure`, and gives it `--verbose`, which shows the traceback as well."""

    @click.option("--verbose", "-v", is_flag=True, help="On failure show the traceback, and what the driver logs.")
    @functools.wraps(command)
    def run(*args: Any, verbose: bool, **kwargs: Any) -> None:
        if not verbose:
            logging.getLogger("cassandra").addHandler(logging.NullHandler())
        try:
            command(*args, **kwargs)
        except (click.ClickException, click.exceptions.Exit):
            raise
        except Exception as error:
            if verbose:
                traceback.print_exception(error, file=sys.stderr)
            raise failure_of(error) from error

    return run


def failure_of(error: Exception) -> Failure:
    """The sentence and the exit code for an error of a command."""
    if isinstance(error, SettingsError):
        return WrongSettings(_settings_sentence(error))
    return _cluster_failure(error) or _node_failure(error) or _driver_failure(error) or _unexpected(error)


def _settings_sentence(error: SettingsError) -> str:
    return "These settings cannot be used:\n" + "\n".join(f"  {line}" for line in str(error).splitlines())


def _cluster_failure(error: Exception) -> Failure | None:
    from asgi_app.driver.cluster import ClusterConfigError, ClusterUnreachableError

    if isinstance(error, ClusterConfigError):
        return WrongSettings(str(error))
    return Failure(str(error)) if isinstance(error, (ClusterUnreachableError, ImportError)) else None


def _node_failure(error: Exception) -> Failure | None:
    from asgi_app.local_node import LocalNodeError

    return Failure(str(error)) if isinstance(error, LocalNodeError) else None


def _driver_failure(error: Exception) -> Failure | None:
    from asgi_app.driver.connecting import explain

    sentence = explain(error)
    return None if sentence is None else Failure(sentence)


def _unexpected(error: Exception) -> Failure:
    return Failure(f"Unexpected: {type(error).__name__}: {error}. With --verbose it shows where.")
