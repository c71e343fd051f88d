"""The service below a prefix of a Starlette application.

    CASSANDRA_KEYSPACE=shop uvicorn examples.mount_in_starlette:app

Then the service answers `/db/users`, and the parent answers `/`.
"""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from asgi_app import create_app, lifespan_of


async def home(request: Request) -> PlainTextResponse:
    return PlainTextResponse("the parent's own page")


database = create_app()
app = Starlette(
    routes=[Route("/", home), Mount("/db", database)],
    lifespan=lifespan_of(database),  # Starlette does not run the lifespan of a mounted application
)
