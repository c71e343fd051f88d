"""The endpoints of `users`: plain creations, conditional changes, and three ways to walk over all rows."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from typing import Annotated, Any
from urllib.parse import urlencode

import msgspec
from msgspec import UNSET, UnsetType
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from asgi_app.driver.codec import timestamp_text
from asgi_app.errors import BatchTooLarge, FieldError, NotFound, ServiceError
from asgi_app.http.context import database_of, deadline_of, page_tokens_of, queries_of, row_sizes_of, settings_of
from asgi_app.http.page_tokens import PagePosition
from asgi_app.http.paths import location
from asgi_app.http.requests import json_body, path_uuid
from asgi_app.http.response_headers import next_page
from asgi_app.http.responses import HeadersOnly, JsonResponse, json_response
from asgi_app.http.validation import ArrayDecoder, BodyDecoder, QueryValues, without_nul
from asgi_app.paging import Gathered, gather
from asgi_app.stream import RowStream, stream_rows
from asgi_app.tables.builtin import USERS
from asgi_app.tables.cql import Queries, Statement

LONGEST_BATCH = 100
LONGEST_LIST = 100
DEFAULT_LIST = 10
DEFAULT_PAGE = 1000
LARGEST_PAGE = 5000
MOST_ROWS = 2**53 - 1
OLDEST = 150

BATCH_BYTES_PER_ROW = 170
"""What a row of `users` weighs in a batch beside its texts, as Cassandra 5.0.9 counts: measured, and tested."""

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=255, description="must be a string of 1 to 255 characters")]
Email = Annotated[
    str,
    msgspec.Meta(
        max_length=254,
        pattern=r"\A[^@\s]+@[^@\s.]+(\.[^@\s.]+)+\Z",
        description="must be an address of the form a@b.c, of at most 254 characters",
    ),
]
Age = Annotated[int, msgspec.Meta(ge=0, le=OLDEST, description=f"must be an integer from 0 to {OLDEST}")]


class UserFields(msgspec.Struct, forbid_unknown_fields=True):
    """What a client sends to create or replace a user."""

    name: Name
    email: Email
    age: Age


class UserChanges(msgspec.Struct, forbid_unknown_fields=True):
    """What a client sends to change a user: one field or more, none of them null."""

    name: Name | UnsetType = UNSET
    email: Email | UnsetType = UNSET
    age: Age | UnsetType = UNSET


class NewUser(msgspec.Struct):
    """A user as it is about to be written; times in milliseconds since 1970."""

    id: uuid.UUID
    fields: UserFields
    created_at: int

    def values(self) -> tuple[Any, ...]:
        """What the insert binds, in the order of the table's columns."""
        return (self.id, *msgspec.structs.astuple(self.fields), self.created_at, self.created_at)

    def body(self) -> dict[str, Any]:
        """The row as a later GET shows it."""
        text = timestamp_text(self.created_at)
        return {"id": self.id, **msgspec.structs.asdict(self.fields), "created_at": text, "updated_at": text}


def _changes_are_valid(changes: UserChanges) -> Iterator[FieldError]:
    if all(value is UNSET for value in msgspec.structs.astuple(changes)):
        yield FieldError("", "must have at least one of name, email, age")
    yield from without_nul(changes)


user_fields = BodyDecoder(UserFields, without_nul)
user_changes = BodyDecoder(UserChanges, _changes_are_valid)
user_batch = ArrayDecoder(user_fields, "users", LONGEST_BATCH)


async def create_user(request: Request) -> JsonResponse:
    """POST /users: 201 with the whole user."""
    user = _new_user(user_fields.decode(await json_body(request)))
    headers = {"Location": location(request, f"/users/{user.id}")}  # nothing may fail once the row is written
    values = (*user.values(), _write_time(request))
    await database_of(request).execute(_queries(request).insert_at, values, deadline=deadline_of(request))
    return json_response(user.body(), 201, headers)


