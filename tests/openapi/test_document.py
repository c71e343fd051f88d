"""The document of declared resources: what it says, and what it must not say."""

from __future__ import annotations

import datetime
import json
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import msgspec
import pytest
from contract import written

from asgi_app import FieldError, Index, Query, Resource
from asgi_app.db import Parameter
from asgi_app.openapi.document import Contents, made_document
from asgi_app.resources.table.served import ServedResource
from asgi_app.routes import EXAMPLES, OPERATIONS
from asgi_app.tables.builtin import RESOURCES
from asgi_app.tables.live_choice import resource_of
from asgi_app.tables.live_table import table_of_settings
from asgi_app.tables.table import Column, Table
from asgi_app.tables.types import Native, parse_type
from openapi.documents import EVERY_KIND, KEYSPACE, body_of, document_of, operation, operations, parameters, resolved

GOLDEN = Path(__file__).with_name("builtin.json")


def builtin_document() -> dict[str, Any]:
    """Return the document of the built-in application. Its version is that of the next release."""
    document = document_of(*RESOURCES, examples=True, diagnostics=True, has_console=True, has_shutdown=True)
    return {**document, "info": {**document["info"], "version": "VERSION"}}


def golden_text() -> str:
    return json.dumps(builtin_document(), indent=2, ensure_ascii=False) + "\n"


def test_golden_file() -> None:
    """`python -m openapi.test_document`, in the folder `tests`, writes the file anew."""
    assert json.loads(GOLDEN.read_text("utf-8")) == builtin_document()


def test_each_route_of_the_built_in_application_is_described() -> None:
    described = {(path, method.upper()) for method, path, _ in operations(builtin_document())}
    served = {(route.path, method) for route in (*EXAMPLES, *OPERATIONS) for method in methods_of(route)}
    assert described == served


def methods_of(route: Any) -> set[str]:
    endpoint = getattr(route.endpoint, "_endpoint", route.endpoint)
    return {method for method in endpoint._methods if method != "HEAD"}


def test_links_lead_to_operations_whatever_other_tables_are_called() -> None:
    """The ids of two operations differ by more than case, so those of users get a number here."""
    document = document_of(*RESOURCES, replace(RESOURCES[1], path="Users"), examples=True)
    ids = {each["operationId"] for _, _, each in operations(document)}
    answers = [
        resolved(document, answer) for _, _, each in operations(document) for answer in each["responses"].values()
    ]
    linked = {link["operationId"] for answer in answers for link in answer.get("links", {}).values()}
    assert linked <= ids
    assert any(name.endswith("_n2") for name in linked)


def test_a_built_in_table_of_the_live_schema_has_both_kinds_of_addresses() -> None:
    animals = replace(RESOURCES[1].table, keyspace=KEYSPACE)
    live = {"animals": resource_of(animals, table_of_settings("animals", KEYSPACE, writable=False))}
    document = document_of(RESOURCES[0], RESOURCES[2], live=live, current={"animals": animals}, examples=True)
    assert {"/animal", "/animal/{genus}", "/animals", "/animals/{genus}", "/animals/-/row"} <= document["paths"].keys()
    assert document["paths"]["/animals"].keys() == {"parameters", "get"}
    assert [tag["name"] for tag in document["tags"]] == ["users", "plants", "animals", "service"]


def test_browsers_learn_where_the_console_is() -> None:
    document = builtin_document()
    assert "Location" in resolved(document, operation(document, "service_welcome")["responses"]["303"])["headers"]


def test_document_of_every_kind_of_resource_is_valid() -> None:
    document = document_of(*EVERY_KIND)
    ids = [each["operationId"] for _, _, each in operations(document)]
    assert len({name.lower() for name in ids}) == len(ids)
    for method, path, each in operations(document):
        responses = each["responses"]
        assert "default" in responses, path
        assert any(status.startswith("4") for status in responses), (method, path)
        of_service = "service" in each["tags"]
        assert of_service or each["x-cassandra"]["table"] in document["x-cassandra-tables"], path


