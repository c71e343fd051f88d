"""Run a node that ends with this process."""

import os
import signal
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .launch import Installation, end_supervisor, install, launch, wait_until_ready
from .ports import Ports, require_free, start_on_free_ports
from .processes import kill_node, wait_until_frozen
from .spec import NodeSpec, ProgressCallback, no_progress


class LocalNode:
    """A node that this process owns; made by `local_node`. Not thread-safe.

    `host` and `port` are the address of CQL, `storage_port` is the port for other nodes of its cluster, `pid` is the
    process of Java, `data` the node's folder and `log_file` Cassandra's log. `restart` changes `pid` and nothing else.
    """

    def __init__(self, installation: Installation, ports: Ports, progress: ProgressCallback) -> None:
        """Boot a node. Raises the errors of `local_node`; then no process is left."""
        self._installation = installation
        self._ports = ports
        self.host: str = installation.spec.host
        self.port: int = ports.native
        self.storage_port: int = ports.storage
        self.data: Path = installation.folder.root
        self.log_file: Path = installation.folder.system_log
        self._boot(progress)

    def _boot(self, progress: ProgressCallback) -> None:
        self._token = uuid.uuid4().hex
        launched = launch(self._installation, self._ports, self._token, detach=False)
        self.pid: int = launched.pid
        self._supervisor: subprocess.Popen[bytes] = launched.supervisor
        try:
            wait_until_ready(launched, self._installation, self._ports, self.is_running, progress)
        except BaseException:
            self.kill()
            raise

    @property
    def supervisor_pid(self) -> int:
        """The pid of the process that ends Java when this process ends."""
        return self._supervisor.pid

    def is_running(self) -> bool:
        """Return whether Java's process exists, paused or not."""
        return self._supervisor.poll() is None

    def stop(self) -> None:
        """Let the node drain and return when its process has ended; do nothing if it has already.

        After `stop_timeout` seconds the node is killed. If a signal's exception interrupts this call, the node still
        ends by itself.
        """
        end_supervisor(self._supervisor)
        self._kill_orphan()

    def kill(self) -> None:
        """End the node with SIGKILL, like a crash, and return when its process has ended."""
        self._signal(signal.SIGKILL)
        self.stop()

    def pause(self) -> None:
        """Freeze the node with SIGSTOP and return when it is frozen: its sockets stay open, but nothing answers."""
        self._signal(signal.SIGSTOP)
        wait_until_frozen(self.pid, self._token)

    def resume(self) -> None:
        """Continue a paused node."""
        self._signal(signal.SIGCONT)

    def restart(self, *, progress: ProgressCallback = no_progress) -> None:
        """Stop the node if it runs and boot it again on the same ports and data.

        Raises PortInUseError if a port is in use by now, BootError if Cassandra does not start.
        """
        self.stop()
        require_free(self.host, self._ports)
        self._boot(progress)

    def _signal(self, number: signal.Signals) -> None:
        # The supervisor outlives Java and reaps it, so while the supervisor runs, this pid belongs to Java.
        if self.is_running():
            with suppress(ProcessLookupError):  # Java has just ended
                os.kill(self.pid, number)

    def _kill_orphan(self) -> None:
        """Kill Java if its supervisor was killed; on Linux the kernel already does."""
        if self._supervisor.returncode < 0:
            kill_node(self.pid, self._token)


@contextmanager
def local_node(spec: NodeSpec, *, progress: ProgressCallback = no_progress) -> Iterator[LocalNode]:
    """Run a node during the block; it answers CQL when the block begins.

    The node ends with the block. It also ends with this process, even after `sys.exit`, an exception or a signal,
    including SIGKILL. A Ctrl-C in the terminal reaches only this process, so that it can finish its work while the node
    still runs. The first run downloads Cassandra (70 MB). `progress` is called in this thread, and from other threads
    during the download.

    Raises the errors of the tree in `spec`; each says in one sentence what to do.
    """
    installation = install(spec, progress)
    node = start_on_free_ports(spec, lambda ports: LocalNode(installation, ports, progress))
    try:
        yield node
    finally:
        node.stop()
