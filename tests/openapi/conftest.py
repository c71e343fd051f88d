"""The service that the tools call."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cassandra.cluster import Session
from contract.written import create_tables, everything
from helpers.ports import free_port
from process.running import COMMAND, started

from asgi_app.tables.cql import Queries
from openapi.shop import DECLARED, LIVE

TESTS = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def shop_url(
    cql: Session, keyspace: str, node_address: tuple[str, int], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The address of a running service, as `openapi.shop` declares it."""
    create_tables(cql, keyspace, DECLARED)
    cql.execute(Queries(keyspace, replace(everything.table, name=LIVE)).create_table())
    settings = {
        "CASSANDRA_HOSTS": f"{node_address[0]}:{node_address[1]}",
        "CASSANDRA_KEYSPACE": keyspace,
        "PYTHONPATH": str(TESTS),
    }
    port = free_port()
    with started(
        [COMMAND, "serve", "openapi.shop:app", "--port", str(port)], tmp_path_factory.mktemp("shop"), settings
    ) as program:
        program.answers(f"http://127.0.0.1:{port}/readyz")
        yield f"http://127.0.0.1:{port}"
