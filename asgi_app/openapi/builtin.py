"""The operations of the built-in application: users, animals and plants, the service itself, the demonstrations."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from asgi_app.http.formats import FORMATS
from asgi_app.openapi.common import query_parameter
from asgi_app.openapi.components import Schema
from asgi_app.openapi.tables import Shared, TableDocument, created_schema, page_schema
from asgi_app.resources.species import AnimalFields
from asgi_app.resources.users import MAX_AGE, MAX_BATCH_USERS, UPDATED, UserChanges, UserFields
from asgi_app.tables.builtin import ANIMAL_RESOURCE, PLANT_RESOURCE, USER_RESOURCE
from asgi_app.tables.cql import Queries, Statement

SERVICE_TAG = {"name": "service", "description": "The state of the service."}
DIAGNOSTICS_TAG = {
    "name": "diagnostics",
    "description": "Demonstrations of behaviour. They read system tables only, and change no data.",
}

_PYTHON_SPACES = r"\x1c-\x1f\x85"
"""What `\\s` matches in Python and not in ECMA-262."""

_USER_STATEMENTS: Mapping[str, Callable[[Queries], Statement]] = {
    "batch": lambda queries: queries.insert_at,
    "change": lambda queries: queries.update_if_exists(UPDATED),
    "create": lambda queries: queries.insert_at,
    "replace": lambda queries: queries.update_if_exists(UPDATED),
}
"""The statements of the operations on users that differ from those of other tables, by the kind of the operation."""

_NO_NUL = r"^[^\x00]*$"
_TIME = {"type": "string", "format": "date-time"}


class Operations:
    """Collects the operations of some paths, and makes their parts."""

    def __init__(self, shared: Shared, tag: str) -> None:
        self._shared = shared
        self._tag = tag
        self.common = shared.common
        self.paths: dict[str, Schema] = {}
        self._ids: dict[str, str] = {}

    def id_of(self, name: str) -> str:
        """Return the id of the operation `name`: `<tag>_<name>`, unless a table of a similar name has that."""
        if name not in self._ids:
            self._ids[name] = self._shared.operation_ids.new(f"{self._tag}_{name}")
        return self._ids[name]

    def add(self, method: str, path: str, name: str, summary: str, **parts: Any) -> None:
        """Add an operation. Its other `parts` are those of an OpenAPI operation."""
        item = self.paths.setdefault(path, {"parameters": [*_path_keys(path), *self.common.of_every_request()]})
        item[method] = {
            "operationId": self.id_of(name),
            "summary": summary,
            "tags": [self._tag],
            **parts,
        }

    def answer(self, name: str, schema: Schema) -> Schema:
        """Return a reference to a schema of this tag."""
        wanted = f"{self._tag}_{name}"
        return self._shared.components.refer("schemas", ("builtin", wanted), wanted, lambda: schema)


def _path_keys(path: str) -> list[Schema]:
    """Return the parameters of a path: the id of a user is a UUID, other keys are texts."""
    kinds = {"user_id": {"type": "string", "format": "uuid"}}
    return [
        {"name": name, "in": "path", "required": True, "schema": kinds.get(name, {"type": "string", "minLength": 1})}
        for name in re.findall(r"\{(\w+)\}", path)
    ]


# --- tables


def user_paths(table: TableDocument, shared: Shared) -> dict[str, Schema]:
    """Return the addresses of users."""
    return _Users(table, shared).paths()


class _Users:
    """Describes the addresses of users."""

    def __init__(self, table: TableDocument, shared: Shared) -> None:
        self._table = table
        self._users = Operations(shared, USER_RESOURCE.name)
        self._common = shared.common
        self._row = table.row()
        self._fields = self._users.answer("new", _bodies()["UserFields"])
        self._found = shared.common.json("The user.", self._row)
        self._invalid = shared.common.problems("InvalidInput")
        self._missing = shared.common.problems("NotFound", "InvalidInput")

    def paths(self) -> dict[str, Schema]:
        self._collection()
        self._streams()
        self._batch()
        self._item()
        return self._users.paths

    def _add(self, method: str, path: str, kind: str, summary: str, **parts: Any) -> None:
        self._users.add(method, path, kind, summary, **parts, **_purpose(self._table, kind, _USER_STATEMENTS.get(kind)))

    def _options(self, *names: str) -> list[Schema]:
        return [self._common.option(name) for name in names]

    def _collection(self) -> None:
        page = self._common.json("A page of users.", _array(self._row), "Link")
        key = {"user_id": "$response.body#/id"}
        links = {name: {"operationId": self._users.id_of(name), "parameters": key} for name in ("read", "delete")}
        created = self._common.json("The new user.", self._row, "Location", links=links)
        options = self._options("DefaultLimit", "PageState")
        self._add("get", "/users", "list", "List users", parameters=options, responses={"200": page, **self._invalid})
        body, responses = _body(self._fields), {"201": created, **self._invalid}
        self._add("post", "/users", "create", "Create a user", requestBody=body, responses=responses)

    def _streams(self) -> None:
        age = {"type": "integer", "minimum": 0, "maximum": MAX_AGE}
        minimum = query_parameter("age_filter", "Only users of at least this age.", age)
        options = [*self._options("Limit", "FetchSize"), self._common.parameter("users_age_filter", minimum)]
        stream = {"200": self._common.stream("The users.", self._row), **self._invalid}
        parameters = [*options, *self._options("Format", "Slice", "Parallel")]
        self._add("get", "/users/stream", "stream", "Stream all users", parameters=parameters, responses=stream)
        for form in FORMATS:
            self._export(form, [*options, *self._options("Slice", "Parallel")])
        page = self._users.answer("page", page_schema("users", self._row))
        pages = {"200": self._common.json("A page of users.", page), **self._invalid}
        parameters = [*options, *self._options("PageState", "Slice")]
        summary = "Read users page by page"
        self._add("get", "/users/stream/pages", "pages", summary, parameters=parameters, responses=pages)

    def _export(self, form: str, parameters: list[Schema]) -> None:
        rows = {"200": self._common.file("The users, as a file.", self._row, form), **self._invalid}
        parts = {"parameters": parameters, "responses": rows, **_purpose(self._table, "export")}
        summary = f"Export all users as {form.upper()}"
        self._users.add("get", f"/users/export.{form}", f"export_{form}", summary, **parts)

    def _batch(self) -> None:
        created = self._users.answer("created", created_schema("users", self._row))
        responses = {"201": self._common.json("All users were created.", created), **self._invalid}
        body = _body(self._users.answer("batch", _batch(self._fields)))
        self._add("post", "/users/batch", "batch", "Create many users", requestBody=body, responses=responses)

    def _item(self) -> None:
        key = {"user_id": "$request.path.user_id"}
        links = {"delete": {"operationId": self._users.id_of("delete"), "parameters": key}}
        read = {"200": self._common.json("The user.", self._row, links=links), **self._missing}
        path, changed = "/users/{user_id}", {"200": self._found, "204": self._common.no_content(), **self._missing}
        changes = self._users.answer("change", {**_bodies()["UserChanges"], "minProperties": 1})
        self._add("get", path, "read", "Read a user", responses=read)
        self._add("put", path, "replace", "Replace a user", requestBody=_body(self._fields), responses=changed)
        body = _body(changes, merges=True)
        self._add("patch", path, "change", "Change a user", requestBody=body, responses=changed)
        deleted = {"204": self._common.no_content(), **self._common.problems("PreconditionFailed", "InvalidInput")}
        condition = self._table.if_match(required=False)
        self._add("delete", path, "delete", "Delete a user", parameters=condition, responses=deleted)


def animal_paths(table: TableDocument, shared: Shared) -> dict[str, Schema]:
    """Return the addresses of animals."""
    animals = Operations(shared, ANIMAL_RESOURCE.name)
    _add_writing(animals, table)
    _add_stream(animals, table, "/animal/{genus}", "animals")
    row = animals.common.json("The animal.", table.row())
    responses = {"200": row, **animals.common.problems("NotFound", "InvalidInput")}
    path, purpose = "/animal/{genus}/{species}", _purpose(table, "read")
    animals.add("get", path, "read", "Read an animal", responses=responses, **purpose)
    return animals.paths


def _add_writing(animals: Operations, table: TableDocument) -> None:
    done = {"type": "object", "required": ["inserted"], "properties": {"inserted": {"type": "boolean"}}}
    key = {name: f"$request.body#/{name}" for name in ("genus", "species")}
    links = {"read": {"operationId": animals.id_of("read"), "parameters": key}}
    written = animals.common.json("It was written.", animals.answer("written", done), "Location", links=links)
    body = _body(animals.answer("new", _bodies()["AnimalFields"]))
    responses = {"201": written, **animals.common.problems("InvalidInput")}
    purpose = _purpose(table, "create", lambda queries: queries.insert)
    animals.add("post", "/animal", "create", "Write an animal", requestBody=body, responses=responses, **purpose)


def plant_paths(table: TableDocument, shared: Shared) -> dict[str, Schema]:
    """Return the address of plants."""
    plants = Operations(shared, PLANT_RESOURCE.name)
    _add_stream(plants, table, "/plant/{genus}", "plants")
    return plants.paths


def _add_stream(of_table: Operations, table: TableDocument, path: str, rows: str) -> None:
    """Add the stream of a partition."""
    common = of_table.common
    answer = {"200": common.stream(f"The {rows}.", table.row()), **common.problems("InvalidInput")}
    parts = {"parameters": [common.option("Format")], "responses": answer}
    purpose = _purpose(table, "stream", lambda queries: queries.partition)
    of_table.add("get", path, "stream", f"Stream the {rows} of a genus", **parts, **purpose)


def _purpose(table: TableDocument, kind: str, statement: Callable[[Queries], Statement] | None = None) -> Schema:
    return {"x-cassandra": table.purpose(kind) if statement is None else table.own_purpose(kind, statement)}


def _bodies() -> Mapping[str, Schema]:
    """Return the schemas of the bodies of built-in tables, by the names of their structs."""
    _, found = msgspec.json.schema_components([UserFields, UserChanges, AnimalFields])
    return {name: _body_schema(schema) for name, schema in found.items()}


def _body_schema(schema: Schema) -> Schema:
    properties = {name: _property(each) for name, each in schema["properties"].items()}
    required = {"required": schema["required"]} if schema["required"] else {}
    return {"type": "object", "additionalProperties": False, **required, "properties": properties}


def _property(schema: Schema) -> Schema:
    """Return the schema of a member: without descriptions that repeat it; texts hold no U+0000."""
    found = {key: value for key, value in schema.items() if key not in ("description", "title")}
    if found.get("type") == "array":
        return {**found, "items": _property(found["items"])}
    if found.get("type") != "string":
        return found
    if "pattern" not in found:
        return {**found, "pattern": _NO_NUL}
    anchored = found["pattern"].replace(r"\A", "^").replace(r"\Z", "$")
    return {**found, "pattern": anchored.replace(r"[^@\s", rf"[^@\s{_PYTHON_SPACES}\x00")}


def _batch(fields: Schema) -> Schema:
    many = {"type": "array", "minItems": 1, "maxItems": MAX_BATCH_USERS, "items": fields}
    wrapped = {"type": "object", "additionalProperties": False, "required": ["users"], "properties": {"users": many}}
    return {"anyOf": [many, wrapped]}


def _array(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _body(schema: Schema, *, merges: bool = False) -> Schema:
    content = {"application/json": {"schema": schema}}
    if merges:
        content["application/merge-patch+json"] = {"schema": schema}
    return {"required": True, "content": content}


# --- the service


def service_paths(shared: Shared, *, has_console: bool, has_shutdown: bool) -> dict[str, Schema]:
    """Return the addresses that every application has."""
    service = Operations(shared, SERVICE_TAG["name"])
    about, bad = service.common.json("What it is.", service.answer("about", _ABOUT)), "BadRequest"
    responses = {"200": about, **service.common.problems(bad)}
    if has_console:
        to_console = "For `Accept: text/html`, as browsers send: to the console."
        responses["303"] = service.common.answer(to_console, {}, "Location")
    service.add("get", "/", "welcome", "What this service is", responses=responses)
    _add_probes(service)
    figures = {"application/json": {"schema": {"type": "object"}}, "text/plain": {"schema": {"type": "string"}}}
    answer = service.common.answer("Figures; for scrapers as text.", figures)
    responses = {"200": answer, **service.common.problems(bad)}
    service.add("get", "/metrics", "metrics", "What the service has done", responses=responses)
    if has_shutdown:
        _add_shutdown(service)
    return service.paths


def _add_probes(service: Operations) -> None:
    common = service.common
    health, readiness = service.answer("health", _HEALTH), service.answer("readiness", _READINESS)
    answers = {"200": common.json("It does.", health), "503": common.json("It does not.", health)}
    responses = {**answers, **common.problems("BadRequest")}
    service.add("get", "/health", "health", "Whether Cassandra answers", responses=responses)
    problems = common.problems("BadRequest", is_open=True)
    alive = {"200": common.json("It does.", _strings("status")), **problems}
    service.add("get", "/livez", "livez", "Whether the process answers", security=[], responses=alive)
    answers = {"200": common.json("They can.", readiness), "503": common.json("They cannot now.", readiness)}
    responses, summary = {**answers, **problems}, "Whether requests can be served"
    service.add("get", "/readyz", "readyz", summary, security=[], responses=responses)


def _add_shutdown(service: Operations) -> None:
    stopping = service.common.json("It is stopping.", service.answer("shutdown", _SHUTDOWN))
    responses = {"202": stopping, **service.common.problems("Unauthorized", is_open=True)}
    security: list[Schema] = [{"adminToken": []}]
    service.add("post", "/shutdown", "shutdown", "Stop the service", security=security, responses=responses)


def _strings(*names: str) -> Schema:
    return {"type": "object", "required": list(names), "properties": {name: {"type": "string"} for name in names}}


_ABOUT: Schema = _strings("message", "version", "docs", "health")

_HEALTH: Schema = {
    "type": "object",
    "required": ["status", "cassandra", "keyspace", "cassandra_connected", "timestamp"],
    "properties": {
        "status": {"enum": ["healthy", "unhealthy"]},
        "cassandra": {"enum": ["connected", "disconnected"]},
        "keyspace": {"type": "string"},
        "cassandra_connected": {"type": "boolean"},
        "timestamp": _TIME,
    },
}

_READINESS: Schema = {
    "type": "object",
    "required": ["status", "connected", "missing_tables", "draining"],
    "properties": {
        "status": {"enum": ["ready", "not ready"]},
        "connected": {"type": "boolean"},
        "missing_tables": {"type": "array", "items": {"type": "string"}},
        "draining": {"type": "boolean"},
        "unserved": {
            "type": "object",
            "description": "The resources whose tables do not fit, with the columns.",
            "additionalProperties": {"type": "array", "items": {"type": "string"}},
        },
    },
}

_SHUTDOWN: Schema = {
    "type": "object",
    "required": ["message", "status", "requests_under_way", "grace_seconds"],
    "properties": {
        "message": {"type": "string"},
        "status": {"type": "string"},
        "requests_under_way": {"type": "integer"},
        "grace_seconds": {"type": "number"},
    },
}


# --- demonstrations

_CHECKS = {
    "query_error": "Check that a failed query leaves the session usable",
    "streaming_error": "Check that a failed stream leaves the session usable",
    "concurrent_streams": "Check that concurrent streams do not mix rows",
    "nested_contexts": "Check that connections close from the inside out",
    "cancellation": "Check that a cancelled stream leaves nothing open",
}


def diagnostics_paths(shared: Shared) -> dict[str, Schema]:
    """Return the addresses of the demonstrations."""
    checks = Operations(shared, DIAGNOSTICS_TAG["name"])
    problems = checks.common.problems("BadRequest")
    _add_performance(checks)
    paced = {"200": checks.common.json("The number of queries.", checks.answer("paced", _PACED)), **problems}
    for name, seconds in (("slow_query", 5), ("long_running_query", 10)):
        checks.add("get", f"/{name}", name, f"Spend {seconds} seconds on queries", responses=paced)
    report = {"200": checks.common.json("What was found.", checks.answer("report", _REPORT)), **problems}
    for name, summary in _CHECKS.items():
        checks.add("post", f"/context_manager_safety/{name}", name, summary, responses=report)
    is_open = {"200": checks.common.json("What is open.", {"type": "object"}), **problems}
    checks.add("get", "/context_manager_safety/status", "status", "What is open now", responses=is_open)
    return checks.paths


def _add_performance(checks: Operations) -> None:
    count = {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100}
    option = checks.common.parameter(
        "diagnostics_requests", query_parameter("requests", "The number of queries.", count)
    )
    times = checks.common.json("How long they took.", checks.answer("performance", _PERFORMANCE))
    responses = {"200": times, **checks.common.problems("InvalidInput")}
    for mode, how in (("async", "at once"), ("sync", "one after another")):
        name, summary = f"performance_{mode}", f"Run queries {how}"
        checks.add("get", f"/performance/{mode}", name, summary, parameters=[option], responses=responses)


_PERFORMANCE: Schema = {
    "type": "object",
    "properties": {
        "requests": {"type": "integer"},
        "total_time": {"type": "number"},
        "requests_per_second": {"type": "number"},
        "avg_time_per_request": {"type": "number"},
        "successful_requests": {"type": "integer"},
        "mode": {"enum": ["async", "sync"]},
    },
}

_PACED: Schema = {
    "type": "object",
    "properties": {
        "message": {"type": "string"},
        "seconds": {"type": "number"},
        "queries": {"type": "integer"},
    },
}

_REPORT: Schema = {
    "type": "object",
    "required": ["test", "passed"],
    "properties": {
        "test": {"type": "string"},
        "passed": {"type": "boolean"},
        "ran": {"type": "array", "items": {"type": "string"}},
    },
}
