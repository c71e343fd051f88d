"""The commands `export` and `import` as processes: their output, exit codes and signals."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from cassandra.cluster import Session
from cassandra.concurrent import execute_concurrent_with_args
from helpers.cassandra import own_keyspace
from helpers.faulty_node import EXECUTE, faulty_node, not_permitted
from helpers.ports import free_port
from helpers.waiting import wait_until

from asgi_app.tables.builtin import PLANTS
from process.running import COMMAND, environment, run, started

ROWS = 2000
SMALL_FILE = 8192

Rows = list[tuple[Any, ...]]


@pytest.fixture(scope="module")
def source(cql: Session, node_settings: Mapping[str, str]) -> Iterator[Mapping[str, str]]:
    """The settings for a keyspace whose table `plants` has some rows."""
    with own_keyspace(cql, [PLANTS]) as keyspace:
        insert = cql.prepare(f"INSERT INTO {keyspace}.plants (genus, species, sightings) VALUES (?, ?, ?)")
        execute_concurrent_with_args(cql, insert, [(f"g{n % 400}", f"s{n}", n) for n in range(ROWS)])
        yield {**node_settings, "CASSANDRA_KEYSPACE": keyspace}


@pytest.fixture
def target(cql: Session, node_settings: Mapping[str, str]) -> Iterator[Mapping[str, str]]:
    """The settings for a keyspace whose table `plants` is empty."""
    with own_keyspace(cql, [PLANTS]) as keyspace:
        yield {**node_settings, "CASSANDRA_KEYSPACE": keyspace}


def stored(cql: Session, settings: Mapping[str, str]) -> Rows:
    return sorted(map(tuple, cql.execute(f"SELECT * FROM {settings['CASSANDRA_KEYSPACE']}.plants")))


def exported(folder: Path) -> list[bytes]:
    return sorted(line for path in folder.glob("part-*.ndjson") for line in path.read_bytes().splitlines())


def manifest_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "manifest.json").read_bytes())
    return found


def test_out_and_back(cql: Session, source: Mapping[str, str], target: Mapping[str, str], tmp_path: Path) -> None:
    out = run([COMMAND, "export", "plants", "out", "--slices", "4"], tmp_path, source)
    assert (out.returncode, out.stderr) == (0, "")
    assert out.stdout.startswith(f"Exported {ROWS:,} rows of {source['CASSANDRA_KEYSPACE']}.plants to out: 4 parts, ")
    again = run([COMMAND, "export", "plants", "out", "--resume"], tmp_path, source)
    name = f"{source['CASSANDRA_KEYSPACE']}.plants"
    assert again.stdout.startswith(f"The export of {name} in out was whole already: {ROWS:,} rows, 4 parts, ")
    back = run([COMMAND, "import", "plants", "out"], tmp_path, target)
    assert (back.returncode, back.stderr) == (0, "")
    assert back.stdout.startswith(f"Imported {ROWS:,} rows in ")
    assert stored(cql, target) == stored(cql, source)
    again = run([COMMAND, "import", "plants", "out", "--resume"], tmp_path, target)
    assert again.stdout == "The import of out was whole already.\n"


def test_a_failure_of_cassandra_names_the_address(
    source: Mapping[str, str], node_address: tuple[str, int], tmp_path: Path
) -> None:
    with faulty_node(node_address) as node:
        node.fail(EXECUTE, not_permitted(), always=True)
        at = {**source, "CASSANDRA_HOSTS": f"127.0.0.1:{node.port}"}
        ended = run([COMMAND, "export", "plants", "out"], tmp_path, at)
    assert ended.returncode in (1, 3)
    assert ended.stderr.startswith(f"Error: Cassandra at 127.0.0.1:{node.port}: ")


def test_through_a_pipe_and_as_json(source: Mapping[str, str], tmp_path: Path) -> None:
    out = run([COMMAND, "export", "plants", "-", "--json", "--format", "csv"], tmp_path, source)
    assert (out.returncode, len(out.stdout.splitlines())) == (0, ROWS + 1)
    *_, end = map(json.loads, out.stderr.splitlines())
    assert (end["event"], end["outcome"], end["rows"], end["share"]) == ("end", "whole", ROWS, 1.0)
    (tmp_path / "rows.csv").write_text(out.stdout + "g,s,none\n")
    checked = run([COMMAND, "import", "plants", "rows.csv", "--dry-run", "--json"], tmp_path, source)
    assert checked.returncode == 4
    assert checked.stderr.endswith("1 row was rejected; see rows.csv.rejected.ndjson.\n")
    *_, end = map(json.loads, checked.stdout.splitlines())
    assert (end["outcome"], end["rows"], end["rejected"]) == ("rejected", ROWS, 1)


def test_more_rejected_rows_than_allowed_are_a_failure(target: Mapping[str, str], tmp_path: Path) -> None:
    (tmp_path / "rows.ndjson").write_text('{"genus": 1}\n' * 3)
    ended = run([COMMAND, "import", "plants", "rows.ndjson", "--max-rejects", "1"], tmp_path, target)
    assert ended.returncode == 1
    assert ended.stderr == (
        "Error: More rows were rejected than --max-rejects allows (1); see rows.ndjson.rejected.ndjson. "
        "Rows after them were not imported; a larger number lets the import go on.\n"
    )


def test_from_one_cluster_to_another(
    cql: Session, source: Mapping[str, str], target: Mapping[str, str], tmp_path: Path
) -> None:
    out = subprocess.Popen(
        [COMMAND, "export", "plants", "-", "--quiet"], cwd=tmp_path, env=environment(source), stdout=subprocess.PIPE
    )
    with out:
        back = subprocess.run(
            [COMMAND, "import", "plants", "-"],
            cwd=tmp_path,
            env=environment(target),
            stdin=out.stdout,
            capture_output=True,
            text=True,
            check=False,
        )
    assert (out.returncode, back.returncode, back.stderr) == (0, 0, "")
    assert back.stdout.startswith(f"Imported {ROWS:,} rows in ")
    assert stored(cql, target) == stored(cql, source)


def test_two_imports_of_standard_input_each_have_their_rejected_rows(target: Mapping[str, str], tmp_path: Path) -> None:
    for number in range(2):
        ended = subprocess.run(
            [COMMAND, "import", "plants", "-"],
            cwd=tmp_path,
            env=environment(target),
            input=f'{{"genus": {number}}}\n',
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 4
    found = [path.read_text() for path in tmp_path.glob("rejected-*.ndjson")]
    assert sorted(json.loads(text)["row"]["genus"] for text in found) == [0, 1]


def test_a_signal_while_nothing_arrives(target: Mapping[str, str], tmp_path: Path) -> None:
    reading, writing = os.pipe()
    process = subprocess.Popen(
        [COMMAND, "import", "plants", "-", "--json"],
        cwd=tmp_path,
        env=environment(target),
        stdin=reading,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    os.close(reading)
    assert process.stdout is not None
    process.stdout.readline()  # progress: it waits for rows
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    os.close(writing)
    assert (process.returncode, errors) == (1, b"Error: Interrupted.\n")


def test_a_reader_that_leaves(source: Mapping[str, str], tmp_path: Path) -> None:
    for reads in (b"", b"one line"):
        process = subprocess.Popen(
            [COMMAND, "export", "plants", "-"],
            cwd=tmp_path,
            env=environment(source),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdout is not None
        if reads:
            process.stdout.readline()
        process.stdout.close()
        assert process.stderr is not None
        errors = process.stderr.read()
        process.stderr.close()
        assert (process.wait(60), errors) == (
            1,
            b"Error: What reads standard output has closed it before the end.\n",
        )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_reader_that_does_not_read_and_a_signal(
    source: Mapping[str, str], tmp_path: Path, number: signal.Signals
) -> None:
    reading, writing = os.pipe()
    process = subprocess.Popen(
        [COMMAND, "export", "plants", "-"],
        cwd=tmp_path,
        env=environment(source),
        stdout=writing,
        stderr=subprocess.PIPE,
    )
    os.close(writing)
    os.read(reading, 1)  # it writes
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    os.close(reading)
    assert (process.returncode, errors) == (1, b"Error: Interrupted.\n")


def test_a_signal_keeps_whole_parts_and_resume_does_the_rest(
    cql: Session, source: Mapping[str, str], tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    command = [COMMAND, "export", "plants", "out", "--slices", "1500", "--parallel", "2"]
    with started(command, tmp_path, source) as program:
        wait_until("there are parts", lambda: len(list(folder.glob("part-*.ndjson"))) > 20)
        assert program.end(signal.SIGINT) == 3
        errors = program.errors
    assert errors.endswith(
        "Error: Interrupted. To do the rest:\n  asgi-cassandra export plants out --slices 1500 --parallel 2 --resume\n"
    )
    manifest = manifest_of(folder)
    assert manifest["finished_at"] is None
    assert {part["file"] for part in manifest["parts"]} == {path.name for path in folder.glob("part-*")}
    resumed = run([*command, "--resume", "--parallel", "8"], tmp_path, source)
    assert (resumed.returncode, len(manifest_of(folder)["parts"])) == (0, 1500)
    assert len(exported(folder)) == len(stored(cql, source)) == manifest_of(folder)["rows"]


def test_a_disk_that_is_full(cql: Session, source: Mapping[str, str], tmp_path: Path) -> None:
    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (SMALL_FILE, SMALL_FILE))

    command = [COMMAND, "export", "plants", "out", "--slices", "2"]
    full = subprocess.run(
        command,
        cwd=tmp_path,
        env=environment(source),
        capture_output=True,
        text=True,
        preexec_fn=small_files,
        check=False,
    )
    assert full.returncode == 3
    assert re.fullmatch(
        r"Error: out/part-000[12]-of-0002\.ndjson could not be written: File too large\. 0 of 2 parts are whole\. "
        r"To do the rest:\n  asgi-cassandra export plants out --slices 2 --resume\n",
        full.stderr,
    )
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["manifest.json"]
    assert run([*command, "--resume"], tmp_path, source).returncode == 0
    assert len(exported(tmp_path / "out")) == ROWS


def test_an_import_that_is_interrupted_and_resumed(
    cql: Session, source: Mapping[str, str], target: Mapping[str, str], tmp_path: Path
) -> None:
    assert run([COMMAND, "export", "plants", "out", "--slices", "50"], tmp_path, source).returncode == 0
    state = tmp_path / "out" / f"import-{target['CASSANDRA_KEYSPACE']}.plants.json"
    command = [COMMAND, "import", "plants", "out", "--parallel", "1", "--batch", "1"]
    with started(command, tmp_path, target) as program:
        wait_until("the import has begun", state.exists)
        assert program.end(signal.SIGTERM) == 3
        assert program.errors.endswith("import plants out --parallel 1 --batch 1 --resume\n")
    resumed = run([COMMAND, "import", "plants", "out", "--resume"], tmp_path, target)
    assert resumed.returncode == 0
    assert re.fullmatch(r"[0-9]+ of 50 files are imported already\.\n", resumed.stderr)
    assert stored(cql, target) == stored(cql, source)


@pytest.mark.parametrize("arguments", [["export", "plants", "out"], ["import", "plants", "rows.csv"]])
def test_without_cassandra(tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "rows.csv").write_text("genus,species\n")
    port = free_port()
    ended = run([COMMAND, *arguments], tmp_path, {"CASSANDRA_HOSTS": f"127.0.0.1:{port}"})
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith(f"Error: No Cassandra node answers at 127.0.0.1:{port}; check")
    assert not (tmp_path / "out").exists()
