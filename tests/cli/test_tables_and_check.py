"""The commands `tables` and `check` on a real node."""

from __future__ import annotations

import io
import json
import os
import re
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cassandra.cluster import Session
from click.testing import CliRunner, Result
from helpers.cassandra import own_keyspace
from helpers.faulty_node import EXECUTE, QUERY, faulty_node, not_permitted
from helpers.ports import free_port
from rich.console import Console

from asgi_app.cli.commands import command_line
from asgi_app.cli.live import LiveView, absence
from asgi_app.cli.session import open_session
from asgi_app.cli.tables_report import show_tables, tables_report
from asgi_app.settings import ContactPoint, Settings

NodeAddress = tuple[str, int]
Run = Callable[..., Result]

TABLES = (
    "CREATE TABLE {0}.events (tenant text, day date, at timestamp, id uuid, kind text, tags map<text, int>, "
    "PRIMARY KEY ((tenant, day), at, id)) WITH CLUSTERING ORDER BY (at DESC, id ASC)",
    "CREATE INDEX ON {0}.events (kind) USING 'sai'",
    "CREATE INDEX ON {0}.events (keys(tags)) USING 'sai'",
    'CREATE TABLE {0}."Hits" (id int PRIMARY KEY, n counter, "n.gt" counter)',
    "CREATE TABLE {0}.metrics (id int PRIMARY KEY)",
)


@pytest.fixture(scope="module")
def keyspace(cql: Session) -> Iterator[str]:
    """A keyspace with the three tables, of which `check` has nothing to say but its replication."""
    with own_keyspace(cql, durable=True) as name:
        yield name


@pytest.fixture(scope="module")
def shop(cql: Session) -> Iterator[str]:
    """A keyspace with tables of its own."""
    with own_keyspace(cql, (), durable=True) as name:
        for ddl in TABLES:
            cql.execute(ddl.format(name))
        yield name


