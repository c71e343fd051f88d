"""A driver session for the commands that write to Cassandra directly."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from asgi_app.driver.cluster import ClusterUnreachableError, build_cluster
from asgi_app.driver.connecting import connect
from asgi_app.settings import Settings


@contextmanager
def open_session(settings: Settings) -> Iterator[Any]:
    """A connected session, closed with the block.

    Raises ClusterConfigError, and ClusterUnreachableError where no node takes the connection.
    """
    cluster = build_cluster(settings)
    try:
        yield connect(cluster, settings)
    finally:
        cluster.shutdown()


def check_cluster(settings: Settings) -> None:
    """Raise ClusterConfigError where these settings can never make a connection, whatever Cassandra does."""
    try:
        cluster = build_cluster(settings)
    except ClusterUnreachableError:
        return  # a service waits for its Cassandra
    cluster.shutdown()
