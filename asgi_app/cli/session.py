"""Driver sessions for the commands that talk to Cassandra directly."""

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
        sentence = explain(error, settings.address)
        if sentence is None:
            raise
        raise CassandraFailure(sentence) from error
    finally:
        cluster.shutdown()


def check_cluster(settings: Settings) -> None:
    """Raise ClusterConfigError if these settings can never make a connection, whatever state Cassandra is in."""
    try:
        cluster = build_cluster(settings)
    except ClusterUnreachableError:
        return  # Cassandra may start later; the service retries
    cluster.shutdown()
