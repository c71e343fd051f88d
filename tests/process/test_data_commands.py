"""The commands `schema` and `seed` as processes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import httpx
import pytest
from cassandra.cluster import Session
from helpers.cassandra import count
from helpers.ports import free_port

from asgi_app.cli.sample_data import sample_user
from process.running import COMMAND, run, started

TABLES = ("animals", "plants", "users")


class Commands:
    """Runs the command line on one keyspace."""

    def __init__(self, folder: Path, node_settings: Mapping[str, str], keyspace: str) -> None:
        self.folder = folder
        self.settings = {**node_settings, "CASSANDRA_KEYSPACE": keyspace}

    @property
    def address(self) -> str:
        return f"{self.settings['CASSANDRA_HOSTS']}:{self.settings['CASSANDRA_PORT']}"

    def __call__(self, *arguments: str) -> CompletedProcess[str]:
        return run([COMMAND, *arguments], self.folder, self.settings)

    def succeed(self, *arguments: str) -> str:
        """Run a command that must succeed, and return its output."""
        ended = self(*arguments)
        assert (ended.returncode, ended.stderr) == (0, ""), ended.stderr
        return ended.stdout


@pytest.fixture
def command(tmp_path: Path, node_settings: Mapping[str, str], fresh_keyspace: str) -> Commands:
    return Commands(tmp_path, node_settings, fresh_keyspace)


def snapshot(cql: Session, keyspace: str) -> dict[str, list[Any]]:
    """Return every row of every table."""
    return {table: sorted(map(repr, cql.execute(f"SELECT * FROM {keyspace}.{table}"))) for table in TABLES}


def test_schema_twice(command: Commands, cql: Session, fresh_keyspace: str) -> None:
    first = command.succeed("schema")
    assert first == f"Keyspace {fresh_keyspace} at {command.address} has the tables users, animals, plants.\n"
    assert {table: count(cql, f"{fresh_keyspace}.{table}") for table in TABLES} == dict.fromkeys(TABLES, 0)
    assert command.succeed("schema") == first


def test_dry_run_prints_valid_schema(command: Commands, cql: Session, fresh_keyspace: str) -> None:
    printed = command.succeed("schema", "--dry-run")
    assert (
        cql.execute("SELECT * FROM system_schema.keyspaces WHERE keyspace_name = %s", (fresh_keyspace,)).one() is None
    )
    for statement in printed.splitlines():
        cql.execute(statement)
    assert count(cql, f"{fresh_keyspace}.users") == 0


def test_dry_run_does_not_connect(tmp_path: Path) -> None:
    ended = run([COMMAND, "schema", "--dry-run"], tmp_path, {"CASSANDRA_HOSTS": "127.0.0.1:1"})
    assert ended.returncode == 0
    assert ended.stdout.startswith(
        'CREATE KEYSPACE IF NOT EXISTS "test_keyspace" WITH replication = '
        "{'class': 'NetworkTopologyStrategy', 'replication_factor': 1};\n"
    )


DECLARATION = """
import msgspec
from asgi_app import Resource

class Thing(msgspec.Struct):
    id: int
    {field}: str | None

