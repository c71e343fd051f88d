"""Virtual environments of contenders with packages of their own: made once, kept under `.venv-bench/` (not in git).

Packages that such an environment shares with this one (server, framework, driver, JSON) have the same versions in both:
contenders differ in their design, not in the date of their installation.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.contenders import Contender
from benchmarks.failure import ContenderFailed

FOLDER = Path(__file__).resolve().parent.parent / ".venv-bench"

SHARED = ("anyio", "cassandra-driver", "httptools", "msgspec", "starlette", "uvicorn", "uvloop")
_REPORTED = (*SHARED, "acsylla", "async-cassandra", "fastapi", "pydantic", "pydantic-core")
_INSTALL_SECONDS = 900.0
_ASK_SECONDS = 30.0
_LINES_SHOWN = 8

_ASK_VERSIONS = """
import json, sys
from importlib.metadata import PackageNotFoundError, version
found = {}
for name in sys.argv[1:]:
    try:
        found[name] = version(name)
    except PackageNotFoundError:
        pass
print(json.dumps(found))
"""


def interpreter(contender: Contender) -> str:
    """Return the Python that runs the contender, and make its environment where it is missing or out of date.

    Raises ContenderFailed. An environment without its stamp, which is written last, is made again.
    """
    if not contender.requirements:
        return sys.executable
    if sys.version_info < contender.python_at_least:
        least = ".".join(map(str, contender.python_at_least))
        raise ContenderFailed(f"{contender.name} needs Python {least}; scripts/bench takes it where it is installed")
    folder = FOLDER / f"{_slug(contender.name)}-{sys.version_info[0]}.{sys.version_info[1]}"
    stamp, wanted = folder / ".installed", _fingerprint(contender, folder)
    if not stamp.is_file() or stamp.read_text() != wanted:
        print(f"benchmarks: making {folder.name}", file=sys.stderr)
        _make(contender, folder)
        stamp.write_text(wanted)
    return str(_python(folder))


def prepare(contenders: Iterable[Contender]) -> None:
    """Make the environments of all contenders, two at a time. Raises ContenderFailed for the first that fails."""
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(interpreter, contenders))


def description(contender: Contender) -> str:
    """Return what the contender is, with the versions of an environment of its own. Raises ContenderFailed."""
    if not contender.requirements:
        return contender.description
    command = [interpreter(contender), "-c", _ASK_VERSIONS, *_REPORTED]
    versions: dict[str, str] = json.loads(_run(contender.name, command, _ASK_SECONDS))
    return f"{contender.description} ({', '.join(f'{name} {found}' for name, found in versions.items())})"


def _make(contender: Contender, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    _run(contender.name, [sys.executable, "-m", "venv", str(folder)], _INSTALL_SECONDS)
    constraints = folder / "constraints.txt"
    constraints.write_text("\n".join(_constraints()))
    pip = [str(_python(folder)), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    _run(contender.name, [*pip, "--constraint", str(constraints), *contender.requirements], _INSTALL_SECONDS)


def _run(name: str, command: list[str], seconds: float) -> str:
    """Return the output of a command. Raises ContenderFailed with its last lines where it fails or takes too long."""
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=seconds, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ContenderFailed(f"the environment of {name}: {error}") from error
    if done.returncode:
        end = "\n".join((done.stdout + done.stderr).strip().splitlines()[-_LINES_SHOWN:])
        raise ContenderFailed(f"the environment of {name}: {' '.join(command[:4])} failed\n{end}")
    return done.stdout


def _fingerprint(contender: Contender, folder: Path) -> str:
    """Return a hash of everything the environment depends on; one that was moved does not work."""
    parts = (sys.version, str(folder), *contender.requirements, *_constraints())
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _constraints() -> list[str]:
    """Return the versions of the shared packages in this environment."""
    return [f"{name}=={found}" for name in SHARED if (found := _own_version(name)) is not None]


def _own_version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _python(folder: Path) -> Path:
    return folder / "bin" / "python"
