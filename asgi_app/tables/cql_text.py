"""Read from a user's CQL what its declaration must know: its kind, and the names of its markers."""

from __future__ import annotations

import re

from asgi_app.tables.types import RESERVED_WORDS

_COMMENT = r"--[^\n]*|//[^\n]*|/\*.*?\*/"
_tokens = re.compile(
    rf"""(?:{_COMMENT}|'(?:[^']|'')*'|\$\$.*?\$\$)
    | (?<![\w'")}}\]]):(?:"(?P<quoted>(?:[^"]|"")+)"|(?P<plain>[A-Za-z]\w*))
    | "(?:[^"]|"")*"
    | (?P<unnamed>\?)""",
    re.DOTALL | re.VERBOSE | re.ASCII,
)
"""Matches comments, texts and quoted names, in which a colon is no marker, and the markers themselves. The colon of a
map or of a user-defined type follows a name or a value directly; the colon of a marker does not."""

_NO_MARKERS = RESERVED_WORDS - {"default", "mbean", "mbeans", "replace", "unset"}
"""Words that cannot name a marker unless they are in double quotes (`:"from"`), in Cassandra 5.0."""

_NAME = r'(?:"(?:[^"]|"")*"|\w+)'
_table_tokens = re.compile(
    rf"""(?:{_COMMENT}|'(?:[^']|'')*'|\$\$.*?\$\$)
    | \b(?:FROM|INTO|UPDATE)\s+(?P<first>{_NAME})(?:\s*\.\s*(?P<second>{_NAME}))?
    | "(?:[^"]|"")*\"""",
    re.DOTALL | re.VERBOSE | re.ASCII | re.IGNORECASE,
)
"""Matches the same comments, texts and names, and the words before a table with the table's name."""

_first_word = re.compile(rf"(?:\s|{_COMMENT})*+(\w*)", re.DOTALL)


def first_word(cql: str) -> str:
    """Return the first word after spaces and comments, in upper case; "" if there is none."""
    found = _first_word.match(cql)
    return found[1].upper() if found else ""


def table_names(cql: str) -> tuple[tuple[str | None, str], ...]:
    """Return the tables that a statement or a batch names, each once: keyspace, or None if it has none, and name."""
    found = (token for token in _table_tokens.finditer(cql) if token["first"])
    names = (
        (None, _identifier(token["first"]))
        if token["second"] is None
        else (_identifier(token["first"]), _identifier(token["second"]))
        for token in found
    )
    return tuple(dict.fromkeys(names))


def _identifier(text: str) -> str:
    """Return a name as Cassandra reads it."""
    return text[1:-1].replace('""', '"') if text.startswith('"') else text.lower()


def marker_names(cql: str) -> tuple[str, ...]:
    """Return the names of the markers, each once: in lower case unless they are quoted, as Cassandra reads them."""
    names = (
        token["plain"].lower() if token["plain"] else token["quoted"].replace('""', '"')
        for token in _tokens.finditer(cql)
        if token["plain"] or token["quoted"]
    )
    return tuple(dict.fromkeys(names))


def reserved_markers(cql: str) -> tuple[str, ...]:
    """Return the names of markers that are reserved words and not in double quotes: Cassandra refuses them."""
    plain = (token["plain"].lower() for token in _tokens.finditer(cql) if token["plain"])
    return tuple(name for name in dict.fromkeys(plain) if name in _NO_MARKERS)


def has_unnamed_markers(cql: str) -> bool:
    """Return whether a marker is written as `?`."""
    return any(token["unnamed"] for token in _tokens.finditer(cql))
