"""Endpoints of the table `users`: create, read, change and delete one, create a batch, and three ways to read all."""

from __future__ import annotations

import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from typing import Annotated, Any
from urllib.parse import urlencode

import msgspec
from msgspec import UNSET, UnsetType
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from asgi_app.driver.codec import timestamp_text
from asgi_app.errors import BatchTooLarge, FieldError, NotFound, ServiceError
from asgi_app.http.auth import Action
from asgi_app.http.context import (
    database_of,
    deadline_of,
    page_tokens_of,
    queries_of,
    settings_of,
)
from asgi_app.http.headers import next_page
from asgi_app.http.page_tokens import PagePosition
from asgi_app.http.paths import location
from asgi_app.http.requests import json_body, path_uuid
from asgi_app.http.responses import HeadersOnly, JsonResponse, json_response, no_content
from asgi_app.http.routing import permits
from asgi_app.http.validation import ArrayDecoder, BodyDecoder, QueryValues, nul_errors
from asgi_app.resources.pages import gathered, position_after, scanned
from asgi_app.resources.table.reading import EXPORTED, STREAMED, export_name, read_row_of, served_of
from asgi_app.resources.table.writing import creation_time
from asgi_app.scan.extent import Extent
from asgi_app.scan.partitioner import check_partitioner
from asgi_app.stream import Export, RowStream, stream_select
from asgi_app.tables.builtin import USER_RESOURCE, USERS
from asgi_app.tables.cql import Queries
from asgi_app.tables.encoding import Encoded
from asgi_app.tables.slices import MOST_PARALLEL, RingSelect, Slice
from asgi_app.tables.wrong_value import WrongValue

MAX_BATCH_USERS = 100

MAX_LIST_LIMIT = 100
DEFAULT_LIST_LIMIT = 10

MAX_FETCH_SIZE = 5000
DEFAULT_FETCH_SIZE = 1000

MAX_STREAM_LIMIT = 2**53 - 1
"""The largest integer that every JSON parser reads exactly (RFC 8259 section 6)."""

MAX_AGE = 150

BATCH_BYTES_PER_ROW = 170
"""The bytes that a row of `users` adds to a batch beside its texts, as Cassandra 5.0.9 counts them.

It is measured, and tests/contract/test_user_batch.py checks it.
"""

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=255, description="must be a string of 1 to 255 characters")]
Email = Annotated[
    str,
    msgspec.Meta(
        max_length=254,
        pattern=r"\A[^@\s]+@[^@\s.]+(\.[^@\s.]+)+\Z",
        description="must be an address of the form a@b.c, of at most 254 characters",
    ),
]
Age = Annotated[int, msgspec.Meta(ge=0, le=MAX_AGE, description=f"must be an integer from 0 to {MAX_AGE}")]


class UserFields(msgspec.Struct, forbid_unknown_fields=True):
    """The request body to create or replace a user."""

    name: Name
    email: Email
    age: Age


class UserChanges(msgspec.Struct, forbid_unknown_fields=True):
    """The request body to change a user: at least one field, and no nulls."""

    name: Name | UnsetType = UNSET
    email: Email | UnsetType = UNSET
    age: Age | UnsetType = UNSET


UPDATED = (*UserFields.__struct_fields__, "updated_at")
"""The columns that a replacement sets. A change sets those of them that the client sent, and `updated_at`."""


class NewUser(msgspec.Struct):
    """A user to be written. `created_at` is in milliseconds since 1970."""

    id: uuid.UUID
    fields: UserFields
    created_at: int

    def values(self) -> tuple[Any, ...]:
        """Return the values to bind to the insert, in the order of the table's columns."""
        return (self.id, *msgspec.structs.astuple(self.fields), self.created_at, self.created_at)

    def body(self) -> dict[str, Any]:
        """Return the row as a later GET returns it."""
        text = timestamp_text(self.created_at)
        return {"id": self.id, **msgspec.structs.asdict(self.fields), "created_at": text, "updated_at": text}


def _change_errors(changes: UserChanges) -> Iterator[FieldError]:
    """Yield what is wrong with `changes` beyond the types of its fields."""
    if all(value is UNSET for value in msgspec.structs.astuple(changes)):
        yield FieldError("", "must have at least one of name, email, age")
    yield from nul_errors(changes)


user_fields = BodyDecoder(UserFields, nul_errors)
user_changes = BodyDecoder(UserChanges, _change_errors)
user_batch = ArrayDecoder(user_fields, "users", MAX_BATCH_USERS)


