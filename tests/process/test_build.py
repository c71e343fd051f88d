"""The wheel with a C++ compiler and without."""

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

pytestmark = pytest.mark.network  # pip downloads the build dependencies

NO_COMPILER = {"CC": "/no/compiler", "CXX": "/no/compiler"}
NOT_WANTED = {"COMPILE_TRANSCODER": "no"}


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the sources of a wheel, without earlier build results."""
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
    assert {"asgi_app/py.typed", "asgi_app/openapi/page/index.html", "asgi_app/http/browser/style.css"} <= set(names)
    assert not [name for name in names if name.endswith(".cpp")]
    return [name for name in names if name.startswith("asgi_app/driver/_transcoder.") and not name.endswith(".pyi")]


@pytest.mark.timeout(900)  # pip downloads everything, possibly over a slow network
def test_install_command_of_the_readme(sources: Path, tmp_path: Path) -> None:
    (command,) = re.findall(r'`pip install "([^$"]+)"`', (ROOT / "README.md").read_text())
    venv.create(tmp_path / "environment", with_pip=True)
    programs = tmp_path / "environment" / "bin"
    subprocess.run([programs / "pip", "install", "--quiet", command], cwd=sources, check=True)
    asked = [programs / "asgi-cassandra", "--version"]
    assert __version__ in subprocess.run(asked, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    imported = [programs / "python", "-c", "import httptools, hypercorn, asgi_app.app; print(asgi_app.app.__file__)"]
    place = subprocess.run(imported, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert Path(place).is_relative_to(tmp_path / "environment")


def test_wheel_with_compiler_is_for_this_platform(sources: Path, tmp_path: Path) -> None:
    wheel = wheel_of(sources, tmp_path, {})
    assert not wheel.name.endswith("-any.whl")
    assert len(compiled_parts(wheel)) == 1


@pytest.mark.parametrize("environment", [NO_COMPILER, NOT_WANTED], ids=["no compiler", "not wanted"])
def test_wheel_without_extension_is_for_every_platform(
    sources: Path, tmp_path: Path, environment: Mapping[str, str]
) -> None:
    wheel = wheel_of(sources, tmp_path, environment)
    assert wheel.name.endswith("-py3-none-any.whl")
    assert compiled_parts(wheel) == []
