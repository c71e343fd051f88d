"""Create the directory in which the workers of one `serve` share their metrics, so that each reports the totals."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from asgi_app.cli.failures import Failure
from asgi_app.settings.metrics_directory import DIRECTORY, named_directory

SHARED_MEMORY = "/dev/shm"  # noqa: S108  # a new directory is made in it
"""A file system in memory on Linux, writable also in a container with a read-only root."""


@contextmanager
def shared_metrics() -> Iterator[None]:
    """Let processes that start within this context share their metrics in a temporary directory.

    If the operator named a directory, it is used instead, and kept. prometheus-client reads the variable when it is
    imported, so the variable must be set before a worker starts. Raises Failure if no directory can be written.
    """
    if named_directory() is not None:
        yield
        return
    with _new_directory() as directory:
        os.environ[DIRECTORY] = directory
        try:
            yield
        finally:
            del os.environ[DIRECTORY]


def _new_directory() -> tempfile.TemporaryDirectory[str]:
    """Return a new directory in the system's place for temporary files, or else in shared memory."""
    try:
        return _directory_in(None)
    except OSError:  # the root file system may be read-only
        pass
    try:
        return _directory_in(SHARED_MEMORY)
    except OSError as error:
        raise Failure(
            "Several workers share their metrics in a directory, and no writable place for it was found: mount a file "
            f"system at /tmp (in Kubernetes an emptyDir), or name a directory with TMPDIR or {DIRECTORY}."
        ) from error


def _directory_in(parent: str | None) -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="asgi-cassandra-metrics-", dir=parent, ignore_cleanup_errors=True)
