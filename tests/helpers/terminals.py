"""Run the commands of a page in terminals, as its reader does, and compare what they print with the page."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol

from helpers.pages import Shown, like, matches
from helpers.waiting import wait_until

_BLOCK = re.compile(r"^```(\w+) ?(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
_FILE = re.compile(r"# (\S+\.\w+)\n")
_SERVERS = ("asgi-cassandra serve", "uvicorn")
_END = "__the_end_of_a_command__"

START_SECONDS = 90


class File(NamedTuple):
    """A file that the page tells its reader to save."""

    name: str
    content: str


class Command(NamedTuple):
    """A command that the page shows, and the name of the terminal to run it in."""

    terminal: str
    shown: Shown


def steps(page: str) -> Iterator[File | Command]:
    """Yield the steps of a page in order: the files to save, which begin with their name, and the commands."""
    for language, terminal, text in _BLOCK.findall(page):
        if language == "console":
            for entry in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
                command, _, output = entry.partition("\n")
                yield Command(terminal or "first", Shown(command, output))
        elif named := _FILE.match(text):
            yield File(named[1], text)


def environment_of_a_reader(settings: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which only `settings` are set, and the commands of this Python are found."""
    others = {name: value for name, value in os.environ.items() if "CASSANDRA" not in name and "ASTRA" not in name}
    return {**others, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", **settings}


class Terminal:
    """A bash that keeps its variables between commands. A server runs until `interrupt`."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._log = folder / f"server-{id(self)}.log"
        self._log.touch()
        (folder / ".curlrc").write_text("silent\n")  # as on a terminal, where curl shows no progress
        self._server: int | None = None
        self._bash = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=folder,
            env={**environment, "CURL_HOME": str(folder)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            bufsize=1,
            start_new_session=True,
        )

    def run(self, command: str) -> str:
        """Run a command, and return all that it prints."""
        assert self._bash.stdin is not None
        assert self._bash.stdout is not None
        self._bash.stdin.write(f"{{ {command}\n}} </dev/null\necho; echo {_END}\n")
        printed = []
        for line in self._bash.stdout:
            if line.rstrip("\n") == _END:
                return "".join(printed)
            printed.append(line)
        raise AssertionError(f"the shell ended after {command}:\n{''.join(printed)}")

    def serve(self, command: str, lines: Sequence[str]) -> None:
        """Start a server, and return when it has printed lines like these, in this order."""
        self._server = int(self.run(f"{{ exec {command}; }} >{shlex.quote(str(self._log))} 2>&1 & echo $!"))

        def look() -> bool:
            printed = iter(self._log.read_text().splitlines())
            return all(any(like(line, other) for other in printed) for line in lines)

        try:
            wait_until(f"{command} prints what the page shows", look, START_SECONDS)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self._log.read_text()}") from error

    def interrupt(self) -> None:
        """Press Ctrl-C: end the server, if one runs, and return when it has ended."""
        if self._server is not None:
            os.kill(self._server, signal.SIGINT)
            self.run(f"wait {self._server}")
            self._server = None

    def close(self) -> None:
        """End the shell and all that runs in it."""
        os.killpg(self._bash.pid, signal.SIGKILL)
        self._bash.communicate(timeout=30)


class Adapt(Protocol):
    """Changes a command and its output for the test; None leaves the command out."""

    def __call__(self, shown: Shown, /) -> Shown | None: ...


@contextmanager
def terminals(folder: Path, environment: Mapping[str, str]) -> Iterator[Callable[[str], Terminal]]:
    """Yield a function that returns the terminal of a name, and makes it at the first time. Closes all at the end."""
    opened: dict[str, Terminal] = {}
    try:
        yield lambda name: opened.setdefault(name, opened.get(name) or Terminal(folder, environment))
    finally:
        for terminal in opened.values():
            terminal.close()


def run_page(page: str, folder: Path, environment: Mapping[str, str], adapt: Adapt) -> int:
    """Do what a page says in `folder`, and return the number of commands that were run.

    Before each command in a terminal whose server still runs, that server is ended by Ctrl-C. Raises AssertionError at
    the first command that prints something else than the page shows.
    """
    number = 0
    with terminals(folder, environment) as terminal:
        for step in steps(page):
            if isinstance(step, File):
                (folder / step.name).write_text(step.content)
            elif shown := adapt(step.shown):
                _run(terminal(step.terminal), shown)
                number += 1
    return number


def _run(terminal: Terminal, shown: Shown) -> None:
    terminal.interrupt()
    if shown.command.startswith(_SERVERS):
        terminal.serve(shown.command, shown.output.splitlines())
        return
    text = terminal.run(shown.command)
    assert matches(shown, text), f"{shown.command}\n{text}\n--- and not\n{shown.output}"
