"""Folders, whole-file writes and file locks."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

CACHE_NAME = "asgi-cassandra"


@dataclass(frozen=True, slots=True)
class NodeFolder:
    """The places inside a data folder."""

    root: Path

    @classmethod
    def at(cls, data: Path) -> "NodeFolder":
        """The folder at `data`, made absolute, because the node runs in another working folder."""
        return cls(data.absolute())

    @property
    def conf(self) -> Path:
        """Configuration, written anew at each start."""
        return self.root / "conf"

    @property
    def logs(self) -> Path:
        """Where Cassandra logs."""
        return self.root / "logs"

    @property
    def system_log(self) -> Path:
        """Cassandra's own log; rolled, so it cannot grow without bound."""
        return self.logs / "system.log"

    @property
    def console_log(self) -> Path:
        """What Java printed since the last start."""
        return self.logs / "console.log"

    @property
    def temporary(self) -> Path:
        """Native libraries that Java unpacks; emptied at each start."""
        return self.root / "tmp"

    @property
    def run_lock(self) -> Path:
        """Locked for as long as a Java process runs on this folder."""
        return self.root / "node.lock"

    @property
    def start_lock(self) -> Path:
        """Locked while a detached node is being started."""
        return self.root / "start.lock"

    @property
    def state(self) -> Path:
        """Which detached node runs here."""
        return self.root / "node.json"


def cache_folder(asked: Path | None, data: Path) -> Path:
    """Where downloaded jars live: `asked`, else the user's cache folder, else inside `data`."""
    if asked is not None:
        return asked.absolute()
    for variable, below in (("XDG_CACHE_HOME", ""), ("HOME", ".cache")):
        base = os.environ.get(variable, "")
        if os.path.isabs(base):
            return Path(base, below, CACHE_NAME)
    return data.absolute() / "cache"


def write_whole(path: Path, text: str) -> None:
    """Write a file so that a reader sees the old text or the new one, never a part."""
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
    """Hold an exclusive lock shared with other processes; call `on_wait` once if somebody else has it.

    The kernel drops the lock when its holder ends, so a killed process leaves nothing to clean up.
    """
    import fcntl  # not on Windows, where this module must still import

    with open(path, "ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