@pytest.fixture
def run(node_address: NodeAddress, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command in an empty working directory, with settings for the node and a keyspace."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(("CASSANDRA_", "ASTRA_", "ASGI_CASSANDRA_"))]:
        monkeypatch.delenv(name)

    def run(keyspace: str, *arguments: str, at: NodeAddress = node_address, **environment: str) -> Result:
        variables = {"CASSANDRA_HOSTS": f"{at[0]}:{at[1]}", "CASSANDRA_KEYSPACE": keyspace}
        return CliRunner().invoke(command_line, arguments, env={**variables, **environment})

    return run


@pytest.fixture
def address(node_address: NodeAddress) -> str:
    """The node as messages name it."""
    return ":".join(map(str, node_address))


# --- tables


def test_tables_of_a_keyspace(run: Run, shop: str, address: str) -> None:
    ended = run(shop, "tables")
    assert (ended.exit_code, ended.stderr) == (0, f"Keyspace {shop} at {address}\n")
    assert run(shop, "tables", "--quiet").stderr == ""
    assert [re.split("  +", line.strip()) for line in ended.stdout.splitlines()] == [
        ["path", "table", "key", "writes", "filters"],
        ["/Hits", f"{shop}.Hits", "id", "read-only"],
        ["/events", f"{shop}.events", "(tenant, day), at desc, id", "read-only", "kind, tags.contains_key"],
        ["read-only: `--writable NAME` (ASGI_CASSANDRA_WRITABLE) lets clients write"],
        [""],
        ["notes"],
        ["Hits: without the column n.gt: its name ends in .gt, which is an operator in queries"],
        [""],
        ["not served"],
        ["metrics: the application has a path /metrics of its own"],
    ]


def test_writable_tables_have_no_hint_of_the_setting(run: Run, shop: str) -> None:
    ended = run(shop, "tables", "--tables", "events", "--writable", "events")
    assert "plain writes" in ended.stdout
    assert "read-only" not in ended.stdout


def test_tables_as_json(run: Run, shop: str) -> None:
    ended = run(shop, "tables", "--json", "--tables", "events", "--writable", "events")
    assert (ended.exit_code, ended.stderr) == (0, "")
    report = json.loads(ended.stdout)
    (events,) = report.pop("served")
    assert report == {"not_served": []}
    columns = events.pop("columns")
    assert columns[0] == {"name": "tenant", "type": "text", "kind": "partition_key"}
    assert [column["name"] for column in columns] == ["tenant", "day", "at", "id", "kind", "tags"]
    assert events == {
        "name": "events",
        "path": "/events",
        "keyspace": shop,
        "table": "events",
        "partition_key": ["tenant", "day"],
        "clustering": [{"name": "at", "order": "desc"}, {"name": "id", "order": "asc"}],
        "writes": "plain",
        "filters": ["kind", "tags.contains_key"],
        "note": None,
    }


def test_tables_that_were_named_and_are_not_there(run: Run, shop: str) -> None:
    ended = run(shop, "tables", "--json", "--tables", "events,evnts")
    assert ended.exit_code == 1
    reason = f"the keyspace {shop} has no such table"
    assert json.loads(ended.stdout)["not_served"] == [{"name": "evnts", "reason": reason, "wanted": True}]


def test_keyspace_without_tables_and_keyspace_that_does_not_exist(
    run: Run, cql: Session, shop: str, address: str
) -> None:
    with own_keyspace(cql, ()) as empty:
        ended = run(empty, "tables")
        assert (ended.exit_code, ended.output) == (1, f"Error: The keyspace {empty} at {address} has no tables.\n")
    ended = run("nothing_here", "tables")
    assert ended.exit_code == 1
    assert ended.output.startswith(f"Error: The keyspace nothing_here does not exist at {address}; there are: ")
    assert run(shop, "tables", "--tables", "no such").exit_code == 2


def test_keyspace_that_is_the_default() -> None:
    default = Settings().keyspace
    reason = "it is the default while CASSANDRA_KEYSPACE is not set"
    assert absence(default, "a:1", ["shop", "system"]) == f"does not exist at a:1; {reason}; there are: shop"
    assert absence(default, "a:1", ["system"]) == f"does not exist at a:1; {reason}; there is none yet"


def test_schema_that_may_not_be_read(run: Run, shop: str, node_address: NodeAddress) -> None:
    with faulty_node(node_address) as node:
        node.fail(EXECUTE, not_permitted(), always=True)
        ended = run(shop, "tables", at=("127.0.0.1", node.port))
        refusal = "does not permit this to the configured role (10.0.0.1 said no)."
        assert (ended.exit_code, ended.output) == (1, f"Error: Cassandra at 127.0.0.1:{node.port} {refusal}\n")


@pytest.mark.parametrize("width", [30, 80])
def test_tables_on_a_terminal_keep_within_it(node_address: NodeAddress, shop: str, width: int) -> None:
    settings = Settings(cassandra_hosts=(ContactPoint(*node_address),), cassandra_keyspace=shop, tables=("events",))
    with open_session(settings) as session:
        report = tables_report(LiveView(settings, examples=False).snapshot(session), {})
    shown = io.StringIO()
    show_tables(Console(file=shown, width=width), report)
    assert "/events" in shown.getvalue()
    assert ("  filters kind, tags.contains_key\n" in shown.getvalue()) == (width == 30)
    assert width == 30 or max(map(len, shown.getvalue().splitlines())) == 80


# --- check


def report_of(ended: Result) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(ended.stdout)
    return report


def test_check_of_a_service_with_the_built_in_tables(run: Run, keyspace: str, address: str) -> None:
    ended = run(keyspace, "check")
    assert (ended.exit_code, ended.stderr) == (0, "")
    assert f" at {address}, without TLS" in ended.stdout
    for text in ("cluster   Apache Cassandra 5.0.9 ", "1 of 1 up: 1 in datacenter1", f"  {keyspace}.users  "):
        assert text in ended.stdout
    assert ended.stdout.endswith("\nAll that is asked for can be served, 1 danger.\n")
    assert run(keyspace, "check", "--strict").exit_code == 1


def test_check_as_json(run: Run, keyspace: str, node_address: NodeAddress) -> None:
    report = report_of(run(keyspace, "check", "--json", "--host", "0.0.0.0"))
    assert (report["ok"], report["problems"]) == (True, [])
    assert [danger["where"] for danger in report["dangers"]] == [
        f"keyspace {keyspace}",
        "ASGI_CASSANDRA_API_KEYS",
        "ASGI_CASSANDRA_DOCS",
        "ASGI_CASSANDRA_DIAGNOSTICS",
        "ASGI_CASSANDRA_PAGE_KEYS",
    ]
    cluster = report["cluster"]
    assert (cluster["product"], cluster["tls"], cluster["schema_versions"]) == ("Apache Cassandra 5.0.9", False, 1)
    (node,) = cluster["nodes"]
    assert (node["address"], node["is_up"]) == (f"{node_address[0]}:{node_address[1]}", True)
    assert abs(node["clock_ahead"]) <= node["clock_error"] + 0.1  # both clocks are this machine's
    assert report["keyspaces"][0]["name"] == keyspace
    assert [served["name"] for served in report["tables"]["served"]] == ["users", "animals", "plants"]


def test_check_finds_what_is_missing(run: Run, shop: str) -> None:
    ended = run(shop, "check")
    assert ended.exit_code == 1
    assert f"  users: there is no table {shop}.users: `asgi-cassandra schema` creates it\n" in ended.stdout
    assert ended.stdout.endswith("Not all of this can be served: 3 problems, 1 danger.\n")
    assert "These are the built-in tables. For yours: check MODULE:NAME" in ended.stderr
    assert run(shop, "check", "--quiet").stderr == ""
    report = report_of(run(shop, "check", "--json"))
    texts = [each["reason"] for each in report["tables"]["not_served"] if each["wanted"]]
    assert texts == [problem["message"] for problem in report["problems"]]
    assert len(texts) == 3
    missing = report_of(run("nothing_here", "check", "--json"))
    assert [problem["where"] for problem in missing["problems"]] == ["keyspace nothing_here"]


def test_check_without_cassandra(run: Run, shop: str) -> None:
    port = free_port()
    ended = run(shop, "check", "--json", at=("127.0.0.1", port))
    assert ended.exit_code == 1
    report = report_of(ended)
    assert report["cluster"] is None
    (problem,) = report["problems"]
    assert problem["where"] == "cluster"
    assert problem["message"].startswith(f"No Cassandra node answers at 127.0.0.1:{port}; check CASSANDRA_HOSTS")


def test_check_of_wrong_settings(run: Run, shop: str) -> None:
    ended = run(shop, "check", ASGI_CASSANDRA_MAX_WAIT="soon")
    assert ended.exit_code == 2
    assert "ASGI_CASSANDRA_MAX_WAIT" in ended.stderr


def test_check_of_what_the_role_may_not_do(run: Run, shop: str, node_address: NodeAddress) -> None:
    login = {"CASSANDRA_USERNAME": "app", "CASSANDRA_PASSWORD": "s" * 20}
    scope = f"reader:read.events+read.docs+read.evnts:{'k' * 32}"
    with faulty_node(node_address) as node:
        node.fail(QUERY, not_permitted(), always=True, about=b"DELETE")
        arguments = ("check", "--json", "--tables", "events", "--writable", "events")
        ended = run(shop, *arguments, at=("127.0.0.1", node.port), ASGI_CASSANDRA_API_KEYS=scope, **login)
    report = report_of(ended)
    message = f"the role may not write {shop}.events; it needs the permission MODIFY"
    assert report["problems"] == [{"where": "events", "message": message}]
    assert report["cluster"]["login"] == "app"
    (danger,) = (each for each in report["dangers"] if each["where"] == "ASGI_CASSANDRA_API_KEYS")
    assert danger["message"].startswith("the key reader has the scope read.evnts, and there is no such resource")
    assert "s" * 20 not in ended.output
    assert "k" * 32 not in ended.output


@pytest.mark.parametrize("command", ["check", "tables"])
def test_table_that_is_to_be_writable_and_is_not_there(run: Run, shop: str, command: str) -> None:
    ended = run(shop, command, "--json", "--tables", "*", "--writable", "evnts,events")
    assert ended.exit_code == 1
    reason = f"it is to be writable, and the keyspace {shop} has no such table"
    report = json.loads(ended.stdout)
    not_served = report["not_served"] if command == "tables" else report["tables"]["not_served"]
    assert {"name": "evnts", "reason": reason, "wanted": True} in not_served
    if command == "check":
        assert report["problems"] == [{"where": "evnts", "message": reason}]


def test_check_of_a_writable_table_whose_path_is_taken(run: Run, shop: str) -> None:
    ended = run(shop, "check", "--json", "--tables", "*", "--writable", "metrics")
    assert ended.exit_code == 1
    message = "the application has a path /metrics of its own"
    assert report_of(ended)["problems"] == [{"where": "metrics", "message": message}]


def test_check_of_a_writable_table_that_nobody_can_write(run: Run, shop: str) -> None:
    name = "system_views.clients"
    ended = run(shop, "check", "--json", "--tables", name, "--writable", name)
    assert ended.exit_code == 1
    message = "it is to be writable, and is read-only: it is a virtual table"
    assert report_of(ended)["problems"] == [{"where": "clients", "message": message}]


DECLARATIONS = """
import msgspec
from asgi_app import Resource, create_app

class Hit(msgspec.Struct):
    id: int
    number: str | None

resources = [
    Resource(Hit, "Hits", partition_key=("id",), path="/hits"),
    Resource.from_table("events", path="/live", writes="none"),
]
app = create_app(resources=resources)
"""


def test_check_of_declared_resources(run: Run, shop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"declared_{uuid.uuid4().hex}"
    (tmp_path / f"{name}.py").write_text(DECLARATIONS)
    monkeypatch.setattr("sys.path", ["/"])
    ended = run(shop, "check", "--json", "--resources", f"{name}:resources")
    assert ended.exit_code == 1, ended.output
    report = report_of(ended)
    assert [served["path"] for served in report["tables"]["served"]] == ["/live"]
    (problem,) = report["problems"]
    assert problem["where"] == "hits"
    assert "number (missing, declared as text)" in problem["message"]
    of_application = run(shop, "check", "--json", f"{name}:app")
    assert report_of(of_application)["tables"] == report["tables"]
    assert "built-in" not in of_application.stderr
    wrong = run(shop, "check", f"{name}:nothing")
    assert (wrong.exit_code, "for MODULE:NAME" in wrong.stderr) == (2, True)
    assert run(shop, "check", f"{name}:app", "--resources", f"{name}:resources").exit_code == 2
    assert run(shop, "check", "--resources", f"{name}:nothing").exit_code == 2