class Event(msgspec.Struct):
    tenant: str
    day: datetime.date
    at: datetime.datetime
    id: uuid.UUID
    kind: Annotated[str, msgspec.Meta(max_length=40, pattern=r"\A[a-z]+\Z", title="Kind")]
    n: Annotated[int | None, Index()] = None
    size: Annotated[int, msgspec.Meta(ge=0, lt=100)] = 7
    tags: Annotated[set[Annotated[str, msgspec.Meta(max_length=3)]], msgspec.Meta(max_length=2)] | None = None
    attrs: dict[str, int] | None = None
    owner: str | None = None
    secret: str | None = None
    seen_at: datetime.datetime | None = None


EVENTS = Resource(
    Event,
    "events",
    partition_key=("tenant", "day"),
    clustering=("-at", "id"),
    static=("owner",),
    generated={"id": uuid.uuid4},
    hidden=("secret",),
    read_only=("seen_at",),
    patch_creates=True,
    ttl=60,
    ttl_on_patch=True,
    consistency=("LOCAL_ONE",),
)


@pytest.fixture(scope="module")
def events() -> dict[str, Any]:
    return document_of(EVENTS)


def test_addresses(events: dict[str, Any]) -> None:
    found = {path: {m for m in item if m != "parameters"} for path, item in events["paths"].items()}
    row = {"get", "put", "patch", "delete"}
    assert (
        found.items()
        >= {
            "/events": {"get", "post"},
            "/events/-/stream": {"get"},
            "/events/-/pages": {"get"},
            "/events/-/partitions": {"get"},
            "/events/-/row": row,
            "/events/-/search": {"post"},
            "/events/{tenant}/{day}": {"get", "patch"},
            "/events/{tenant}/{day}/{at}": {"get"},
            "/events/{tenant}/{day}/{at}/{id}": row,
        }.items()
    )
    assert "/events/{tenant}" not in found  # it answers 404 and says what is missing


class Reading(msgspec.Struct):
    sensor: Annotated[str, msgspec.Meta(pattern="^[a-z]+$", max_length=8)]
    hour: Annotated[int, msgspec.Meta(ge=0, le=23)]
    value: float | None = None


def test_key_of_a_new_row_has_its_bounds_in_an_address() -> None:
    resource = Resource(Reading, "readings", partition_key=("sensor",), clustering=("hour",), patch_creates=True)
    document = document_of(resource)
    bounds = {"sensor": {"pattern": "^[a-z]+$", "maxLength": 8}, "hour": {"minimum": 0, "maximum": 23}}
    for path in ("/readings/{sensor}/{hour}", "/readings/-/row"):
        for method, creates in (("put", True), ("patch", True), ("get", False), ("delete", False)):
            found = _schemas_of_parameters(document, path, method)
            for name, wanted in bounds.items():
                assert (wanted.items() <= found[name].items()) is creates, (path, method)


def _schemas_of_parameters(document: dict[str, Any], path: str, method: str) -> dict[str, Any]:
    """Return the schemas by parameter: those of the operation go before those of its path."""
    item = document["paths"][path]
    given = [resolved(document, each) for each in (*item["parameters"], *item[method].get("parameters", ()))]
    return {each["name"]: resolved(document, each["schema"]) for each in given}


def test_body_of_a_new_row(events: dict[str, Any]) -> None:
    body = body_of(events, "events_create")
    assert body["additionalProperties"] is False
    assert set(body["properties"]) == {"tenant", "day", "at", "kind", "n", "size", "tags", "attrs", "secret"}
    assert body["properties"]["secret"]["writeOnly"]
    assert body["required"] == ["tenant", "day", "at", "kind"]
    kind = body["properties"]["kind"]
    assert kind == {"type": "string", "maxLength": 40, "pattern": "^[a-z]+$", "title": "Kind"}
    assert body["properties"]["size"] == {
        "type": "integer",
        "format": "int32",
        "minimum": 0,
        "maximum": 2147483647,
        "exclusiveMaximum": 100,
        "default": 7,
    }
    tags = body["properties"]["tags"]["anyOf"]
    assert tags == [
        {"type": "array", "items": {"type": "string", "maxLength": 3}, "maxItems": 2},
        {"type": "null"},
    ]


