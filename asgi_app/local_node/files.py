"""Data and cache folders, atomic file writes and file locks."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

CACHE_NAME = "asgi-cassandra"


@dataclass(frozen=True, slots=True)
class NodeFolder:
    """The files and folders inside a data folder."""

    root: Path

    @classmethod
    def at(cls, data: Path) -> "NodeFolder":
        """Return the folder at `data` as an absolute path, because the node runs in another working folder."""
        return cls(data.absolute())

    @property
    def conf(self) -> Path:
        """The folder of the configuration, which each start writes again."""
        return self.root / "conf"

    @property
    def logs(self) -> Path:
        """The folder of the logs."""
        return self.root / "logs"

    @property
    def system_log(self) -> Path:
        """Cassandra's own log; it is rotated, so its size is bounded."""
        return self.logs / "system.log"

    @property
    def console_log(self) -> Path:
        """The output of Java since the last start."""
        return self.logs / "console.log"

    @property
    def temporary(self) -> Path:
        """The folder for native libraries that Java unpacks; each start empties it."""
        return self.root / "tmp"

    @property
    def run_lock(self) -> Path:
        """The file that is locked while a Java process runs on this folder."""
        return self.root / "node.lock"

    @property
    def start_lock(self) -> Path:
        """The file that is locked during the start of a detached node."""
        return self.root / "start.lock"

    @property
    def state(self) -> Path:
        """The file that says which detached node runs here."""
        return self.root / "node.json"


def cache_folder(chosen: Path | None, data: Path) -> Path:
    """Return the folder for downloaded jars: `chosen`, else in the user's cache folder, else inside `data`."""
    if chosen is not None:
        return chosen.absolute()
    for variable, below in (("XDG_CACHE_HOME", ""), ("HOME", ".cache")):
        base = os.environ.get(variable, "")
        if os.path.isabs(base):
            return Path(base, below, CACHE_NAME)
    return data.absolute() / "cache"


def write_atomically(path: Path, text: str) -> None:
    """Write a file so that a reader sees the old text or the new one, never a part of it."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


@contextmanager
def file_lock(path: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold an exclusive lock on a file; call `on_wait` once if another process holds it.

    The kernel releases the lock when its holder ends, so a killed process leaves nothing to clean up.
    """
    import fcntl  # Windows has no fcntl, but this module must be importable there

    with open(path, "ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
