"""The driver's modules, or one sentence that says why they cannot be had; and which driver it is.

`cassandra.cluster` picks an event loop when it is imported and fails where it finds none: since Python 3.12 has no
`asyncore`, that is every build of the driver without its libev extension.

Two distributions have the import name `cassandra`: `cassandra-driver` and its fork `scylla-driver`. The fast path
(`asgi_app.driver.execution.Call`, `asgi_app.driver.loop_connection`) uses private parts of the driver, so it is for the
versions of `cassandra-driver` that the service is tested with. Every other driver is used by its public methods alone.
"""

import platform
import re

import cassandra
from cassandra import DependencyException, connection

try:
    from cassandra import cluster
except DependencyException as error:
    raise ImportError(
        f"The Cassandra driver has no usable event loop on Python {platform.python_version()}; install a build of "
        "cassandra-driver with its libev extension (the wheels for CPython have it; from source, install the "
        "libev headers and a C compiler first)."
    ) from error

__all__ = ["TESTED", "TESTED_FROM", "TESTED_UNTIL", "cluster", "driver_name", "is_tested"]

TESTED_FROM, TESTED_UNTIL = (3, 29, 3), (3, 31)
"""The versions of cassandra-driver that the fast path is for, the second one excluded; as in pyproject.toml."""

TESTED = f"cassandra-driver>={'.'.join(map(str, TESTED_FROM))},<{'.'.join(map(str, TESTED_UNTIL))}"
"""The same as a requirement."""


def driver_name() -> str:
    """Return the name and version of the imported driver."""
    return f"{'scylla-driver' if _is_scylla_driver() else 'cassandra-driver'} {cassandra.__version__}"


def is_tested() -> bool:
    """Return whether the imported driver is one that the fast path is for."""
    return not _is_scylla_driver() and TESTED_FROM <= _version(cassandra.__version__) < TESTED_UNTIL


def _is_scylla_driver() -> bool:
    """Look at the imported module itself: installed together, each distribution overwrites files of the other."""
    return hasattr(connection, "ProtocolFeatures")


def _version(text: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", text)[:3]))
