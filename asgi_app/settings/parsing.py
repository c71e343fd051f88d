"""Parse the texts of variables into typed values, and report mistakes that the texts alone show.

No problem repeats the value it is about: a text under the wrong name may be a password.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from asgi_app.settings.fields import SettingField
from asgi_app.settings.rules import HOSTS_AND_BUNDLE, control_character
from asgi_app.settings.values import ContactPoint, Problem, Secret

OWN_PREFIX = "ASGI_CASSANDRA_"

Source = Literal["file", "environment", "option"]
"""Where the text of a variable comes from."""


def merge_sources(given: Mapping[Source, Mapping[str, str]]) -> tuple[dict[str, str], dict[str, Source]]:
    """Return the text of each variable that is not empty, and its source; of several sources the last one wins."""
    texts = {name: text for variables in given.values() for name, text in variables.items()}
    sources = {name: source for source, variables in given.items() for name in variables}
    return {name: text for name, text in texts.items() if text.strip()}, sources


def parse_values(
    fields: Sequence[SettingField], texts: Mapping[str, str], sources: Mapping[str, Source]
) -> tuple[dict[str, Any], list[Problem]]:
    """Return the typed values by field name, and a problem for each text that is not of its type."""
    values: dict[str, Any] = {}
    problems = []
    for field in fields:
        if field.env in texts:
            try:
                values[field.name] = _parse(field, texts[field.env], sources[field.env])
            except ValueError as error:
                problems.append(field.problem(str(error)))
    return values, problems


def unknown_variables(fields: Sequence[SettingField], texts: Mapping[str, str]) -> Iterator[Problem]:
    """Yield a problem for each variable that begins like ours and is not a setting."""
    names = [field.env for field in fields]
    for name in sorted(texts):
        if name.upper().startswith(OWN_PREFIX) and name not in names:
            yield Problem(name, f"is not a setting; {_suggestion(name, names)}")


def _suggestion(name: str, names: Iterable[str]) -> str:
    by_ending = {_ending(known): known for known in names}  # with the shared prefix all names would be similar
    close = difflib.get_close_matches(_ending(name.upper()), by_ending, n=1)
    return f"did you mean {by_ending[close[0]]}?" if close else "see docs/settings.md for the list"


def _ending(name: str) -> str:
    return name.removeprefix("ASGI_").removeprefix("CASSANDRA_")


def contradictions(texts: Mapping[str, str]) -> Iterator[Problem]:
    """Yield a problem for each variable that must not be set because of others, even to its default."""
    if "ASTRA_DB_SECURE_BUNDLE_PATH" in texts and "CASSANDRA_HOSTS" in texts:
        yield HOSTS_AND_BUNDLE


def _parse(field: SettingField, text: str, source: Source) -> Any:
    if not _is_unicode(text):
        raise ValueError("is not UTF-8 text")
    if source == "environment" and _is_quoted(text):
        raise ValueError("has quotes around it, which only a shell and .env remove; leave them out")
    text = _trimmed(field, text, source)
    if found := control_character(*_stripped_entries(field, text)):
        raise ValueError(f"contains the control character {found}{_escape_hint(source)}")
    if field.choices:
        return _parse_choice(text, field.choices)
    return _parse_names(text) if field.keeps_case else _PARSERS[field.type](text)


def _trimmed(field: SettingField, text: str, source: Source) -> str:
    """Return the text without the blanks and line ends around it. Lists are trimmed entry by entry, later.

    A secret may begin or end with a blank, so it loses line ends only; a file that it was read from ends with one. In
    `.env` a line end or a tab comes from a backslash within double quotes, and is left for the check to find.
    """
    if field.is_list:
        return text
    if source == "file":
        return text if field.secret else text.strip(" ")
    return text.strip("\r\n") if field.secret else text.strip()


def _stripped_entries(field: SettingField, text: str) -> list[str]:
    return [entry.strip() for entry in text.split(",")] if field.is_list else [text]


def _escape_hint(source: Source) -> str:
    return " (in .env a backslash in double quotes begins an escape: use single quotes)" if source == "file" else ""


def _is_quoted(text: str) -> bool:
    text = text.strip()
    return len(text) > 1 and text[0] == text[-1] and text[0] in "'\""


def _is_unicode(text: str) -> bool:
    """Return whether the operating system's bytes were UTF-8; Python keeps others as surrogates (PEP 383)."""
    return text.encode("utf-8", "ignore").decode() == text


