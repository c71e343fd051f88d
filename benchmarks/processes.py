"""Run commands in processes of their own."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
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


def free_port(host: str) -> int:
    """Return a port that was free a moment ago."""
    with socket.create_server((host, 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def port_of_all(hosts: Sequence[str], above: int) -> int:
    """Return the first port above a number that is free on each of these addresses. Raises ContenderFailed.

    Systems give ports above 32767 to clients, so a lower one stays free while a node boots.
    """
    for port in range(above + 1, above + 1000):
        with suppress(OSError), ExitStack() as held:
            for host in hosts:
                held.enter_context(socket.create_server((host, port)))
            return port
    raise ContenderFailed(f"no port above {above} is free on {', '.join(hosts)}")
