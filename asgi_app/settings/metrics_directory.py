"""Find and create the directory in which the workers of one service keep their metrics.

prometheus-client reads PROMETHEUS_MULTIPROC_DIR itself. This module does not import it, so that the variable can be
checked, or set, before that import.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from asgi_app.settings.values import Problem, SettingsError

DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
_OLD_NAME = "prometheus_multiproc_dir"  # deprecated, but prometheus-client still reads it


def named_directory(environ: Mapping[str, str] = os.environ) -> Path | None:
    """Return the directory that PROMETHEUS_MULTIPROC_DIR names; None if it is not set or empty."""
    text = environ.get(DIRECTORY, environ.get(_OLD_NAME, ""))
    return Path(text) if text.strip() else None


def check_metrics_directory() -> None:
    """Create the directory that PROMETHEUS_MULTIPROC_DIR names; raise SettingsError if it cannot be written to.

    Without this check prometheus-client would fail later, at the first metric that it stores.
    """
    directory = named_directory()
    if directory is not None and (reason := _reason_not_writable(directory)):
        message = f"is not a directory that can be created and written to ({reason}); choose another, or unset it"
        raise SettingsError([Problem(DIRECTORY, message)])


def _reason_not_writable(directory: Path) -> str | None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=directory).close()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        return getattr(error, "strerror", None) or "not a valid directory name"
    return None
