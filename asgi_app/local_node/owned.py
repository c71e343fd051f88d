"""A node that ends with this process."""

import os
import signal
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .launch import Installation, end_supervisor, install, launch, wait_until_ready
from .ports import Ports, choose_ports, require_free
from .processes import kill_node, wait_until_frozen
from .spec import NodeSpec, PortInUseError, ProgressCallback, no_progress


class LocalNode:
    """A node this process owns; made by `local_node`. Not for use by several threads at once.

    `host` and `port` are where CQL answers, `storage_port` where other nodes of its cluster reach it, `pid`
    is Java's, `data` its folder and `log_file` Cassandra's log. `pid` changes with `restart`, the rest stays.
    """

    def __init__(self, installation: Installation, ports: Ports, progress: ProgressCallback) -> None:
        """Boot a node. Raises what `local_node` raises; then no process is left."""
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
        """The process that ends Java when this one ends."""
        return self._supervisor.pid

    def is_running(self) -> bool:
        """Whether Java's process exists, paused or not."""
        return self._supervisor.poll() is None

    def stop(self) -> None:
        """Let the node drain and return when its process is gone; does nothing when it is already.

        After `stop_timeout` seconds it is killed. Interrupted by a signal's exception, it still ends by itself.
        """
        end_supervisor(self._supervisor)
        self._kill_orphan()

    def kill(self) -> None:
        """End the node with SIGKILL, as a crash would, and return when its process is gone."""
        self._signal(signal.SIGKILL)
        self.stop()

    def pause(self) -> None:
        """Freeze the node with SIGSTOP and return when it is: its sockets stay open and nothing answers."""
        self._signal(signal.SIGSTOP)
        wait_until_frozen(self.pid, self._token)

    def resume(self) -> None:
        """Let a paused node go on."""
        self._signal(signal.SIGCONT)

    def restart(self, *, progress: ProgressCallback = no_progress) -> None:
        """Stop the node if it runs and boot it again on the same ports and data.

        Raises PortInUseError when a port was taken meanwhile, BootError when Cassandra does not come up.
        """
        self.stop()
        require_free(self.host, self._ports)
        self._boot(progress)

    def _signal(self, number: signal.Signals) -> None:
        # The supervisor outlives Java, so while it runs the pid is Java's.
        if self.is_running():
            with suppress(ProcessLookupError):  # Java ended this moment
                os.kill(self.pid, number)

    def _kill_orphan(self) -> None:
        """End a Java whose supervisor was killed; on Linux the kernel has begun to."""
        if self._supervisor.returncode < 0:
            kill_node(self.pid, self._token)


@contextmanager
def local_node(spec: NodeSpec, *, progress: ProgressCallback = no_progress) -> Iterator[LocalNode]:
    """Run a node for as long as the block runs; it answers CQL when the block begins.

    It ends with the block, and with this process however that ends: a return, an exception, `sys.exit`, a
    signal, SIGKILL included. A Ctrl-C in the terminal reaches this process only, so that it can finish its
    work with the node still there. The first run downloads Cassandra (70 MB). `progress` is called in this
    thread, and while downloading from others.

    Raises the errors of the tree in `spec`; each says in one sentence what to do.
    """
    node = _boot_on_free_ports(install(spec, progress), progress)
    try:
        yield node
    finally:
        node.stop()


def _boot_on_free_ports(installation: Installation, progress: ProgressCallback) -> LocalNode:
    ports = choose_ports(installation.spec)
    try:
        return LocalNode(installation, ports, progress)
    except PortInUseError:
        again = choose_ports(installation.spec)
        if again == ports:  # all of them are fixed
            raise
    # Somebody took a free port before Java did; that does not happen twice.
    return LocalNode(installation, again, progress)
