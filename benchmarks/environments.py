"""Virtual environments of contenders with packages of their own: made once, kept under `.venv-bench/` (not in git).

What such an environment shares with ours (server, framework, driver, JSON) has the versions of ours, so that contenders
differ in what they are and not in when they were installed.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.contenders import Contender
from benchmarks.failure import ContenderFailed

FOLDER = Path(__file__).resolve().parent.parent / ".venv-bench"

_SHARED = ("anyio", "cassandra-driver", "httptools", "msgspec", "starlette", "uvicorn", "uvloop")
_TOLD = (*_SHARED, "acsylla", "asgi-cassandra", "async-cassandra", "fastapi", "pydantic", "pydantic-core", "scyllapy")
_AT_ONCE = 2
_INSTALL_SECONDS = 900.0
_ASK_SECONDS = 30.0
_LINES_TOLD = 8
_LATER_PYTHONS = ((3, 12), (3, 13), (3, 14))

_ASK_PYTHON = "import platform; print(platform.python_version())"
_ASK_VERSIONS = """
import json, platform, sys
from importlib.metadata import PackageNotFoundError, version
found = {"Python": platform.python_version()}
for name in sys.argv[1:]:
    try:
        found[name] = version(name)
    except PackageNotFoundError:
        pass
print(json.dumps(found))
"""


def interpreter(contender: Contender) -> str:
    """The Python that runs the contender, in an environment made now where there is none yet. Raises ContenderFailed.

    Without requirements it is the one the contender names. Processes that ask for the same environment wait for the
    one that makes it.
    """
    if not contender.requirements:
        return contender.python
    base = _base_python(contender.python_at_least)
    folder = FOLDER / f"{_slug(contender.name.partition(',')[0])}-{_short_version(base)}"  # shared by its variants
    with _locked(folder):
        wanted = _fingerprint(contender, folder, base)
        if _stamp(folder).is_file() and _stamp(folder).read_text() == wanted:
            return str(_python(folder))
        print(f"benchmarks: making {folder.name}, the environment of {contender.name}", file=sys.stderr)
        _make(contender, folder, base)
        _write(_stamp(folder), wanted)
    return str(_python(folder))


def prepare(contenders: Iterable[Contender]) -> None:
    """Make the environments of all of them, two at a time. Raises ContenderFailed for the first that fails."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(interpreter, contenders))


def versions(contender: Contender) -> dict[str, str]:
    """Python and the packages that matter, by name, as the contender's interpreter has them. Raises ContenderFailed."""
    python = interpreter(contender)
    told: dict[str, str] = json.loads(_run(contender.name, [python, "-c", _ASK_VERSIONS, *_TOLD], _ASK_SECONDS))
    return told


def _make(contender: Contender, folder: Path, base: str) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    name = contender.name
    _run(name, [base, "-m", "venv", str(folder)], _INSTALL_SECONDS)
    constraints = folder / "constraints.txt"
    constraints.write_text("".join(f"{line}\n" for line in _constraints()))
    pip = [str(_python(folder)), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    _run(name, [*pip, "--constraint", str(constraints), *contender.requirements], _INSTALL_SECONDS)


def _run(name: str, command: list[str], seconds: float) -> str:
    """What the command prints. Raises ContenderFailed with the last lines it said where it fails, or takes too long."""
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=seconds, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ContenderFailed(f"the environment of {name}: {error}") from error
    if done.returncode:
        said = "\n".join((done.stdout + done.stderr).strip().splitlines()[-_LINES_TOLD:])
        raise ContenderFailed(
            f"the environment of {name}: {' '.join(command[:4])} ended with {done.returncode}\n{said}"
        )
    return done.stdout


def _fingerprint(contender: Contender, folder: Path, base: str) -> str:
    """Of all that the environment depends on; an environment that was moved does not work."""
    parts = (_version_of(base), str(folder), *contender.requirements, *_constraints())
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


@cache
def _constraints() -> tuple[str, ...]:
    """The versions of what is shared, as we have them."""
    return tuple(f"{name}=={found}" for name in _SHARED if (found := _own_version(name)) is not None)


def _own_version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


@cache
def _base_python(at_least: tuple[int, int]) -> str:
    """Ours where it is recent enough, else a later one that is found. Raises ContenderFailed."""
    if sys.version_info[:2] >= at_least:
        return sys.executable
    for candidate in _candidates(at_least):
        if _version_of(candidate):
            return candidate
    raise ContenderFailed(f"no Python {at_least[0]}.{at_least[1]} or later is on PATH or among pyenv's")


def _candidates(at_least: tuple[int, int]) -> Iterator[str]:
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for major, minor in _LATER_PYTHONS:
        if (major, minor) >= at_least:
            yield f"python{major}.{minor}"
            yield from map(str, sorted(pyenv.glob(f"{major}.{minor}.*/bin/python")))


@cache
def _version_of(python: str) -> str:
    """Its whole version; empty where it does not run, as pyenv's placeholders for versions that are not chosen."""
    try:
        return _run(python, [python, "-c", _ASK_PYTHON], _ASK_SECONDS).strip()
    except ContenderFailed:
        return ""


def _short_version(python: str) -> str:
    """As in `3.12`, so that runs of different Pythons do not take each other's environments away."""
    return ".".join(_version_of(python).split(".")[:2])


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _python(folder: Path) -> Path:
    return folder / "bin" / "python"


def _stamp(folder: Path) -> Path:
    """Written last: an installation that was broken off leaves none."""
    return folder / ".installed"


def _write(path: Path, text: str) -> None:
    """All of it or nothing."""
    part = path.with_suffix(".part")
    part.write_text(text)
    part.replace(path)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One at a time for each folder, among processes too."""
    folder.parent.mkdir(exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
