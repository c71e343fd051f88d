"""Download the server with jgo's pure Python resolver. Import this module only when needed, because it imports jgo.

jgo's launcher is not used: it would download a Java if it finds none, and would write below the user's home.
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
# More connections do not make a hundred small files arrive sooner.
CONNECTIONS = 8
HTTP_SECONDS = 30
ATTEMPTS = 3


def download_server(cache: Path, version: str, progress: ProgressCallback) -> tuple[Path, ...]:
    """Download Cassandra and its dependencies into `cache`; return the jars in class path order.

    Files already in the cache are kept. Only one process may do this at a time. Raises the errors of jgo.
    """
    report = _Report(progress)
    store = _AtomicDownloads(cache, report)
    context = MavenContext(resolver=store, repo_cache=cache / "maven", timeout=HTTP_SECONDS)
    context.remote_repos.update(_configured_repositories())
    server = context.create_dependency(f"{COORDINATE}:{version}")
    roots, needed = PythonResolver().resolve([server])
    artifacts = [dependency.artifact for dependency in (*roots, *needed)]
    report.start_jars(len(artifacts))
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        jars = tuple(pool.map(lambda artifact: _readable_jar(artifact, report), artifacts))
    shutil.rmtree(store.incoming, ignore_errors=True)
    return jars


def _configured_repositories() -> dict[str, str]:
    """Return the repositories of the user's jgo settings, such as a mirror; none if there is no home folder."""
    try:
        return dict(GlobalSettings.load().repositories)
    except RuntimeError:
        return {}


def _readable_jar(artifact: Any, report: "_Report") -> Path:
    """Return the artifact's jar; download it again once if the cached one cannot be read."""
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
    """Reports downloads as progress events; several threads call it."""

    def __init__(self, progress: ProgressCallback) -> None:
        self._progress = progress
        self._began = time.monotonic()
        self._descriptions = count(1)
        self._jars = count(1)
        self._total = 0

    def description_read(self) -> None:
        """Report that one more package description (POM) was downloaded."""
        self._report("resolving the dependencies of Cassandra", next(self._descriptions))

    def start_jars(self, total: int) -> None:
        """Report that all is resolved and the server consists of `total` jars."""
        self._total = total
        self._report("downloading Cassandra", 0)

    def jar_done(self, name: str) -> None:
        """Report that one more jar is complete."""
        self._report(f"downloaded {name}", next(self._jars))

    def _report(self, message: str, done: int) -> None:
        seconds = time.monotonic() - self._began
        self._progress(Progress(Stage.JARS, message, done, self._total, seconds))


class _AtomicDownloads:
    """A download step for jgo's resolver that puts only complete files into the cache.

    jgo writes directly to the final place and later trusts any file there. So each download first goes to another
    folder and is moved when it is complete.
    """

    def __init__(self, cache: Path, report: _Report) -> None:
        self.incoming = cache / "incoming"
        self._report = report
        self._resolver = PythonResolver()

    def download(self, artifact: Any) -> Path:
        """Download one artifact to its place in the cache."""
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
            except (OSError, RuntimeError):  # a broken connection, or an error from the server
                if attempt == ATTEMPTS:
                    raise
        raise AssertionError("unreachable")
