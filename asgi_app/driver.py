"""The driver's modules, or one sentence that says why they cannot be had.

`cassandra.cluster` picks an event loop when it is imported and fails where it finds none: since Python 3.12 has no
`asyncore`, that is every build of the driver without its libev extension.
"""

import sys

from cassandra import DependencyException

try:
    from cassandra import cluster
except DependencyException as error:
    raise ImportError(
        f"cassandra-driver finds no event loop on Python {sys.version_info.major}.{sys.version_info.minor}: its libev "
        "extension is missing. Install a binary wheel (pip install --only-binary :all: cassandra-driver), or libev's "
        "headers before building it."
    ) from error

__all__ = ["cluster"]
