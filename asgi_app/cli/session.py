"""Driver sessions for the commands that talk to Cassandra directly, and the words for where it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from asgi_app.cli.failures import Failure
from asgi_app.driver.cluster import ClusterUnreachableError, build_cluster
from asgi_app.driver.connecting import connect, explain
from asgi_app.settings import Settings


class CassandraFailure(Failure):
    """An error of Cassandra or of the driver; the message is a sentence that names the address."""


@contextmanager
def open_session(settings: Settings) -> Iterator[Any]:
    """Open a connected session and close it at the end of the block.

    Raises ClusterConfigError for settings that can never work, ClusterUnreachableError if no node accepts the
    connection, CassandraFailure for an error of the driver within the block.
    """
    cluster = build_cluster(settings)
    try:
        yield connect(cluster, settings)
    except Exception as error:
        sentence = explain(error, address_of(settings))
        if sentence is None:
            raise
        raise CassandraFailure(sentence) from error
    finally:
        cluster.shutdown()


def address_of(settings: Settings) -> str:
    """Return which Cassandra the settings name, for messages: `10.0.0.1:9042, 10.0.0.2:9042`, or the Astra bundle."""
    bundle = settings.astra_db_secure_bundle_path
    if bundle is not None:
        return f"the database of {bundle.name}"
    points = ((point.host, point.port or settings.cassandra_port) for point in settings.cassandra_hosts)
    return ", ".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in points)


def check_cluster(settings: Settings) -> None:
    """Raise ClusterConfigError if these settings can never make a connection, whatever state Cassandra is in."""
    try:
        cluster = build_cluster(settings)
    except ClusterUnreachableError:
        return  # Cassandra may start later; the service retries
    cluster.shutdown()
