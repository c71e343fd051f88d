"""The service below a prefix of a FastAPI application, on the parent's own driver session.

    CASSANDRA_HOSTS=127.0.0.1:9042 CASSANDRA_KEYSPACE=shop uvicorn examples.mount_in_fastapi:app

The parent opens the session and closes it; the service uses it in between.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from anyio import to_thread
from cassandra.cluster import Cluster
from fastapi import FastAPI

from asgi_app import create_app


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    host, _, port = os.environ.get("CASSANDRA_HOSTS", "localhost:9042").partition(":")
    cluster = Cluster([host], port=int(port or 9042))
    app.state.session = await to_thread.run_sync(cluster.connect)  # blocks, so it must not run on the event loop
    try:
        async with database.router.lifespan_context(database):
            yield
    finally:
        await to_thread.run_sync(cluster.shutdown)


app = FastAPI(lifespan=lifespan)
database = create_app(session=lambda: app.state.session)


@app.get("/release")
def release() -> dict[str, Any]:
    """Return the version of Cassandra: the parent uses its session too."""
    return {"release": app.state.session.execute("SELECT release_version FROM system.local").one().release_version}


app.mount("/db", database)
