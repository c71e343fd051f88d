"""Where the workers of one `serve` keep their metrics, so that each of them tells those of all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
"""prometheus-client reads it when it is imported, so it is set before a worker starts."""


@contextmanager
def shared_metrics() -> Iterator[None]:
    """Within this context new processes share their metrics, in a directory that is gone afterwards.

    A directory that the operator named is used, and kept.
    """
    if os.environ.get(DIRECTORY):
        yield
        return
    with tempfile.TemporaryDirectory(prefix="asgi-cassandra-metrics-", ignore_cleanup_errors=True) as directory:
        os.environ[DIRECTORY] = directory
        try:
            yield
        finally:
            del os.environ[DIRECTORY]
