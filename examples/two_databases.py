"""Two services with different settings in one process, each with its own session.

CASSANDRA_KEYSPACE=shop ARCHIVE_KEYSPACE=archive uvicorn --factory examples.two_databases:build
"""

import os

from starlette.applications import Starlette
from starlette.routing import Mount

from asgi_app import Settings, create_app, lifespan_of


def build() -> Starlette:
    """Return the parent application, with settings from the current environment."""
    shop = create_app(Settings.load())
    archive = create_app(
        Settings.load(
            overrides={
                "CASSANDRA_KEYSPACE": os.environ["ARCHIVE_KEYSPACE"],
                "CASSANDRA_CONSISTENCY": "ONE",
                "ASGI_CASSANDRA_MAX_IN_FLIGHT": "16",
            }
        )
    )
    return Starlette(routes=[Mount("/shop", shop), Mount("/archive", archive)], lifespan=lifespan_of(shop, archive))
