"""Tell at start which statements of the user's own Cassandra refuses."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import anyio

from asgi_app.db import Database
from asgi_app.errors import SchemaMissing, ServiceError, StatementRefused
from asgi_app.resources.query import Query
from asgi_app.runtime.deadline import Deadline

logger = logging.getLogger("asgi_app.query")

RECHECK_SECONDS = 1.0
"""Seconds between two tries while Cassandra does not answer."""


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
