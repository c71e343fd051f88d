"""The operations of a resource: what each of its addresses answers."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from starlette.requests import Request
from starlette.types import ASGIApp

from asgi_app.errors import MethodNotAllowed, NotFound
from asgi_app.http.auth import Verb
from asgi_app.http.context import service_of
from asgi_app.http.formats import FORMATS
from asgi_app.http.routing import Handler, SegmentRoute, path
from asgi_app.resources.table.changed_schema import SecondTry
from asgi_app.resources.table.headers import refuse_headers_of_writes
from asgi_app.resources.table.reading import TableReads, refuse_parameters
from asgi_app.resources.table.served import ServedResource, refuse_verb
from asgi_app.resources.table.writing import TableWrites
from asgi_app.runtime.scheduler import Lane
from asgi_app.tables.resource import Resource

_WRITES = ("POST", "PUT", "PATCH", "DELETE")
_NOTHING: Mapping[str, str] = MappingProxyType({})

_not_in_template = re.compile(r"[/{}:]")


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one address.

    `name` is its id, such as `events_read`. `template` is the path, with a parameter in braces for each key column that
    it has. `resource` and `verb` are what the `authorize` hook gets. `lane` is that of the handler's statements.
    `lacks` says why the address does not have other methods, by method.

    `kind` is what it does, whatever its address: `list`, `create`, `stream`, `export`, `pages`, `partitions`, `search`,
    `batch`, `read`, `replace`, `change`, `delete`, `change_partition`, `delete_prefix`, or `lacks`: 404, because the
    address has only a part of the partition key, or a verb that the resource does not have.
    """

    name: str
    kind: str
    method: str
    template: str
    handler: Handler
    resource: str
    verb: Verb
    lane: Lane = Lane.REQUESTS
    lacks: Mapping[str, str] = field(default_factory=dict)


ONLY_READ = "This table is only read here."
"""Why a resource has no writes."""


def operations_of(
    resource: Resource, served: ServedResource | None = None, *, only_read: str = ONLY_READ
) -> tuple[Operation, ...]:
    """Return the operations of a resource; with `served`, handlers that work on that and on no other.

    `only_read` says why there are no writes, if there are none.
    """
    return tuple(_Addresses(resource, served, only_read).operations())


def routes_of(operations: Iterable[Operation]) -> list[SegmentRoute]:
    """Return the routes that serve the operations: one for each address, with all of its methods."""
    addresses: dict[str, list[Operation]] = {}
    for operation in operations:
        addresses.setdefault(operation.template, []).append(operation)
    return [_route(template, methods) for template, methods in addresses.items()]


def _route(template: str, methods: list[Operation]) -> SegmentRoute:
    first = methods[0]
    handlers: dict[str, Any] = {operation.method.lower(): operation.handler for operation in methods}
    is_search = first.method == "POST" and first.verb == "read"
    lacks = {method: why for operation in methods for method, why in operation.lacks.items()}
    verb: Verb | None = "read" if is_search else None
    recover = SecondTry(first.resource)
    return path(template, first.resource, verb=verb, lane=first.lane, recover=recover, lacks=lacks, **handlers)