def test_listed_values_are_enumerations_of_bodies_and_new_keys() -> None:
    document = document_of(written.rides)
    kind = {"type": "string", "enum": ["car", "bike"]}
    assert document["components"]["schemas"]["Kind"] == kind
    body = body_of(document, "rides_create")["properties"]
    assert body["kind"] == kind
    assert body["state"] == {"type": "string", "enum": ["done", "new"], "default": "new"}
    assert document["components"]["schemas"]["Stars"]["enum"] == [1, 2]
    stars, null = document["components"]["schemas"]["rides_new"]["properties"]["stars"]["anyOf"]
    assert stars == {"$ref": "#/components/schemas/Stars", "description": "How it was liked."}
    assert null == {"type": "null"}
    assert body["level"]["anyOf"][0]["enum"] == [1, 2, 3]
    assert body["paid"] == {"anyOf": [{"type": "string", "enum": ["card", "cash"]}, {"type": "null"}]}
    assert body["kinds"]["anyOf"][0]["items"] == kind
    assert body["counts"]["anyOf"][0]["propertyNames"] == kind
    assert body["stop"]["anyOf"][0]["properties"]["kind"] == {"anyOf": [kind, {"type": "null"}]}
    assert body["host"] == {"anyOf": [{"type": "string", "format": "ipv4"}, {"type": "null"}]}
    for method, creates in (("put", True), ("get", False), ("delete", False)):
        found = _schemas_of_parameters(document, "/rides/{kind}/{id}", method)
        assert ("enum" in found["kind"]) is creates, method
    answer = resolved(document, operation(document, "rides_read")["responses"]["200"])
    assert answer["content"]["application/json"]["schema"]["allOf"][0]["properties"]["kind"] == {"type": "string"}


def test_body_of_a_replacement_has_no_key(events: dict[str, Any]) -> None:
    assert set(body_of(events, "events_replace")["properties"]) == {"kind", "n", "size", "tags", "attrs", "secret"}


def test_body_of_a_change(events: dict[str, Any]) -> None:
    body = body_of(events, "events_change")
    assert (body["minProperties"], body.get("required")) == (1, None)
    whole, merged, null = body["properties"]["tags"]["anyOf"]
    assert (whole["type"], null) == ("array", {"type": "null"})
    assert set(merged["properties"]) == {"$add", "$remove"}
    assert merged["minProperties"] == 1
    attrs = body["properties"]["attrs"]["anyOf"][0]
    assert attrs["additionalProperties"]["anyOf"][1] == {"type": "null"}
    content = resolved(events, operation(events, "events_change")["requestBody"])["content"]
    assert list(content) == ["application/json", "application/merge-patch+json"]
    assert set(body_of(events, "events_change_partition")["properties"]) == {"owner"}


def test_answers_are_open_and_nullable(events: dict[str, Any]) -> None:
    row = resolved(events, operation(events, "events_read")["responses"]["200"])
    some, rest = row["content"]["application/json"]["schema"]["allOf"]
    assert "additionalProperties" not in some
    assert rest["required"] == list(some["properties"])
    assert some["properties"]["tenant"] == {"type": "string"}
    # The row of a partition that has only static columns.
    assert some["properties"]["at"]["anyOf"] == [{"type": "string", "format": "date-time"}, {"type": "null"}]
    assert some["properties"]["kind"] == {"anyOf": [{"type": "string"}, {"type": "null"}]}


def test_only_filters_that_a_request_can_use(events: dict[str, Any]) -> None:
    of_list = set(parameters(events, "events_list"))
    assert {"tenant", "tenant.in", "at.gte", "n", "n.lt", "limit", "page_state", "order"} <= of_list
    assert not {"tenant.gt", "kind", "owner", "tags.contains", "secret", "select"} & of_list
    of_partition = set(parameters(events, "events_list_2"))
    assert {"at.gte", "id.gt", "n"} <= of_partition
    assert not {"tenant.in", "day.in"} & of_partition
    assert "select" in parameters(events, "events_stream")
    assert set(parameters(events, "events_partitions")) & {"tenant", "at", "n"} == {"tenant"}


