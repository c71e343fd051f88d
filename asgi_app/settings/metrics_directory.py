"""Find the directory in which the workers of one service keep their metrics, without importing prometheus-client."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
_OLD_NAME = "prometheus_multiproc_dir"  # deprecated, and prometheus-client still reads it


def named_directory(environ: Mapping[str, str] = os.environ) -> Path | None:
    """Return the directory that PROMETHEUS_MULTIPROC_DIR names; None where it is not set, or empty."""
    text = environ.get(DIRECTORY, environ.get(_OLD_NAME, ""))
    return Path(text) if text.strip() else None


def make_directory(directory: Path) -> str | None:
    """Make the directory, and try to write there. Return what is wrong, None where nothing is."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=directory).close()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or "not a name of a directory"
        return f"names no directory that can be made and written to ({reason}); name another, or unset it"
    return None
