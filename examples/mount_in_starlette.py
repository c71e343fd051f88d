"""The service below a prefix of a Starlette application.

    CASSANDRA_KEYSPACE=shop uvicorn examples.mount_in_starlette:app

Then `/db/users` is served here, and `/` is the parent's own.
"""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from asgi_app.app import create_app, lifespan_of


async def home(request: Request) -> PlainTextResponse:
    return PlainTextResponse("the parent's own page")


database = create_app()
app = Starlette(
    routes=[Route("/", home), Mount("/db", database)],
    lifespan=lifespan_of(database),  # a mounted application's lifespan is not run by itself
)
