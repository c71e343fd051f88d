"""Run a real Cassandra for development and tests, installed with pip only.

There are two ways to run it. Both use a loopback address and keep all files in one folder:

* `local_node(spec)` is a context manager; the node ends with this process, however this process ends.
* `start_detached(spec)`, `detached_status(data)` and `stop_detached(data)` are for a node that outlives this process.

Running a node needs the `local` extra and Linux or macOS. Importing the package needs neither.
"""

from .detached import NodeStatus, detached_port, detached_status, start_detached, stop_detached
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
    "detached_port",
    "detached_status",
    "local_node",
    "start_detached",
    "stop_detached",
]
