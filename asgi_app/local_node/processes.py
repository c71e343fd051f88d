"""Finding and ending a Java that is nobody's child any more, without mistaking another process for it."""

import importlib
import signal
import time
from contextlib import suppress
from typing import Any

from .server import token_option
from .spec import INSTALL_HINT, MissingExtraError

POLL_SECONDS = 0.05


def node_lives(pid: int, token: str) -> bool:
    """Whether process `pid` lives and was started with `token`: numbers of processes are reused.

    Raises MissingExtraError without psutil.
    """
    psutil = _psutil()
    try:
        # A process that ended and was not yet collected has no command line.
        return token_option(token) in psutil.Process(pid).cmdline()
    except (psutil.Error, ValueError):
        return False


def end_node(pid: int, token: str, stop_timeout: float) -> None:
    """Ask the node to stop, kill it after `stop_timeout` seconds, and return when it is gone."""
    _send(pid, token, signal.SIGTERM)
    _send(pid, token, signal.SIGCONT)  # a paused process does not see SIGTERM
    deadline = time.monotonic() + stop_timeout
    while node_lives(pid, token):
        if time.monotonic() >= deadline:
            kill_node(pid, token)
            return
        time.sleep(POLL_SECONDS)


def kill_node(pid: int, token: str) -> None:
    """Kill the node if it lives, and return when it is gone."""
    while node_lives(pid, token):
        _send(pid, token, signal.SIGKILL)
        time.sleep(POLL_SECONDS)


def wait_until_frozen(pid: int, token: str) -> None:
    """Return when the node, which was sent SIGSTOP, no longer runs."""
    psutil = _psutil()
    with suppress(psutil.NoSuchProcess):
        while node_lives(pid, token) and psutil.Process(pid).status() != psutil.STATUS_STOPPED:
            time.sleep(POLL_SECONDS)


def _send(pid: int, token: str, number: signal.Signals) -> None:
    """Signal the node if it lives."""
    psutil = _psutil()
    try:
        process = psutil.Process(pid)  # knows when it was created, so that its number is not reused here
        if token_option(token) in process.cmdline():
            process.send_signal(number)
    except (psutil.Error, ValueError):
        return


def _psutil() -> Any:
    try:
        return importlib.import_module("psutil")
    except ImportError as error:
        raise MissingExtraError(
            f"A local node needs psutil to find its process; install it with {INSTALL_HINT}."
        ) from error
