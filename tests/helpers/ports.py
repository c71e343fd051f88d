"""Find free ports."""

from __future__ import annotations

import socket
from contextlib import ExitStack


def free_port(*hosts: str) -> int:
    """Return a port that was free a moment ago on every host, by default on 127.0.0.1."""
    first, *others = hosts or ("127.0.0.1",)
    with ExitStack() as probes:
        port: int = probes.enter_context(socket.create_server((first, 0))).getsockname()[1]
        for host in others:
            probes.enter_context(socket.create_server((host, port)))
        return port
