"""Run a node that outlives the process that starts it.

`node.json` in the data folder holds the node's pid and a token. The token is also on Java's command line, so that a
process that reuses the pid is not mistaken for the node, even if the clock was changed.
"""

import json
import time
import uuid
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path

from .cql import cql_answers
from .files import NodeFolder, file_lock, write_atomically
from .launch import POLL_SECONDS, Installation, end_supervisor, install, launch, make_folder, wait_until_ready
from .ports import Ports, choose_ports, start_on_free_ports
from .processes import end_node, kill_node, node_is_alive
from .spec import (
    BootError,
    LocalNodeError,
    NodeSpec,
    Progress,
    ProgressCallback,
    Stage,
    no_progress,
    require_unix,
)


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """A detached node: Java's `pid`, the address of CQL, `started` in seconds since 1970, and whether it `answers`."""

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
    """The content of `node.json`."""

    pid: int
    token: str
    host: str
    port: int
    version: str
    started: float
    stop_timeout: float


def start_detached(spec: NodeSpec, progress: ProgressCallback = no_progress) -> NodeStatus:
    """Start a node that keeps running after this process and its terminal, and return when it answers CQL.

    If a node already runs on `spec.data`, return that one, regardless of the rest of `spec`. Of two concurrent calls
    one starts the node and both return it. Raises the errors of the tree in `spec`; a start that fails or is
    interrupted leaves no process. Do not call this in a forked copy of a process that is in this call.
    """
    require_unix()
    folder = NodeFolder.at(spec.data)
    make_folder(folder)
    with _start_lock(folder, progress):
        if _running(folder) is None:
            choose_ports(spec)  # a fixed port that is in use is told before anything is downloaded
            installation = install(spec, progress)
            start_on_free_ports(spec, lambda ports: _start(installation, ports, progress))
        return _wait_until_answering(folder, spec.boot_timeout)


def detached_status(data: Path) -> NodeStatus | None:
    """Return the detached node on `data`; if none runs, remove an old state file and return None.

    Checks whether the node answers CQL, which takes two seconds at most. Raises MissingExtraError without psutil, and
    LocalNodeError if the state file cannot be read.
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


def detached_port(data: Path) -> int | None:
    """Return the port of the detached node on `data`, or None, as `detached_status` does but without connecting to it.

    Raises the same errors.
    """
    state = _running(NodeFolder.at(data))
    return None if state is None else state.port


def stop_detached(data: Path) -> bool:
    """Stop the detached node on `data` and return True when its process has ended. Return False if none runs.

    A node that has not drained within its spec's `stop_timeout` is killed. Raises the errors of `detached_status`.
    """
    folder = NodeFolder.at(data)
    state = _running(folder)
    if state is None:
        return False
    end_node(state.pid, state.token, state.stop_timeout)
    folder.state.unlink(missing_ok=True)
    return True


def _start_lock(folder: NodeFolder, progress: ProgressCallback) -> AbstractContextManager[None]:
    def report_waiting() -> None:
        progress(Progress(Stage.BOOT, "waiting for another process that is starting the node"))

    return file_lock(folder.start_lock, report_waiting)


def _start(installation: Installation, ports: Ports, progress: ProgressCallback) -> None:
    token = uuid.uuid4().hex
    launched = launch(installation, ports, token, detach=True)
    try:
        end_supervisor(launched.supervisor)
        _write_state(installation, ports, launched.pid, token)
        wait_until_ready(launched, installation, ports, lambda: node_is_alive(launched.pid, token), progress)
    except BaseException:
        kill_node(launched.pid, token)
        installation.folder.state.unlink(missing_ok=True)
        raise


def _wait_until_answering(folder: NodeFolder, timeout: float) -> NodeStatus:
    """Return the running node once it answers.

    Another process may have started it and been killed during the boot, so the node may never answer.
    """
    deadline = time.monotonic() + timeout
    while (status := detached_status(folder.root)) is not None:
        if status.answers:
            return status
        if time.monotonic() >= deadline:
            raise BootError(
                f"The node on {folder.root} runs as process {status.pid} but does not answer; stop and restart it."
            )
        time.sleep(POLL_SECONDS)
    raise BootError(f"The node on {folder.root} ended; see {folder.system_log}.")


def _write_state(installation: Installation, ports: Ports, pid: int, token: str) -> None:
    spec = installation.spec
    state = _State(pid, token, spec.host, ports.native, spec.version, time.time(), spec.stop_timeout)
    write_atomically(installation.folder.state, json.dumps(asdict(state), indent=1))


def _running(folder: NodeFolder) -> _State | None:
    """Return the state of the running node; if none runs, remove the state file and return None."""
    try:
        state = _State(**json.loads(folder.state.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise LocalNodeError(
            f"The file {folder.state} cannot be read ({error}); stop the node if it still runs, then delete the file."
        ) from error
    if not node_is_alive(state.pid, state.token):
        folder.state.unlink(missing_ok=True)
        return None
    return state