def test_parameters_have_the_types_of_their_columns(events: dict[str, Any]) -> None:
    found = parameters(events, "events_list")
    assert found["day"]["schema"] == {"type": "string", "format": "date"}
    assert found["n.lt"]["schema"]["format"] == "int32"
    assert found["id.in"]["schema"]["items"] == {"type": "string", "format": "uuid"}
    assert found["order"]["schema"]["enum"] == ["at", "-at", "id", "-id"]
    assert '"null"' not in json.dumps(list(found.values()))
    keys = parameters(events, "events_read")
    assert keys["tenant"]["schema"] == {"type": "string", "minLength": 1}
    assert all(keys[name]["in"] == "path" for name in ("tenant", "day", "at", "id"))
    assert all(parameters(events, "events_read_by_query")[name]["required"] for name in ("tenant", "day", "at", "id"))


def test_headers(events: dict[str, Any]) -> None:
    assert parameters(events, "events_create")["Cassandra-TTL"]["schema"]["maximum"] == 60
    assert parameters(events, "events_list")["Cassandra-Consistency"]["schema"]["enum"] == ["LOCAL_ONE"]
    assert "Cassandra-TTL" not in parameters(events, "events_list")
    assert "If-Match" not in parameters(events, "events_delete")
    conditional = document_of(written.documents, written.strict)
    assert "required" not in parameters(conditional, "documents_delete")["If-Match"]
    assert parameters(conditional, "strict_delete")["If-Match"]["required"]
    assert "required" not in parameters(conditional, "strict_replace")["If-Match"]
    read = operation(conditional, "documents_read")["responses"]
    assert "304" in read
    assert "ETag" in resolved(conditional, read["200"])["headers"]
    assert {"200", "201", "404", "412"} <= set(operation(conditional, "documents_replace")["responses"])


def test_links_lead_from_a_creation_to_its_row(events: dict[str, Any]) -> None:
    links = operation(events, "events_create")["responses"]["201"]["links"]
    assert links["read"] == {
        "operationId": "events_read",
        "parameters": {name: f"$response.body#/{name}" for name in ("tenant", "day", "at", "id")},
    }
    delete = operation(events, "events_read")["responses"]["200"]["links"]["delete"]
    assert (delete["operationId"], delete["parameters"]["id"]) == ("events_delete", "$request.path.id")


def test_facts_for_programs(events: dict[str, Any]) -> None:
    facts = events["x-cassandra-tables"]["events"]
    assert facts["partition_key"] == ["tenant", "day"]
    assert facts["clustering"] == [{"name": "at", "order": "desc"}, {"name": "id", "order": "asc"}]
    assert {"name": "kind", "type": "text", "kind": "regular"} in facts["columns"]
    assert facts["indexes"] == [{"name": None, "column": "n", "target": "", "kind": "sai"}]
    assert (facts["keyspace"], facts["table"], facts["writes"]) == (KEYSPACE, "events", "plain")
    assert "cql" not in facts  # it would name a hidden column
    whole = document_of(replace(EVENTS, hidden=()))["x-cassandra-tables"]["events"]
    assert whole["cql"].startswith("CREATE TABLE IF NOT EXISTS shop.events (tenant text, ")
    assert whole["cql"].endswith("PRIMARY KEY ((tenant, day), at, id)) WITH CLUSTERING ORDER BY (at DESC, id ASC)")
    purpose = operation(events, "events_list_2")["x-cassandra"]
    assert purpose["cql"].endswith("FROM shop.events WHERE tenant = ? AND day = ?")


def test_bound_columns_are_nowhere() -> None:
    document = document_of(replace(EVENTS, bound={"tenant": lambda principal: principal.name}))
    assert "tenant" not in json.dumps(document)


def test_hidden_columns_are_in_bodies_alone(events: dict[str, Any]) -> None:
    schemas = dict(events["components"]["schemas"])
    for name in ("events_new", "events_replacement", "events_change"):
        del schemas[name]
    rest = {**events, "components": {**events["components"], "schemas": schemas}}
    assert "secret" not in json.dumps(rest)


