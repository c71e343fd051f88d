"""Run commands in processes of their own."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

_STOP_SECONDS = 15.0
_SHOWN = 2000


class ContenderFailed(Exception):
    """A contender, a client or a helper process does not run, or gives a wrong answer."""


def finished(
    command: Sequence[str],
    seconds: float,
    *,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    given: str = "",
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, with `given` as its standard input, and return it with its output.

    Raises ContenderFailed if it fails, does not start, or takes longer than `seconds`.
    """
    try:
        done = subprocess.run(
            command,
            env=environment,
            cwd=folder,
            input=given,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ContenderFailed(str(error)) from error
    if done.returncode:
        output = (done.stdout + done.stderr).strip()[-_SHOWN:]
        raise ContenderFailed(f"{' '.join(command)} ended with {done.returncode}:\n{output}")
    return done


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process that was started here, and return when it is gone."""
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def free_port(first: str, *others: str) -> int:
    """Return a port that was free a moment ago on each of these addresses."""
    with ExitStack() as held:
        port: int = held.enter_context(socket.create_server((first, 0))).getsockname()[1]
        for host in others:
            held.enter_context(socket.create_server((host, port)))
        return port
