"""What a wheel holds where there is a C++ compiler, and where there is none."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from asgi_app import __version__

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.network  # pip fetches what builds a wheel

NO_COMPILER = {"CC": "/no/compiler", "CXX": "/no/compiler"}
NOT_WANTED = {"COMPILE_TRANSCODER": "no"}


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a wheel is made of, without what was built before."""
    folder = tmp_path_factory.mktemp("sources")
    for name in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "asgi_app", folder / "asgi_app", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    return folder


def wheel_of(sources: Path, folder: Path, environment: Mapping[str, str]) -> Path:
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(sources)]
    subprocess.run(command, env={**os.environ, **environment}, check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def compiled_parts(wheel: Path) -> list[str]:
    names = zipfile.ZipFile(wheel).namelist()
    assert "asgi_app/py.typed" in names
    assert not [name for name in names if name.endswith(".cpp")]
    return [name for name in names if name.startswith("asgi_app/driver/_transcoder.") and not name.endswith(".pyi")]


@pytest.mark.timeout(900)  # pip fetches everything, on whatever network there is
def test_what_the_readme_says_installs_it_in_a_new_environment(sources: Path, tmp_path: Path) -> None:
    (command,) = re.findall(r'^ {4}pip install "([^$"]+)"$', (ROOT / "README.md").read_text(), re.MULTILINE)
    venv.create(tmp_path / "environment", with_pip=True)
    programs = tmp_path / "environment" / "bin"
    subprocess.run([programs / "pip", "install", "--quiet", command], cwd=sources, check=True)
    asked = [programs / "asgi-cassandra", "--version"]
    assert __version__ in subprocess.run(asked, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    imported = [programs / "python", "-c", "import httptools, hypercorn, asgi_app.app; print(asgi_app.app.__file__)"]
    place = subprocess.run(imported, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert Path(place).is_relative_to(tmp_path / "environment")


def test_with_a_compiler_it_is_of_this_platform(sources: Path, tmp_path: Path) -> None:
    wheel = wheel_of(sources, tmp_path, {})
    assert not wheel.name.endswith("-any.whl")
    assert len(compiled_parts(wheel)) == 1


@pytest.mark.parametrize("environment", [NO_COMPILER, NOT_WANTED], ids=["no compiler", "not wanted"])
def test_without_the_compiled_part_it_is_of_every_platform(
    sources: Path, tmp_path: Path, environment: Mapping[str, str]
) -> None:
    wheel = wheel_of(sources, tmp_path, environment)
    assert wheel.name.endswith("-py3-none-any.whl")
    assert compiled_parts(wheel) == []
