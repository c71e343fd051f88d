"""The directory in which the workers of one `serve` keep their metrics, so that each of them shows those of all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from asgi_app.cli.failures import Failure
from asgi_app.settings.metrics_directory import DIRECTORY, named_directory

SHARED_MEMORY = "/dev/shm"  # noqa: S108  # a new directory is made in it
"""Where Linux, and a container whose root is read-only, has a file system in memory."""


@contextmanager
def shared_metrics() -> Iterator[None]:
    """Let new processes share their metrics within this context, in a directory that is gone afterwards.

    A directory that the operator named is used, and kept. prometheus-client reads the variable when it is imported, so
    it is set before a worker starts. Raises Failure where no directory can be written.
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
    """Return a new directory where temporary files go, or else in shared memory."""
    try:
        return _directory_in(None)
    except OSError:  # the root file system may be read-only
        pass
    try:
        return _directory_in(SHARED_MEMORY)
    except OSError as error:
        raise Failure(
            "Several workers share their metrics in a directory, and no place for one can be written: mount a file "
            f"system at /tmp (in Kubernetes an emptyDir), or name a directory with TMPDIR or {DIRECTORY}."
        ) from error


def _directory_in(parent: str | None) -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="asgi-cassandra-metrics-", dir=parent, ignore_cleanup_errors=True)
