"""The public names of `asgi_app`: complete, importable, lazy, and the only ones that docs and examples import."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

import asgi_app

ROOT = Path(__file__).parents[2]
TAUGHT = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "examples").glob("*.py"))]

_import = re.compile(r"^\s*from (asgi_app[\w.]*) import (.+)$", re.MULTILINE)


@pytest.mark.parametrize("name", asgi_app.__all__)
def test_public_name_is_its_modules_own(name: str) -> None:
    value = getattr(asgi_app, name)
    module = getattr(value, "__module__", "")
    assert value is not None
    if module.startswith("asgi_app."):
        assert getattr(import_module(module), name) is value


def test_star_import_and_dir_have_the_public_names() -> None:
    namespace: dict[str, object] = {}
    exec("from asgi_app import *", namespace)  # noqa: S102 - the only way to write it in a function
    assert set(asgi_app.__all__) <= set(namespace)
    assert set(asgi_app.__all__) <= set(dir(asgi_app))
    assert asgi_app.__all__ == sorted(asgi_app.__all__)


def test_type_checkers_see_the_same_names() -> None:
    source = Path(asgi_app.__file__).read_text()
    block = source.partition("if TYPE_CHECKING:\n")[2].partition("\n\n")[0]
    imports = ast.parse(textwrap.dedent(block)).body
    seen = {alias.name for each in imports if isinstance(each, ast.ImportFrom) for alias in each.names}
    assert seen | {"__version__"} == set(asgi_app.__all__)


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        asgi_app.nonsense  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.parametrize("module", ["asgi_app", "asgi_app.cli"])
def test_import_loads_no_driver_and_no_framework(module: str) -> None:
    program = f"import sys, {module}; print(sorted({{'cassandra', 'starlette', 'msgspec'}} & set(sys.modules)))"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert ended.stdout == "[]\n"


def taught() -> Iterator[tuple[str, str, str]]:
    for page in TAUGHT:
        for module, names in _import.findall(page.read_text()):
            yield page.name, module, names


def test_docs_and_examples_import_public_names() -> None:
    found = list(taught())
    assert {"README.md", "security.md", "jwt_parent.py"} <= {page for page, _, _ in found}
    for page, module, names in found:
        assert module == "asgi_app", (page, module)
        assert set(names.split(", ")) <= set(asgi_app.__all__), (page, names)
