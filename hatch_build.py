"""Builds `asgi_app._transcoder` where there is a C++ compiler; without one the project is installed without it.

`HATCH_BUILD_NO_HOOKS=true` leaves it out.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from setuptools import Distribution, Extension
from setuptools.command.build_ext import build_ext
from setuptools.errors import BaseError, CCompilerError

NAME = "asgi_app._transcoder"
SOURCE = "asgi_app/_transcoder.cpp"


class CompiledTranscoder(BuildHookInterface):  # type: ignore[misc]  # hatchling is there only while it builds
    """A wheel with the compiled part is of one platform and Python, one without it is of all."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called before a wheel is made, or the tree made importable in its place (`version` is "editable")."""
        if self.target_name != "wheel":
            return
        built = build(Path(self.root))
        if built is not None:
            build_data["force_include"][str(built)] = f"asgi_app/{built.name}"
            build_data["pure_python"] = False
            build_data["infer_tag"] = True

    def clean(self, versions: list[str]) -> None:
        """Remove what was built, for whatever Python."""
        for built in Path(self.root, "asgi_app").glob("_transcoder.*.*"):
            built.unlink()


def build(root: Path) -> Path | None:
    """Compile it beside its source, for the Python that runs this; None where that cannot be done."""
    windows = sys.platform == "win32"
    flags = ["/std:c++17", "/O2", "/EHsc"] if windows else ["-std=c++17", "-O2", "-g0", "-fvisibility=hidden"]
    extension = Extension(NAME, [str(root / SOURCE)], language="c++", extra_compile_args=flags)
    command = build_ext(Distribution({"name": "asgi-cassandra", "ext_modules": [extension]}))
    command.build_lib = command.build_temp = str(root / "build" / "transcoder")
    command.ensure_finalized()
    target = root / "asgi_app" / Path(command.get_ext_filename(NAME)).name
    target.unlink(missing_ok=True)
    try:
        command.run()
    except (BaseError, CCompilerError) as error:
        print(f"asgi-cassandra: without its compiled transcoder, which is optional: {error}", file=sys.stderr)
        return None
    Path(command.build_lib, command.get_ext_filename(NAME)).replace(target)
    return target
