"""Builds `asgi_app.driver._transcoder` where that can be done; elsewhere the project is installed without it.

It takes Python's headers and a C++17 compiler whose library reads and writes floating-point numbers in `<charconv>`:
g++ from 11 on, MSVC from 2019 on, clang with the library of one of these or libc++ from 20 on. `COMPILE_TRANSCODER=no`
leaves it out.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from setuptools import Distribution, Extension
from setuptools.command.build_ext import build_ext
from setuptools.errors import BaseError, CCompilerError

NAME = "asgi_app.driver._transcoder"
PACKAGE = "asgi_app/driver"
SOURCE = f"{PACKAGE}/_transcoder.cpp"
SCRATCH = "build/transcoder"


class CompiledTranscoder(BuildHookInterface):  # type: ignore[misc]  # hatchling is there only while it builds
    """A wheel with the compiled part is of one platform and Python, one without it is of all."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called before a wheel is made, or the tree made importable in its place (`version` is "editable")."""
        if self.target_name != "wheel":
            return
        built = build(Path(self.root))
        if built is not None and version != "editable":
            build_data["force_include"][str(built)] = f"{PACKAGE}/{built.name}"
            build_data["pure_python"] = False
            build_data["infer_tag"] = True


def build(root: Path) -> Path | None:
    """Compile it beside its source, for the Python that runs this; None, and no such file, where that cannot be."""
    windows = sys.platform == "win32"
    flags = ["/std:c++17", "/O2", "/EHsc"] if windows else ["-std=c++17", "-O2", "-g0", "-fvisibility=hidden"]
    extension = Extension(NAME, [str(root / SOURCE)], language="c++", extra_compile_args=flags)
    command = build_ext(Distribution({"name": "asgi-cassandra", "ext_modules": [extension]}))
    command.build_lib = command.build_temp = str(root / SCRATCH)
    command.ensure_finalized()
    built = Path(command.build_lib, command.get_ext_filename(NAME))
    target = root / PACKAGE / built.name
    try:
        target.unlink(missing_ok=True)
        if os.environ.get("COMPILE_TRANSCODER") == "no":
            return None
        command.run()
        built.replace(target)
    except (BaseError, CCompilerError, OSError) as error:
        print(f"asgi-cassandra: without its compiled transcoder, which is optional: {error}", file=sys.stderr)
        return None
    return target