class _Addresses:
    """The addresses of one resource."""

    def __init__(self, resource: Resource, served: ServedResource | None, only_read: str) -> None:
        self._resource = resource
        self._only_read = only_read
        self._table = resource.table
        self._reads = TableReads(resource, served)
        self._writes = TableWrites(resource, served)
        self._base = f"/{resource.segment}"
        open_key = [name for name in resource.table.primary_key if name not in resource.bound]
        self._columns = open_key
        self._least = sum(name not in resource.bound for name in resource.table.partition_key)
        self._names = [f"{{{name}}}" for name in _parameters(open_key)]
        self._has_static = any(column.name not in resource.read_only for column in resource.table.static_columns)
        self._has_bound_clustering = any(name in resource.bound for name in resource.table.clustering_columns)

    def operations(self) -> Iterator[Operation]:
        """Yield the operations: the collection, the verbs, then the addresses of partitions and rows."""
        if self._columns:
            yield self._read("list", self._base, self._reads.rows, lacks=self._lacking())
            if self._writes.creates:
                yield self._write("create", "POST", self._base, self._writes.create)
            if not self._least:  # the client's partition has the address of the collection
                yield from self._writes_of_prefix(0)
        yield from self._verbs()
        yield from self._prefixes()
        yield from self._row("", self._template(len(self._columns)), self._reads.row_alone, self._writes.of_path)

    def _verbs(self) -> Iterator[Operation]:
        below = f"{self._base}/-"
        yield self._read("stream", f"{below}/stream", self._reads.stream, Lane.PAGES)
        for form in FORMATS:
            export = self._reads.export(form)
            yield self._read("export", f"{below}/export.{form}", export, Lane.PAGES, suffix=f"_{form}")
        yield self._read("pages", f"{below}/pages", self._reads.pages)
        if self._least and not self._has_bound_clustering:
            yield self._read("partitions", f"{below}/partitions", self._reads.partitions)
        yield from self._row("_by_query", f"{below}/row", self._reads.row_by_query, self._writes.of_query)
        if self._resource.batch is not None and self._writes.creates:
            yield self._write("batch", "POST", f"{below}/batch", self._writes.batch)
        search = _checked_read(self._reads.search)
        name = self._resource.name
        yield Operation(f"{name}_search", "search", "POST", f"{below}/search", search, name, "read")
        lacks = _no_such_verb(self._resource.segment, self._missing_verbs())
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
            verb: Verb = "read" if method == "GET" else "write"
            yield Operation(f"{name}_no_verb_{method}", "lacks", method, f"{below}/{{verb}}", lacks, name, verb)

    def _missing_verbs(self) -> Mapping[str, str]:
        """Return why the resource lacks verbs that others have, by verb."""
        missing: dict[str, str] = {}
        if self._resource.writes == "none":
            missing["batch"] = "No batch can be written: this table is only read here."
        elif not self._writes.creates:
            missing["batch"] = "No batch can be written: counters can only be incremented, row by row."
        elif self._resource.batch is None:
            missing["batch"] = (
                'Batches are off for this table. `batch="logged"`, or `"per_row"`, in its declaration turns them on.'
            )
        if not self._least or self._has_bound_clustering:
            missing["partitions"] = "There is no list of partitions: a part of the key is bound to the client."
        return missing

    def _prefixes(self) -> Iterator[Operation]:
        """Yield what addresses with a part of the key answer."""
        for length in range(1, len(self._columns)):
            template = self._template(length)
            if length < self._least:
                missing = ", ".join(self._columns[length : self._least])
                yield self._read("lacks", template, _too_short(missing), suffix=f"_{length}")
                continue
            off = {} if self._resource.delete_prefix else {"DELETE": _off("DELETE", "delete_prefix")}
            yield self._read("list", template, self._reads.rows, suffix=f"_{length}", lacks=self._lacking(off))
            yield from self._writes_of_prefix(length)

    def _writes_of_prefix(self, length: int) -> Iterator[Operation]:
        """Yield what changes the rows, or the partition, at an address with the first columns of the key."""
        template = self._template(length)
        if self._resource.delete_prefix and self._resource.writes != "none":
            yield self._write("delete_prefix", "DELETE", template, self._writes.delete_prefix, suffix=f"_{length}")
        if length == self._least and self._has_static and self._resource.writes == "plain":
            yield self._write("change_partition", "PATCH", template, self._writes.change_partition)

    def _row(
        self, suffix: str, template: str, read: Handler, writes: Iterable[tuple[str, str, Handler]]
    ) -> Iterator[Operation]:
        yield self._read("read", template, read, suffix=suffix, lacks=self._lacking(dict(self._off_for_rows())))
        for kind, method, handler in writes:
            yield self._write(kind, method, template, handler, suffix=suffix)

    def _template(self, length: int) -> str:
        return "/".join([self._base, *self._names[:length]])

    def _lacking(self, off: Mapping[str, str] = _NOTHING) -> Mapping[str, str]:
        """Return why an address has no writes, if there are none; else why those are `off` that are."""
        return dict.fromkeys(_WRITES, self._only_read) if self._resource.writes == "none" else off

    def _off_for_rows(self) -> Iterator[tuple[str, str]]:
        """Yield the methods that an option would turn on for the addresses of rows, with a sentence."""
        resource, table = self._resource, self._resource.table
        if table.is_counter:
            if not resource.delete_counters:
                yield "DELETE", _off("DELETE", "delete_counters")
        elif not table.is_key_only:
            by_plain = ["patch_creates"] * (resource.writes == "plain" and not resource.patch_creates)
            by_ttl = ["ttl_on_patch"] * (resource.ttl is not None and not resource.ttl_on_patch)
            if options := by_plain + by_ttl:
                yield "PATCH", _off("PATCH", *options)

    def _read(
        self,
        kind: str,
        template: str,
        handler: Handler,
        lane: Lane = Lane.REQUESTS,
        *,
        suffix: str = "",
        lacks: Mapping[str, str] = _NOTHING,
    ) -> Operation:
        resource = self._resource.name
        name = f"{resource}_{kind}{suffix}"
        return Operation(name, kind, "GET", template, _checked_read(handler), resource, "read", lane, lacks)

    def _write(self, kind: str, method: str, template: str, handler: Handler, *, suffix: str = "") -> Operation:
        resource = self._resource.name
        reads = () if kind == "batch" else ("GET", "HEAD")
        checked = _checked_write(resource, handler, reads, has_parameters=template.endswith("/-/row"))
        return Operation(f"{resource}_{kind}{suffix}", kind, method, template, checked, resource, "write")


