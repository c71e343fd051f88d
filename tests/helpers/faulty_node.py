"""A proxy to a real Cassandra node that answers chosen requests with an error instead of forwarding them.

For errors that a real node does not give on demand. It speaks version 4 of the native protocol, whose frames have no
checksums.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import chain, repeat

from helpers.scripted_node import ERROR, error, frame
from helpers.wire import int32, string

QUERY, EXECUTE, BATCH = 0x07, 0x0A, 0x0D

_VERSION = 4
_QUORUM = b"\0\x06"


class FaultyNode:
    """Listens on `port`. `asked` counts the requests by opcode, since the last `fail`."""

    def __init__(self, node: tuple[str, int], listener: socket.socket) -> None:
        self._node = node
        self._listener = listener
        self._faults: dict[int, tuple[bytes, Iterator[bytes]]] = {}
        self._sockets: list[socket.socket] = []
        self.port: int = listener.getsockname()[1]
        self.asked: Counter[int] = Counter()

    def fail(self, opcode: int, *faults: bytes, always: bool = False, about: bytes = b"") -> None:
        """Answer the next requests with this opcode with these bodies of ERROR, in this order, and reset the counts.

        Only requests that contain `about`. With `always`, the last body also answers all later requests. Without bodies
        all are forwarded again.
        """
        self._faults[opcode] = about, chain(faults, repeat(faults[-1])) if always else iter(faults)
        self.asked.clear()

    def accept_all(self) -> None:
        """Accept connections until the listener is closed."""
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                node = socket.create_connection(self._node)
                self._sockets += [client, node]
                to_client = threading.Lock()  # two threads send to it; a frame must be sent whole
                threading.Thread(target=self._from_client, args=(client, node, to_client), daemon=True).start()
                threading.Thread(target=self._from_node, args=(client, node, to_client), daemon=True).start()

    def close(self) -> None:
        """Close the listener and every connection."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _from_client(self, client: socket.socket, node: socket.socket, to_client: threading.Lock) -> None:
        for head, body in _frames(client):
            fault = self._fault(head[4], body)
            if fault is None:
                node.sendall(head + body)
                continue
            (stream,) = struct.unpack(">h", head[2:4])
            with to_client:
                client.sendall(frame(_VERSION, stream, ERROR, fault))
        with suppress(OSError):
            node.shutdown(socket.SHUT_RDWR)

    def _from_node(self, client: socket.socket, node: socket.socket, to_client: threading.Lock) -> None:
        with suppress(OSError):
            for head, body in _frames(node):
                with to_client:
                    client.sendall(head + body)
            client.shutdown(socket.SHUT_RDWR)

    def _fault(self, opcode: int, body: bytes) -> bytes | None:
        self.asked[opcode] += 1
        about, faults = self._faults.get(opcode, (b"", iter(())))
        return next(faults, None) if about in body else None


def _frames(stream: socket.socket) -> Iterator[tuple[bytes, bytes]]:
    """Yield head and body of each frame until the other end closes."""
    with suppress(OSError), stream.makefile("rb") as reader:
        while len(head := reader.read(9)) == 9:
            yield head, reader.read(int.from_bytes(head[5:], "big"))


@contextmanager
def faulty_node(node: tuple[str, int]) -> Iterator[FaultyNode]:
    """Run a proxy to `node` on a free port until the end of the context."""
    made = FaultyNode(node, socket.create_server(("127.0.0.1", 0)))
    thread = threading.Thread(target=made.accept_all, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.close()
        thread.join()


# --- bodies of errors, as in section 9 of the specification of native protocol v4


def write_timeout(write_type: str) -> bytes:
    """Return the error of a coordinator whose replicas did not acknowledge a write in time."""
    return _error(0x1100, _QUORUM + int32(1) + int32(2) + string(write_type))


def read_timeout() -> bytes:
    """Return the error of a coordinator whose replicas did not answer a read in time."""
    return _error(0x1200, _QUORUM + int32(1) + int32(2) + b"\0")


def read_failure() -> bytes:
    """Return the error of a coordinator with a replica that failed, as one does that meets too many deleted rows."""
    return _error(0x1300, _QUORUM + int32(1) + int32(2) + int32(1) + b"\0")


def unavailable() -> bytes:
    """Return the error of a coordinator that knows of too few live replicas."""
    return _error(0x1000, _QUORUM + int32(2) + int32(1))


def overloaded() -> bytes:
    """Return the error of a coordinator that is overloaded."""
    return _error(0x1001)


def not_permitted() -> bytes:
    """Return the error of a node for a statement that the role of the session may not run."""
    return _error(0x2100)


def invalid_request() -> bytes:
    """Return the error of a coordinator for a value that it does not take."""
    return _error(0x2200)


def server_error() -> bytes:
    """Return the error of a coordinator that failed."""
    return _error(0x0000)


def _error(code: int, rest: bytes = b"") -> bytes:
    return error(code, "10.0.0.1 said no", rest)
