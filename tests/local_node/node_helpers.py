"""Watch the processes of a node from outside."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from helpers.waiting import wait_until

PARENT_SCRIPT = Path(__file__).with_name("node_parent.py")
# Network settings that a machine's own certificates or proxy need, but no paths or homes.
NETWORK_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "HTTPS_PROXY", "https_proxy", "NO_PROXY")


def network_environment() -> dict[str, str]:
    return {name: os.environ[name] for name in NETWORK_VARIABLES if name in os.environ}


def alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def wait_gone(*pids: int, seconds: float = 20.0) -> None:
    """Return when all processes have ended; fail after `seconds`."""
    wait_until(f"the processes {pids} have ended", lambda: not any(map(alive, pids)), seconds)


@contextmanager
def parent_program(data: Path, cache: Path) -> Iterator[tuple[subprocess.Popen[str], dict[str, int]]]:
    """Run a program that owns a node, in its own process group; yield the program and the pids that it reports."""
    with subprocess.Popen(
        [sys.executable, str(PARENT_SCRIPT), str(data), str(cache)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
        text=True,
    ) as program:
        try:
            assert program.stdout is not None
            yield program, json.loads(program.stdout.readline())
        finally:
            program.kill()
