"""Documents of resources, made without a service."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from contract import written
from openapi_spec_validator import OpenAPIV31SpecValidator

from asgi_app.openapi.document import Contents, Document
from asgi_app.resources.table.served import ServedResource
from asgi_app.tables.resource import Resource

KEYSPACE = "shop"

EVERY_KIND = (
    written.items,
    written.mine,
    written.each,
    written.documents,
    written.strict,
    written.notes,
    written.visits,
    written.edges,
    written.firm_edges,
    written.founds,
    written.rides,
    written.everything,
)
"""Resources of every kind: plain and conditional ones, with versions, static columns, counters, vectors, every type."""

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")


def document_of(*resources: Resource, **contents: Any) -> dict[str, Any]:
    """Return the document of declared resources. It is a valid one. `contents` are arguments of `Contents`."""
    declared = [ServedResource(each, KEYSPACE) for each in resources]
    document: dict[str, Any] = json.loads(Document(Contents(declared, **contents)).at(""))
    OpenAPIV31SpecValidator(document).validate()
    assert unused_components(document) == set()
    return document


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield each operation with its method and its path."""
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                yield method, path, item[method]


def operation(document: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the operation with this id."""
    return next(each for _, _, each in operations(document) if each["operationId"] == name)


def resolved(document: dict[str, Any], part: Any) -> Any:
    """Return a part of a document with all references replaced by what they refer to."""
    if isinstance(part, list):
        return [resolved(document, each) for each in part]
    if not isinstance(part, dict):
        return part
    if "$ref" in part:
        found: Any = document
        for token in part["$ref"].removeprefix("#/").split("/"):
            found = found[token]
        return resolved(document, found)
    return {name: resolved(document, each) for name, each in part.items()}


def parameters(document: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the parameters of an operation by their names, references resolved."""
    for _, path, each in operations(document):
        if each["operationId"] == name:
            found = [*document["paths"][path]["parameters"], *each.get("parameters", [])]
            return {parameter["name"]: parameter for parameter in resolved(document, found)}
    raise KeyError(name)


def body_of(document: dict[str, Any], name: str) -> Any:
    """Return the schema of an operation's body, references resolved."""
    content = resolved(document, operation(document, name)["requestBody"])["content"]
    assert next(iter(content)) == "application/json"
    return content["application/json"]["schema"]


def unused_components(document: dict[str, Any]) -> set[str]:
    """Return the components that nothing refers to."""
    text = json.dumps(document)
    return {
        f"#/components/{section}/{name}"
        for section, parts in document["components"].items()
        for name in parts
        if section != "securitySchemes" and f'"#/components/{section}/{name}"' not in text
    }
