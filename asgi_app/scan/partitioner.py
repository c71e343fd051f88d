"""Tell whether a cluster has the tokens that slices are made of."""

from __future__ import annotations

from asgi_app.db import Database
from asgi_app.errors import PartitionerUnsupported
from asgi_app.tables.slices import MURMUR3


def has_murmur3(database: Database) -> bool:
    """Return whether the cluster's tokens are those that slices are made of. Raises what `Database.session` does."""
    return database.partitioner == MURMUR3


def check_partitioner(database: Database) -> None:
    """Raise PartitionerUnsupported unless the cluster's tokens are those of Murmur3."""
    if not has_murmur3(database):
        raise PartitionerUnsupported
