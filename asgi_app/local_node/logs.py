"""Find out from the logs why a boot failed."""

import re
from pathlib import Path

from .files import NodeFolder
from .ports import Ports
from .spec import BootError, LocalNodeError, NodeSpec, PortInUseError

# The end of a log that is read: enough for any stack trace.
TAIL_BYTES = 256 * 1024
SENTENCE_CHARACTERS = 300

PORT_TAKEN = re.compile(r"Address already in use|Failed to bind port|Port already in use|is in use by another")
OUT_OF_MEMORY = re.compile(
    r"java\.lang\.OutOfMemoryError|Could not reserve enough space|insufficient memory|(Initial|maximum|initial) heap"
)
# Cassandra's message if it cannot open its configuration, which was written just before.
UNREADABLE_NAME = re.compile(r"ConfigurationException: Cannot locate ")
# "java.lang.SomeException: message", possibly after "Caused by: " or the level and location of a log line.
EXCEPTION = re.compile(r"^(?:Caused by: |.* - )?(?:[\w$]+\.)+[\w$]*(?:Exception|Error): (?P<text>\S.*)$", re.MULTILINE)
ERROR_LINE = re.compile(r"^ERROR .*? - (?P<text>\S.*)$", re.MULTILINE)
JVM_ERROR = re.compile(r"^(?:Error: |Error occurred during initialization of VM\n)(?P<text>\S.*)$", re.MULTILINE)


class BootLog:
    """The logs of one boot: only lines written after this object was created, so earlier failures do not count."""

    def __init__(self, folder: NodeFolder) -> None:
        self._folder = folder
        self._began_at = _size(folder.system_log)

    def failure(self, spec: NodeSpec, ports: Ports) -> LocalNodeError:
        """Return the error that says why Java ended before it answered."""
        text = self._text()
        if PORT_TAKEN.search(text):
            candidates = ", ".join(str(port) for port in (ports.native, ports.storage, ports.jmx) if port)
            return PortInUseError(
                f"One of Cassandra's ports {candidates} on {spec.host} is in use; stop the program that listens "
                "there or choose other ports."
            )
        if OUT_OF_MEMORY.search(text):
            return BootError(
                f"Cassandra could not allocate its heap of {spec.heap}, or ran out of it; close other programs or "
                "choose another size."
            )
        if UNREADABLE_NAME.search(text) and not str(self._folder.root).isascii():
            return BootError(
                f"Java cannot read the name of the data folder {self._folder.root}; choose a folder whose whole path "
                "is plain ASCII."
            )
        return BootError(
            f"Cassandra ended while booting: {_reason(text)}; see {self._log()}. If its data is the cause, choose "
            f"another data folder or delete {self._folder.root}."
        )

    def _log(self) -> Path:
        """Return the log that this boot wrote: Java may end before Cassandra opens its own."""
        folder = self._folder
        return folder.system_log if _size(folder.system_log) != self._began_at else folder.console_log

    def _text(self) -> str:
        system_log = self._folder.system_log
        start = self._began_at if _size(system_log) >= self._began_at else 0  # 0 if it was rotated meanwhile
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
