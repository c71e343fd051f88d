"""The operations of the built-in application: users, animals and plants, the service itself, the demonstrations."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from asgi_app.openapi.common import query_parameter
from asgi_app.openapi.components import Schema
from asgi_app.openapi.tables import Shared, TableDocument, created_schema, page_schema
from asgi_app.resources.species import AnimalFields
from asgi_app.resources.users import MAX_AGE, MAX_BATCH_USERS, UserChanges, UserFields
from asgi_app.tables.builtin import ANIMAL_RESOURCE, PLANT_RESOURCE, USER_RESOURCE

SERVICE_TAG = {"name": "service", "description": "The state of the service."}
DIAGNOSTICS_TAG = {
    "name": "diagnostics",
    "description": "Demonstrations of behaviour. They read system tables only, and change no data.",
}

_PYTHON_SPACES = r"\x1c-\x1f\x85"
"""What `\\s` matches in Python and not in ECMA-262."""

_NO_NUL = r"^[^\x00]*$"
_TIME = {"type": "string", "format": "date-time"}


class Operations:
    """Collects the operations of some paths, and makes their parts."""

    def __init__(self, shared: Shared, tag: str) -> None:
        self._shared = shared
        self._tag = tag
        self.common = shared.common
        self.paths: dict[str, Schema] = {}

    def add(self, method: str, path: str, name: str, summary: str, **parts: Any) -> None:
        """Add the operation `<tag>_<name>`. Its other `parts` are those of an OpenAPI operation."""
        item = self.paths.setdefault(path, {"parameters": [*_path_keys(path), *self.common.of_every_request()]})
        wanted = f"{self._tag}_{name}"
        item[method] = {
            "operationId": self._shared.operation_ids.new(wanted),
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
    users, common = Operations(shared, USER_RESOURCE.name), shared.common
    option, row = common.option, table.row()
    minimum = query_parameter(
        "age_filter", "Only users of at least this age.", {"type": "integer", "minimum": 0, "maximum": MAX_AGE}
    )
    minimum = common.parameter("users_age_filter", minimum)
    fields = users.answer("new", _bodies()["UserFields"])
    changes = users.answer("change", {**_bodies()["UserChanges"], "minProperties": 1})
    found, invalid = common.json("The user.", row), common.problems("InvalidInput")
    missing = common.problems("NotFound", "InvalidInput")
    of_created = {"user_id": "$response.body#/id"}
    links = {name: {"operationId": f"users_{name}", "parameters": of_created} for name in ("read", "delete")}

    users.add(
        "get",
        "/users",
        "list",
        "List users",
        parameters=[option("DefaultLimit"), option("PageState")],
        responses={"200": common.json("A page of users.", _array(row), "Link"), **invalid},
        **_purpose(table, "list"),
    )
    users.add(
        "post",
        "/users",
        "create",
        "Create a user",
        requestBody=_body(fields),
        responses={"201": common.json("The new user.", row, "Location", links=links), **invalid},
        **_purpose(table, "create"),
    )
    users.add(
        "post",
        "/users/batch",
        "batch",
        "Create many users",
        requestBody=_body(users.answer("batch", _batch(fields))),
        responses={
            "201": common.json("All users were created.", users.answer("created", created_schema("users", row))),
            **invalid,
        },
        **_purpose(table, "batch"),
    )
    users.add(
        "get",
        "/users/stream",
        "stream",
        "Stream all users",
        parameters=[option("Limit"), option("FetchSize"), minimum, option("Format")],
        responses={"200": common.stream("The users.", row), **invalid},
        **_purpose(table, "stream"),
    )
    users.add(
        "get",
        "/users/stream/pages",
        "pages",
        "Read users page by page",
        parameters=[option("Limit"), option("FetchSize"), minimum, option("PageState")],
        responses={
            "200": common.json("A page of users.", users.answer("page", page_schema("users", row))),
            **invalid,
        },
        **_purpose(table, "pages"),
    )
    item = "/users/{user_id}"
    of_request = {"delete": {"operationId": "users_delete", "parameters": {"user_id": "$request.path.user_id"}}}
    users.add(
        "get",
        item,
        "read",
        "Read a user",
        responses={"200": common.json("The user.", row, links=of_request), **missing},
        **_purpose(table, "read"),
    )
    users.add(
        "put",
        item,
        "replace",
        "Replace a user",
        requestBody=_body(fields),
        responses={"200": found, **missing},
        **_purpose(table, "replace"),
    )
    users.add(
        "patch",
        item,
        "change",
        "Change a user",
        requestBody=_body(changes, merges=True),
        responses={"200": found, **missing},
        **_purpose(table, "change"),
    )
    users.add(
        "delete",
        item,
        "delete",
        "Delete a user",
        responses={"204": common.no_content(), **invalid},
        **_purpose(table, "delete"),
    )
    return users.paths


def animal_paths(table: TableDocument, shared: Shared) -> dict[str, Schema]:
    """Return the addresses of animals."""
    animals, common = Operations(shared, ANIMAL_RESOURCE.name), shared.common
    done = {"type": "object", "required": ["inserted"], "properties": {"inserted": {"type": "boolean"}}}
    key = {"genus": "$request.body#/genus", "species": "$request.body#/species"}
    links = {"read": {"operationId": "animals_read", "parameters": key}}
    animals.add(
        "post",
        "/animal",
        "create",
        "Write an animal",
        requestBody=_body(animals.answer("new", _bodies()["AnimalFields"])),
        responses={
            "201": common.json("The animal was written.", animals.answer("written", done), "Location", links=links),
            **common.problems("InvalidInput"),
        },
        **_purpose(table, "create"),
    )
    animals.add(
        "get",
        "/animal/{genus}",
        "stream",
        "Stream the animals of a genus",
        parameters=[common.option("Format")],
        responses={"200": common.stream("The animals.", table.row()), **common.problems("InvalidInput")},
        **_purpose(table, "stream"),
    )
    animals.add(
        "get",
        "/animal/{genus}/{species}",
        "read",
        "Read an animal",
        responses={
            "200": common.json("The animal.", table.row()),
            **common.problems("NotFound", "InvalidInput"),
        },
        **_purpose(table, "read"),
    )
    return animals.paths


def plant_paths(table: TableDocument, shared: Shared) -> dict[str, Schema]:
    """Return the address of plants."""
    plants, common = Operations(shared, PLANT_RESOURCE.name), shared.common
    plants.add(
        "get",
        "/plant/{genus}",
        "stream",
        "Stream the plants of a genus",
        parameters=[common.option("Format")],
        responses={"200": common.stream("The plants.", table.row()), **common.problems("InvalidInput")},
        **_purpose(table, "stream"),
    )
    return plants.paths


def _purpose(table: TableDocument, kind: str) -> Schema:
    return {"x-cassandra": table.purpose(kind)}


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


def service_paths(shared: Shared, *, has_shutdown: bool) -> dict[str, Schema]:
    """Return the addresses that every application has."""
    service, common = Operations(shared, SERVICE_TAG["name"]), shared.common
    health = service.answer("health", _HEALTH)
    readiness = service.answer("readiness", _READINESS)
    service.add(
        "get",
        "/",
        "welcome",
        "What this service is",
        responses={"200": common.json("What it is.", service.answer("about", _ABOUT)), **common.problems("BadRequest")},
    )
    service.add(
        "get",
        "/health",
        "health",
        "Whether Cassandra answers",
        responses={
            "200": common.json("It does.", health),
            "503": common.json("It does not.", health),
            **common.problems("BadRequest"),
        },
    )
    service.add(
        "get",
        "/livez",
        "livez",
        "Whether the process answers",
        security=[],
        responses={"200": common.json("It does.", _strings("status")), **common.problems("BadRequest", is_open=True)},
    )
    service.add(
        "get",
        "/readyz",
        "readyz",
        "Whether requests can be served",
        security=[],
        responses={
            "200": common.json("They can.", readiness),
            "503": common.json("They cannot now.", readiness),
            **common.problems("BadRequest", is_open=True),
        },
    )
    figures = {"application/json": {"schema": {"type": "object"}}, "text/plain": {"schema": {"type": "string"}}}
    service.add(
        "get",
        "/metrics",
        "metrics",
        "What the service has done",
        responses={"200": common.answer("Figures; for scrapers as text.", figures), **common.problems("BadRequest")},
    )
    if has_shutdown:
        service.add(
            "post",
            "/shutdown",
            "shutdown",
            "Stop the service",
            security=[{"adminToken": []}],
            responses={
                "202": common.json("It is stopping.", service.answer("shutdown", _SHUTDOWN)),
                **common.problems("Unauthorized", is_open=True),
            },
        )
    return service.paths


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
    checks, common = Operations(shared, DIAGNOSTICS_TAG["name"]), shared.common
    count = query_parameter(
        "requests", "The number of queries.", {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100}
    )
    times = common.json("How long they took.", checks.answer("performance", _PERFORMANCE))
    for mode, how in (("async", "at once"), ("sync", "one after another")):
        checks.add(
            "get",
            f"/performance/{mode}",
            f"performance_{mode}",
            f"Run queries {how}",
            parameters=[common.parameter("diagnostics_requests", count)],
            responses={"200": times, **common.problems("InvalidInput")},
        )
    paced = common.json("The number of queries.", checks.answer("paced", _PACED))
    for name, seconds in (("slow_query", 5), ("long_running_query", 10)):
        checks.add(
            "get",
            f"/{name}",
            name,
            f"Spend {seconds} seconds on queries",
            responses={"200": paced, **common.problems("BadRequest")},
        )
    report = common.json("What was found.", checks.answer("report", _REPORT))
    for name, summary in _CHECKS.items():
        checks.add(
            "post",
            f"/context_manager_safety/{name}",
            name,
            summary,
            responses={"200": report, **common.problems("BadRequest")},
        )
    checks.add(
        "get",
        "/context_manager_safety/status",
        "status",
        "What is open now",
        responses={"200": common.json("What is open.", {"type": "object"}), **common.problems("BadRequest")},
    )
    return checks.paths


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
