"""A node that outlives the process that starts it.

`node.json` in the data folder says which process it is. The token in it is also on Java's command line, so
neither a reused pid nor a clock that was set can make another process look like the node.
"""

import json
import time
import uuid
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path

from .cql import cql_answers
from .files import NodeFolder, file_lock, write_whole
from .launch import POLL_SECONDS, Installation, end_supervisor, install, launch, make_folder, wait_until_ready
from .ports import Ports, choose_ports
from .processes import end_node, kill_node, node_lives
from .spec import (
    BootError,
    LocalNodeError,
    NodeSpec,
    PortInUseError,
    Progress,
    ProgressCallback,
    Stage,
    no_progress,
    require_unix,
)


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """A detached node: Java's `pid`, where CQL is, `started` in seconds since 1970, and whether it `answers`."""

    pid: int
    host: str
    port: int
    version: str
    data: Path
    log_file: Path
    started: float
    answers: bool


@dataclass(frozen=True, slots=True)
class _State:
    """What `node.json` holds."""

    pid: int
    token: str
    host: str
    port: int
    version: str
    started: float
    stop_timeout: float


def start_detached(spec: NodeSpec, progress: ProgressCallback = no_progress) -> NodeStatus:
    """Start a node that stays up after this process and its terminal, and return when it answers CQL.

    When one runs on `spec.data` already it is returned as it is, whatever else `spec` says; of two calls at
    once one starts the node. Raises the errors of the tree in `spec`; a start that fails or is interrupted
    leaves no process. Must not be called by a forked copy of a process that is in this call.
    """
    require_unix()
    folder = NodeFolder.at(spec.data)
    make_folder(folder)
    with _start_lock(folder, progress):
        if _running(folder) is None:
            _start_on_free_ports(install(spec, progress), progress)
        return _answering(folder, spec.boot_timeout)


def detached_status(data: Path) -> NodeStatus | None:
    """The detached node on `data`, or None when none runs; then a state file left behind is removed.

    Asks the node whether it answers CQL, which takes two seconds at most. Raises MissingExtraError.
    """
    folder = NodeFolder.at(data)
    state = _running(folder)
    if state is None:
        return None
    return NodeStatus(
        pid=state.pid,
        host=state.host,
        port=state.port,
        version=state.version,
        data=folder.root,
        log_file=folder.system_log,
        started=state.started,
        answers=cql_answers(state.host, state.port),
    )


def stop_detached(data: Path) -> bool:
    """Stop the detached node on `data` and return when its process is gone; False when none runs.

    A node that has not drained within its spec's `stop_timeout` is killed. Raises MissingExtraError.
    """
    folder = NodeFolder.at(data)
    state = _running(folder)
    if state is None:
        return False
    end_node(state.pid, state.token, state.stop_timeout)
    folder.state.unlink(missing_ok=True)
    return True


def _start_lock(folder: NodeFolder, progress: ProgressCallback) -> AbstractContextManager[None]:
    def say_waiting() -> None:
        progress(Progress(Stage.BOOT, "waiting for another process that starts the node"))

    return file_lock(folder.start_lock, say_waiting)


def _start_on_free_ports(installation: Installation, progress: ProgressCallback) -> None:
    ports = choose_ports(installation.spec)
    try:
        _start(installation, ports, progress)
    except PortInUseError:
        again = choose_ports(installation.spec)
        if again == ports:  # all of them are fixed
            raise
        # Somebody took a free port before Java did; that does not happen twice.
        _start(installation, again, progress)


def _start(installation: Installation, ports: Ports, progress: ProgressCallback) -> None:
    token = uuid.uuid4().hex
    launched = launch(installation, ports, token, detach=True)
    try:
        end_supervisor(launched.supervisor)
        _write_state(installation, ports, launched.pid, token)
        wait_until_ready(launched, installation, ports, lambda: node_lives(launched.pid, token), progress)
    except BaseException:
        kill_node(launched.pid, token)
        installation.folder.state.unlink(missing_ok=True)
        raise


def _answering(folder: NodeFolder, timeout: float) -> NodeStatus:
    """The running node once it answers; its starter may have been killed while it booted."""
    deadline = time.monotonic() + timeout
    while (status := detached_status(folder.root)) is not None:
        if status.answers:
            return status
        if time.monotonic() >= deadline:
            raise BootError(
                f"The node on {folder.root} runs as process {status.pid} but does not answer; stop it and start again."
            )
        time.sleep(POLL_SECONDS)
    raise BootError(f"The node on {folder.root} ended; see {folder.system_log}.")


def _write_state(installation: Installation, ports: Ports, pid: int, token: str) -> None:
    spec = installation.spec
    state = _State(pid, token, spec.host, ports.native, spec.version, time.time(), spec.stop_timeout)
    write_whole(installation.folder.state, json.dumps(asdict(state), indent=1))


def _running(folder: NodeFolder) -> _State | None:
    """The state of a node that lives; a state file that speaks of none is removed."""
    try:
        state = _State(**json.loads(folder.state.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise LocalNodeError(
            f"The file {folder.state} cannot be read ({error}); stop the node if one runs, then delete the file."
        ) from error
    if not node_lives(state.pid, state.token):
        folder.state.unlink(missing_ok=True)
        return None
    return state
