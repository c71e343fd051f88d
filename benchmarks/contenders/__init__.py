"""Who is measured. A new contender is a module with an ASGI `app` in this folder and a line in `CONTENDERS`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Contender:
    """An ASGI application that answers GET /users/{id}, and how it is started.

    `app` is its import string for uvicorn, `python` the interpreter (of its own virtual environment, if it needs one),
    `environment` what it is told beside where Cassandra is, `headers` what every request to it carries.
    """

    name: str
    app: str
    description: str
    python: str = sys.executable
    environment: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


SERVICE = Contender(
    "asgi-cassandra",
    "asgi_app.app:app",
    "this project, the whole application with its middleware",
)
THREAD_HOP = Contender(
    "thread hop",
    "benchmarks.contenders.thread_hop:app",
    "bare Starlette, one `anyio.to_thread.run_sync(session.execute, …)` a request under anyio's default of 40 threads",
)
FLOOR = Contender(
    "Starlette alone",
    "benchmarks.contenders.starlette_alone:app",
    "bare Starlette that has all answers in memory: no database",
)

CHUNK_A_ROW = Contender(
    "chunk a row",
    "benchmarks.contenders.chunk_a_row:app",
    "Starlette's `StreamingResponse` over a sync generator that gives one `json.dumps` a row",
)
LAG_PATH = "/benchmark/lag"
"""Where `WATCHED` tells how late its event loop was."""

WATCHED = Contender(
    "asgi-cassandra watched",
    "benchmarks.contenders.watched:app",
    "this project, with a clock on its event loop",
)

ROUTES_ALONE = Contender(
    "routes alone",
    "benchmarks.contenders.routes_alone:app",
    "this project's routes and statements with nothing around them: no request id, no deadline of the client's, no "
    "limits, no metrics, no log, no drain",
)
_KEY = "a-key-for-the-benchmark-alone-0123456789"
GUARDED = Contender(
    "asgi-cassandra, log and keys",
    "benchmarks.contenders.logged:app",
    "this project with its log of requests and with API keys",
    environment={"ASGI_CASSANDRA_API_KEYS": f"bench:read:{_KEY},other:read+write:{_KEY[::-1]}"},
    headers={"Authorization": f"Bearer {_KEY}"},
)

CONTENDERS = (SERVICE, THREAD_HOP, FLOOR)
"""Those of the point read."""
