"""Writes of a resource: rows, static columns of a partition, prefixes of a partition, batches."""

from __future__ import annotations

import time
import uuid
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import anyio
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from asgi_app.driver.result import Result
from asgi_app.errors import (
    BatchTooLarge,
    Conflict,
    FieldError,
    InvalidInput,
    MethodNotAllowed,
    NotFound,
    PreconditionFailed,
    ServiceError,
)
from asgi_app.http.auth import Action
from asgi_app.http.context import deadline_of, service_of, settings_of
from asgi_app.http.responses import json_response, no_content
from asgi_app.http.routing import Handler, permits
from asgi_app.resources.table.addresses import row_location
from asgi_app.resources.table.bodies import Cells, checked, json_value, read_row
from asgi_app.resources.table.changes import read_changes
from asgi_app.resources.table.headers import (
    Conditions,
    asked_consistency,
    asked_ttl,
    conditions,
    etag,
    has_own_headers,
    refuse_conditions,
    refuse_ttl,
)
from asgi_app.resources.table.reading import key_of_query, live_table, read_row_of, served_of
from asgi_app.resources.table.served import ServedResource, key_of_path
from asgi_app.tables.encoding import Encoded, encoded_list, encoder_of
from asgi_app.tables.index_limits import index_errors
from asgi_app.tables.resource import Resource
from asgi_app.tables.types import Native
from asgi_app.tables.writes import TIMESTAMP, TTL, VERSIONS, Write

MOST_BATCH_ROWS = 100
"""Rows of one batch."""

WRITES_AT_ONCE = 16
"""Writes of one `per_row` batch that run at the same time."""

_int = encoder_of(Native("int"))
_bigint = encoder_of(Native("bigint"))

KeyOf = Callable[[ServedResource, Request], tuple[Encoded, ...]]


