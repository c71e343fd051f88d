"""Find and end a Java process that is not a child of this one, and never mistake another process for it."""

import importlib
import signal
import time
from contextlib import suppress
from typing import Any

from .server import token_option
from .spec import INSTALL_HINT, MissingExtraError

POLL_SECONDS = 0.05


def node_is_alive(pid: int, token: str) -> bool:
    """Return whether process `pid` is alive and was started with `token`, because pids are reused.

    Raises MissingExtraError without psutil.
    """
    psutil = _psutil()
    try:
        # A zombie process has no command line.
        return token_option(token) in psutil.Process(pid).cmdline()
    except (psutil.Error, ValueError):
        return False


def end_node(pid: int, token: str, stop_timeout: float) -> None:
    """Ask the node to stop, kill it after `stop_timeout` seconds, and return when it has ended."""
    _send(pid, token, signal.SIGTERM)
    _send(pid, token, signal.SIGCONT)  # a paused process receives SIGTERM only when it continues
    deadline = time.monotonic() + stop_timeout
    while node_is_alive(pid, token):
        if time.monotonic() >= deadline:
            kill_node(pid, token)
            return
        time.sleep(POLL_SECONDS)


def kill_node(pid: int, token: str) -> None:
    """Kill the node if it is alive, and return when it has ended."""
    while node_is_alive(pid, token):
        _send(pid, token, signal.SIGKILL)
        time.sleep(POLL_SECONDS)


def wait_until_frozen(pid: int, token: str) -> None:
    """Return when the node, which was sent SIGSTOP, is stopped or has ended."""
    psutil = _psutil()
    with suppress(psutil.NoSuchProcess):
        while node_is_alive(pid, token) and psutil.Process(pid).status() != psutil.STATUS_STOPPED:
            time.sleep(POLL_SECONDS)


def _send(pid: int, token: str, number: signal.Signals) -> None:
    """Send a signal to the node if it is alive."""
    psutil = _psutil()
    try:
        process = psutil.Process(
            pid
        )  # psutil compares creation times, so the signal cannot reach a process that reuses the pid
        if token_option(token) in process.cmdline():
            process.send_signal(number)
    except (psutil.Error, ValueError):
        return


def require_psutil() -> None:
    """Raise MissingExtraError without psutil: a node that was started could not be found again."""
    _psutil()


def _psutil() -> Any:
    try:
        return importlib.import_module("psutil")
    except ImportError as error:
        raise MissingExtraError(
            f"A local node needs psutil to find its process; in a clone of the project: {INSTALL_HINT}."
        ) from error
