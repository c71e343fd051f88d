"""An import writes every row that is one, says what is wrong with the others, and can be repeated."""

from __future__ import annotations

import gzip
import json
import os
import resource
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from helpers.transfers import cql, exported, imported, rows_of
from pyarrow import parquet

from asgi_app.db import Database
from asgi_app.errors import NotConnected
from asgi_app.transfer.files import locked, only_writer
from asgi_app.transfer.outcomes import Failed, Partial, Refused, RowsRejected
from asgi_app.transfer.row_encoding import Row
from asgi_app.transfer.row_sink import RowSink
from asgi_app.transfer.table_identity import ChosenColumns

pytestmark = pytest.mark.anyio


COLUMNS = "p int, c int, s text STATIC, v text, l list<int>, d date, PRIMARY KEY (p, c)"


@pytest.fixture
async def table(database: Database, keyspace: str, request: pytest.FixtureRequest) -> str:
    """The name of an empty table."""
    name = f"{keyspace}.{request.node.name[:40]}"
    await cql(database, f"CREATE TABLE {name} ({COLUMNS})")
    return name


async def copied(database: Database, table: str) -> str:
    """Return the name of another table with the same columns."""
    await cql(database, f"CREATE TABLE {table}2 ({COLUMNS})")
    return f"{table}2"


def written(folder: Path, name: str, *lines: Any) -> Path:
    path = folder / name
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("".join(f"{text}\n" for text in texts))
    return path