# The parsers raise ValueError with the words that follow the variable's name.


def _parse_whole_number(text: str) -> int:
    if not re.fullmatch("-?[0-9]{1,18}", text):
        raise ValueError("is not a whole number")
    return int(text)


def _parse_number(text: str) -> float:
    if not re.fullmatch(r"-?[0-9]*\.?[0-9]+", text):
        raise ValueError("is not a number")
    return float(text)


def _parse_boolean(text: str) -> bool:
    lowered = text.lower()
    if lowered in {"true", "yes", "on", "1"}:
        return True
    if lowered in {"false", "no", "off", "0"}:
        return False
    raise ValueError("is neither true nor false")


def _parse_choice(text: str, choices: tuple[str | int, ...]) -> str | int:
    for choice in choices:
        if str(choice).lower() == text.lower():
            return choice
    raise ValueError("is not one of the choices")


def _parse_secrets(text: str) -> tuple[Secret, ...]:
    return tuple(Secret(entry) for _, entry in _entries(text))


def _parse_names(text: str) -> tuple[str, ...]:
    return tuple(name for _, name in _entries(text))


def _parse_lower_names(text: str) -> tuple[str, ...]:
    return tuple(name.lower() for name in _parse_names(text))


def _parse_hosts(text: str) -> tuple[ContactPoint, ...]:
    return tuple(_parse_host(position, entry) for position, entry in _entries(text))


def _entries(text: str) -> list[tuple[int, str]]:
    """Return the entries of a list with their positions, from 1; blank ones, as after a last comma, do not count.

    If all entries are blank they are returned, to be refused: that is a mistake, not an empty list.
    """
    entries = [(position, entry.strip()) for position, entry in enumerate(text.split(","), 1)]
    return [(position, entry) for position, entry in entries if entry] or entries


def _parse_host(position: int, entry: str) -> ContactPoint:
    if _is_ipv6(entry):
        return ContactPoint(entry)
    split = re.fullmatch(r"(?:\[(?P<v6>[^\]]*)\]|(?P<name>[^:]*))(?::(?P<port>[0-9]{1,5}))?", entry)
    if split is None or not (_is_ipv6(split["v6"] or "") or _is_host_name(split["name"] or "")):
        raise ValueError(f"entry {position} is not a host")
    if split["port"] is None:
        return ContactPoint(split["v6"] or split["name"])
    if not 1 <= int(split["port"]) <= 65535:
        raise ValueError(f"entry {position} has a port outside 1 to 65535")
    return ContactPoint(split["v6"] or split["name"], int(split["port"]))


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def _is_host_name(text: str) -> bool:
    if re.fullmatch("[0-9.]+", text):  # a resolver may accept 10.1 as an address, but it is more likely a typing error
        return _is_ipv4(text)
    label = "[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
    return len(text) <= 253 and re.fullmatch(rf"{label}(\.{label})*\.?", text) is not None


def _is_ipv4(text: str) -> bool:
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True


_PARSERS: Mapping[Any, Callable[[str], object]] = {
    str: str,
    Secret: Secret,
    int: _parse_whole_number,
    float: _parse_number,
    bool: _parse_boolean,
    Path: Path,
    tuple[ContactPoint, ...]: _parse_hosts,
    tuple[Secret, ...]: _parse_secrets,
    tuple[str, ...]: _parse_lower_names,
}
