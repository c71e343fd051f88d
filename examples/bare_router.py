"""The service behind a router that is a plain ASGI function.

    CASSANDRA_KEYSPACE=shop uvicorn examples.bare_router:app

The prefix goes into `root_path`, and `path` stays complete, as the ASGI specification demands.
"""

from starlette.types import Receive, Scope, Send

from asgi_app import create_app

PREFIX = "/db"
database = create_app()


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Forward the lifespan and every request below the prefix; answer 404 to the rest."""
    if scope["type"] == "lifespan":
        await database(scope, receive, send)
    elif scope["path"].startswith(f"{PREFIX}/"):
        await database({**scope, "root_path": scope.get("root_path", "") + PREFIX}, receive, send)
    else:
        await send({"type": "http.response.start", "status": 404, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": b"nothing here"})