things = Resource(Thing, "things", partition_key=("id",))
"""


def test_schema_of_declared_resources(command: Commands, cql: Session, fresh_keyspace: str) -> None:
    module = command.folder / "shop.py"
    module.write_text(DECLARATION.format(field="name"))
    shown = command.succeed("schema", "--resources", "shop:things")
    assert shown == f"Keyspace {fresh_keyspace} at {command.address} has the tables things.\n"
    assert count(cql, f"{fresh_keyspace}.things") == 0
    module.write_text(DECLARATION.format(field="title"))
    refused = command("schema", "--resources", "shop:things")
    assert refused.returncode == 1
    assert refused.stderr == (
        f"Error: Keyspace {fresh_keyspace} at {command.address}: "
        "The table things exists, but not as declared: see title (missing, declared as text). "
        "Existing tables are not altered; alter this one yourself, or change the declaration.\n"
    )


def test_schema_without_keyspace(command: Commands, cql: Session, fresh_keyspace: str) -> None:
    refused = command("schema", "--no-keyspace")
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"Error: Cassandra at {command.address} refuses this (")
    command.succeed("schema", "--replication", "{'class': 'SimpleStrategy', 'replication_factor': 1}")
    cql.execute(f"DROP TABLE {fresh_keyspace}.plants")
    command.succeed("schema", "--no-keyspace")
    assert count(cql, f"{fresh_keyspace}.plants") == 0


def test_seed_twice_changes_nothing(command: Commands, cql: Session, fresh_keyspace: str) -> None:
    command.succeed("schema")
    place, _, report = command.succeed("seed", "--users", "30").partition(": ")
    assert place == f"Seeded keyspace {fresh_keyspace} at {command.address}"
    assert re.fullmatch(r"123 rows in \d+\.\d s, [\d,]+ rows/s\.\n", report)
    assert [count(cql, f"{fresh_keyspace}.{table}") for table in TABLES] == [5, 88, 30]
    assert json.loads(command.succeed("seed", "--users", "30", "--json", "--quiet"))["rows"] == 123
    port = free_port()
    with started([COMMAND, "serve", "--port", str(port)], command.folder, command.settings) as service:
        service.answers(f"http://127.0.0.1:{port}/readyz")
        users = f"http://127.0.0.1:{port}/users"
        assert httpx.patch(f"{users}/{sample_user(0).id}", json={"age": 99}).json()["age"] == 99
        assert httpx.delete(f"{users}/{sample_user(1).id}").status_code == 204
        animal = {
            "genus": "Panthera",
            "species": "tigris",
            "image_url": "",
            "size_cm": 1,
            "sightings": 1,
            "taxonomy": [],
        }
        assert httpx.post(f"http://127.0.0.1:{port}/animal", json=animal).status_code == 201
    before = snapshot(cql, fresh_keyspace)
    assert len(before["users"]) == 29
    command.succeed("seed", "--users", "30")
    assert snapshot(cql, fresh_keyspace) == before


def test_seed_more_users(command: Commands, cql: Session, fresh_keyspace: str) -> None:
    command.succeed("schema")
    command.succeed("seed", "--users", "5")
    command.succeed("seed", "--users", "2500")
    assert count(cql, f"{fresh_keyspace}.users") == 2500


def test_seed_without_schema_says_what_to_do(command: Commands) -> None:
    ended = command("seed")
    assert ended.returncode == 1
    assert "run the command schema." in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("name", ["schema", "seed"])
def test_unreachable_cassandra_is_reported(tmp_path: Path, name: str) -> None:
    port = free_port()
    ended = run([COMMAND, name], tmp_path, {"CASSANDRA_HOSTS": f"127.0.0.1:{port}"})
    assert ended.returncode == 1
    assert ended.stderr == (
        f"Error: No Cassandra node answers at 127.0.0.1:{port}; check CASSANDRA_HOSTS and CASSANDRA_PORT, and that "
        "Cassandra runs.\n"
    )


@pytest.mark.parametrize("name", ["schema", "seed"])
def test_wrong_data_centre_is_reported(command: Commands, name: str) -> None:
    command.settings["CASSANDRA_LOCAL_DC"] = "dc9"
    ended = command(name)
    assert ended.returncode == 1
    assert ended.stderr == "Error: CASSANDRA_LOCAL_DC is 'dc9'; the cluster has the data centre 'datacenter1'.\n"


def test_verbose_shows_the_traceback(tmp_path: Path) -> None:
    ended = run([COMMAND, "seed", "--verbose"], tmp_path, {"CASSANDRA_HOSTS": f"127.0.0.1:{free_port()}"})
    assert ended.returncode == 1
    assert "Traceback" in ended.stderr
    assert "\nError: No Cassandra node answers" in ended.stderr


def test_node_status_and_stop_without_node(tmp_path: Path) -> None:
    status = run([COMMAND, "node", "status"], tmp_path, {})
    assert (status.returncode, status.stdout) == (3, "No node runs on .cassandra.\n")
    stop = run([COMMAND, "node", "stop"], tmp_path, {})
    assert (stop.returncode, stop.stdout) == (0, "No node runs on .cassandra.\n")
    status = run([COMMAND, "node", "status", "--json"], tmp_path, {})
    assert (status.returncode, json.loads(status.stdout)) == (3, {"running": False})
    stop = run([COMMAND, "node", "stop", "--json"], tmp_path, {})
    assert (stop.returncode, json.loads(stop.stdout)) == (0, {"stopped": False})