class TableWrites:
    """The handlers of a resource that write.

    `of_path` and `of_query` are those of a full key, each with its name and its method; `creates` is whether rows can
    be created without an address.
    """

    def __init__(self, resource: Resource, served: ServedResource | None = None) -> None:
        """With `served` the handlers work on that and on no other, whatever becomes of the schema meanwhile."""
        self._resource = resource
        self._name = resource.name
        self._served = served
        self._is_conditional = resource.writes == "conditional"
        self.creates = resource.writes != "none" and not resource.table.is_counter
        self.delete = _bind(self._delete, key_of_path)
        self.of_path = tuple(self._of_key(key_of_path))
        self.of_query = tuple(self._of_key(key_of_query))

    def _of(self, request: Request) -> ServedResource:
        return self._served or served_of(request, self._name)

    def _of_key(self, key_of: KeyOf) -> Iterator[tuple[str, str, Handler]]:
        """Yield the handlers of a full key."""
        resource, table = self._resource, self._resource.table
        if resource.writes == "none":
            return
        if self.creates and not (table.is_key_only and self._is_conditional):
            yield "replace", "PUT", _bind(self._replace, key_of)
        may_change = self._is_conditional or resource.patch_creates or table.is_counter
        may_expire = resource.ttl is not None and not resource.ttl_on_patch
        if may_change and not may_expire and not table.is_key_only:
            yield "change", "PATCH", _bind(self._change, key_of)
        if not table.is_counter or resource.delete_counters:
            yield "delete", "DELETE", _bind(self._delete, key_of)

    async def create(self, request: Request) -> ASGIApp:
        """Answer POST of the collection: 201 with the row and its address."""
        service = service_of(request.scope)
        served: ServedResource = self._served or service.declared[self._name]
        ttl, consistency = self._asked_of_creation(request) if has_own_headers(request) else (None, None)
        errors: list[FieldError] = []
        body = await json_value(request, exact=served.exact)
        row = self._new_row(served, served.bound_values(request), body, "", errors)
        if errors or served.may_have_limited:
            await self._check_indexed(served, request, [("", row)], errors)
        # Made before the write: once the row is written, nothing may fail.
        headers = {"Location": row_location(served, request, row)}
        if served.resource.version is not None:
            headers |= self._etag(served, row) or {}
        shown = served.shown(row)
        write = served.creation.at(consistency)
        values = write.values(self._insert_values(request, row, ttl))
        result = await service.database.execute(write.statement, values, deadline=deadline_of(request))
        if not result.applied:
            raise Conflict
        return json_response(shown, 201, headers)

    async def batch(self, request: Request) -> ASGIApp:
        """Answer POST /-/batch: all rows or none, or each row by itself, as the resource declares."""
        served = self._of(request)
        ttl, consistency = self._asked_of_creation(request)
        rows = await self._batch_rows(served, request, await json_value(request, exact=served.exact))
        if self._resource.batch == "logged":
            write = served.writes.insert.at(consistency)
            values = [write.values(self._insert_values(request, row, ttl)) for row in rows]
            self._refuse_too_large(rows, settings_of(request.scope).max_batch_bytes)
            await service_of(request.scope).database.execute_batch(
                write.statement, values, deadline=deadline_of(request)
            )
            shown = b",".join(map(served.shown, rows))
            return json_response(b'{"created":%d,"rows":[%b]}' % (len(rows), shown), 201)
        return json_response({"results": await self._each(served, request, rows, ttl, consistency)})

    def _asked_of_creation(self, request: Request) -> tuple[int | None, str | None]:
        """Return the TTL and the consistency that the request asks for. Raises InvalidHeader."""
        refuse_conditions(request)
        return asked_ttl(self._resource, request, allowed=True), asked_consistency(self._resource, request)

    async def delete_prefix(self, request: Request) -> Response:
        """Answer DELETE of a partition or of a prefix of its clustering key: 204."""
        refuse_conditions(request)
        refuse_ttl(request)
        served = self._of(request)
        given = served.prefix_of_path(request)
        write = served.writes.delete_prefix(len(given)).at(asked_consistency(self._resource, request))
        await _execute(request, write, given)
        return no_content()

    async def change_partition(self, request: Request) -> Response:
        """Answer PATCH of a partition: change its static columns. 204."""
        refuse_conditions(request)
        served = self._of(request)
        given: dict[str, Any] = {**served.prefix_of_path(request)}
        errors = served.key_out_of_bounds(request, given)
        body = await json_value(request, exact=served.exact)
        changes = read_changes(served.static_body, served.table, body, errors)
        await self._check_change(served, request, body, changes.values, errors)
        ttl = asked_ttl(self._resource, request, allowed=self._resource.ttl_on_patch)
        write = served.writes.update_static(changes.merged).at(asked_consistency(self._resource, request))
        await _execute(request, write, {**given, **changes.values, **_ttl(ttl)})
        return no_content()

    async def _replace(self, key_of: KeyOf, request: Request) -> ASGIApp:
        """Answer PUT of a full key."""
        served = self._of(request)
        key = served.full_key(request, key_of(served, request))
        wanted = conditions(self._resource, request, may_be_absent=True)
        expires_as_one = wanted.absent or not served.kept or self._resource.ttl_on_patch
        ttl = asked_ttl(self._resource, request, allowed=expires_as_one)
        consistency = asked_consistency(self._resource, request)
        creates = wanted.absent or not self._is_conditional
        errors = served.key_out_of_bounds(request, key) if creates else []
        body = await json_value(request, exact=served.exact)
        cells = read_row(served.replaced_body, body, "", errors, check=self._resource.check)
        await self._check_indexed(served, request, [("", cells)], errors)
        made = served.generated_values() if wanted.absent else {}
        row: Cells = {**dict.fromkeys(served.replaced_body), **cells, **made, **key, **self._new_version(served)}
        if not self._is_conditional:
            await _execute(request, served.writes.insert.at(consistency), {**row, **_ttl(ttl)})
            return no_content()
        if wanted.absent:
            await self._create_absent(served, request, row, ttl, consistency)
            headers = {"Location": row_location(served, request, row), **(self._etag(served, row) or {})}
            return json_response(served.shown(row), 201, headers)
        by_version = wanted.versions is not None
        write = served.writes.replace_if_version if by_version else served.writes.replace_if_exists
        return await self._conditionally(served, request, write.at(consistency), {**row, **_ttl(ttl)}, key, wanted)

    async def _change(self, key_of: KeyOf, request: Request) -> ASGIApp:
        """Answer PATCH of a full key."""
        served = self._of(request)
        key = served.full_key(request, key_of(served, request))
        await self._refuse_half_rows(served, request)
        wanted = conditions(self._resource, request, may_be_absent=False)
        ttl = asked_ttl(self._resource, request, allowed=self._resource.ttl_on_patch)
        consistency = asked_consistency(self._resource, request)
        errors = [] if self._is_conditional else served.key_out_of_bounds(request, key)
        body = await json_value(request, exact=served.exact)
        changes = read_changes(served.changed_body, served.table, body, errors)
        await self._check_change(served, request, body, changes.values, errors)
        given = {**key, **changes.values, **self._new_version(served), **_ttl(ttl)}
        if served.table.is_counter:
            await _execute(request, served.writes.add_to_counters.at(consistency), given)
            return no_content()
        if not self._is_conditional:
            await _execute(request, served.writes.update(changes.merged).at(consistency), given)
            return no_content()
        by_version = wanted.versions is not None
        update = served.writes.update_if_version if by_version else served.writes.update_if_exists
        write = update(changes.merged).at(consistency)
        return await self._conditionally(served, request, write, given, key, wanted)

    async def _delete(self, key_of: KeyOf, request: Request) -> ASGIApp:
        """Answer DELETE of a full key: 204, whether or not there was a row."""
        served = self._of(request)
        key = served.full_key(request, key_of(served, request))
        wanted = conditions(self._resource, request, may_be_absent=False)
        refuse_ttl(request)
        consistency = asked_consistency(self._resource, request)
        if not self._is_conditional:
            await _execute(request, served.writes.delete.at(consistency), key)
        elif wanted.versions is None:
            result = await _execute(request, served.writes.delete_if_exists.at(consistency), key)
            if wanted.exists and not result.applied:
                raise PreconditionFailed
        else:
            given = {**key, VERSIONS: encoded_list(wanted.versions)}
            result = await _execute(request, served.writes.delete_if_version.at(consistency), given)
            if not result.applied:
                raise PreconditionFailed(await self._current(served, request, key))
        return no_content()

    async def _conditionally(
        self,
        served: ServedResource,
        request: Request,
        write: Write,
        given: Mapping[str, Any],
        key: Mapping[str, Encoded],
        wanted: Conditions,
    ) -> ASGIApp:
        """Change an existing row: 200 with the row, or 204 for a client that may not read it.

        Raises NotFound if there is no row, PreconditionFailed if the request had a condition that did not hold.
        """
        if wanted.versions is not None:
            given = {**given, VERSIONS: encoded_list(wanted.versions)}
        result = await _execute(request, write, given)
        if not result.applied:
            if wanted.versions is None and not wanted.exists:
                raise NotFound(served.not_found)
            raise PreconditionFailed(await self._current(served, request, key))
        try:
            if await permits(request.scope, Action("read", self._resource.name)):
                return await read_row_of(served, request, tuple(key.values()))
            return no_content()
        except NotFound:
            return no_content()  # somebody else has deleted it since
        except ServiceError as error:
            error.outcome = "applied"  # the write succeeded, only reading the row back failed
            raise

    async def _create_absent(
        self, served: ServedResource, request: Request, row: Cells, ttl: int | None, consistency: str | None
    ) -> None:
        write = served.writes.insert_if_not_exists.at(consistency)
        result = await _execute(request, write, {**row, **_ttl(ttl)})
        if not result.applied:
            key = {name: row[name] for name in served.key_columns}
            raise PreconditionFailed(await self._current(served, request, key))

    def _insert_values(self, request: Request, row: Cells, ttl: int | None) -> dict[str, Any]:
        """Return what the INSERT of a new row can bind.

        On a resource with conditional writes a plain INSERT carries a timestamp of its own; see `creation_time`.
        """
        if not self._is_conditional:
            return row if ttl is None else {**row, **_ttl(ttl)}
        return {**row, **_ttl(ttl), TIMESTAMP: _bigint.from_json(creation_time(request))}

    def _new_row(
        self, served: ServedResource, bound: Mapping[str, Encoded], body: Any, pointer: str, errors: list[FieldError]
    ) -> Cells:
        """Return a new row of the values in a body, those `bound` to the client and those that the server makes."""
        row = read_row(served.created_body, body, pointer, errors, check=self._resource.check)
        row |= bound
        row |= served.generated_values()
        if self._resource.version is not None:
            row |= self._new_version(served)
        if served.may_be_too_long and not errors:
            errors += served.key_errors(row, f"{pointer}/")
        return row

    def _new_version(self, served: ServedResource) -> dict[str, Encoded]:
        name = self._resource.version
        if name is None:
            return {}
        is_time = served.table.column(name).type == Native("timeuuid")
        return {name: Encoded((uuid.uuid1() if is_time else uuid.uuid4()).bytes)}

    def _etag(self, served: ServedResource, row: Cells) -> Mapping[str, str] | None:
        name = self._resource.version
        return None if name is None else etag(served.value(name, row[name]))

    async def _batch_rows(self, served: ServedResource, request: Request, body: Any) -> list[Cells]:
        """Return the rows of a batch. Raises InvalidInput with every mistake, also for a key that occurs twice."""
        if not isinstance(body, list):
            raise InvalidInput(errors=(FieldError("", "must be a JSON array"),))
        if not 1 <= len(body) <= MOST_BATCH_ROWS:
            raise InvalidInput(errors=(FieldError("", f"must have 1 to {MOST_BATCH_ROWS} members"),))
        bound = served.bound_values(request)
        errors: list[FieldError] = []
        rows: list[Cells] = []
        seen: dict[tuple[Any, ...], int] = {}
        for at, member in enumerate(body):
            row = self._new_row(served, bound, member, f"/{at}", errors)
            rows.append(row)
            key = served.identity(row)
            if None not in key and seen.setdefault(key, at) != at:
                errors.append(FieldError(f"/{at}", f"has the same key as /{seen[key]}"))
        await self._check_indexed(served, request, [(f"/{at}", row) for at, row in enumerate(rows)], errors)
        return rows

    async def _check_change(
        self,
        served: ServedResource,
        request: Request,
        body: Any,
        cells: Mapping[str, Encoded | None],
        errors: list[FieldError],
    ) -> None:
        """Raise InvalidInput if `errors` has any, or the resource's `check` or an index refuses the change."""
        if not errors and self._resource.check is not None:
            errors += checked(self._resource.check, body, "")
        await self._check_indexed(served, request, [("", cells)], errors)

    async def _check_indexed(
        self,
        served: ServedResource,
        request: Request,
        rows: Iterable[tuple[str, Mapping[str, Encoded | None]]],
        errors: list[FieldError],
    ) -> None:
        """Raise InvalidInput if `errors` has any, or a row, given with its JSON pointer, has a value that no index
        takes: Cassandra would answer with a failure of the write."""
        limited = [(pointer, row) for pointer, row in rows if served.has_limited(row)] if not errors else ()
        if limited:
            live = await live_table(served, request)
            for pointer, row in limited:
                errors += index_errors(live, row, pointer)
        if errors:
            raise InvalidInput(errors=tuple(errors))

    def _refuse_too_large(self, rows: Sequence[Cells], most_bytes: int) -> None:
        """Raise BatchTooLarge if the values of a batch have more bytes. Cassandra counts more than the values.

        A batch of one partition is one write for Cassandra, which it does not limit so.
        """
        partitions = {tuple(row[name] for name in self._resource.partition_key) for row in rows}
        size = sum(len(cell) for row in rows for cell in row.values() if cell is not None)
        if len(partitions) > 1 and size > most_bytes:
            raise BatchTooLarge

    async def _each(
        self, served: ServedResource, request: Request, rows: Sequence[Cells], ttl: int | None, consistency: str | None
    ) -> list[dict[str, Any]]:
        """Write each row by itself, some at a time, and return what became of each, in their order."""
        results: list[dict[str, Any]] = [{} for _ in rows]
        limiter = anyio.CapacityLimiter(WRITES_AT_ONCE)
        insertion = served.creation.at(consistency)

        async def write(at: int) -> None:
            async with limiter:
                try:
                    result = await _execute(request, insertion, self._insert_values(request, rows[at], ttl))
                    results[at] = {"status": 201} if result.applied else _failure(Conflict())
                except ServiceError as error:
                    results[at] = _failure(error)

        async with anyio.create_task_group() as tasks:
            for at in range(len(rows)):
                tasks.start_soon(write, at)
        return results

    async def _current(
        self, served: ServedResource, request: Request, key: Mapping[str, Any]
    ) -> Mapping[str, Any] | None:
        """Return the row as it is now, None if there is none or the client may not read it."""
        if not await permits(request.scope, Action("read", self._resource.name)):
            return None
        result = await service_of(request.scope).database.execute(
            served.row, tuple(key.values()), deadline=deadline_of(request)
        )
        return result.dicts()[0] if result.row_count else None

    async def _refuse_half_rows(self, served: ServedResource, request: Request) -> None:
        """Raise MethodNotAllowed where rows expire by the table's default: a change would leave half a row behind."""
        if self._resource.ttl_on_patch or served.table.is_counter:
            return
        live = await live_table(served, request)
        if live.has_default_ttl:
            hint = "Rows expire here, and a change of some columns would leave half a row behind."
            raise MethodNotAllowed(("DELETE", "GET", "HEAD", "PUT"), hint)