def _off(method: str, *options: str) -> str:
    """Return the sentence on a method that options of the declaration turn on."""
    by = " and ".join(f"{option}=True" for option in options)
    return f"{method} is off for this table; {by} in its declaration turns it on."


def _checked_read(handler: Handler) -> Handler:
    """Return the handler of a read. It raises InvalidHeader for a header that only writes can honour."""

    def answer(request: Request) -> Awaitable[ASGIApp]:
        refuse_headers_of_writes(request)
        return handler(request)

    return answer


def _checked_write(name: str, handler: Handler, reads: tuple[str, ...], *, has_parameters: bool) -> Handler:
    """Return the handler of a write. It raises MethodNotAllowed if the table is a view or virtual.

    It raises InvalidInput if the request has query parameters, unless the address `has_parameters`: a filter that was
    ignored would change or delete more rows than the client meant. `reads` are the methods of the address that read.
    """

    def answer(request: Request) -> Awaitable[ASGIApp]:
        if name in service_of(request.scope).catalog.read_only:
            raise MethodNotAllowed(reads, "Cassandra lets nobody write to this table.")
        if request.scope["query_string"] and not has_parameters:
            refuse_parameters(request)
        return handler(request)

    return answer


def _parameters(columns: Sequence[str]) -> list[str]:
    """Return a name for the parameter of each key column: its own, without characters that path templates use."""
    names: list[str] = []
    for column in columns:
        name = _not_in_template.sub("_", column)
        while name in names or (name != column and name in columns):
            name += "_"
        names.append(name)
    return names


def _no_such_verb(segment: str, missing: Mapping[str, str]) -> Handler:
    """Return the handler of a verb that the resource lacks. `missing` says why, by verb."""

    async def answer(request: Request) -> ASGIApp:
        if (reason := missing.get(request.path_params["verb"])) is not None:
            raise NotFound(reason)
        refuse_verb(request, segment)

    return answer


def _too_short(missing: str) -> Handler:
    async def answer(request: Request) -> ASGIApp:
        raise NotFound(f"This address lacks a part of the partition key: {missing}.")

    return answer