def test_read_only_tables_have_no_writes() -> None:
    found = document_of(EVENTS, read_only=("events",))
    assert all(each["x-cassandra"]["operation"] in READS for _, path, each in operations(found) if "/events" in path)
    assert found["x-cassandra-tables"]["events"]["writes"] == "none"


READS = ("list", "stream", "export", "pages", "partitions", "read", "search")


def test_no_patch_where_rows_expire_by_the_table() -> None:
    live = {"notes": replace(written.notes.table, has_default_ttl=True)}
    names = {each["operationId"] for _, _, each in operations(document_of(written.notes, current=live))}
    assert ("notes_replace" in names, "notes_change" in names) == (True, False)


class Odd(msgspec.Struct):
    a_b: str = msgspec.field(name="a b/{c}?")
    other: str = msgspec.field(name="a_b__c__")
    limit: Annotated[int, Index()]
    comma: int = msgspec.field(name="x,y")


def test_names_that_no_template_can_spell() -> None:
    odd = Resource(Odd, "Odd-1.x", partition_key=("a b/{c}?",), clustering=("a_b__c__",))
    document = document_of(odd, replace(odd, path="odd_1_x"))
    path = next(path for path in document["paths"] if path.count("{") == 2 and path.startswith("/Odd"))
    names = path.replace("/Odd-1.x/", "").replace("{", "").replace("}", "").split("/")
    assert all(name.isidentifier() for name in names)
    assert len(set(names)) == 2
    described = resolved(document, document["paths"][path]["parameters"][0])
    assert described["description"] == "The column `a b/{c}?`."
    of_list = parameters(document, "Odd_1_x_list")
    assert "limit.eq" in of_list  # `limit` is the option
    assert "limit.gt" in of_list
    assert "x,y" not in parameters(document, "Odd_1_x_stream")["select"]["schema"]["items"]["enum"]
    assert "x,y" in body_of(document, "Odd_1_x_search")["properties"]["select"]["items"]["enum"]
    assert body_of(document, "Odd_1_x_create")["required"] == ["a b/{c}?", "a_b__c__", "limit", "x,y"]


def test_vectors_in_searches() -> None:
    body = body_of(document_of(written.founds), "founds_search")
    near = body["properties"]["near"]
    assert (near["minProperties"], near["maxProperties"], set(near["properties"])) == (1, 1, {"close", "far"})
    assert near["properties"]["close"]["minItems"] == 3
    number = {"type": "number", "format": "float", "minimum": -1e17, "maximum": 1e17}  # no NaN: an index refuses it
    for name in ("founds_create", "founds_replace"):
        close = body_of(document_of(written.founds), name)["properties"]["close"]
        assert near["properties"]["close"]["items"] == close["anyOf"][0]["items"] == number
    assert body["properties"]["limit"]["maximum"] == 1000


def test_counters() -> None:
    document = document_of(written.tallies)
    body = body_of(document, "tallies_change")
    assert body["properties"]["seen"]["required"] == ["$inc"]
    assert not any(each["operationId"].startswith("tallies_create") for _, _, each in operations(document))


def test_a_column_of_an_unknown_type_is_only_shown() -> None:
    columns = (Column("id", Native("int"), "partition_key"), Column("odd", parse_type("'org.example.Odd'")))
    table = Table("odd", columns, ("id",), keyspace=KEYSPACE)
    live = {"odd": resource_of(table, table_of_settings("odd", KEYSPACE, writable=True))}
    document = document_of(live=live, current={"odd": table})
    assert set(body_of(document, "odd_create")["properties"]) == {"id"}
    assert document["components"]["schemas"]["odd_columns"]["properties"]["odd"] == {}


def test_rows_whose_key_no_client_can_write_have_no_address() -> None:
    key = Column("odd", parse_type("'org.example.Odd'"), "clustering")
    table = Table("odd", (Column("id", Native("int"), "partition_key"), key), ("id",), ("odd",), keyspace=KEYSPACE)
    live = {"odd": resource_of(table, table_of_settings("odd", KEYSPACE, writable=True))}
    document = document_of(live=live, current={"odd": table})
    assert {"/odd", "/odd/{id}", "/odd/-/stream"} <= set(document["paths"])
    assert not {"/odd/{id}/{odd}", "/odd/-/row"} & set(document["paths"])


