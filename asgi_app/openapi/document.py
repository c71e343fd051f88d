"""Make the whole document of an application."""

from __future__ import annotations

import gzip
import hashlib
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

import asgi_app
from asgi_app.db import Parameter
from asgi_app.openapi import builtin, common, values
from asgi_app.openapi.common import Common
from asgi_app.openapi.components import Components, Names, Schema
from asgi_app.openapi.queries import query_paths
from asgi_app.openapi.tables import Shared, TableDocument
from asgi_app.resources.query import Query
from asgi_app.resources.table.operations import operations_of
from asgi_app.resources.table.served import ServedResource
from asgi_app.tables.builtin import ANIMAL_RESOURCE, PLANT_RESOURCE, USER_RESOURCE
from asgi_app.tables.resource import Resource
from asgi_app.tables.table import Table

_LEVEL = 6
"""The usual level of compression: more takes several times as long for a few per cent."""

PAUSE_SECONDS = 0.00005
"""The pause after each table: long enough for the event loop, which waits for the interpreter's lock."""

_BUILT_IN = {
    USER_RESOURCE.name: builtin.user_paths,
    ANIMAL_RESOURCE.name: builtin.animal_paths,
    PLANT_RESOURCE.name: builtin.plant_paths,
}


@dataclass(frozen=True, slots=True)
class Contents:
    """What an application serves.

    `declared` are its resources, `live` those of the live schema by name. `current` are the tables that Cassandra has,
    by the name of the resource, and `read_only` names those that Cassandra takes no writes of. `parameters` are those
    of the queries' statements, as far as they are known. `examples`: the built-in tables have their own addresses.
    `has_keys`: API keys are required. `longest_timeout` is the largest X-Request-Timeout in seconds.
    """

    declared: Sequence[ServedResource]
    live: Mapping[str, Resource] = field(default_factory=dict)
    current: Mapping[str, Table] = field(default_factory=dict)
    read_only: Collection[str] = ()
    queries: Sequence[Query] = ()
    parameters: Mapping[Query, Sequence[Parameter]] = field(default_factory=dict)
    examples: bool = False
    diagnostics: bool = False
    has_keys: bool = False
    has_console: bool = False
    has_shutdown: bool = False
    longest_timeout: float = 300.0


class Document:
    """An encoded document, without the prefix of its addresses."""

    def __init__(self, contents: Contents) -> None:
        """Make the document. It may take a second for hundreds of tables: call it in a worker thread."""
        made = made_document(contents)
        head = {name: made.pop(name) for name in ("openapi", "info")}
        self._before = msgspec.json.encode(head)[:-1] + b',"servers":[{"url":'
        self._after = b"}]," + msgspec.json.encode(made)[1:]
        self._digest = hashlib.sha256(self._before + self._after).digest()
        self._compressed: tuple[str, bytes] | None = None

    def at(self, prefix: str) -> bytes:
        """Return the document of an application whose paths begin with `prefix`, percent-encoded."""
        return self._before + msgspec.json.encode(prefix or "/") + self._after

    def compressed_at(self, prefix: str) -> bytes:
        """Return the same, compressed by gzip. That of the last prefix is kept. Call it in a worker thread."""
        kept = self._compressed
        if kept is None or kept[0] != prefix:
            kept = self._compressed = prefix, gzip.compress(self.at(prefix), _LEVEL, mtime=0)
        return kept[1]

    def etag(self, prefix: str, *, compressed: bool = False) -> str:
        """Return the strong entity tag of the document at a prefix, or of the compressed one."""
        digest = hashlib.sha256(self._digest + prefix.encode()).hexdigest()[:32]
        return f'"{digest}-gzip"' if compressed else f'"{digest}"'


def made_document(contents: Contents) -> Schema:
    """Return the document, without `servers`. The addresses of tables are encoded already.

    So the many parts of many tables are not there at the same time, which the garbage collector would search again and
    again. Between two tables other threads can run.
    """
    parts = Components({**common.RESERVED, "schemas": (*common.RESERVED["schemas"], *values.RESERVED)})
    shared = Shared(
        parts, Common(parts, contents.longest_timeout, has_keys=contents.has_keys), values.Values(parts), Names()
    )
    tables = [_table(each, contents, shared) for each in _resources(contents)]
    paths: dict[str, Any] = {}
    for table in tables:
        paths |= _encoded(_paths_of_table(table, contents, shared))
        time.sleep(PAUSE_SECONDS)
    paths |= query_paths(contents.queries, contents.parameters, shared)
    paths |= builtin.service_paths(shared, has_console=contents.has_console, has_shutdown=contents.has_shutdown)
    if contents.diagnostics:
        paths |= builtin.diagnostics_paths(shared)
    return {
        "openapi": "3.1.0",
        "info": _INFO,
        "security": [{name: []} for name in common.API_KEYS] if contents.has_keys else [],
        "tags": _tags(contents, tables),
        "paths": paths,
        "components": {
            **{name: _encoded(section) for name, section in parts.sections().items()},
            **_security_schemes(contents),
        },
        "x-cassandra-tables": {table.name: table.facts() for table in tables},
    }


def _encoded(parts: Mapping[str, Schema]) -> dict[str, Any]:
    return {name: msgspec.Raw(msgspec.json.encode(part)) for name, part in parts.items()}


_INFO: Schema = {
    "title": "asgi-cassandra",
    "version": asgi_app.__version__,
    "summary": "Tables of Apache Cassandra over HTTP.",
    "license": {"name": "Apache-2.0, the license of the software that serves this API", "identifier": "Apache-2.0"},
}


def _is_builtin(name: str, contents: Contents) -> bool:
    """Return whether a resource has the addresses of the built-in application."""
    return contents.examples and name in _BUILT_IN


def _resources(contents: Contents) -> Iterator[ServedResource]:
    yield from contents.declared
    for name, resource in sorted(contents.live.items()):
        yield ServedResource(resource, resource.keyspace or "", contents.current[name])


def _table(served: ServedResource, contents: Contents, shared: Shared) -> TableDocument:
    has_only_others = _is_builtin(served.name, contents) and served.name not in contents.live
    operations = () if has_only_others else operations_of(served.resource)
    table = contents.current.get(served.name, served.table)
    return TableDocument(served, table, shared, operations, read_only=served.name in contents.read_only)


def _paths_of_table(table: TableDocument, contents: Contents, shared: Shared) -> dict[str, Schema]:
    paths = table.paths()
    return paths | _BUILT_IN[table.name](table, shared) if _is_builtin(table.name, contents) else paths


def _tags(contents: Contents, tables: Sequence[TableDocument]) -> list[Schema]:
    """Return the tags: one for each table, each name of queries, and the service."""
    found = [table.tag() for table in tables]
    names = {tag["name"] for tag in found}
    of_queries = dict.fromkeys(query.resource for query in contents.queries if query.resource not in names)
    found += [{"name": name, "description": "Statements of this application."} for name in of_queries]
    found.append(builtin.SERVICE_TAG)
    return [*found, builtin.DIAGNOSTICS_TAG] if contents.diagnostics else found


def _security_schemes(contents: Contents) -> Schema:
    schemes = dict(common.API_KEYS) if contents.has_keys else {}
    if contents.has_shutdown:
        schemes["adminToken"] = common.ADMIN_TOKEN
    return {"securitySchemes": schemes} if schemes else {}