async def get_user(request: Request) -> JsonResponse:
    """GET /users/{user_id}: the user, or 404."""
    return await _read_back(request, path_uuid(request, "user_id"))


async def replace_user(request: Request) -> JsonResponse:
    """PUT /users/{user_id}: all fields anew, where the user exists."""
    user_id = path_uuid(request, "user_id")
    fields = user_fields.decode(await json_body(request))
    return await _update(request, user_id, msgspec.structs.asdict(fields))


async def change_user(request: Request) -> JsonResponse:
    """PATCH /users/{user_id}: only the fields sent, where the user exists; others are not touched."""
    user_id = path_uuid(request, "user_id")
    changes = user_changes.decode(await json_body(request))
    sent = {name: value for name, value in msgspec.structs.asdict(changes).items() if value is not UNSET}
    return await _update(request, user_id, sent)


async def delete_user(request: Request) -> Response:
    """DELETE /users/{user_id}: 204, whether it was there or not.

    Conditional, although it answers the same: a plain DELETE carries this machine's clock, and one that runs behind the
    ballot of an earlier PUT would leave the row.
    """
    values = (path_uuid(request, "user_id"),)
    await database_of(request).execute(_queries(request).delete_if_exists, values, deadline=deadline_of(request))
    return Response(status_code=204, headers={"Cache-Control": "no-store"})


async def create_users(request: Request) -> JsonResponse:
    """POST /users/batch: all of 1 to 100 users, or none."""
    users = [_new_user(fields) for fields in user_batch.decode(await json_body(request))]
    if sum(map(_batch_bytes, users)) > settings_of(request.scope).max_batch_bytes:
        raise BatchTooLarge
    write_time = _write_time(request)
    rows = [(*user.values(), write_time) for user in users]
    await database_of(request).execute_batch(_queries(request).insert_at, rows, deadline=deadline_of(request))
    return json_response({"created": len(users), "users": [user.body() for user in users]}, 201)


async def list_users(request: Request) -> ASGIApp:
    """GET /users?limit&page_state: a JSON array; the next page's address in Link."""
    query = QueryValues(request.query_params)
    limit = query.integer("limit", 1, LONGEST_LIST)
    query.check()
    walk = f"list {_queries(request).every_row.cql}"
    token = query.text("page_state")
    position = page_tokens_of(request).read(token, walk) if token is not None else None
    size = limit or (position.fetch_size if position else DEFAULT_LIST)
    if request.method == "HEAD":
        return HeadersOnly()
    paging_state = position.paging_state if position else None
    page = await _gather(request, _queries(request).every_row, (), size, paging_state, exactly=True)
    headers = {}
    if page.paging_state is not None:
        token = page_tokens_of(request).issue(PagePosition(page.paging_state, size), walk)
        target = location(request, "/users") + "?" + urlencode({"limit": size, "page_state": token})
        headers["Link"] = next_page(target)
    return json_response(b"[%b]" % page.json_rows(), headers=headers)


async def stream_users(request: Request) -> RowStream:
    """GET /users/stream?limit&fetch_size&age_filter&format: a chunked array, or another form, a chunk a page."""
    query = QueryValues(request.query_params)
    limit = query.integer("limit", 0, MOST_ROWS)
    fetch_size = query.integer("fetch_size", 1, LARGEST_PAGE)
    minimum = query.integer("age_filter", 0, OLDEST)
    query.check()
    statement, values = _walk(request, minimum)
    return stream_rows(request, statement, values, fetch_size=fetch_size or DEFAULT_PAGE, limit=limit)


async def page_users(request: Request) -> ASGIApp:
    """GET /users/stream/pages?limit&fetch_size&age_filter&page_state: one Cassandra page, and the way to the next."""
    position = _position(request)
    if request.method == "HEAD":
        return HeadersOnly()
    if position.rows_left == 0:
        return json_response(_page_body(b"", None))
    statement, values = _walk(request, position.minimum)
    size = position.fetch_size if position.rows_left is None else min(position.fetch_size, position.rows_left)
    page = await _gather(request, statement, values, size, position.paging_state or None, exactly=False)
    left = None if position.rows_left is None else position.rows_left - page.row_count
    token = None
    if page.paging_state is not None and left != 0:
        after = msgspec.structs.replace(position, paging_state=page.paging_state, rows_left=left)
        token = page_tokens_of(request).issue(after, _pages_walk(request))
    return json_response(_page_body(page.json_rows(), token))


