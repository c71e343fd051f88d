"""The jar cache: complete, or filled again."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier, Event

import pytest

from asgi_app.local_node import DownloadError, LocalNodeError, Progress, ProgressCallback, jars, maven
from asgi_app.local_node.files import cache_folder
from asgi_app.local_node.jars import read_listing, server_jars, write_listing
from asgi_app.local_node.spec import no_progress

VERSION = "5.0.9"


def make_jars(cache: Path, *names: str) -> tuple[Path, ...]:
    folder = cache / "maven"
    folder.mkdir(parents=True, exist_ok=True)
    made = tuple(folder / name for name in names)
    for jar in made:
        jar.write_bytes(b"jar " + jar.name.encode())
    return made


@pytest.fixture
def cached(tmp_path: Path) -> tuple[Path, ...]:
    made = make_jars(tmp_path, "b.jar", "a.jar")
    write_listing(tmp_path, VERSION, made)
    return made


def no_download(*_: object) -> Sequence[Path]:
    raise AssertionError("the resolver was called")


def test_complete_cache_needs_no_resolver(
    tmp_path: Path, cached: tuple[Path, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jars, "_download", no_download)
    assert server_jars(tmp_path, VERSION, no_progress) == cached


def test_truncated_jar_is_noticed(tmp_path: Path, cached: tuple[Path, ...]) -> None:
    cached[0].write_bytes(b"jar")
    assert read_listing(tmp_path, VERSION) is None


def test_missing_jar_is_noticed(tmp_path: Path, cached: tuple[Path, ...]) -> None:
    cached[1].unlink()
    assert read_listing(tmp_path, VERSION) is None


@pytest.mark.parametrize("text", ["", "{", "{}", "[]", '{"maven/a.jar": "x"}'])
def test_invalid_listing_is_ignored(tmp_path: Path, text: str) -> None:
    make_jars(tmp_path, "a.jar")
    (tmp_path / f"cassandra-{VERSION}.json").write_text(text)
    assert read_listing(tmp_path, VERSION) is None


def test_each_version_has_its_own_listing(tmp_path: Path, cached: tuple[Path, ...]) -> None:
    assert read_listing(tmp_path, VERSION) == cached
    assert read_listing(tmp_path, "4.1.0") is None


def test_interrupted_download_does_not_look_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def break_off(cache: Path, version: str, progress: ProgressCallback) -> tuple[Path, ...]:
        make_jars(cache, "a.jar")
        raise ConnectionResetError("line went dead")

    monkeypatch.setattr(maven, "download_server", break_off)
    with pytest.raises(DownloadError, match="line went dead"):
        server_jars(tmp_path, VERSION, no_progress)
    assert read_listing(tmp_path, VERSION) is None

    monkeypatch.setattr(maven, "download_server", lambda cache, *_: make_jars(cache, "a.jar", "b.jar"))
    assert len(server_jars(tmp_path, VERSION, no_progress)) == 2
    assert read_listing(tmp_path, VERSION) is not None


def test_two_starts_at_once_download_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both_asked, waited = Barrier(2), Event()
    downloads: list[Path] = []

    def download(cache: Path, *_: object) -> tuple[Path, ...]:
        assert waited.wait(10)  # until the other start waits for the lock
        downloads.append(cache)
        return make_jars(cache, "a.jar")

    def on_progress(event: Progress) -> None:
        assert "another process" in event.message
        waited.set()

    def start(_: int) -> tuple[Path, ...]:
        both_asked.wait(10)
        return server_jars(tmp_path, VERSION, on_progress)

    monkeypatch.setattr(jars, "_download", download)
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(start, range(2))
    assert first == second
    assert downloads == [tmp_path]


class HalfResolver:
    """A resolver whose first `failures` downloads write a part of the file and fail."""

    def __init__(self, failures: int) -> None:
        self.failures = failures

    def download(self, artifact: object) -> Path:
        path: Path = artifact.cached_path  # type: ignore[attr-defined]
        assert not path.exists()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")
        if self.failures:
            self.failures -= 1
            raise ConnectionResetError("line went dead")
        path.write_bytes(b"all of it")
        return path


def artifact_and_store(cache: Path, failures: int, monkeypatch: pytest.MonkeyPatch) -> tuple[object, Path]:
    monkeypatch.setattr(maven, "PythonResolver", lambda: HalfResolver(failures))
    store = maven._AtomicDownloads(cache, maven._Report(no_progress))
    context = maven.MavenContext(resolver=store, repo_cache=cache / "maven")
    artifact = context.create_dependency("org.example:thing:1.0").artifact
    return artifact, artifact.cached_path


def test_broken_download_is_retried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    artifact, place = artifact_and_store(tmp_path, maven.ATTEMPTS - 1, monkeypatch)
    assert artifact.resolve() == place  # type: ignore[attr-defined]
    assert place.read_bytes() == b"all of it"


def test_partial_file_never_gets_into_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    artifact, place = artifact_and_store(tmp_path, maven.ATTEMPTS, monkeypatch)
    with pytest.raises(ConnectionResetError):
        artifact.resolve()  # type: ignore[attr-defined]
    assert not place.exists()


def test_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    monkeypatch.setenv("HOME", "/home/u")
    assert cache_folder(Path("/asked"), tmp_path) == Path("/asked")
    assert cache_folder(None, tmp_path) == Path("/x/asgi-cassandra")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_folder(None, tmp_path) == Path("/home/u/.cache/asgi-cassandra")
    monkeypatch.setenv("HOME", "")
    assert cache_folder(None, tmp_path) == tmp_path / "cache"


def test_cache_folder_that_java_cannot_use_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LocalNodeError, match="without"):
        server_jars(tmp_path / "a:b", VERSION, no_progress)
