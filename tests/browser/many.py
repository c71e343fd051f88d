"""A document of many tables, made of that of a service with the table `items`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TABLES = 500


def multiplied(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a document whose resource `items` is there many times, and nothing else."""
    items = {path: item for path, item in document["paths"].items() if path.startswith("/items")}
    names = [f"items_{number}" for number in range(TABLES)]
    return {
        **document,
        "paths": {
            path.replace("/items", f"/{name}"): _renamed(item, name) for name in names for path, item in items.items()
        },
        "tags": [{"name": name} for name in names],
        "x-cassandra-tables": dict.fromkeys(names, document["x-cassandra-tables"]["items"]),
    }


def _renamed(item: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the operations of a path of `items` as those of another resource."""
    operations = {method: operation for method, operation in item.items() if method != "parameters"}
    own = {
        method: {
            **operation,
            "operationId": operation["operationId"].replace("items", name, 1),
            "tags": [name],
            "x-cassandra": {**operation["x-cassandra"], "table": name},
        }
        for method, operation in operations.items()
    }
    return {**item, **own}
