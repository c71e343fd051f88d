"""Turn the errors of commands into one sentence on standard error and an exit code."""

from __future__ import annotations

import errno
import functools
import logging
import sys
import traceback
from collections.abc import Callable
from typing import Any

import click

from asgi_app.cli.signals import INTERRUPTED, interrupts
from asgi_app.settings import SettingsError


class Failure(click.ClickException):
    """An error that ends the command with a sentence and exit code 1."""


class WrongSettings(Failure):
    """An error of the configuration or the installation: ends the command with a sentence and exit code 2."""

    exit_code = 2


def report_failures(command: Callable[..., None]) -> Callable[..., None]:
    """Decorate a command to turn every error, and a signal that ends it, into a `Failure`.

    Adds `--verbose`, which also shows the traceback of an error.
    """

    @click.option("--verbose", "-v", is_flag=True, help="Show the traceback of a failure, and the driver's log.")
    @functools.wraps(command)
    def run(*args: Any, verbose: bool, **kwargs: Any) -> None:
        if not verbose:
            logging.getLogger("cassandra").addHandler(logging.NullHandler())
        try:
            with interrupts():
                command(*args, **kwargs)
        except KeyboardInterrupt:
            raise Failure(INTERRUPTED) from None
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
    return _output_failure(error) or _cluster_failure(error) or _node_failure(error) or _unexpected(error)


def _settings_sentence(error: SettingsError) -> str:
    return "These settings cannot be used:\n" + "\n".join(f"  {line}" for line in str(error).splitlines())


def _output_failure(error: Exception) -> Failure | None:
    """Return the sentence for standard output or error that takes no more. Errors of files have the file's name."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EPIPE) and error.filename is None:
        return Failure(f"The output could not be written: {error.strerror}.")
    return None


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
