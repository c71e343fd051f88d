"""Files that are there whole or not at all, and that survive the loss of power once they are there."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from asgi_app.transfer.outcomes import Refused

TEMPORARY = ".tmp"
"""The ending of a file that is being written."""

_CHUNK = 1024 * 1024


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Give an OSError of the block the file's name, which that of a write has not."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


class FileFacts(NamedTuple):
    """The size and the SHA-256 of a file."""

    bytes: int
    sha256: str


class WholeFile:
    """A file that gets its name when it is whole and on the disk. Until then it is `<name>.tmp`.

    It has the methods that pyarrow asks of a file. Use it in one thread at a time. All methods raise OSError, such as
    for a full disk.
    """

    def __init__(self, path: Path) -> None:
        if path.exists() and not (path.is_file() or path.is_dir()):  # such as /dev/null, which root could replace
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))
        self._path = path
        self._temporary = path.with_name(path.name + TEMPORARY)
        self._file = self._temporary.open("wb")
        self._digest = hashlib.sha256()
        self._size = 0
        self._is_aborted = False
        self.closed = False

    def write(self, data: bytes) -> int:
        """Append bytes, and return their number. After `abort` they go nowhere: pyarrow writes to the very end."""
        if self._is_aborted:
            return len(data)
        with naming(self._path):
            count = self._file.write(data)
        self._digest.update(data)
        self._size += count
        return count

    def tell(self) -> int:
        """Return the number of bytes so far."""
        return self._size

    def flush(self) -> None:
        """Do nothing: `commit` flushes."""

    def close(self) -> None:
        """Do nothing: `commit` or `abort` closes."""

    def commit(self) -> FileFacts:
        """Write everything to the disk and give the file its name, which `sync_folder` writes to the disk."""
        with naming(self._path):
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
        os.replace(self._temporary, self._path)
        return FileFacts(self._size, self._digest.hexdigest())

    def lock(self) -> int:
        """Keep other runs from writing to the file, until the descriptor that is returned is closed."""
        descriptor = os.dup(self._file.fileno())
        _lock(descriptor)
        return descriptor

    def abort(self) -> None:
        """Remove the file. Never raises, and does nothing after `commit`."""
        self._is_aborted = True
        with suppress(OSError):  # closing flushes, which fails again on a full disk
            self._file.close()
        with suppress(OSError):
            self._temporary.unlink()


def replace_file(path: Path, data: bytes) -> None:
    """Write a file so that its name always has the old content or the new. Raises OSError."""
    file = WholeFile(path)
    try:
        file.write(data)
        file.commit()
        sync_folder(path.parent)
    except BaseException:
        file.abort()
        raise


def sync_folder(folder: Path) -> None:
    """Write a folder's list of files to the disk. Raises OSError."""
    if sys.platform == "win32":
        return  # folders cannot be opened there
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def facts_of(path: Path) -> FileFacts:
    """Read a whole file, and return its size and SHA-256. Raises OSError."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return FileFacts(size, digest.hexdigest())


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other runs out of a folder for the duration of the block. Raises Refused if one is there, and OSError.

    The lock ends with the process, however that ends. Windows and file systems without locks have none.
    """
    if sys.platform == "win32":  # folders cannot be opened there
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if not _lock(descriptor):
            raise Refused(f"Another process is at work in {folder}; wait for its end.")
        yield
    finally:
        os.close(descriptor)


class SoleFile:
    """A file that only this run writes to, while it is open. One that could not be created has no lock."""

    def __init__(self, path: Path, descriptor: int | None) -> None:
        self.path = path
        self._descriptor = descriptor

    def replace(self, data: bytes) -> None:
        """Give the file another content, as `replace_file` does, and keep the lock. Raises OSError."""
        if self._descriptor is None:
            replace_file(self.path, data)
            return
        file = WholeFile(self.path)
        descriptor = file.lock()
        try:
            file.write(data)
            file.commit()
        except BaseException:
            file.abort()
            os.close(descriptor)
            raise
        os.close(self._descriptor)
        self._descriptor = descriptor
        sync_folder(self.path.parent)

    def close(self) -> None:
        """Let other runs write to the file; an empty one is removed."""
        if self._descriptor is None:
            return
        status = os.fstat(self._descriptor)
        if not status.st_size and stat.S_ISREG(status.st_mode):  # not /dev/null
            with suppress(OSError):
                self.path.unlink()
        os.close(self._descriptor)


@contextmanager
def only_writer(path: Path) -> Iterator[SoleFile]:
    """Keep other runs from writing to a file for the duration of the block; an empty one is removed at its end.

    The file is created if need be. Raises Refused if another run writes to it. One that cannot be created has nothing
    that could be lost.
    """
    try:
        file = SoleFile(path, _opened_alone(path))
    except OSError:
        file = SoleFile(path, None)
    try:
        yield file
    finally:
        file.close()


def _opened_alone(path: Path) -> int:
    """Return the descriptor of a file that is locked. Raises Refused if another process has the lock, and OSError."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        if not _lock(descriptor):
            os.close(descriptor)
            raise Refused(f"Another process writes to {path}; wait for its end, or name another file.")
        if _is_at(path, descriptor):
            return descriptor
        os.close(descriptor)  # the process that had the lock has removed the file


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _lock(descriptor: int) -> bool:
    """Lock an opened file or folder. Return false if another process has it."""
    if sys.platform == "win32":
        return True
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # the file system has no locks
        pass
    return True
