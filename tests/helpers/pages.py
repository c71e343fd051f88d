"""Read the programs and the commands in a documentation page."""

from __future__ import annotations

import re
from typing import NamedTuple

import httpx

_block = re.compile(r"^```(\w+).*?\n(.*?)^```", re.DOTALL | re.MULTILINE)


class Shown(NamedTuple):
    """A command as a page shows it, and its output; `…` in the output stands for any text."""

    command: str
    output: str


def program(page: str) -> str:
    """Return the Python blocks of a page, one after another."""
    return "\n\n".join(text for language, text in _block.findall(page) if language == "python")


def commands(page: str) -> list[Shown]:
    """Return the commands in the console blocks of a page, with their output."""
    found = []
    for language, text in _block.findall(page):
        if language == "console":
            for entry in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
                command, _, output = entry.partition("\n")
                found.append(Shown(command, output))
    return found


def printed(command: str, response: httpx.Response) -> str:
    """Return what `curl` prints; with `-i` the status and the header fields too."""
    if " -i " not in command:
        return response.text
    fields = "".join(f"{name}: {value}\n" for name, value in sorted(response.headers.items()))
    return f"HTTP/1.1 {response.status_code} {response.reason_phrase}\n{fields}\n{response.text}"


def matches(shown: Shown, text: str) -> bool:
    """Return whether `text` is the output that a page shows.

    With `-i` a page may leave header fields out. A line that is only `…` stands for any lines.
    """
    wanted, got = shown.output.rstrip("\n").splitlines(), text.rstrip("\n").splitlines()
    if " -i " in shown.command:
        got = [line for line in got if ": " not in line.partition("{")[0] or any(like(want, line) for want in wanted)]
    pattern = "".join("(?:.*\n)*" if line == "…" else f"{_pattern(line)}\n" for line in wanted)
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in got)) is not None


def like(wanted: str, line: str) -> bool:
    """Return whether a line is as a page shows it; `…` stands for any text."""
    return re.fullmatch(_pattern(wanted), line) is not None


def _pattern(wanted: str) -> str:
    return ".*".join(map(re.escape, wanted.split("…")))
