"""Exports and imports that are killed ten times, and of many rows.

TRANSFER_ROWS=1000000 is the number of rows for a proof; the default keeps the suite within its time.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import pytest
from cassandra.cluster import Session
from helpers.cassandra import own_keyspace
from helpers.waiting import wait_until

from asgi_app.tables.builtin import USERS
from process.running import COMMAND, Program, environment, started

pytestmark = [pytest.mark.long, pytest.mark.timeout(3600)]

KILLS = 10
ROWS = int(os.environ.get("TRANSFER_ROWS", "200000"))
KILLED_ROWS = 30_000


@pytest.fixture
def here(cql: Session, node_settings: Mapping[str, str]) -> Iterator[Mapping[str, str]]:
    """The settings for a keyspace with sample rows in the table `users`."""
    with own_keyspace(cql) as keyspace:
        yield {**node_settings, "CASSANDRA_KEYSPACE": keyspace}


@pytest.fixture
def there(cql: Session, node_settings: Mapping[str, str]) -> Iterator[Mapping[str, str]]:
    """The settings for a keyspace with an empty table `users`."""
    with own_keyspace(cql, [USERS]) as keyspace:
        yield {**node_settings, "CASSANDRA_KEYSPACE": keyspace}


@pytest.fixture(scope="module")
def many(
    cql: Session, node_settings: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[str, str]]:
    """The settings for a keyspace with ROWS rows in the table `users`."""
    with own_keyspace(cql) as keyspace:
        settings = {**node_settings, "CASSANDRA_KEYSPACE": keyspace}
        succeed(tmp_path_factory.mktemp("seed"), settings, "seed", "--users", str(ROWS))
        yield settings


def succeed(folder: Path, settings: Mapping[str, str], *arguments: str) -> None:
    ended = subprocess.run(
        [COMMAND, *arguments], cwd=folder, env=environment(settings), capture_output=True, check=False
    )
    assert ended.returncode == 0, ended.stderr


def fingerprint(folder: Path, settings: Mapping[str, str]) -> tuple[int, int]:
    """Return the number of rows, and a sum over all rows that does not depend on their order."""
    command = [COMMAND, "export", "users", "-", "--quiet"]
    with subprocess.Popen(command, cwd=folder, env=environment(settings), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        count = total = 0
        for line in process.stdout:
            count += 1
            total = (total + hash(line)) % 2**64
    assert process.returncode == 0
    return count, total


def modified(path: Path) -> int:
    return path.stat().st_mtime_ns if path.exists() else 0


def has_begun_or_ended(program: Program, begun: Path, before: int) -> bool:
    return modified(begun) > before or program.process.poll() == 0


def kill_at_random_moments(command: list[str], folder: Path, settings: Mapping[str, str], begun: Path) -> None:
    """Run a command ten times, killed while it works, then to its end."""
    moments = random.Random(19)
    for _ in range(KILLS):
        before = modified(begun)
        with started(command, folder, settings) as program:
            works = partial(has_begun_or_ended, program, begun, before)
            wait_until("it works", works)
            try:
                program.process.wait(moments.uniform(0, 1.5))
            except subprocess.TimeoutExpired:
                assert program.end(signal.SIGKILL) == -signal.SIGKILL
    succeed(folder, settings, *command[1:])


def test_killed_again_and_again(here: Mapping[str, str], there: Mapping[str, str], tmp_path: Path) -> None:
    succeed(tmp_path, here, "seed", "--users", str(KILLED_ROWS))
    out = tmp_path / "out"
    command = [COMMAND, "export", "users", "out", "--slices", "2000", "--resume"]
    kill_at_random_moments(command, tmp_path, here, out / "manifest.json")
    lines = [line for path in out.glob("part-*.ndjson") for line in path.read_bytes().splitlines(keepends=True)]
    whole = len(lines), sum(map(hash, lines)) % 2**64
    assert whole == fingerprint(tmp_path, here)
    assert whole[0] == KILLED_ROWS
    state = out / f"import-{there['CASSANDRA_KEYSPACE']}.users.json"
    kill_at_random_moments([COMMAND, "import", "users", "out", "--resume"], tmp_path, there, state)
    assert fingerprint(tmp_path, there) == whole


@pytest.mark.parametrize("form", ["ndjson", "csv", "parquet"])
def test_many_rows_out_and_back(many: Mapping[str, str], there: Mapping[str, str], tmp_path: Path, form: str) -> None:
    succeed(tmp_path, many, "export", "users", "out", "--format", form)
    succeed(tmp_path, there, "import", "users", "out")
    assert fingerprint(tmp_path, there) == fingerprint(tmp_path, many)
