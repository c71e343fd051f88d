"""Get the server's jars from the cache, or download them from Maven Central once.

A listing next to the jars has the name and size of each. It is written last, so an interrupted download has no listing.
A start that finds the listing and every file in it uses neither the network nor the resolver.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path

from .files import file_lock, write_atomically
from .spec import (
    INSTALL_HINT,
    DownloadError,
    LocalNodeError,
    MissingExtraError,
    Progress,
    ProgressCallback,
    Stage,
)


def server_jars(cache: Path, version: str, progress: ProgressCallback) -> tuple[Path, ...]:
    """Return the class path of Cassandra `version`; download what is missing from `cache` first.

    Several processes may call this at once: one downloads and the others wait for it. Raises MissingExtraError without
    jgo, DownloadError if the network fails, LocalNodeError if the cache cannot be used.
    """
    if os.pathsep in str(cache):
        raise LocalNodeError(f'Java cannot use the cache folder {cache}; choose one without "{os.pathsep}" in it.')
    jars = read_listing(cache, version)
    if jars is None:
        jars = _fill_cache(cache, version, progress)
    return jars


def read_listing(cache: Path, version: str) -> tuple[Path, ...] | None:
    """Return the listed jars, or None if there is no listing or one of its files is missing or has another size."""
    try:
        listing = json.loads(_listing_file(cache, version).read_text(encoding="utf-8"))
        jars = tuple(_listed_jar(cache, name, size) for name, size in listing.items())
    except (OSError, ValueError, AttributeError, TypeError):
        return None
    return jars or None


def write_listing(cache: Path, version: str, jars: Sequence[Path]) -> None:
    """Write the listing of `jars`, which are complete and below `cache`, in class path order."""
    listing = {jar.relative_to(cache).as_posix(): jar.stat().st_size for jar in jars}
    write_atomically(_listing_file(cache, version), json.dumps(listing, indent=1))


def _listing_file(cache: Path, version: str) -> Path:
    return cache / f"cassandra-{version}.json"


def _listed_jar(cache: Path, name: str, size: int) -> Path:
    jar = cache / name
    if jar.stat().st_size != size:
        raise ValueError(f"{jar} is not {size} bytes long")
    return jar


def _fill_cache(cache: Path, version: str, progress: ProgressCallback) -> tuple[Path, ...]:
    def report_waiting() -> None:
        progress(Progress(Stage.JARS, "waiting for another process that is downloading Cassandra"))

    try:
        cache.mkdir(parents=True, exist_ok=True)
        with file_lock(cache / "download.lock", report_waiting):
            jars = read_listing(cache, version)  # another process may have downloaded them meanwhile
            if jars is None:
                jars = _download(cache, version, progress)
                write_listing(cache, version, jars)
            return jars
    except OSError as error:
        raise LocalNodeError(f"The cache folder {cache} cannot be used ({error}); choose another.") from error


def _download(cache: Path, version: str, progress: ProgressCallback) -> tuple[Path, ...]:
    try:
        from .maven import download_server
    except ImportError as error:
        raise MissingExtraError(
            f"A local node needs jgo to download Cassandra; in a clone of the project: {INSTALL_HINT}."
        ) from error
    try:
        return download_server(cache, version, progress)
    except Exception as error:  # jgo, requests and the XML parser raise many kinds of errors
        raise DownloadError(
            f"Cassandra {version} could not be downloaded from Maven Central into {cache} ({_reason(error)}); "
            "check the network, the proxy and the free disk space, then try again."
        ) from error


def _reason(error: Exception) -> str:
    first_line = str(error).partition("\n")[0][:200]
    return f"{type(error).__name__}: {first_line}"
