"""Choosing free ports, and saying which one is taken."""

import errno
import socket
from contextlib import ExitStack
from dataclasses import dataclass

from .spec import LocalNodeError, NodeSpec, PortInUseError


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports of one node; `jmx` None leaves JMX off."""

    native: int
    storage: int
    jmx: int | None


def choose_ports(spec: NodeSpec) -> Ports:
    """Fill in the ports the spec leaves open; raise PortInUseError for a fixed one that is taken.

    All are held at once until the last is known, so that no two are the same.
    """
    with ExitStack() as held:
        native = _bind(spec.host, spec.port, held)
        storage = _bind(spec.host, spec.storage_port, held)
        # Cassandra serves local JMX on the first loopback address, whatever the node's own is.
        jmx = None if spec.jmx_port is None else _bind("127.0.0.1", spec.jmx_port, held)
    return Ports(native, storage, jmx)


def require_free(host: str, ports: Ports) -> None:
    """Raise PortInUseError when one of a node's ports is taken."""
    with ExitStack() as held:
        _bind(host, ports.native, held)
        _bind(host, ports.storage, held)
        if ports.jmx is not None:
            _bind("127.0.0.1", ports.jmx, held)


def _bind(host: str, port: int, held: ExitStack) -> int:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = held.enter_context(socket.socket(family))
    # Connections of the node before this one may still linger on the port; Cassandra binds over them too.
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
        return PortInUseError(f"Port {port} on {host} is in use; stop what listens there or choose another port.")
    if error.errno == errno.EADDRNOTAVAIL:
        return LocalNodeError(f"This machine has no address {host}; add it to the loopback interface or use 127.0.0.1.")
    return LocalNodeError(f"Port {port} on {host} cannot be opened ({error}); choose another port.")
