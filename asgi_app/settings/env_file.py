"""Read the variables of a `.env` file, and report what is wrong with it by line number."""

from __future__ import annotations

import logging
import os.path
from io import StringIO
from pathlib import Path

from dotenv.parser import Binding, parse_stream

from asgi_app.settings.values import Problem

_VIRTUAL_ENVIRONMENT = ".env"

logger = logging.getLogger("asgi_app.settings")


def read_env_file(path: Path) -> tuple[dict[str, str], list[Problem]]:
    """Return the variables of a `.env` file, and its problems.

    A file that does not exist counts as empty. So does a directory named `.env`, which is a virtual environment; that
    is logged. A problem gives the number of its line and never quotes it, because it may contain a secret.
    """
    variables, messages = _read(path)
    return variables, [Problem(str(path), message) for message in messages]


def _read(path: Path) -> tuple[dict[str, str], list[str]]:
    if path.name == _VIRTUAL_ENVIRONMENT and os.path.isdir(path):
        logger.info("%s is a directory, so no settings are read from it", path)
        return {}, []
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        return {}, ["is a symbolic link to a file that does not exist"] if os.path.islink(path) else []
    except OSError as error:
        return {}, [f"cannot be read: {error.strerror}"]
    except UnicodeDecodeError as error:
        return {}, [f"line {_line_at(error)} is not UTF-8 text"]
    return _variables(text)


def _variables(text: str) -> tuple[dict[str, str], list[str]]:
    bindings = tuple(parse_stream(StringIO(text)))
    messages = [f"line {_line(found)} {wrong}" for found in bindings if (wrong := _fault(found))]
    return {found.key: found.value or "" for found in bindings if found.key}, messages


def _fault(binding: Binding) -> str | None:
    if "\0" in binding.original.string:
        return "contains a NUL character"
    return "is not NAME=value" if binding.error else None


def _line_at(error: UnicodeDecodeError) -> int:
    return error.object.count(b"\n", 0, error.start) + 1


def _line(binding: Binding) -> int:
    """Return the line number of the binding itself; the parser counts the blank lines before it as part of it."""
    text = binding.original.string
    return binding.original.line + text[: len(text) - len(text.lstrip())].count("\n")
