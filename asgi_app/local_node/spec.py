"""The description of a node, the progress of its start, and the errors.

LocalNodeError
├── MissingExtraError      the `local` extra is not installed
├── JavaNotFoundError      no Java 11 or 17
├── DownloadError          the server's jars could not be fetched
├── PortInUseError         something else listens on a port the node needs
├── DataFolderInUseError   another node runs on the data folder
└── BootError              Cassandra ended, or did not answer in time
"""

import ipaddress
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

INSTALL_HINT = "pip install '.[local]'"
"""The command that installs what a node needs, in a clone of the project."""


class LocalNodeError(Exception):
    """The node cannot run; the message is one sentence that says what to do."""


class MissingExtraError(LocalNodeError):
    """A package of the `local` extra is not installed."""


class JavaNotFoundError(LocalNodeError):
    """There is no Java that this Cassandra can run on."""


class DownloadError(LocalNodeError):
    """The server's jars could not be downloaded."""


class PortInUseError(LocalNodeError):
    """A port that the node needs is in use."""


class DataFolderInUseError(LocalNodeError):
    """Another node runs on the same data folder."""


class BootError(LocalNodeError):
    """Cassandra ended while it booted, or did not answer in time."""


class Stage(StrEnum):
    """The stages of a start, in this order."""

    JAVA = "java"
    JARS = "jars"
    BOOT = "boot"
    READY = "ready"


@dataclass(frozen=True, slots=True)
class Progress:
    """A progress event: `done` of `total` items (0: unknown) after `seconds` in the stage."""

    stage: Stage
    message: str
    done: int = 0
    total: int = 0
    seconds: float = 0.0


ProgressCallback = Callable[[Progress], None]


def no_progress(_: Progress) -> None:
    """Ignore a progress event."""


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """The description of a node to run.

    `data` is the folder for everything the node writes; delete it for a fresh node. `cache` is the folder for the
    downloaded jars; it defaults to `$XDG_CACHE_HOME/asgi-cassandra`, then `~/.cache/asgi-cassandra`, then
    `<data>/cache`. `host` is a loopback address. `port` (CQL) and `storage_port` (between nodes) choose a free port if
    they are 0; `jmx_port` None turns JMX off. `boot_timeout` and `stop_timeout` are the seconds that the node may take
    to answer, and to drain before it is killed. `java_home` is a Java 11 or 17; None searches for one.

    `throwaway` is for a node whose data nobody needs after it, such as a test's. It boots and changes its schema in a
    fraction of the time, but it keeps its tables only if it is stopped in order: one that is killed loses them.

    Several nodes form one cluster if they share `cluster_name`, a fixed `storage_port` and `seeds` (hosts of nodes that
    know the others) and differ in `host` and `data`. Boot a seed first, then the others, in parallel if you like.
    Create keyspaces when all nodes are up: a node that joins later does not fetch older rows.

    Raises LocalNodeError for invalid values.
    """

    data: Path
    cache: Path | None = None
    host: str = "127.0.0.1"
    port: int = 0
    storage_port: int = 0
    jmx_port: int | None = None
    seeds: tuple[str, ...] = ()
    cluster_name: str = "asgi-cassandra"
    datacenter: str = "datacenter1"
    rack: str = "rack1"
    heap: str = "512m"
    boot_timeout: float = 120.0
    stop_timeout: float = 30.0
    version: str = "5.0.9"
    java_home: Path | None = None
    throwaway: bool = False

    def __post_init__(self) -> None:
        _require_loopback(self.host)
        if not re.fullmatch(r"[1-9]\d*[kmgKMG]", self.heap):
            raise LocalNodeError(f'The heap "{self.heap}" is not a valid size; write it like 512m or 1g.')
        if self.seeds and not self.storage_port:
            raise LocalNodeError("The nodes of one cluster share a storage port; set the same one for each node.")


def _require_loopback(host: str) -> None:
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise LocalNodeError(f'A local node listens on loopback only; "{host}" must be an address like 127.0.0.1.')


def require_unix() -> None:
    """Raise LocalNodeError on systems where a node cannot be supervised."""
    if os.name != "posix":
        raise LocalNodeError("A local node needs Linux or macOS; on Windows run it inside WSL.")
