"""Choose free ports, and report a port that is in use."""

import errno
import socket
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TypeVar

from .spec import LocalNodeError, NodeSpec, PortInUseError

Started = TypeVar("Started")


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports of one node: CQL, between nodes, and JMX; `jmx` is None if JMX is off."""

    native: int
    storage: int
    jmx: int | None


def choose_ports(spec: NodeSpec) -> Ports:
    """Return the ports of `spec`, with a free one for each that is 0. Raises PortInUseError for a fixed one in use.

    All ports are bound until the last one is known, so that no two are the same.
    """
    with ExitStack() as held:
        native = _bind(spec.host, spec.port, held)
        storage = _bind(spec.host, spec.storage_port, held)
        # Cassandra serves local JMX on the first loopback address, whatever the node's own is.
        jmx = None if spec.jmx_port is None else _bind("127.0.0.1", spec.jmx_port, held)
    return Ports(native, storage, jmx)


def start_on_free_ports(spec: NodeSpec, start: Callable[[Ports], Started]) -> Started:
    """Return what `start` returns for the ports of `spec`.

    Another program may take a free port before Java does. Then `start` raises PortInUseError and is called once more,
    with other ports. Raises PortInUseError if a fixed port is in use, or if this happens twice.
    """
    ports = choose_ports(spec)
    try:
        return start(ports)
    except PortInUseError:
        others = choose_ports(spec)
        if others == ports:  # all of them are fixed
            raise
    return start(others)


def require_free(host: str, ports: Ports) -> None:
    """Raise PortInUseError if one of a node's ports is in use."""
    with ExitStack() as held:
        _bind(host, ports.native, held)
        _bind(host, ports.storage, held)
        if ports.jmx is not None:
            _bind("127.0.0.1", ports.jmx, held)


def _bind(host: str, port: int, held: ExitStack) -> int:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = held.enter_context(socket.socket(family))
    # Connections of an earlier node may still be in TIME_WAIT on this port; Cassandra sets this option too.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(1)
    except OSError as error:
        raise _bind_error(host, port, error) from error
    chosen: int = listener.getsockname()[1]
    return chosen


def _bind_error(host: str, port: int, error: OSError) -> LocalNodeError:
    if error.errno == errno.EADDRINUSE:
        return PortInUseError(
            f"Port {port} on {host} is in use; stop the program that listens there or choose another port."
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return LocalNodeError(f"This machine has no address {host}; add it to the loopback interface or use 127.0.0.1.")
    return LocalNodeError(f"Port {port} on {host} cannot be opened ({error}); choose another port.")
