"""A TCP forwarder to a node, which a test can freeze or close."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

Address = tuple[str, int]


class Forwarder:
    """Forwards each connection to `node`, in threads, until it is closed. `address` is where it listens."""

    def __init__(self, listener: socket.socket, node: Address) -> None:
        self.address: Address = listener.getsockname()
        self._listener = listener
        self._node = node
        self._flows = threading.Event()
        self._flows.set()
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self.accepted = 0
        self._threads[0].start()

    @property
    def connections(self) -> int:
        """The number of client connections that are open."""
        with self._lock:
            return len(self._open) // 2

    def freeze(self) -> None:
        """Hold everything back and close nothing, like a network that loses every packet."""
        self._flows.clear()

    def thaw(self) -> None:
        """Forward again, beginning with what was held back."""
        self._flows.set()

    def close(self) -> None:
        """Stop listening and break every connection."""
        self._break(self._listener)
        self.thaw()
        with self._lock:
            broken = list(self._open)
        for stream in broken:
            self._break(stream)
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.accepted += 1
                upstream = socket.create_connection(self._node)
                with self._lock:
                    self._open |= {client, upstream}
                for source, sink in ((client, upstream), (upstream, client)):
                    self._threads.append(threading.Thread(target=self._forward, args=(source, sink), daemon=True))
                    self._threads[-1].start()

    def _forward(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                self._flows.wait()
                sink.sendall(data)
        for stream in (source, sink):
            self._break(stream)
        with self._lock:
            self._open -= {source, sink}

    @staticmethod
    def _break(stream: socket.socket) -> None:
        with suppress(OSError):
            stream.shutdown(socket.SHUT_RDWR)  # wakes the thread that reads it
        stream.close()


@contextmanager
def forwarder(address: Address, node: Address) -> Iterator[Forwarder]:
    """Forward from `address` to `node` until the end of the context. Port 0 chooses a free port."""
    running = Forwarder(socket.create_server(address), node)
    try:
        yield running
    finally:
        running.close()
