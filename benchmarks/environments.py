"""Make virtual environments for contenders with packages of their own, once, in `.venv-bench/` (not in git).

Packages that such an environment shares with this one (server, framework, driver, JSON) have the same versions in both,
so contenders do not differ by the date of their installation.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from importlib.metadata import version
from pathlib import Path

from benchmarks.contenders import Contender
from benchmarks.processes import ContenderFailed, finished

_ROOT = Path(__file__).resolve().parent.parent
_MAKE_VENV = _ROOT / "scripts" / "make-venv"

FOLDER = _ROOT / ".venv-bench"

SHARED = ("anyio", "cassandra-driver", "httptools", "msgspec", "starlette", "uvicorn", "uvloop")
_REPORTED = (*SHARED, "acsylla", "async-cassandra", "fastapi", "pydantic", "pydantic-core")
_INSTALL_SECONDS = 900.0


def interpreter(contender: Contender) -> str:
    """Return the Python that runs the contender, and make its environment if it is missing or out of date.

    Raises ContenderFailed. An environment without its stamp, which is written last, is incomplete and is made again.
    """
    if not contender.requirements:
        return sys.executable
    if sys.version_info < contender.python_at_least:
        least = ".".join(map(str, contender.python_at_least))
        raise ContenderFailed(f"{contender.name} needs Python {least}; scripts/bench uses it if it is installed")
    slug = re.sub(r"[^a-z0-9]+", "-", contender.name.lower()).strip("-")
    folder = FOLDER / f"{slug}-{sys.version_info[0]}.{sys.version_info[1]}"
    stamp, wanted = folder / ".installed", _fingerprint(contender, folder)
    if not stamp.is_file() or stamp.read_text() != wanted:
        print(f"benchmarks: making {folder.name}", file=sys.stderr)
        _make(contender, folder)
        stamp.write_text(wanted)
    return str(_python(folder))


def description(contender: Contender) -> str:
    """Return what the contender is, with the versions of its own environment, which is made if it is missing.

    Raises ContenderFailed.
    """
    if not contender.requirements:
        return contender.description
    frozen = run_with(contender, "-m", "pip", "freeze").replace("_", "-").splitlines()
    versions = [line.replace("==", " ") for line in frozen if line.partition("==")[0] in _REPORTED]
    return f"{contender.description} ({', '.join(versions)})"


def run_with(contender: Contender, *arguments: str, given: str = "") -> str:
    """Run the contender's Python, with `given` as its input, and return its output. Raises ContenderFailed."""
    return _run([interpreter(contender), *arguments], given)


def _make(contender: Contender, folder: Path) -> None:
    _run([str(_MAKE_VENV), sys.executable, str(folder)])
    constraints = folder / "constraints.txt"
    constraints.write_text("\n".join(_constraints()))
    pip = [str(_python(folder)), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    _run([*pip, "--constraint", str(constraints), *contender.requirements])


def _run(command: list[str], given: str = "") -> str:
    """Return the output of a command that does not see this environment's packages. Raises ContenderFailed."""
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
    return finished(command, _INSTALL_SECONDS, environment=environment, given=given).stdout


def _fingerprint(contender: Contender, folder: Path) -> str:
    """Return a hash of everything the environment depends on. The folder is part of it: a moved one does not work."""
    parts = (sys.version, str(folder), *contender.requirements, *_constraints())
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _constraints() -> list[str]:
    """Return the versions of the shared packages in this environment."""
    return [f"{name}=={version(name)}" for name in SHARED]


def _python(folder: Path) -> Path:
    return folder / "bin" / "python"
