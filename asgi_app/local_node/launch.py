"""Start a Java process for a spec and wait until it answers CQL; for owned and detached nodes."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from .cql import cql_answers
from .files import NodeFolder, cache_folder
from .jars import server_jars
from .java import Java, find_java
from .logs import BootLog
from .ports import Ports
from .processes import require_psutil
from .server import java_command, write_configuration
from .spec import (
    BootError,
    DataFolderInUseError,
    LocalNodeError,
    NodeSpec,
    Progress,
    ProgressCallback,
    Stage,
    require_unix,
)
from .supervisor import Job

# No event that works on all systems tells when a process ends or a port opens, so both are polled.
POLL_SECONDS = 0.05
PROGRESS_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Installation:
    """Everything a node needs except ports: its spec, its folder, a Java and the server's jars."""

    spec: NodeSpec
    folder: NodeFolder
    java: Java
    jars: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Launched:
    """A Java process that was started: its supervisor, its pid, and its log since this start."""

    supervisor: subprocess.Popen[bytes]
    pid: int
    log: BootLog


def install(spec: NodeSpec, progress: ProgressCallback) -> Installation:
    """Find Java, download the jars if needed and create the data folder.

    Raises JavaNotFoundError, MissingExtraError, DownloadError, or LocalNodeError for a folder that cannot be used.
    """
    require_unix()
    require_psutil()
    progress(Progress(Stage.JAVA, "looking for Java"))
    java = find_java(spec.java_home)
    folder = NodeFolder.at(spec.data)
    make_folder(folder)
    progress(Progress(Stage.JARS, "looking for Cassandra"))
    jars = server_jars(cache_folder(spec.cache, spec.data), spec.version, progress)
    return Installation(spec, folder, java, jars)


def make_folder(folder: NodeFolder) -> None:
    """Create the data folder; raise LocalNodeError if that fails, or if Java could not read its name."""
    if not _is_utf8(str(folder.root)):
        raise LocalNodeError(f"The name of the data folder {str(folder.root)!a} is not UTF-8; choose another folder.")
    try:
        folder.root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LocalNodeError(f"The data folder {folder.root} cannot be used ({error}); choose another.") from error


def _is_utf8(name: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in name)


def launch(installation: Installation, ports: Ports, token: str, *, detach: bool) -> Launched:
    """Start Java under a supervisor; return at once.

    The supervisor's standard input is the lifeline: the node ends when the last copy of its write end is closed.
    Programs that this process starts do not inherit it. A forked child does, and delays the stop until it ends. Raises
    DataFolderInUseError, or LocalNodeError if Java cannot start.
    """
    spec, folder = installation.spec, installation.folder
    job = Job(
        command=java_command(spec, installation.java, installation.jars, ports, folder, token),
        folder=str(folder.root),
        lock=str(folder.run_lock),
        detach=detach,
        stop_timeout=spec.stop_timeout,
    )
    log = BootLog(folder)
    try:
        write_configuration(spec, ports, folder)
        supervisor = _start_supervisor(folder)
    except OSError as error:
        raise LocalNodeError(f"The data folder {folder.root} cannot be used ({error}); choose another.") from error
    return Launched(supervisor, _submit(job, supervisor, folder), log)


def _start_supervisor(folder: NodeFolder) -> subprocess.Popen[bytes]:
    script = Path(__file__).with_name("supervisor.py")
    with open(folder.console_log, "wb") as console:
        return subprocess.Popen(
            # Isolated and without site packages: it starts in milliseconds, and no environment variable affects it.
            [sys.executable, "-I", "-S", str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=console,
            # Java decodes file names by the locale; the locale "C" allows ASCII only. This locale also makes Java's
            # messages English, which `logs` searches.
            env={**os.environ, "LC_ALL": "C.UTF-8"},
            start_new_session=True,
        )


def _submit(job: Job, supervisor: subprocess.Popen[bytes], folder: NodeFolder) -> int:
    try:
        answer = _exchange(job, supervisor)
    except BaseException:
        end_supervisor(supervisor)
        raise
    if "pid" in answer:
        return int(str(answer["pid"]))
    end_supervisor(supervisor)
    if answer.get("error") == "busy":
        raise DataFolderInUseError(
            f"Another node already runs on the data folder {folder.root}; stop it or choose another folder."
        )
    raise LocalNodeError(f"Java could not be started ({answer.get('error')}); see {folder.console_log}.")


def _exchange(job: Job, supervisor: subprocess.Popen[bytes]) -> dict[str, object]:
    lifeline, answers = cast(IO[bytes], supervisor.stdin), cast(IO[bytes], supervisor.stdout)
    with answers:
        try:
            lifeline.write(json.dumps(job).encode() + b"\n")
            lifeline.flush()
        except BrokenPipeError:
            return {"error": "its supervisor ended"}
        line = answers.readline()
    answer: dict[str, object] = json.loads(line or '{"error": "its supervisor ended"}')
    return answer


def end_supervisor(supervisor: subprocess.Popen[bytes]) -> int:
    """Close the lifeline, wait until the supervisor and its Java have ended, and return the exit status."""
    if supervisor.stdin is not None:
        with suppress(BrokenPipeError):  # it ended before it read everything
            supervisor.stdin.close()
    return supervisor.wait()


def wait_until_ready(
    launched: Launched, installation: Installation, ports: Ports, alive: Callable[[], bool], progress: ProgressCallback
) -> None:
    """Return when the node answers CQL. Raises PortInUseError or BootError if it ends or takes too long."""
    spec = installation.spec
    began = time.monotonic()
    reported = -PROGRESS_SECONDS
    while not cql_answers(spec.host, ports.native):
        seconds = time.monotonic() - began
        if not alive():
            raise launched.log.failure(spec, ports)
        if seconds > spec.boot_timeout:
            raise BootError(
                f"Cassandra did not answer on {spec.host} port {ports.native} within {spec.boot_timeout:g} seconds; "
                f"allow more time, or see {installation.folder.system_log}."
            )
        if seconds - reported >= PROGRESS_SECONDS:
            reported = seconds
            progress(Progress(Stage.BOOT, "booting Cassandra", seconds=seconds))
        time.sleep(POLL_SECONDS)
    seconds = time.monotonic() - began
    progress(Progress(Stage.READY, f"Cassandra answers on {spec.host}:{ports.native}", seconds=seconds))
