"""One chunk a row from a sync generator: how a stream of rows is usually written in Starlette.

Starlette asks a sync generator for each next item in a worker thread, so that every row is a thread hop and a chunk.
Nothing is around it: no middleware, no deadline, no watch for the client's leaving. The rest is `thread_hop`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

from benchmarks.contenders.bare import User, application
from benchmarks.contenders.thread_hop import store
from benchmarks.contenders.times import time_text


def stream_users(request: Request) -> StreamingResponse:
    """GET /users/stream?limit&fetch_size."""
    hop = request.app.state.store
    limit = request.query_params.get("limit")
    rows = hop.session.execute(hop.every_user(int(request.query_params["fetch_size"])))
    return StreamingResponse(
        _chunks(islice(rows, None if limit is None else int(limit))), media_type="application/json"
    )


def _chunks(rows: Iterable[tuple[Any, ...]]) -> Iterator[str]:
    separator = "["
    for user_id, name, email, age, created_at, updated_at in rows:
        values = (str(user_id), name, email, age, time_text(created_at), time_text(updated_at))
        fields = dict(zip(User.__struct_fields__, values, strict=True))
        yield separator + json.dumps(fields, separators=(",", ":"), ensure_ascii=False)
        separator = ","
    yield "[]" if separator == "[" else "]"


app = application(store, [Route("/users/stream", stream_users)])