def _queries(request: Request) -> Queries:
    return queries_of(request, USERS)


def _new_user(fields: UserFields) -> NewUser:
    return NewUser(uuid.uuid4(), fields, _now_ms())


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _write_time(request: Request) -> int:
    """Microseconds, safely in the past.

    A creation is written without a condition, and a later condition on its row takes its time from a Cassandra node's
    clock: were the creation's time ahead of that clock, the later write would be acknowledged and not be seen.
    """
    margin = settings_of(request.scope).write_timestamp_margin
    return time.time_ns() // 1000 - int(margin * 1_000_000)


def _batch_bytes(user: NewUser) -> int:
    return len(user.fields.name.encode()) + len(user.fields.email.encode()) + BATCH_BYTES_PER_ROW


async def _update(request: Request, user_id: uuid.UUID, fields: dict[str, Any]) -> JsonResponse:
    assignments = {**fields, "updated_at": _now_ms()}
    statement = _queries(request).update_if_exists(tuple(assignments))
    values = (*assignments.values(), user_id)
    result = await database_of(request).execute(statement, values, deadline=deadline_of(request))
    if not result.applied:
        raise NotFound("User not found")
    try:
        return await _read_back(request, user_id)
    except NotFound:
        raise
    except ServiceError as error:
        error.outcome = "applied"  # only the look at it failed
        raise


async def _read_back(request: Request, user_id: uuid.UUID) -> JsonResponse:
    result = await database_of(request).execute(_queries(request).row, (user_id,), deadline=deadline_of(request))
    if not result.row_count:
        raise NotFound("User not found")
    return json_response(result.json_rows())


async def _gather(
    request: Request,
    statement: Statement,
    values: tuple[int, ...],
    rows: int,
    paging_state: bytes | None,
    *,
    exactly: bool,
) -> Gathered:
    return await gather(
        database_of(request),
        row_sizes_of(request),
        statement,
        values,
        rows=rows,
        paging_state=paging_state,
        deadline=deadline_of(request),
        exactly=exactly,
    )


def _walk(request: Request, minimum: int | None) -> tuple[Statement, tuple[int, ...]]:
    """The statement over all users, or over those of at least the age `minimum`."""
    if minimum is None:
        return _queries(request).every_row, ()
    return _queries(request).rows_at_least("age"), (minimum,)


def _pages_walk(request: Request) -> str:
    return f"pages {_queries(request).every_row.cql}"


def _position(request: Request) -> PagePosition:
    """Where to go on: what page_state says, with which the other parameters must agree, or else a new walk."""
    query = QueryValues(request.query_params)
    limit = query.integer("limit", 0, MOST_ROWS)
    fetch_size = query.integer("fetch_size", 1, LARGEST_PAGE)
    minimum = query.integer("age_filter", 0, OLDEST)
    query.check()
    token = query.text("page_state")
    if token is None:
        return PagePosition(b"", fetch_size or DEFAULT_PAGE, limit, limit, minimum)
    position = page_tokens_of(request).read(token, _pages_walk(request))
    for name, sent, held in (("limit", limit, position.limit), ("age_filter", minimum, position.minimum)):
        if sent is not None and sent != held:
            query.wrong(name, "contradicts the page_state; leave it out, or start again without one")
    query.check()
    return msgspec.structs.replace(position, fetch_size=fetch_size or position.fetch_size)


def _page_body(rows: bytes, token: str | None) -> bytes:
    has_more = b"true" if token else b"false"
    return b'{"users":[%b],"has_more":%b,"page_state":%b}' % (rows, has_more, msgspec.json.encode(token))
