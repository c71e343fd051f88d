"""Tell at start what was declared or configured and cannot work, although nothing else is harmed by it."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence

import anyio

from asgi_app.catalog import Catalog
from asgi_app.db import Database
from asgi_app.errors import SchemaMissing, ServiceError, StatementRefused
from asgi_app.http.auth import unknown_scopes
from asgi_app.resources.query import Query
from asgi_app.runtime.deadline import Deadline
from asgi_app.settings import Secret

logger = logging.getLogger("asgi_app.start")

MOST_NAMES = 20
"""Names that a warning lists."""

RECHECK_SECONDS = 1.0
"""Seconds between two tries while Cassandra does not answer."""


async def report_unknown_scopes(
    keys: Sequence[Secret], names: Collection[str], catalog: Catalog, seconds: float
) -> None:
    """Log a warning for each scope of an API key whose resource does not exist.

    `names` are the resources that are known without the schema; the others are known when the schema was read, for
    which each try takes `seconds` at most. Run it as a task of the lifespan.
    """
    if not unknown_scopes(keys, names):
        return
    await _read_schema(catalog, seconds)
    known = {*names, *catalog.live}
    for key, scope in unknown_scopes(keys, known):
        message = "the API key %s has the scope %s, and there is no such resource; there are: %s"
        logger.warning(message, key, scope, shortened(sorted(known)))


async def _read_schema(catalog: Catalog, seconds: float) -> None:
    while not catalog.was_read:
        try:
            await catalog.ensure_read(Deadline.after(seconds))
        except ServiceError:
            await anyio.sleep(RECHECK_SECONDS)


def shortened(names: Sequence[str]) -> str:
    """Return the names as one text, and how many there are beyond the first ones."""
    more = len(names) - MOST_NAMES
    return ", ".join(names[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


async def report_refused(database: Database, queries: Sequence[Query], seconds: float) -> None:
    """Prepare each query's statement, as soon as Cassandra answers, and log a warning for each that it refuses.

    `seconds` is the time for each try. Run it as a task of the lifespan.
    """
    waiting = list(queries)
    while waiting:
        waiting = [query for query in waiting if not await _was_prepared(database, query, seconds)]
        await anyio.sleep(RECHECK_SECONDS if waiting else 0)


async def _was_prepared(database: Database, query: Query, seconds: float) -> bool:
    """Prepare the statement. Return False if it is not known yet whether Cassandra takes it."""
    try:
        await database.parameters(query.statement, Deadline.after(seconds))
    except SchemaMissing as error:
        logger.warning("%s %s is not served: %s", query.method, query.path, error.detail)
    except StatementRefused as error:
        logger.warning(
            "%s %s is not served: Cassandra refuses its statement: %s", query.method, query.path, error.__cause__
        )
    except ServiceError:
        return False
    return True
