"""A real Cassandra for development and tests, from pip alone.

Two ways to run it, both on a loopback address and with all its files in one folder you can see and delete:

* `local_node(spec)`: a context manager; the node ends with this process, however this process ends;
* `start_detached(spec)`, `detached_status(data)`, `stop_detached(data)`: the node outlives this process.

Needs the `local` extra and Linux or macOS. Importing the package needs neither and does nothing.
"""

from .detached import NodeStatus, detached_status, start_detached, stop_detached
from .owned import LocalNode, local_node
from .spec import (
    BootError,
    DataFolderInUseError,
    DownloadError,
    JavaNotFoundError,
    LocalNodeError,
    MissingExtraError,
    NodeSpec,
    PortInUseError,
    Progress,
    ProgressCallback,
    Stage,
)

__all__ = [
    "BootError",
    "DataFolderInUseError",
    "DownloadError",
    "JavaNotFoundError",
    "LocalNode",
    "LocalNodeError",
    "MissingExtraError",
    "NodeSpec",
    "NodeStatus",
    "PortInUseError",
    "Progress",
    "ProgressCallback",
    "Stage",
    "detached_status",
    "local_node",
    "start_detached",
    "stop_detached",
]
