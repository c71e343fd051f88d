"""Make a contender of a commit, in a git worktree of its own that is removed at the end."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.contenders import SERVICE, Contender
from benchmarks.processes import ContenderFailed, finished
from benchmarks.serving import child_environment
from benchmarks.site import Site

ROOT = Path(__file__).resolve().parent.parent.parent
WORKING_TREE = "working tree"

_SECONDS = 300.0
_WHERE = "import asgi_app; print(asgi_app.__file__)"


@dataclass(frozen=True, slots=True)
class Checkout:
    """The sources of a commit, or the working tree, in a folder; their bytecode goes to `cache`."""

    name: str
    folder: Path
    cache: Path

    def contender(self) -> Contender:
        """Return the service of this checkout as a contender, in the environment of this process."""
        environment = {
            "PYTHONPATH": str(self.folder),
            "PYTHONPYCACHEPREFIX": str(self.cache),
            "PYTHONDONTWRITEBYTECODE": "",
        }
        return replace(SERVICE, name=self.name, environment=environment)

    def check(self, site: Site) -> None:
        """Raise ContenderFailed unless processes of this contender import the service from the checkout."""
        command = [sys.executable, "-P", "-c", _WHERE]
        environment = child_environment(site, self.contender())
        found = finished(command, _SECONDS, environment=environment, folder=site.folder).stdout.strip()
        if not Path(found).is_relative_to(self.folder):
            raise ContenderFailed(f"{self.name}: the service is imported from {found}")


@contextmanager
def checkout(commit: str | None, role: str, scratch: Path) -> Iterator[Checkout]:
    """Check a commit out below `scratch`, or use the working tree if there is no commit. Raises ContenderFailed."""
    cache = scratch / f"{role}-cache"
    if commit is None:
        _build(ROOT, scratch)
        yield Checkout(f"{role}, {WORKING_TREE}", ROOT, cache)
        return
    full = _git("rev-parse", "--verify", "--end-of-options", f"{commit}^{{commit}}")
    folder = scratch / role
    _git("worktree", "add", "--detach", str(folder), full)
    try:
        _build(folder, scratch)
        yield Checkout(f"{role}, {full[:10]}", folder, cache)
    finally:
        _git("worktree", "remove", "--force", str(folder))


def _build(folder: Path, scratch: Path) -> None:
    """Compile the extension of a checkout beside its sources, with its own build. Downloads the build tools."""
    if (folder / "hatch_build.py").exists():
        pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(scratch), str(folder)]
        finished(pip, _SECONDS)


def _git(*arguments: str) -> str:
    """Return the output of a git command. Raises ContenderFailed."""
    return finished(["git", *arguments], _SECONDS, folder=ROOT).stdout.strip()
