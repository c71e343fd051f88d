"""The Go program of this folder, built once for each state of its sources, under `.venv-bench/` (not in git)."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.environments import FOLDER

_SOURCES = Path(__file__).resolve().parent
_KEPT = FOLDER / "ceiling"
_BUILD_SECONDS = 300.0


class NotBuilt(Exception):
    """There is no program on this machine; the sentence says why."""


def program() -> Path:
    """The executable, built now where there is none of these sources yet. Raises NotBuilt."""
    built = _KEPT / _fingerprint() / "ceiling"
    if not built.exists():
        go = shutil.which("go")
        if go is None:
            raise NotBuilt("no Go toolchain")
        print("benchmarks: building the native driver's load", file=sys.stderr)
        _build(go, built)
    return built


def _build(go: str, built: Path) -> None:
    """Into another file first, so that a build that is broken off leaves nothing that looks whole."""
    built.parent.mkdir(parents=True, exist_ok=True)
    part = built.with_name(f"part-{os.getpid()}")
    environment = {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off"}
    command = [go, "build", "-o", str(part), "."]
    try:
        done = subprocess.run(
            command,
            cwd=_SOURCES,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_BUILD_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotBuilt(f"go build: {error}") from error
    if done.returncode:
        raise NotBuilt(f"go build: {_last_line(done.stderr)}")
    part.replace(built)


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["it says nothing"])[-1]


def _fingerprint() -> str:
    """Of all that the program is made of."""
    digest = hashlib.sha256()
    for source in sorted([*_SOURCES.glob("*.go"), _SOURCES / "go.mod", _SOURCES / "go.sum"]):
        digest.update(source.name.encode() + b"\0" + source.read_bytes() + b"\0")
    return digest.hexdigest()[:16]
