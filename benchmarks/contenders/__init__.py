"""Who is measured. A new contender is a module with an ASGI `app` in this folder and a line in `CONTENDERS`.

Those with an environment of their own do not find the service's packages there; this module and those that they share
(`cql`, `times`, `bare`, `models`) import nothing of it.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace


@dataclass(frozen=True, slots=True)
class Contender:
    """An ASGI application that answers the operations, or some of them, and how it is started.

    `app` is its import string for uvicorn, `python` the interpreter (of its own virtual environment, if it needs one),
    `environment` what it is told beside where Cassandra is, `headers` what every request to it carries, `workers` how
    many processes of uvicorn share its port. With `requirements`, for pip, it has an environment of its own instead
    (`benchmarks.environments`), made with a Python of `python_at_least`. One without `database` keeps what it is sent.
    """

    name: str
    app: str
    description: str
    python: str = sys.executable
    environment: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    workers: int = 1
    requirements: tuple[str, ...] = ()
    python_at_least: tuple[int, int] = (3, 11)
    database: bool = True


SERVICE = Contender(
    "asgi-cassandra",
    "asgi_app.app:app",
    "this project, the whole application with its middleware",
)
PURE = Contender(
    "asgi-cassandra, pure Python",
    "benchmarks.contenders.pure_python:app",
    "this project without its compiled transcoder, as it is installed where there is no compiler",
)
THREAD_HOP = Contender(
    "thread hop",
    "benchmarks.contenders.thread_hop:app",
    "bare Starlette, one `anyio.to_thread.run_sync(session.execute, …)` a request under anyio's default of 40 threads",
)
FLOOR = Contender(
    "Starlette alone",
    "benchmarks.contenders.starlette_alone:app",
    "bare Starlette that has all users in memory: no database",
    database=False,
)

PREPARE_VARIABLE = "BENCHMARK_PREPARE"
"""Tells the contender of async-cassandra when to prepare: `each`, in each request."""

_SERVER = ("httptools>=0.6.4", "uvicorn>=0.54", "uvloop>=0.21")
FASTAPI_ASYNC = Contender(
    "FastAPI + async-cassandra",
    "benchmarks.contenders.fastapi_async_cassandra:app",
    "in the style of async-cassandra's own FastAPI example (pydantic models, `response_model`, one awaited session), "
    "but each statement is prepared once, where the example does it in every request; protocol v5, as it demands",
    requirements=("async-cassandra>=0.0.1", "cassandra-driver>=3.29.3", "fastapi>=0.165", *_SERVER),
    python_at_least=(3, 12),
)
FASTAPI_ASYNC_EXAMPLE = replace(
    FASTAPI_ASYNC,
    name="FastAPI + async-cassandra, as its example",
    description="the same, but it prepares in every request, as the example's code does",
    environment={PREPARE_VARIABLE: "each"},
)
FASTAPI_DRIVER = Contender(
    "FastAPI + cassandra-driver",
    "benchmarks.contenders.fastapi_driver:app",
    "in the style of Astra DB's FastAPI guide: the session by `Depends`, cached prepared statements, `async def` "
    "endpoints that call `session.execute` in place, so that the event loop waits for Cassandra, streams a chunk a row",
    requirements=("cassandra-driver>=3.29.3", "fastapi>=0.165", *_SERVER),
)
_BARE = ("msgspec>=0.20", "starlette>=1.0", *_SERVER)
ACSYLLA = Contender(
    "Starlette + acsylla",
    "benchmarks.contenders.starlette_acsylla:app",
    "bare Starlette and msgspec over DataStax's C++ driver; streams a page ahead",
    requirements=("acsylla>=1.2.0", *_BARE),
)
SCYLLAPY = Contender(
    "Starlette + scyllapy",
    "benchmarks.contenders.starlette_scyllapy:app",
    "bare Starlette and msgspec over ScyllaDB's Rust driver; no paging state, so streams go by token, a page ahead",
    requirements=("scyllapy>=1.3.3", *_BARE),
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

CONTENDERS = (SERVICE, FASTAPI_ASYNC, FASTAPI_DRIVER, THREAD_HOP, ACSYLLA, SCYLLAPY, FLOOR)
"""All that answer every operation, the service first."""
