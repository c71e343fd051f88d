"""What a boot's log says about why it failed."""

import re
from pathlib import Path

from .files import NodeFolder
from .ports import Ports
from .spec import BootError, LocalNodeError, NodeSpec, PortInUseError

# Enough for any stack trace; a log is read from its end.
TAIL_BYTES = 256 * 1024
SENTENCE_CHARACTERS = 300

PORT_TAKEN = re.compile(r"Address already in use|Failed to bind port|Port already in use|is in use by another")
OUT_OF_MEMORY = re.compile(
    r"java\.lang\.OutOfMemoryError|Could not reserve enough space|insufficient memory|(Initial|maximum|initial) heap"
)
# Cassandra says so where it cannot open its configuration, which was written a moment before.
UNREADABLE_NAME = re.compile(r"ConfigurationException: Cannot locate ")
# "java.lang.SomeException: what happened", maybe after "Caused by: " or log4j's level and place.
EXCEPTION = re.compile(r"^(?:Caused by: |.* - )?(?:[\w$]+\.)+[\w$]*(?:Exception|Error): (?P<text>\S.*)$", re.MULTILINE)
ERROR_LINE = re.compile(r"^ERROR .*? - (?P<text>\S.*)$", re.MULTILINE)
JVM_ERROR = re.compile(r"^(?:Error: |Error occurred during initialization of VM\n)(?P<text>\S.*)$", re.MULTILINE)


class BootLog:
    """The logs of one boot: what is written after this object is made, so an older failure is not blamed."""

    def __init__(self, folder: NodeFolder) -> None:
        self._folder = folder
        self._began_at = _size(folder.system_log)

    def failure(self, spec: NodeSpec, ports: Ports) -> LocalNodeError:
        """The error that says why Java ended before it answered."""
        text = self._text()
        if PORT_TAKEN.search(text):
            taken = ", ".join(str(port) for port in (ports.native, ports.storage, ports.jmx) if port)
            return PortInUseError(
                f"Cassandra found one of its ports {taken} on {spec.host} in use; stop what listens there or "
                "choose other ports."
            )
        if OUT_OF_MEMORY.search(text):
            return BootError(
                f"Cassandra could not get, or ran out of, its heap of {spec.heap}; close other programs or choose "
                "another size."
            )
        if UNREADABLE_NAME.search(text) and not str(self._folder.root).isascii():
            return BootError(
                f"Java cannot find its files by the name of the data folder {self._folder.root}; choose a folder whose "
                "whole path is plain ASCII."
            )
        return BootError(
            f"Cassandra ended while it booted: {_reason(text)}; see {self._log()}. If its data is the cause, choose "
            f"another data folder or delete {self._folder.root}."
        )

    def _log(self) -> Path:
        """Return the log that this boot has written to: Java may end before Cassandra has one."""
        folder = self._folder
        return folder.system_log if _size(folder.system_log) != self._began_at else folder.console_log

    def _text(self) -> str:
        system_log = self._folder.system_log
        start = self._began_at if _size(system_log) >= self._began_at else 0  # it was rolled meanwhile
        return _tail(system_log, start) + "\n" + _tail(self._folder.console_log, 0)


def _reason(text: str) -> str:
    for pattern in (EXCEPTION, ERROR_LINE, JVM_ERROR):
        found = pattern.findall(text)
        if found:
            return str(found[-1]).strip().rstrip(".;")[:SENTENCE_CHARACTERS]
    return "it was killed or left no message"


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _tail(path: Path, start: int) -> str:
    try:
        with open(path, "rb") as file:
            file.seek(max(start, _size(path) - TAIL_BYTES))
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""
