"""Turn the errors of commands into one sentence on standard error and an exit code."""

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
    """An error that ends the command with a sentence and exit code 1."""


class WrongSettings(Failure):
    """An error of the configuration or the installation: ends the command with a sentence and exit code 2."""

    exit_code = 2


def report_failures(command: Callable[..., None]) -> Callable[..., None]:
    """Decorate a command to turn every error into a `Failure`; add `--verbose`, which also shows the traceback."""

    @click.option("--verbose", "-v", is_flag=True, help="Show the traceback of a failure, and the driver's log.")
    @functools.wraps(command)
    def run(*args: Any, verbose: bool, **kwargs: Any) -> None:
        if not verbose:
            logging.getLogger("cassandra").addHandler(logging.NullHandler())
        try:
            command(*args, **kwargs)
        except click.ClickException as error:
            if verbose and error.__cause__ is not None:
                traceback.print_exception(error.__cause__, file=sys.stderr)
            raise
        except click.exceptions.Exit:
            raise
        except Exception as error:
            if verbose:
                traceback.print_exception(error, file=sys.stderr)
            raise failure_of(error) from error

    return run


def failure_of(error: Exception) -> Failure:
    """Return the sentence and the exit code for an error of a command."""
    if isinstance(error, SettingsError):
        return WrongSettings(_settings_sentence(error))
    return _cluster_failure(error) or _node_failure(error) or _unexpected(error)


def _settings_sentence(error: SettingsError) -> str:
    return "These settings cannot be used:\n" + "\n".join(f"  {line}" for line in str(error).splitlines())


def _cluster_failure(error: Exception) -> Failure | None:
    from asgi_app.driver.cluster import ClusterConfigError, ClusterUnreachableError

    if isinstance(error, ClusterConfigError):
        return WrongSettings(str(error))
    return Failure(str(error)) if isinstance(error, (ClusterUnreachableError, ImportError)) else None


def _node_failure(error: Exception) -> Failure | None:
    from asgi_app.local_node import JavaNotFoundError, LocalNodeError, MissingExtraError

    if isinstance(error, (JavaNotFoundError, MissingExtraError)):
        return WrongSettings(str(error))
    return Failure(str(error)) if isinstance(error, LocalNodeError) else None


def _unexpected(error: Exception) -> Failure:
    text = str(error).rstrip(".")
    return Failure(f"Unexpected: {type(error).__name__}: {text}. Use --verbose for the traceback.")