@contextmanager
def small_files(size: int) -> Iterator[None]:
    """Let no file of this process become larger in the block, as if the disk were full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def selected(database: Database, table: str, columns: str) -> list[tuple[Any, ...]]:
    result = await cql(database, f"SELECT {columns} FROM {table}")
    return sorted(result.page.tuples(), key=repr)


def rejected(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


async def test_rows_that_are_none_are_rejected_each_with_its_errors(
    database: Database, table: str, tmp_path: Path
) -> None:
    lines = (
        {"p": 1, "c": 1, "v": "good"},
        {"p": "one", "c": 2, "v": 3, "x": None},
        {"p": 1},
        {"p": 1, "s": "shared", "v": "no row"},
        {"p": 2, "s": "only static"},
        "",
        '{"p": 1, "c": 3',
        "[1]",
        {"p": 1, "c": 4, "l": [1, None, "a"]},
    )
    progress, rejects = await imported(database, table, written(tmp_path, "rows.ndjson", *lines))
    assert (progress.rows, rejects.count) == (2, 6)
    found = rejected(tmp_path / "rows.ndjson.rejected.ndjson")
    assert {row["file"] for row in found} == {"rows.ndjson"}
    assert [(row["line"], [(error["field"], error["message"]) for error in row["errors"]]) for row in found] == [
        (
            2,
            [
                ("/p", "must be an integer from -2147483648 to 2147483647"),
                ("/v", "must be text"),
                ("/x", "is not a column that may be written here"),
            ],
        ),
        (3, [("/c", "is required")]),
        (4, [("/c", "is required")]),
        (7, [("", "is not JSON")]),
        (8, [("", "must be a JSON object")]),
        (9, [("/l/1", "must not be null"), ("/l/2", "must be an integer from -2147483648 to 2147483647")]),
    ]
    assert [row["row"] for row in found[1:4]] == [{"p": 1}, {"p": 1, "s": "shared", "v": "no row"}, '{"p": 1, "c": 3']
    assert await selected(database, table, "p, c, s, v") == [(1, 1, None, "good"), (2, None, "only static", None)]


async def test_csv_rejects(database: Database, table: str, tmp_path: Path) -> None:
    path = written(
        tmp_path, "rows.csv", "v,c,p", ",1,1", '"",2,1', '"two\nlines",3,1', "x,y,1", "1,2", 'a"b,4,1', "z,,1"
    )
    progress, _ = await imported(database, table, path)
    assert progress.rows == 3
    assert await selected(database, table, "p, c, v") == [(1, 1, None), (1, 2, ""), (1, 3, "two\nlines")]
    assert [
        (row["line"], row["errors"][0]["field"], row["errors"][0]["message"])
        for row in rejected(tmp_path / "rows.csv.rejected.ndjson")
    ] == [
        (6, "/c", "must be an integer from -2147483648 to 2147483647"),
        (7, "", "must have 3 fields, as the header has, and has 2"),
        (8, "", "is not CSV: a quote within a field that does not begin with one"),
        (9, "/c", "is required"),
    ]


async def test_cassandra_refuses_a_row_of_20_mb_and_takes_its_neighbours(
    database: Database, table: str, tmp_path: Path
) -> None:
    large = {"p": 1, "c": 2, "s": "shared", "v": "x" * 20_000_000}
    rows = [{"p": 1, "c": 1}, large, {"p": 1, "c": 3, "s": "shared"}]
    progress, _ = await imported(database, table, written(tmp_path, "rows.ndjson", *rows))
    assert progress.rows == 2
    assert await selected(database, table, "c, s") == [(1, "shared"), (3, "shared")]
    (found,) = rejected(tmp_path / "rows.ndjson.rejected.ndjson")
    assert (found["line"], found.get("row")) == (2, None)
    assert found["errors"][0]["message"].startswith("was refused by Cassandra: Request is too big")


async def test_it_stops_when_more_rows_are_rejected_than_allowed(
    database: Database, table: str, tmp_path: Path
) -> None:
    path = written(tmp_path, "rows.ndjson", *({"p": number} for number in range(9)))
    for dry_run, error in ((False, Partial), (True, RowsRejected)):
        with pytest.raises(error, match=r"than --max-rejects allows \(4\); see \S+rejected.ndjson\. "):
            await imported(database, table, path, max_rejects=4, dry_run=dry_run)
        assert len(rejected(tmp_path / "rows.ndjson.rejected.ndjson")) == 5
    _, rejects = await imported(database, table, written(tmp_path, "rows.ndjson", {"p": 1, "c": 1}))
    assert (rejects.count, rejects.path.exists()) == (0, False)


async def test_resume_with_more_rejects_allowed_imports_the_rest(
    database: Database, keyspace: str, tmp_path: Path
) -> None:
    source, target = f"{keyspace}.long_values", f"{keyspace}.long_keys"
    await cql(database, f"CREATE TABLE {source} (p int PRIMARY KEY, v text)")
    await cql(database, f"CREATE TABLE {target} (p int, v text, PRIMARY KEY (p, v))")
    for number in range(8):
        await cql(database, f"INSERT INTO {source} (p, v) VALUES (?, ?)", [number, "x" * (70_000 if number % 2 else 7)])
    await exported(database, source, tmp_path, slices=4)
    with pytest.raises(Partial, match=r"^More rows were rejected than --max-rejects allows \(1\); "):
        await imported(database, target, tmp_path, max_rejects=1)
    kept = rejected(tmp_path / "rejected.ndjson")
    _, checked = await imported(database, target, tmp_path, dry_run=True)
    assert checked.path.name == "dry-run-rejected.ndjson"
    assert rejected(tmp_path / "rejected.ndjson") == kept
    _, rejects = await imported(database, target, tmp_path, max_rejects=4, resume=True)
    assert rejects.count == 4
    assert sorted(await selected(database, target, "p")) == [(0,), (2,), (4,), (6,)]


async def test_a_key_that_is_there_twice_has_the_last_row(database: Database, table: str, tmp_path: Path) -> None:
    rows = [{"p": 1, "c": number % 3, "v": f"{9 - number}", "d": "2024-01-01"} for number in range(9)]
    await imported(database, table, written(tmp_path, "rows.ndjson", *rows), parallel=1)
    assert await selected(database, table, "c, v") == [(0, "3"), (1, "2"), (2, "1")]


async def test_nulls_ttl_and_timestamp(database: Database, table: str, tmp_path: Path) -> None:
    await cql(database, f"INSERT INTO {table} (p, c, v, d) VALUES (1, 1, 'before', '2024-01-01') USING TIMESTAMP 1000")
    path = written(tmp_path, "rows.csv", "p,c,v", "1,1,", "1,2,new")
    await imported(database, table, path, ttl=1000, format="csv", batch=1)
    assert await selected(database, table, "c, v") == [(1, "before"), (2, "new")]
    ((left,),) = (await selected(database, table, "ttl(v)"))[:1]
    assert 0 < left <= 1000
    await imported(database, table, path, nulls="delete")
    assert await selected(database, table, "c, v") == [(1, None), (2, "new")]
    with pytest.raises(Refused, match="has lists, which double if they are written twice with one timestamp"):
        await imported(database, table, path, timestamp=1000)
    with pytest.raises(Refused, match="has lists"):
        await imported(database, table, path, timestamp="export")


async def test_the_time_of_the_export_never_hides_later_writes(database: Database, table: str, tmp_path: Path) -> None:
    await cql(database, f"INSERT INTO {table} (p, c, v, l) VALUES (1, 1, 'exported', [1, 2])")
    await cql(database, f"INSERT INTO {table} (p, c, v) VALUES (1, 2, 'exported')")
    await exported(database, table, tmp_path, slices=1)
    await cql(database, f"UPDATE {table} SET v = 'later' WHERE p = 1 AND c = 1")
    await cql(database, f"DELETE FROM {table} WHERE p = 1 AND c = 2")
    for _ in range(3):
        await imported(database, table, tmp_path, timestamp="export")
    assert await selected(database, table, "c, v, l") == [(1, "later", [1, 2])]


async def test_resume_skips_what_is_done_and_forgets_no_rejected_row(
    database: Database, table: str, tmp_path: Path
) -> None:
    for number in range(40):
        await cql(database, f"INSERT INTO {table} (p, c, v) VALUES (?, 1, 'x')", [number])
    manifest = await exported(database, table, tmp_path, slices=4)
    state = tmp_path / f"import-{table}.json"
    await imported(database, table, tmp_path, resume=True)  # there is nothing to resume: it begins
    remembered = json.loads(state.read_bytes())
    assert sorted(remembered["files"]) == [part.file for part in manifest.parts]
    done = manifest.parts[1]
    state.write_text(json.dumps({**remembered, "files": [done.file]}))
    entries = [{"file": part.file, "line": 1, "errors": []} for part in manifest.parts]
    written(tmp_path, "rejected.ndjson", *entries, '{"file": "cut by a ki')
    progress, rejects = await imported(database, table, tmp_path, resume=True)
    assert progress.rows == 40 - done.rows
    assert [row["file"] for row in rejected(rejects.path)] == [done.file]
    assert json.loads(state.read_bytes())["runs"] == 2
    with pytest.raises(Refused, match="is about an import into"):
        await imported(database, await copied(database, table), tmp_path, resume=True, state=state)
    state.write_text("{")
    with pytest.raises(Failed, match="is not the state of an import"):
        await imported(database, table, tmp_path)


async def test_resume_notices_that_the_table_lost_what_was_written(
    database: Database, table: str, tmp_path: Path
) -> None:
    await cql(database, f"INSERT INTO {table} (p, c, v) VALUES (1, 1, 'x')")
    await exported(database, table, tmp_path, slices=2)
    await imported(database, table, tmp_path)
    with pytest.raises(Refused, match="is about an import of the columns p, c, s, d, l, v"):
        await imported(database, table, tmp_path, resume=True, select=["p", "c"])
    for statements in ([f"TRUNCATE {table}"], [f"ALTER TABLE {table} DROP v", f"ALTER TABLE {table} ADD v text"]):
        for statement in statements:
            await cql(database, statement)
        with pytest.raises(Refused, match=r"was (truncated|altered) .*since its import began"):
            await imported(database, table, tmp_path, resume=True)
        progress, _ = await imported(database, table, tmp_path)
        assert progress.rows == 1


async def test_a_table_that_is_truncated_while_rows_are_written(
    database: Database, table: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, "rows.ndjson", {"p": 1, "c": 1})
    write = RowSink.write

    async def write_and_truncate(sink: RowSink, rows: Sequence[Row]) -> None:
        await write(sink, rows)
        await cql(database, f"TRUNCATE {table}")

    monkeypatch.setattr(RowSink, "write", write_and_truncate)
    with pytest.raises(Failed, match="was truncated while rows were written to it"):
        await imported(database, table, path)


async def test_chosen_columns(database: Database, table: str, tmp_path: Path) -> None:
    rows = written(tmp_path, "rows.ndjson", {"p": 1, "c": 1, "v": "no", "d": "2024-01-01", "x": 1})
    await imported(database, table, rows, select=["c", "d", "p"])
    records = written(tmp_path, "rows.csv", "x,d,c,v,p", "1,2024-01-02,2,no,1")
    await imported(database, table, records, select=["c", "d", "p"])
    assert await selected(database, table, "c, v, d") == [(1, None, "2024-01-01"), (2, None, "2024-01-02")]


async def test_partitions_without_rows_are_left_out_where_no_static_column_is_chosen(
    database: Database, table: str, tmp_path: Path
) -> None:
    await cql(database, f"INSERT INTO {table} (p, s) VALUES (1, 'only static')")
    await cql(database, f"INSERT INTO {table} (p, c, s, v) VALUES (2, 1, 'shared', 'row')")
    there = await copied(database, table)
    for folder, select, chosen in ((tmp_path / "some", ["p", "c", "v"], []), (tmp_path / "all", [], ["p", "c", "v"])):
        await exported(database, table, folder, slices=1, select=select)
        progress, rejects = await imported(database, there, folder, select=chosen)
        assert (progress.rows, rejects.count) == (1, 0)
    assert await selected(database, there, "p, c, s, v") == [(2, 1, None, "row")]


async def test_a_row_without_its_key_is_never_left_out_of_a_file(
    database: Database, table: str, tmp_path: Path
) -> None:
    """Unless it has nothing but static values, which are not chosen."""
    chosen = {"select": ["p", "c", "v"]}
    rows = [{"p": 1, "c": None}, {"p": 2, "v": "x"}, {"p": 3, "s": "only static"}, {"p": 4, "c": 1, "s": "x"}]
    parquet.write_table(
        pa.Table.from_pylist([{**dict.fromkeys("pcsv"), **row} for row in rows]), tmp_path / "r.parquet"
    )
    for path in (
        written(tmp_path, "r.ndjson", *rows),
        written(tmp_path, "r.csv", "s,p,c,v", ",1,,", ",2,,x", "only static,3,,", "x,4,1,"),
        tmp_path / "r.parquet",
    ):
        progress, rejects = await imported(database, table, path, **chosen)
        assert (progress.rows, rejects.count) == (1, 2)
        assert [row["errors"] for row in rejected(rejects.path)] == [[{"field": "/c", "message": "is required"}]] * 2
    progress, rejects = await imported(database, table, written(tmp_path, "r.csv", "p,c,v", "1,,"))
    assert (progress.rows, rejects.count) == (0, 1)


async def test_all_is_written_when_cassandra_goes_away_before_the_last_check(
    database: Database, table: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def change(target: ChosenColumns, database: Database) -> str | None:
        raise NotConnected

    monkeypatch.setattr(ChosenColumns, "change", change)
    with pytest.raises(Partial, match=r"^All rows are written, and whether \S+ has kept them is not known: "):
        await imported(database, table, written(tmp_path, "rows.ndjson", {"p": 1, "c": 1}))
    assert await selected(database, table, "p, c") == [(1, 1)]


async def test_a_file_that_is_cut_within_its_last_row(database: Database, table: str, tmp_path: Path) -> None:
    path = written(tmp_path, "rows.ndjson", {"p": 1, "c": 1}, {"p": 1, "c": 2})
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(Failed, match=r"rows\.ndjson: The file ends within line 2: it is cut\."):
        await imported(database, table, path)


async def test_a_pipe_is_read_from_standard_input_alone(database: Database, table: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "rows.ndjson")
    with pytest.raises(Refused, match=r"rows\.ndjson is not a file\. Rows that come through a pipe"):
        await imported(database, table, tmp_path / "rows.ndjson")


async def test_imports_never_remove_the_rejected_rows_of_others(database: Database, table: str, tmp_path: Path) -> None:
    rows = written(tmp_path, "rows.ndjson", {"p": 1})
    (tmp_path / "rejected").write_text("")
    with only_writer(tmp_path / "rejected"), pytest.raises(Refused, match=r"Another process writes to \S+rejected;"):
        await imported(database, table, rows, rejects=tmp_path / "rejected")
    await imported(database, table, rows, rejects=tmp_path / "rejected")
    assert len(rejected(tmp_path / "rejected")) == 1


async def test_a_file_that_cannot_be_written_is_named(database: Database, table: str, tmp_path: Path) -> None:
    await exported(database, table, tmp_path, slices=1)
    (tmp_path / "file").touch()
    outcomes: dict[str, tuple[Path, type[Exception]]] = {
        "state": (tmp_path, Failed),
        "rejects": (written(tmp_path, "rows.ndjson", {"p": 1}), Partial),
    }
    for option, (source, outcome) in outcomes.items():
        sentence = rf"{tmp_path}/file/{option}\S* cannot be used: Not a directory\. --{option} names another\."
        with pytest.raises(outcome, match=sentence):
            await imported(database, table, source, **{option: tmp_path / "file" / option})


async def test_a_disk_that_is_full_of_rejected_rows(database: Database, table: str, tmp_path: Path) -> None:
    rows = written(tmp_path, "rows.ndjson", *({"p": 1, "v": "x" * 1000} for _ in range(20)))
    with (
        small_files(8192),
        pytest.raises(Partial, match=r"rejected\.ndjson cannot be used: File too large\. --rejects"),
    ):
        await imported(database, table, rows)


@pytest.mark.parametrize("partitions", [1, 3])
async def test_a_write_has_one_partition_unless_more_are_allowed(
    database: Database, keyspace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, partitions: int
) -> None:
    name = f"{keyspace}.single{partitions}"
    await cql(database, f"CREATE TABLE {name} (p int PRIMARY KEY)")
    for number in range(6):
        await cql(database, f"INSERT INTO {name} (p) VALUES (?)", [number])
    await exported(database, name, tmp_path, slices=1)
    sizes: list[int] = []
    write = RowSink.write

    async def counting(sink: RowSink, rows: Sequence[Row]) -> None:
        sizes.append(len(rows))
        await write(sink, rows)

    monkeypatch.setattr(RowSink, "write", counting)
    await imported(database, name, tmp_path, partitions=partitions)
    assert sizes == [partitions] * (6 // partitions)


async def test_two_imports_of_a_folder_take_turns(database: Database, table: str, tmp_path: Path) -> None:
    await exported(database, table, tmp_path / "out", slices=1)
    elsewhere = {"state": tmp_path / "state.json", "rejects": tmp_path / "rejects.ndjson"}
    with locked(tmp_path / "out"):
        with pytest.raises(Refused, match="Another process is at work"):
            await imported(database, table, tmp_path / "out")
        await imported(database, table, tmp_path / "out", **elsewhere)


async def test_rows_that_are_no_text(database: Database, table: str, tmp_path: Path) -> None:
    for name, lines in {
        "rows.ndjson": [b'\xef\xbb\xbf{"p":1,"c":1,"v":"\xff"}', b'{"p":1,"c":2,"v":"\\ud800"}', b'{"p":2,"c":2}'],
        "rows.csv": [b"p,c,v", b"1,1,\xe9", b'1,2,"\xff"', b"1,3,x"],
    }.items():
        (tmp_path / name).write_bytes(b"\n".join(lines))
        progress, rejects = await imported(database, table, tmp_path / name)
        assert (progress.rows, rejects.count, len(rejected(rejects.path))) == (1, 2, 2)


async def test_each_file_has_its_own_rejected_rows(database: Database, table: str, tmp_path: Path) -> None:
    bad, good = written(tmp_path, "bad.ndjson", {"p": 1}), written(tmp_path, "good.ndjson", {"p": 1, "c": 1})
    _, rejects = await imported(database, table, bad)
    await imported(database, table, good)
    assert [row["file"] for row in rejected(rejects.path)] == ["bad.ndjson"]


async def test_a_dry_run_writes_nothing(database: Database, table: str, tmp_path: Path) -> None:
    path = written(tmp_path, "rows.ndjson", {"p": 1, "c": 1}, {"p": 1})
    progress, rejects = await imported(database, table, path, dry_run=True)
    assert (progress.rows, rejects.count) == (1, 1)
    assert await rows_of(database, table) == []


async def test_parts_that_are_damaged(database: Database, table: str, tmp_path: Path) -> None:
    for number in range(20):
        await cql(database, f"INSERT INTO {table} (p, c) VALUES (?, 1)", [number])
    manifest = await exported(database, table, tmp_path, slices=2, gzip=True)
    part = tmp_path / manifest.parts[1].file
    whole = part.read_bytes()
    await cql(database, f"TRUNCATE {table}")
    for data, sentence in (
        (whole[:-5], "it was cut or changed"),
        (b"\0" * len(whole), "it was changed"),
        (None, "missing"),
    ):
        part.unlink() if data is None else part.write_bytes(data)
        with pytest.raises(Failed, match=sentence):
            await imported(database, table, tmp_path)
    assert len(await rows_of(database, table)) <= manifest.parts[0].rows


async def test_files_that_are_damaged(database: Database, table: str, tmp_path: Path) -> None:
    packed = gzip.compress(b'{"p": 1, "c": 1}\n' * 1000)
    files = {
        "cut.ndjson.gz": (packed[:-20], "compressed data is cut or damaged"),
        "nothing.csv.gz": (b"", "compressed data is cut or damaged"),
        "stream.ndjson": (
            b'{"p": 1, "c": 1}\n{"error": {"status": 503}}\n',
            "the stream that it was read from broke off",
        ),
        "open.csv": (b'p,c,v\n1,1,"x\n', "begins with a quote in line 2 does not end"),
        "twice.csv": (b"p,c,p\n", "names a column twice"),
        "empty.csv": (b"", "The file is empty"),
        "cut.parquet": (b"PAR1 and no more", "not a whole Parquet file"),
    }
    for name, (data, sentence) in files.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(Failed, match=rf"{name}.*{sentence}"):
            await imported(database, table, tmp_path / name)


async def test_what_cannot_be_imported(database: Database, keyspace: str, table: str, tmp_path: Path) -> None:
    await cql(database, f"CREATE TABLE {keyspace}.counts (p int PRIMARY KEY, n counter)")
    await cql(database, f"CREATE TABLE {keyspace}.other (p text, c int, v text, x text, PRIMARY KEY (p, c))")
    await exported(database, f"{keyspace}.other", tmp_path / "out", slices=1)
    plain = written(tmp_path, "rows.csv", "p,v", "1,x")

    async def refused(target: str, path: Path, **options: Any) -> str:
        with pytest.raises(Refused) as caught:
            await imported(database, target, path, **options)
        return str(caught.value)

    assert "has counters, which can only be added to" in await refused(f"{keyspace}.counts", plain)
    assert await refused(table, plain) == f"The key of {table} has c, of which there are no values."
    assert "has no column x, of which the files have values" in await refused(table, tmp_path / "out")
    assert "has other types than the files: see p (is int, exported as text)" in await refused(
        table, tmp_path / "out", select=["p", "c", "v"]
    )
    assert "The files have no column d." in await refused(table, tmp_path / "out", select=["p", "c", "d"])
    assert "has no manifest.json: it is not an export" in await refused(table, tmp_path)
    assert "add --format" in await refused(table, written(tmp_path, "rows.txt"))
    for path in (tmp_path / "out").iterdir():
        path.unlink()
    with pytest.raises(Partial):
        (tmp_path / "out" / "part-0001-of-0001.ndjson.tmp").mkdir()
        await exported(database, f"{keyspace}.other", tmp_path / "out", slices=1)
    unfinished = "is not finished: 1 of 1 parts are not noted in its manifest yet. Resume it first."
    assert unfinished in await refused(table, tmp_path / "out")


async def test_parquet_of_others(database: Database, table: str, tmp_path: Path) -> None:
    """Files that other programs write have wider types, and dictionaries."""
    columns: dict[str, Sequence[Any]] = {"p": [1, 2, 3], "c": [1, 1, None], "v": ["a", None, "b"]}
    values = {
        "p": pa.array(columns["p"], pa.int64()),
        "c": pa.array(columns["c"], pa.int32()),
        "v": pa.array(columns["v"], pa.large_string()).dictionary_encode(),
        "d": pa.array([19000, None, 1], pa.date32()),
    }
    parquet.write_table(pa.table(values), tmp_path / "rows.parquet")
    progress, _ = await imported(database, table, tmp_path / "rows.parquet")
    assert progress.rows == 2
    assert await selected(database, table, "p, v, d") == [(1, "a", "2022-01-08"), (2, None, None)]
    assert rejected(tmp_path / "rows.parquet.rejected.ndjson") == [
        {
            "file": "rows.parquet",
            "line": 3,
            "errors": [{"field": "/c", "message": "is required"}],
            "row": {"p": 3, "c": None, "v": "b", "d": "1970-01-02"},
        }
    ]


async def test_parquet_with_integers_as_floats(database: Database, table: str, tmp_path: Path) -> None:
    """This is how pandas writes integers if one of them is missing."""
    values = pa.table({"p": [1, 2, 3], "c": pa.array([1.0, 1.5, float("inf")], pa.float64())})
    parquet.write_table(values, tmp_path / "rows.parquet")
    _, rejects = await imported(database, table, tmp_path / "rows.parquet")
    assert await selected(database, table, "p, c") == [(1, 1)]
    assert [row["row"]["c"] for row in rejected(rejects.path)] == [1.5, "Infinity"]


async def test_parquet_with_a_value_that_python_has_not(database: Database, table: str, tmp_path: Path) -> None:
    moments = pa.array([[1]], pa.list_(pa.timestamp("ns")))
    parquet.write_table(pa.table({"p": [1], "c": [1], "l": moments}), tmp_path / "rows.parquet")
    with pytest.raises(Failed, match=r"rows\.parquet: it has a value that cannot be read \(Nanosecond"):
        await imported(database, table, tmp_path / "rows.parquet")


@pytest.mark.parametrize(
    ("unit", "ticks", "moment"),
    [
        ("s", -1, "1969-12-31T23:59:59.000Z"),
        ("ms", -1, "1969-12-31T23:59:59.999Z"),
        ("us", -1, "1969-12-31T23:59:59.999Z"),
        ("us", 1999, "1970-01-01T00:00:00.001Z"),
        ("ns", -1_000_001, "1969-12-31T23:59:59.998Z"),
        ("us", -(2**63), "-290308-12-21T19:59:05.224Z"),
    ],
)
async def test_parquet_timestamps_of_any_unit_are_cut_to_milliseconds(
    database: Database, keyspace: str, tmp_path: Path, unit: str, ticks: int, moment: str
) -> None:
    name = f"{keyspace}.moments"
    await cql(database, f"CREATE TABLE IF NOT EXISTS {name} (p int PRIMARY KEY, at timestamp)")
    for zone in (None, "UTC", "+02:00"):
        values = pa.table({"p": [1], "at": pa.array([ticks], pa.timestamp(unit, zone))})
        parquet.write_table(values, tmp_path / "rows.parquet")
        await imported(database, name, tmp_path / "rows.parquet")
        assert await selected(database, name, "p, at") == [(1, moment)]


async def test_a_column_without_a_name(database: Database, table: str, tmp_path: Path) -> None:
    path = written(tmp_path, "rows.csv", ",p,c", "0,1,1")
    with pytest.raises(Refused, match=r"has no column \(without a name\), of which the files have values"):
        await imported(database, table, path)
