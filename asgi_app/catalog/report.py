"""Log what is served from the live schema, and how: all of it at the start, later what changed."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator

from asgi_app.catalog.snapshot import Snapshot
from asgi_app.tables.live_description import WRITABLE_HINT, described
from asgi_app.tables.live_wanted import changed_names

logger = logging.getLogger("asgi_app.catalog")

MOST_LINES = 20
"""Lines of one kind in a report; more become a summary."""


def report(before: Snapshot, after: Snapshot) -> None:
    """Log what changed from one read of the schema to the next; `before` is an empty one at the start."""
    _log(logging.INFO, list(_served(before, after)), "resources of the live schema are served or have changed")
    if after.offer.unwritten and not before.offer.unwritten:
        logger.info("read-only tables: %d; %s", len(after.offer.unwritten), WRITABLE_HINT)
    for name, reason in after.reasons.items():
        if before.reasons.get(name) != reason:
            logger.warning("%s is not served: %s", name, reason)
    for name in before.reasons.keys() & after.sound.keys():
        logger.info("%s is served again", name)
    _log(logging.WARNING, list(_left_out(before, after)), "tables are not served")


def report_nothing(keyspaces: Iterable[str]) -> None:
    """Log that all tables of keyspaces are to be served, and that there are none."""
    for keyspace in sorted(keyspaces):
        logger.warning("the keyspace %s has no tables; they are served as soon as there are some", keyspace)


def _served(before: Snapshot, after: Snapshot) -> Iterator[str]:
    for name in changed_names(before.offer, after.offer):
        if name in after.live:
            note = after.offer.notes.get(name)
            yield f"/{name} serves {described(after.live[name], after.sound[name])}" + (f" ({note})" if note else "")
        elif name not in after.reasons:
            yield f"/{name} is not served any more: its table was dropped"


def _left_out(before: Snapshot, after: Snapshot) -> Iterator[str]:
    for each in after.offer.left_out:
        if each not in before.offer.left_out:
            yield f"the table {each.name} is not served: {each.reason}"


def _log(level: int, lines: list[str], summary: str) -> None:
    for line in lines[:MOST_LINES]:
        logger.log(level, "%s", line)
    if len(lines) > MOST_LINES:
        logger.log(level, "%d more %s; `asgi-cassandra tables` lists all", len(lines) - MOST_LINES, summary)
