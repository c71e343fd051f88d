"""The scripts of a clone, with what a machine may lack."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def executable(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def test_lowest_versions_need_no_python_of_the_system(tmp_path: Path) -> None:
    """Its python3 may be too old to read TOML."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    executable(tmp_path / "scripts" / "install", "#!/bin/sh\n")  # it would make an environment for this folder
    shutil.copy(ROOT / "scripts" / "lowest-versions", tmp_path / "scripts")
    executable(tmp_path / "bin" / "python3", "#!/bin/sh\nexit 1\n")
    path = f"{tmp_path / 'bin'}{os.pathsep}/usr/bin{os.pathsep}/bin"
    command = [tmp_path / "scripts" / "lowest-versions", "uvicorn", "starlette"]
    done = subprocess.run(command, env={"PATH": path}, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    names = [line.partition("==")[0] for line in done.stdout.splitlines()]
    assert names == ["uvicorn", "starlette"]
