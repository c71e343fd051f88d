"""Plan one request, as the planner of a resource does for many."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from asgi_app.tables.encoding import Encoded
from asgi_app.tables.query_plan import Kind, Plan, QueryPlanner, Rules
from asgi_app.tables.table import Table


def plan_query(
    table: Table, rules: Rules, key_prefix: Sequence[Encoded], parameters: Iterable[tuple[str, str]], kind: Kind
) -> Plan:
    """Return the plan of a GET."""
    return QueryPlanner(table, rules).query(key_prefix, parameters, kind, rules.bound)


def plan_search(table: Table, rules: Rules, body: Any) -> Plan:
    """Return the plan of a search."""
    return QueryPlanner(table, rules).search(body, rules.bound)
