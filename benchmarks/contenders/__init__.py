"""The applications that are measured. A new one is a module with an ASGI `app` here and an entry in `CONTENDERS`.

A contender with `requirements` runs in an environment of its own without the service. So its module, this one and those
that contenders share (`bare`, `cql`) must not import the service.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Contender:
    """An ASGI application and how to start it.

    `app` is its import string for uvicorn. `environment` is added to the site's settings. With `requirements` (pip's)
    it gets an environment of its own.
    """

    name: str
    app: str
    description: str
    environment: Mapping[str, str] = field(default_factory=dict)
    requirements: tuple[str, ...] = ()
    python_at_least: tuple[int, int] = (3, 11)


_SERVER = ("httptools>=0.6.4", "uvicorn>=0.54", "uvloop>=0.21")

SERVICE = Contender(
    "asgi-cassandra",
    "asgi_app.app:app",
    "this project, the whole application with its middleware",
)
FASTAPI = Contender(
    "FastAPI + async-cassandra, as its example",
    "benchmarks.contenders.fastapi_async_cassandra:app",
    "in the style of async-cassandra's own FastAPI example: pydantic models, `response_model`, one awaited session, a "
    "statement prepared in each request; protocol v5, which it requires",
    requirements=("async-cassandra>=0.0.1", "cassandra-driver>=3.29.3", "fastapi>=0.165", *_SERVER),
    python_at_least=(3, 12),
)
THREAD_HOP = Contender(
    "thread hop",
    "benchmarks.contenders.thread_hop:app",
    "bare Starlette, one `anyio.to_thread.run_sync(session.execute, …)` a request under anyio's default of 40 threads",
)
ACSYLLA = Contender(
    "Starlette + acsylla",
    "benchmarks.contenders.starlette_acsylla:app",
    "bare Starlette and msgspec over DataStax's C++ driver; streams a page ahead",
    requirements=("acsylla>=1.2.0", "msgspec>=0.20", "starlette>=1.0", *_SERVER),
)

CONTENDERS = (SERVICE, FASTAPI, THREAD_HOP, ACSYLLA)

FAST_CONTENDERS = (SERVICE, THREAD_HOP, ACSYLLA)
"""The contenders of all scenarios but `point-read`. The other one takes ten times the CPU of a read."""