async def create_user(request: Request) -> JsonResponse:
    """Answer POST /users with 201 and the whole user."""
    user = _new_user(user_fields.decode(await json_body(request)))
    # Built before the write: once the row is written, nothing may fail.
    headers = {"Location": location(request, f"/users/{user.id}")}
    values = (*user.values(), creation_time(request))
    await database_of(request).execute(_queries(request).insert_at, values, deadline=deadline_of(request))
    return json_response(user.body(), 201, headers)


async def replace_user(request: Request) -> Response:
    """Answer PUT /users/{user_id}: replace all fields of an existing user, or 404."""
    user_id = path_uuid(request, "user_id")
    fields = user_fields.decode(await json_body(request))
    return await _update(request, user_id, msgspec.structs.asdict(fields))


async def change_user(request: Request) -> Response:
    """Answer PATCH /users/{user_id}: set only the fields sent, if the user exists, else 404."""
    user_id = path_uuid(request, "user_id")
    changes = user_changes.decode(await json_body(request))
    sent = {name: value for name, value in msgspec.structs.asdict(changes).items() if value is not UNSET}
    return await _update(request, user_id, sent)


async def create_users(request: Request) -> JsonResponse:
    """Answer POST /users/batch: create all of 1 to 100 users, or none."""
    users = [_new_user(fields) for fields in user_batch.decode(await json_body(request))]
    if sum(map(_batch_bytes, users)) > settings_of(request.scope).max_batch_bytes:
        raise BatchTooLarge
    write_time = creation_time(request)
    rows = [(*user.values(), write_time) for user in users]
    await database_of(request).execute_batch(_queries(request).insert_at, rows, deadline=deadline_of(request))
    return json_response({"created": len(users), "users": [user.body() for user in users]}, 201)


async def list_users(request: Request) -> ASGIApp:
    """Answer GET /users?limit&page_state with a JSON array. The Link field has the address of the next page."""
    query = QueryValues(request.query_params)
    limit = query.integer("limit", 1, MAX_LIST_LIMIT)
    query.check()
    walk = f"list {_queries(request).every_row.cql}"
    token = query.text("page_state")
    position = page_tokens_of(request).read(token, walk) if token is not None else None
    size = limit or (position.fetch_size if position else DEFAULT_LIST_LIMIT)
    if request.method == "HEAD":
        return HeadersOnly()
    paging_state = position.paging_state if position else None
    page = await gathered(request, _queries(request).every_row, (), size, paging_state, exactly=True)
    headers = {}
    if page.paging_state is not None:
        token = page_tokens_of(request).issue(PagePosition(page.paging_state, size), walk)
        target = location(request, "/users") + "?" + urlencode({"limit": size, "page_state": token})
        headers["Link"] = next_page(target)
    return json_response(b"[%b]" % page.json_rows(), headers=headers)


async def stream_users(request: Request) -> RowStream:
    """Answer GET /users/stream?limit&fetch_size&age_filter&slice&parallel&format with a stream of users."""
    return _stream(request, STREAMED)


def export_users(form: str) -> Callable[[Request], Awaitable[RowStream]]:
    """Return the handler of GET /users/export.{form}: what /users/stream streams, as a file in one of `FORMATS`."""

    async def answer(request: Request) -> RowStream:
        return _stream(request, EXPORTED, form)

    return answer


def _stream(request: Request, usual: Extent, form: str | None = None) -> RowStream:
    """Return the stream. `usual`: how it is read if the client does not say."""
    query = QueryValues(request.query_params)
    parallel = query.integer("parallel", 1, MOST_PARALLEL)
    limit, fetch_size, minimum, part = _stream_parameters(query)
    extent = usual.asked(fetch_size, limit, part, parallel)
    export = None if form is None else Export(form, export_name("users", part))
    return stream_select(request, _scan(request, minimum), extent, export)


async def page_users(request: Request) -> ASGIApp:
    """Answer GET /users/stream/pages?limit&fetch_size&age_filter&page_state with one page and the next `page_state`."""
    position = _position(request)
    part = Slice.parse(position.slice) if position.slice else None
    if part is not None:
        check_partitioner(database_of(request))
    if request.method == "HEAD":
        return HeadersOnly()
    if position.rows_left == 0:
        return json_response(_page_body(b"", None))
    size = position.fetch_size if position.rows_left is None else min(position.fetch_size, position.rows_left)
    page = await scanned(request, _scan(request, position.minimum), part, size, position)
    left = None if position.rows_left is None else position.rows_left - page.rows.row_count
    following = position_after(position, page, left)
    token = None if following is None else page_tokens_of(request).issue(following, _pages_walk(request))
    return json_response(_page_body(page.rows.json_rows(), token))


