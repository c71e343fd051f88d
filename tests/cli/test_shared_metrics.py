"""The directory of the workers' metrics on a read-only root file system."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from asgi_app.cli import shared_metrics as module
from asgi_app.cli.failures import Failure
from asgi_app.cli.shared_metrics import DIRECTORY, shared_metrics


@pytest.fixture(autouse=True)
def no_place_for_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make no place for temporary files writable; root, who may run the tests, could write to a read-only folder."""
    monkeypatch.delenv(DIRECTORY, raising=False)
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: [str(tmp_path / "missing")])


def test_shared_memory_is_the_fallback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SHARED_MEMORY", str(tmp_path))
    with shared_metrics():
        used = Path(os.environ[DIRECTORY])
        assert used.parent == tmp_path
        assert used.is_dir()
    assert not used.exists()
    assert DIRECTORY not in os.environ


def test_no_writable_place_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SHARED_MEMORY", str(tmp_path / "missing"))
    with pytest.raises(Failure, match="mount a file system at /tmp"), shared_metrics():
        pass
