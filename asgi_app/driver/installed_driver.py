"""The installed driver: its `cluster` module, its name and version, and which of its private parts this room uses.

`cassandra.cluster` picks an event loop when it is imported and fails if it finds none. Python 3.12 removed `asyncore`,
so since then it fails for every build of the driver without its libev extension. This module then raises ImportError
with a sentence for the operator.

Two distributions have the import name `cassandra`: `cassandra-driver` and its fork `scylla-driver`. The fast path
(`execution.LoopFuture`, `loop_connection`) uses private parts of the driver, so it serves only the versions of
`cassandra-driver` that the tests run with. All other drivers are used by their public methods alone.
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

__all__ = ["PRIVATE_PARTS", "TESTED", "TESTED_FROM", "TESTED_UNTIL", "cluster", "driver_name", "is_tested"]

TESTED_FROM, TESTED_UNTIL = (3, 29, 3), (3, 31)
"""The lowest version of cassandra-driver that the fast path serves, and the first excluded; as in pyproject.toml."""

TESTED = f"cassandra-driver>={'.'.join(map(str, TESTED_FROM))},<{'.'.join(map(str, TESTED_UNTIL))}"
"""The same versions as a requirement."""

PRIVATE_PARTS = (
    "cassandra.cluster.Cluster._config_mode",
    "cassandra.cluster.Cluster._prepared_statements",
    "cassandra.cluster.ControlConnection._connection",
    "cassandra.cluster.ResponseFuture._cancel_timer",
    "cassandra.cluster.ResponseFuture._continuous_paging_state",
    "cassandra.cluster.ResponseFuture._current_host",
    "cassandra.cluster.ResponseFuture._errors",
    "cassandra.cluster.ResponseFuture._event",
    "cassandra.cluster.ResponseFuture._execute_after_prepare",
    "cassandra.cluster.ResponseFuture._final_exception",
    "cassandra.cluster.ResponseFuture._load_balancer",
    "cassandra.cluster.ResponseFuture._make_query_plan",
    "cassandra.cluster.ResponseFuture._on_speculative_execute",
    "cassandra.cluster.ResponseFuture._on_timeout",
    "cassandra.cluster.ResponseFuture._paging_state",
    "cassandra.cluster.ResponseFuture._protocol_handler",
    "cassandra.cluster.ResponseFuture._retry_policy",
    "cassandra.cluster.ResponseFuture._set_final_exception",
    "cassandra.cluster.ResponseFuture._set_final_result",
    "cassandra.cluster.ResponseFuture._set_result",
    "cassandra.cluster.ResponseFuture._spec_execution_plan",
    "cassandra.cluster.ResponseFuture._start_time",
    "cassandra.cluster.ResponseFuture._start_timer",
    "cassandra.cluster.ResponseFuture._timer",
    "cassandra.cluster._ConfigMode.LEGACY",
    "cassandra.connection.Connection._connect_socket",
    "cassandra.connection.Connection._iobuf",
    "cassandra.connection.Connection._is_checksumming_enabled",
    "cassandra.connection.Connection._push_watchers",
    "cassandra.connection.Connection._segment_codec",
    "cassandra.connection.Connection._send_options_message",
    "cassandra.connection.Connection._socket",
    "cassandra.connection._Frame",
    "cassandra.pool.HostConnection._lock",
    "cassandra.pool.HostConnection._stream_available_condition",
    "cassandra.pool.HostConnection._trash",
    "cassandra.protocol._ProtocolHandler.message_types_by_opcode",
    "cassandra.query.BatchStatement._statements_and_parameters",
    # Without an underscore, and not documented either.
    "cassandra.cluster.ResponseFuture.attempted_hosts",
    "cassandra.cluster.ResponseFuture.coordinator_host",
    "cassandra.connection.Connection.connected_event",
    "cassandra.connection.Connection.create_timer",
    "cassandra.connection.Connection.defunct",
    "cassandra.connection.Connection.error_all_requests",
    "cassandra.connection.Connection.in_buffer_size",
    "cassandra.connection.Connection.in_flight",
    "cassandra.connection.Connection.is_closed",
    "cassandra.connection.Connection.is_defunct",
    "cassandra.connection.Connection.last_error",
    "cassandra.connection.Connection.lock",
    "cassandra.connection.Connection.max_request_id",
    "cassandra.connection.Connection.process_io_buffer",
    "cassandra.connection.Connection.process_msg",
    "cassandra.pool.HostConnection.return_connection",
    "cassandra.protocol.ResultMessage.bind_metadata",
    "cassandra.protocol.ResultMessage.read_type",
    "cassandra.protocol.ResultMessage.recv_results_metadata",
    "cassandra.protocol.ResultMessage.recv_results_rows",
)
"""The parts of the driver that this room uses and that the driver does not document.

A test fails with the name of each part that the installed driver lacks, and of each private name that is not listed.
"""


def driver_name() -> str:
    """Return the name and version of the imported driver."""
    return f"{'scylla-driver' if _is_scylla_driver() else 'cassandra-driver'} {cassandra.__version__}"


def is_tested() -> bool:
    """Return whether the fast path serves the imported driver."""
    return not _is_scylla_driver() and TESTED_FROM <= _version(cassandra.__version__) < TESTED_UNTIL


def _is_scylla_driver() -> bool:
    """Return whether the imported modules are those of scylla-driver.

    Metadata of distributions does not help: if both are installed, each has overwritten files of the other.
    """
    return hasattr(connection, "ProtocolFeatures")


def _version(text: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", text)[:3]))