def creation_time(request: Request) -> int:
    """Return the timestamp of a creation in microseconds since 1970, `write_timestamp_margin` in the past.

    A creation has no condition and carries this machine's time. A later conditional write to the row carries the time
    of a Cassandra node's clock. If the creation's time were ahead of that clock, Cassandra would acknowledge the later
    write, but it would have no effect.
    """
    margin = settings_of(request.scope).write_timestamp_margin
    return time.time_ns() // 1000 - int(margin * 1_000_000)


def _bind(handler: Callable[[KeyOf, Request], Awaitable[ASGIApp]], key_of: KeyOf) -> Handler:
    async def answer(request: Request) -> ASGIApp:
        return await handler(key_of, request)

    return answer


def _execute(request: Request, write: Write, given: Mapping[str, Any]) -> Awaitable[Result]:
    service = service_of(request.scope)
    return service.database.execute(write.statement, write.values(given), deadline=deadline_of(request))


def _ttl(seconds: int | None) -> dict[str, Any]:
    return {} if seconds is None else {TTL: _int.from_json(seconds)}


def _failure(error: ServiceError) -> dict[str, Any]:
    failure: dict[str, Any] = {"status": error.status, "code": error.code, "detail": error.detail}
    if error.outcome is not None:
        failure["outcome"] = error.outcome
    return failure
