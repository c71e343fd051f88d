"""Downloading the server through jgo's pure Python resolver. Imports jgo, so import this only when needed.

Only the resolver is used: jgo's launcher would download a Java when it sees none, and would write below the
user's home.
"""

import shutil
import time
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

from jgo.config import GlobalSettings
from jgo.maven import MavenContext, PythonResolver

from .spec import Progress, ProgressCallback, Stage

COORDINATE = "org.apache.cassandra:cassandra-all"
# More connections at once do not make a hundred small files arrive sooner.
CONNECTIONS = 8
HTTP_SECONDS = 30
ATTEMPTS = 3


def download_server(cache: Path, version: str, progress: ProgressCallback) -> tuple[Path, ...]:
    """Fetch Cassandra and all it needs into `cache`; return the jars in class path order.

    Files already in the cache are kept. Only one process may do this at a time. Raises what jgo raises.
    """
    report = _Report(progress)
    store = _WholeFiles(cache, report)
    context = MavenContext(resolver=store, repo_cache=cache / "maven", timeout=HTTP_SECONDS)
    context.remote_repos.update(_configured_repositories())
    server = context.create_dependency(f"{COORDINATE}:{version}")
    roots, needed = PythonResolver().resolve([server])
    artifacts = [dependency.artifact for dependency in (*roots, *needed)]
    report.start_jars(len(artifacts))
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        jars = tuple(pool.map(lambda artifact: _sound_jar(artifact, report), artifacts))
    shutil.rmtree(store.incoming, ignore_errors=True)
    return jars


def _configured_repositories() -> dict[str, str]:
    """The repositories of the user's jgo settings, such as a mirror; none when there is no home to look in."""
    try:
        return dict(GlobalSettings.load().repositories)
    except RuntimeError:
        return {}


def _sound_jar(artifact: Any, report: "_Report") -> Path:
    """The artifact's jar, fetched again once when the cached one cannot be read."""
    jar: Path = artifact.resolve()
    if not _readable(jar):
        jar.unlink()
        jar = artifact.resolve()
        if not _readable(jar):
            jar.unlink()
            raise zipfile.BadZipFile(f"{jar.name} arrived damaged")
    report.jar_done(jar.name)
    return jar


def _readable(jar: Path) -> bool:
    try:
        with zipfile.ZipFile(jar) as archive:
            return archive.testzip() is None
    except (zipfile.BadZipFile, zlib.error, EOFError):
        return False


class _Report:
    """Turns downloads into progress events; called from several threads."""

    def __init__(self, progress: ProgressCallback) -> None:
        self._progress = progress
        self._began = time.monotonic()
        self._descriptions = count(1)
        self._jars = count(1)
        self._total = 0

    def description_read(self) -> None:
        """One more description of a package has arrived."""
        self._say("resolving what Cassandra needs", next(self._descriptions))

    def start_jars(self, total: int) -> None:
        """All is resolved: `total` jars make up the server."""
        self._total = total
        self._say("downloading Cassandra", 0)

    def jar_done(self, name: str) -> None:
        """One more jar is complete."""
        self._say(f"downloaded {name}", next(self._jars))

    def _say(self, message: str, done: int) -> None:
        seconds = time.monotonic() - self._began
        self._progress(Progress(Stage.JARS, message, done, self._total, seconds))


class _WholeFiles:
    """A jgo resolver's download step that lets only complete files into the cache.

    jgo writes straight to the final place and later trusts any file it finds there, so each download goes to
    a folder of its own first and is moved when it is complete.
    """

    def __init__(self, cache: Path, report: _Report) -> None:
        self.incoming = cache / "incoming"
        self._report = report
        self._resolver = PythonResolver()

    def download(self, artifact: Any) -> Path:
        """Fetch one artifact to its place in the cache."""
        final: Path = artifact.cached_path
        arrived = self._fetch(artifact)
        final.parent.mkdir(parents=True, exist_ok=True)
        arrived.replace(final)
        if artifact.packaging == "pom":
            self._report.description_read()
        return final

    def _fetch(self, artifact: Any) -> Path:
        context = MavenContext(self, self.incoming, remote_repos=artifact.context.remote_repos, timeout=HTTP_SECONDS)
        component = context.project(artifact.groupId, artifact.artifactId).at_version(artifact.version)
        staged = component.artifact(artifact.classifier, artifact.packaging)
        for attempt in range(1, ATTEMPTS + 1):
            staged.cached_path.unlink(missing_ok=True)
            try:
                path: Path = self._resolver.download(staged)
                return path
            except (OSError, RuntimeError):  # a connection that broke, a server that answered an error
                if attempt == ATTEMPTS:
                    raise
        raise AssertionError("unreachable")
