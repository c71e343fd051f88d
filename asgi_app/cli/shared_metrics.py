"""Where the workers of one `serve` keep their metrics, so that each of them tells those of all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from asgi_app.metrics_directory import DIRECTORY, named_directory


@contextmanager
def shared_metrics() -> Iterator[None]:
    """Let new processes share their metrics within this context, in a directory that is gone afterwards.

    A directory that the operator named is used, and kept. prometheus-client reads the variable when it is imported, so
    it is set before a worker starts.
    """
    if named_directory() is not None:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="asgi-cassandra-metrics-", ignore_cleanup_errors=True) as directory:
        os.environ[DIRECTORY] = directory
        try:
            yield
        finally:
            del os.environ[DIRECTORY]
