"""One chunk a row from a sync generator: how a stream of rows is usually written in Starlette.

Starlette asks a sync generator for each next item in a worker thread, so that every row is a thread hop and a chunk.
Nothing is around it: no middleware, no deadline, no watch for the client's leaving.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

from asgi_app.cql import Queries
from asgi_app.settings import Settings
from asgi_app.tables import USERS
from benchmarks.contenders.thread_hop import lifespan, read_user


def stream_users(request: Request) -> StreamingResponse:
    """GET /users/stream?limit&fetch_size."""
    keyspace = Settings.load().cassandra_keyspace
    select = request.app.state.session.prepare(Queries(keyspace, USERS).every_row.cql)
    select.fetch_size = int(request.query_params["fetch_size"])
    rows = islice(request.app.state.session.execute(select), int(request.query_params["limit"]))
    return StreamingResponse(_chunks(rows), media_type="application/json")


def _chunks(rows: Iterable[tuple[Any, ...]]) -> Iterator[str]:
    separator = "["
    for user_id, name, email, age, created_at, updated_at in rows:
        values = (str(user_id), name, email, age, _text(created_at), _text(updated_at))
        fields = dict(zip(USERS.column_names, values, strict=True))
        yield separator + json.dumps(fields, separators=(",", ":"), ensure_ascii=False)
        separator = ","
    yield "]"


def _text(moment: Any) -> str:
    return str(moment.isoformat(timespec="milliseconds")) + "Z"


app = Starlette(routes=[Route("/users/stream", stream_users), Route("/users/{user_id}", read_user)], lifespan=lifespan)