def test_constants_of_generated_clients_are_distinct() -> None:
    names = ("id", "name", "Name", "NAME")
    kinds = ("partition_key", "regular", "regular", "regular")
    columns = tuple(Column(name, Native("int"), kind) for name, kind in zip(names, kinds, strict=True))
    table = Table("things", columns, ("id",), keyspace=KEYSPACE)
    live = {"things": resource_of(table, table_of_settings("things", KEYSPACE, writable=False))}
    column = document_of(live=live, current={"things": table})["components"]["schemas"]["things_column"]
    assert column["enum"] == list(names)
    assert column["x-enum-varnames"] == ["id", "name", "Name_n2", "NAME_n3"]


class Counted(msgspec.Struct):
    tenant: str
    n: int | None


QUERIES = (
    Query("/recent/{tenant}", "SELECT at FROM shop.events WHERE tenant = :tenant AND day = :day", returning=Counted),
    Query("/all", "SELECT * FROM shop.events", stream=True),
    Query("/one/{tenant}", "SELECT * FROM shop.events WHERE tenant = :tenant", one=True),
    Query("/recent/{tenant}", "UPDATE shop.events SET n = :n WHERE tenant = :tenant", writes=True, method="POST"),
)


def test_queries() -> None:
    known = {QUERIES[0]: (Parameter("tenant", Native("text")), Parameter("day", Native("date")))}
    document = document_of(queries=QUERIES, parameters=known)
    found = parameters(document, "recent_by_tenant")
    assert found["day"]["schema"] == {"type": "string", "format": "date"}
    assert (found["tenant"]["in"], found["day"]["required"], "limit" in found) == ("path", True, True)
    answer = resolved(document, operation(document, "recent_by_tenant")["responses"]["200"])
    row = answer["content"]["application/json"]["schema"]["items"]
    assert row["properties"]["n"] == {"anyOf": [{"type": "integer"}, {"type": "null"}]}
    assert "404" in operation(document, "one_by_tenant")["responses"]
    assert "application/x-ndjson" in operation(document, "all")["responses"]["200"]["content"]
    assert body_of(document, "recent_by_tenant_write")["properties"] == {"n": {}}  # its type is not known yet


def test_partition_keys_of_statements() -> None:
    read = Query("/one", "SELECT * FROM shop.events WHERE tenant = :tenant", one=True)
    write = replace(QUERIES[3], path="/set")
    tenant = Parameter("tenant", Native("text"), in_partition_key=True)
    known = {read: (tenant,), write: (Parameter("n", Native("int")), tenant)}
    document = document_of(queries=(read, write), parameters=known)
    assert parameters(document, "one")["tenant"]["schema"] == {"type": "string", "minLength": 1}
    body = body_of(document, "set_write")["properties"]
    assert body["tenant"] == {"type": "string"}
    assert body["n"]["anyOf"][1] == {"type": "null"}


def test_security() -> None:
    open_to_all = document_of(EVENTS)
    assert open_to_all["security"] == []
    document = document_of(EVENTS, has_keys=True, has_shutdown=True)
    assert [*document["components"]["securitySchemes"]] == ["bearer", "apiKey", "adminToken"]
    assert document["security"] == [{"bearer": []}, {"apiKey": []}]
    assert operation(document, "service_readyz")["security"] == []
    assert operation(document, "service_shutdown")["security"] == [{"adminToken": []}]
    assert {"401", "403"} <= set(operation(document, "events_list")["responses"])


def test_the_document_does_not_depend_on_how_often_it_is_made() -> None:
    served = [ServedResource(each, KEYSPACE) for each in EVERY_KIND]
    assert made_document(Contents(served)) == made_document(Contents(served))


def test_checks_of_the_application_are_not_described() -> None:
    def check(_body: Any) -> Any:
        yield FieldError("/kind", "must be right")

    assert document_of(replace(EVENTS, check=check)) == document_of(EVENTS)


if __name__ == "__main__":
    GOLDEN.write_text(golden_text(), "utf-8")
