"""Build the optional extension `asgi_app.driver._transcoder`; if that fails, the project is installed without it.

The build needs Python's headers and a C++17 compiler whose library supports floating-point numbers in `<charconv>`:
g++ 11 or later, MSVC 2019 or later, or clang with one of their libraries or with libc++ 20 or later.
`COMPILE_TRANSCODER=no` skips the build.
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


class CompiledTranscoder(BuildHookInterface):  # type: ignore[misc]  # hatchling is installed only during a build
    """Adds the extension to a wheel, which is then for one platform and Python; without it the wheel is for all."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the extension before a wheel is made, or before an editable install (`version` is "editable")."""
        if self.target_name != "wheel":
            return
        built = build(Path(self.root))
        if built is not None and version != "editable":
            build_data["force_include"][str(built)] = f"{PACKAGE}/{built.name}"
            build_data["pure_python"] = False
            build_data["infer_tag"] = True


def build(root: Path) -> Path | None:
    """Compile the extension next to its source, for the running Python, and return its path.

    Remove an old one and return None if the build is skipped or fails.
    """
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
        print(f"asgi-cassandra: installing without the optional compiled transcoder: {error}", file=sys.stderr)
        return None
    return target