def _queries(request: Request) -> Queries:
    return queries_of(request, USERS)


def _new_user(fields: UserFields) -> NewUser:
    return NewUser(uuid.uuid4(), fields, _now_ms())


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _batch_bytes(user: NewUser) -> int:
    """Return how many bytes `user` adds to a batch, as Cassandra counts them."""
    return len(user.fields.name.encode()) + len(user.fields.email.encode()) + BATCH_BYTES_PER_ROW


async def _update(request: Request, user_id: uuid.UUID, fields: dict[str, Any]) -> Response:
    """Set `fields` of an existing user: 200 with the whole user, or 204 for a client that may not read users.

    Raises NotFound if there is no such user.
    """
    assignments = {**fields, "updated_at": _now_ms()}
    statement = _queries(request).update_if_exists(tuple(assignments))
    values = (*assignments.values(), user_id)
    result = await database_of(request).execute(statement, values, deadline=deadline_of(request))
    if not result.applied:
        raise NotFound("User not found")
    try:
        if not await permits(request.scope, Action("read", USER_RESOURCE.name)):
            return no_content()
        return await read_row_of(served_of(request, USER_RESOURCE.name), request, (Encoded(user_id.bytes),))
    except NotFound:
        raise
    except ServiceError as error:
        error.outcome = "applied"  # the write succeeded, only reading the row back failed
        raise


def _stream_parameters(query: QueryValues) -> tuple[int | None, int | None, int | None, Slice | None]:
    """Return `limit`, `fetch_size`, `age_filter` and `slice`, each None if absent. Raises InvalidInput."""
    limit = query.integer("limit", 0, MAX_STREAM_LIMIT)
    fetch_size = query.integer("fetch_size", 1, MAX_FETCH_SIZE)
    minimum = query.integer("age_filter", 0, MAX_AGE)
    part = _slice(query)
    query.check()
    return limit, fetch_size, minimum, part


def _slice(query: QueryValues) -> Slice | None:
    text = query.text("slice")
    try:
        return None if text is None else Slice.parse(text)
    except WrongValue as error:
        query.wrong("slice", error.message)
        return None


def _scan(request: Request, minimum: int | None) -> RingSelect:
    """Return the SELECT of all users, or only of those whose age is at least `minimum`."""
    queries = _queries(request)
    if minimum is None:
        return RingSelect(queries.every_row, queries.rows_in_range)
    return RingSelect(queries.rows_at_least("age"), queries.rows_at_least("age", in_a_range=True), (minimum,))


def _pages_walk(request: Request) -> str:
    """Return the text that identifies the walk of /users/stream/pages in this keyspace, for page tokens."""
    return f"pages {_queries(request).every_row.cql}"


def _position(request: Request) -> PagePosition:
    """Return the position in `page_state`, or the start if there is none.

    Raises InvalidInput if another parameter contradicts the `page_state`.
    """
    query = QueryValues(request.query_params)
    limit, fetch_size, minimum, part = _stream_parameters(query)
    text = None if part is None else str(part)
    token = query.text("page_state")
    if token is None:
        return PagePosition(b"", fetch_size or DEFAULT_FETCH_SIZE, limit, limit, minimum, slice=text or "")
    position = page_tokens_of(request).read(token, _pages_walk(request))
    given = (
        ("limit", limit, position.limit),
        ("age_filter", minimum, position.minimum),
        ("slice", text, position.slice),
    )
    for name, sent, kept in given:
        if sent is not None and sent != kept:
            query.wrong(name, "contradicts the page_state; leave it out, or start again without one")
    query.check()
    return msgspec.structs.replace(position, fetch_size=fetch_size or position.fetch_size)


def _page_body(rows: bytes, token: str | None) -> bytes:
    """Return the body of one page. `rows` are JSON objects joined by commas, `token` is the next page's."""
    has_more = b"true" if token else b"false"
    return b'{"users":[%b],"has_more":%b,"page_state":%b}' % (rows, has_more, msgspec.json.encode(token))
