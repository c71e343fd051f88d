"""The same requests to a declared resource and to handlers written by hand, sent to the application in this process."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request

from asgi_app import Resource, Statement, create_app, database_of, deadline_of, json_response, path
from asgi_app.errors import NotFound
from asgi_app.http.requests import json_body, path_uuid
from asgi_app.http.validation import BodyDecoder
from asgi_app.settings import Settings
from asgi_app.tables.builtin import User
from asgi_app.tables.cql import select_row
from asgi_app.tables.writes import WriteStatements


class Person(msgspec.Struct):
    """A row of `users`, as declared here and as the hand-written handlers take it."""

    id: uuid.UUID
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
    email: Annotated[str, msgspec.Meta(max_length=254)]
    age: Annotated[int, msgspec.Meta(ge=0, le=150)]


class PersonFields(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a new person."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
    email: Annotated[str, msgspec.Meta(max_length=254)]
    age: Annotated[int, msgspec.Meta(ge=0, le=150)]


PEOPLE = Resource(Person, "users", partition_key=("id",), path="/people", generated={"id": uuid.uuid4})


def declared(settings: Settings) -> Starlette:
    """Return the application with a declared resource."""
    return create_app(settings, resources=[PEOPLE])


def hand_written(settings: Settings) -> Starlette:
    """Return the application with handlers that run the same CQL."""
    written = WriteStatements(settings.keyspace, PEOPLE).insert.statement.cql
    select = Statement(select_row(settings.keyspace, PEOPLE.table, PEOPLE.table.column_names), True, writes=False)
    insert = Statement(written.partition(" USING ")[0], True, writes=True)
    fields = BodyDecoder(PersonFields)

    async def read(request: Request) -> Any:
        values = (path_uuid(request, "id"),)
        result = await database_of(request).execute(select, values, deadline=deadline_of(request))
        if not result.row_count:
            raise NotFound
        return json_response(result.json_rows())

    async def create(request: Request) -> Any:
        person = fields.decode(await json_body(request))
        key = uuid.uuid4()
        values = (key, person.name, person.email, person.age)
        await database_of(request).execute(insert, values, deadline=deadline_of(request))
        row = {"id": key, **msgspec.structs.asdict(person)}
        return json_response(row, 201, {"Location": f"/people/{key}"})

    routes = [path("/people", "people", post=create), path("/people/{id}", "people", get=read)]
    return create_app(settings, routes=routes)


@dataclass(frozen=True, slots=True)
class Work:
    """Requests of one kind: its title, the method, the paths in turn, and the body."""

    title: str
    method: str
    paths: Sequence[str]
    body: bytes = b""


def works_on(users: Sequence[User]) -> list[Work]:
    """Return the kinds of requests; `users` are rows that are there."""
    body = msgspec.json.encode({"name": "Ada Lovelace", "email": "ada@example.org", "age": 36})
    return [
        Work("read a row", "GET", [f"/people/{user.id}" for user in users]),
        Work("create a row", "POST", ["/people"], body),
    ]


async def ask(app: Starlette, work: Work, path_: str) -> None:
    """Send one request to an application in this process. Raises RuntimeError for an answer but 200 and 201."""
    statuses: list[int] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": work.body, "more_body": False}

    async def send(message: Any) -> None:
        statuses.append(message.get("status", 0))

    headers = [(b"host", b"127.0.0.1")]
    if work.body:
        headers += [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(work.body))]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": work.method,
        "scheme": "http",
        "path": path_,
        "raw_path": path_.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "state": {},
    }
    await app(scope, receive, send)
    if statuses[0] not in (200, 201):
        raise RuntimeError(f"{work.method} {path_} is answered with {statuses[0]}")
