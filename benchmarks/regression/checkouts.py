"""A commit in a folder of its own, as a contender: a git worktree that is removed afterwards."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.contenders import SERVICE, Contender
from benchmarks.failure import ContenderFailed
from benchmarks.serving import child_environment
from benchmarks.site import Site

ROOT = Path(__file__).resolve().parent.parent.parent
WORKING_TREE = "working tree"

_GIT_SECONDS = 120.0
_BUILD_SECONDS = 300.0
_ASK_SECONDS = 30.0
_WHERE = "import asgi_app; print(asgi_app.__file__)"


@dataclass(frozen=True, slots=True)
class Checkout:
    """The sources of a commit, or of the working tree, in a folder. Bytecode goes to `cache`, not beside them."""

    name: str
    folder: Path
    cache: Path

    def contender(self) -> Contender:
        """The service as it is there, in the environment that runs this."""
        environment = {
            "PYTHONPATH": str(self.folder),
            "PYTHONPYCACHEPREFIX": str(self.cache),
            "PYTHONDONTWRITEBYTECODE": "",
        }
        return replace(SERVICE, name=self.name, environment=environment)

    def check(self, site: Site) -> None:
        """Raise ContenderFailed unless its processes import the service from there."""
        done = subprocess.run(
            [sys.executable, "-P", "-c", _WHERE],
            env=child_environment(site, self.contender()),
            cwd=site.folder,
            capture_output=True,
            text=True,
            timeout=_ASK_SECONDS,
            check=False,
        )
        found = done.stdout.strip()
        if done.returncode or not Path(found).is_relative_to(self.folder):
            raise ContenderFailed(f"{self.name}: the service is imported from {found or done.stderr[-500:]}")


@contextmanager
def checkout(commit: str | None, role: str, scratch: Path) -> Iterator[Checkout]:
    """A commit below `scratch`; without one, the working tree where it is. Raises ContenderFailed."""
    cache = scratch / f"{role}-cache"
    if commit is None:
        _build(ROOT, scratch)
        yield Checkout(f"{role}, {WORKING_TREE}", ROOT, cache)
        return
    full = _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{commit}^{{commit}}")
    folder = scratch / role
    _git("worktree", "add", "--detach", str(folder), full)
    try:
        _build(folder, scratch)
        yield Checkout(f"{role}, {full[:10]}", folder, cache)
    finally:
        _git("worktree", "remove", "--force", str(folder))


def _build(folder: Path, scratch: Path) -> None:
    """Leave beside the sources what is compiled of them, if anything is. Needs the registries, for what builds it."""
    if (folder / "hatch_build.py").exists():
        pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(scratch), str(folder)]
        _printed(pip, _BUILD_SECONDS, "cannot be built")


def _git(*arguments: str) -> str:
    """What it prints. Raises ContenderFailed."""
    return _printed(["git", *arguments], _GIT_SECONDS, "no such commit")


def _printed(command: list[str], seconds: float, failure: str) -> str:
    """What a command prints, or ContenderFailed with what it says of its failure, else `failure`."""
    name = " ".join(command)
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ContenderFailed(f"{name}: {error}") from error
    if done.returncode:
        raise ContenderFailed(f"{name}: {done.stderr.strip() or failure}")
    return done.stdout.strip()
