"""The driver's modules, or one sentence that says why they cannot be had.

`cassandra.cluster` picks an event loop when it is imported and fails where it finds none: since Python 3.12 has no
`asyncore`, that is every build of the driver without its libev extension.
"""

import platform

from cassandra import DependencyException

try:
    from cassandra import cluster
except DependencyException as error:
    raise ImportError(
        f"The Cassandra driver has no usable event loop on Python {platform.python_version()}; install a build of "
        "cassandra-driver with its libev extension (the wheels for CPython have it; from source, install the "
        "libev headers and a C compiler first)."
    ) from error

__all__ = ["cluster"]
