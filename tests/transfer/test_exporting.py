"""An export is whole, or says what is missing; it is resumed from whole parts alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import anyio
import msgspec
import pytest
from helpers.transfers import cql, exported, imported, rows_of

from asgi_app.db import Database
from asgi_app.transfer import manifest as manifests
from asgi_app.transfer.export_plan import ExportOptions
from asgi_app.transfer.exporting import export_to_stream
from asgi_app.transfer.files import locked
from asgi_app.transfer.outcomes import Failed, Partial, Refused
from asgi_app.transfer.progress import Progress

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
async def filled(database: Database, keyspace: str) -> str:
    """The name of a table with some rows, which no other test writes to."""
    name = f"{keyspace}.exported"
    await cql(database, f"CREATE TABLE {name} (genus text, species text, sightings int, PRIMARY KEY (genus, species))")
    for number in range(50):
        await cql(
            database, f"INSERT INTO {name} (genus, species, sightings) VALUES (?, ?, ?)", [f"g{number}", "s", number]
        )
    return name


def lines(folder: Path) -> list[bytes]:
    return sorted(line for path in folder.glob("part-*") for line in path.read_bytes().splitlines())


async def test_the_manifest_says_what_there_is(database: Database, filled: str, tmp_path: Path) -> None:
    manifest = await exported(database, filled, tmp_path, slices=7, consistency="LOCAL_ONE")
    written = msgspec.json.decode((tmp_path / "manifest.json").read_bytes())
    keyspace, table = filled.split(".")
    assert {name: written[name] for name in ("version", "keyspace", "table", "format", "slices", "rows")} == {
        "version": 1,
        "keyspace": keyspace,
        "table": table,
        "format": "ndjson",
        "slices": 7,
        "rows": 50,
    }
    assert written["columns"][0] == {"name": "genus", "type": "text", "kind": "partition_key"}
    assert (
        written["create_table"] == f'CREATE TABLE IF NOT EXISTS "{keyspace}"."{table}" ("genus" text, "species" text, '
        '"sightings" int, PRIMARY KEY (("genus"), "species"))'
    )
    assert [part["slice"] for part in written["parts"]] == [f"{number}/7" for number in range(1, 8)]
    assert written["started_at"] < written["finished_at"]
    assert manifests.load(tmp_path) == msgspec.structs.replace(manifest, digest=written["digest"])
    assert lines(tmp_path) == await rows_of(database, filled)


async def test_resume_makes_only_what_is_missing_or_damaged(database: Database, filled: str, tmp_path: Path) -> None:
    manifest = await exported(database, filled, tmp_path, slices=5)
    written = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("part-*")}
    gone, cut, changed, *_ = (tmp_path / part.file for part in manifest.parts)
    gone.unlink()
    cut.write_bytes(cut.read_bytes()[:-1])
    changed.write_bytes(changed.read_bytes().replace(b"g", b"h"))
    (tmp_path / "part-0005-of-0005.ndjson.tmp").write_bytes(b"left by a kill")
    said: list[str] = []
    resumed = await exported(database, filled, tmp_path, said, resume=True)
    assert said == [
        f"{tmp_path}: 2 of 5 parts are whole and kept, 3 are to be made, 3 of them because their files are missing or "
        "damaged."
    ]
    assert resumed.parts == manifest.parts
    assert lines(tmp_path) == await rows_of(database, filled)
    kept = {path.name for path in tmp_path.iterdir() if written.get(path.name) == path.stat().st_mtime_ns}
    assert kept == {part.file for part in manifest.parts[3:]}
    assert not list(tmp_path.glob("*.tmp"))
    assert (await exported(database, filled, tmp_path, resume=True)).finished_at == resumed.finished_at


async def test_a_folder_with_an_export_is_refused(database: Database, filled: str, tmp_path: Path) -> None:
    await exported(database, filled, tmp_path, slices=2)
    before = (tmp_path / "manifest.json").read_bytes()
    with pytest.raises(Refused, match=r"has an export of \S+ already. Resume it with --resume"):
        await exported(database, filled, tmp_path)
    with pytest.raises(Refused, match=r"has an export of \S+, not of \S+users"):
        await exported(database, "users", tmp_path, resume=True)
    for option, value in {"slices": 3, "format": "csv", "gzip": True, "consistency": "ONE"}.items():
        with pytest.raises(Refused, match=rf"began with {option} .*Leave --{option} out"):
            await exported(database, filled, tmp_path, resume=True, **{option: value})
    with pytest.raises(Refused, match="Leave --select out"):
        await exported(database, filled, tmp_path, resume=True, select=["genus"])
    with locked(tmp_path), pytest.raises(Refused, match="Another process is at work"):
        await exported(database, filled, tmp_path, resume=True)
    assert (tmp_path / "manifest.json").read_bytes() == before


CHANGES: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda data: data[: len(data) // 2],
    "empty": lambda data: b"",
    "another number of rows": lambda data: data.replace(b'"rows": 50', b'"rows": 51'),
    "a path elsewhere": lambda data: data.replace(b"part-0001-of-0002.ndjson", b"../../../../etc/passwd"),
    "a newer version": lambda data: data.replace(b'"version": 1', b'"version": 2, "more": 3'),
    "unknown members": lambda data: data.replace(b'"version": 1', b'"version": 1, "more": 2'),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
async def test_a_manifest_that_was_changed(
    database: Database, filled: str, tmp_path: Path, change: Callable[[bytes], bytes]
) -> None:
    await exported(database, filled, tmp_path, slices=2)
    path = tmp_path / "manifest.json"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(
        Failed, match=r"manifest\.json (is not the manifest|was changed|was written by a newer version)"
    ):
        await exported(database, filled, tmp_path, resume=True)


async def test_parts_without_a_manifest_are_those_of_another_export(
    database: Database, filled: str, tmp_path: Path
) -> None:
    await exported(database, filled, tmp_path, slices=2)
    (tmp_path / "manifest.json").unlink()
    with pytest.raises(
        Refused, match=r"has no manifest.json, but files of another export, such as part-000[12]-of-0002"
    ):
        await exported(database, filled, tmp_path, slices=3, resume=True)
    assert len(list(tmp_path.iterdir())) == 2


async def test_a_table_that_changed_or_was_created_again(database: Database, keyspace: str, tmp_path: Path) -> None:
    name = f"{keyspace}.changing"
    await cql(database, f"CREATE TABLE {name} (id int PRIMARY KEY, a int, b int)")
    await exported(database, name, tmp_path, slices=2)
    await cql(database, f"ALTER TABLE {name} DROP b")
    with pytest.raises(Refused, match=r"has changed since the export in .* began: see the columns b"):
        await exported(database, name, tmp_path, resume=True)
    await cql(database, f"DROP TABLE {name}")
    with pytest.raises(Refused, match="There is no table changing in the keyspace"):
        await exported(database, name, tmp_path, resume=True)
    await cql(database, f"CREATE TABLE {name} (id int PRIMARY KEY, a int, b int)")
    (tmp_path / "part-0001-of-0002.ndjson").unlink()
    with pytest.raises(Refused, match="was dropped and created again"):
        await exported(database, name, tmp_path, resume=True)


async def test_a_text_that_is_cut_within_a_row_ends_with_a_line_of_its_own(
    database: Database, filled: str, tmp_path: Path
) -> None:
    sent = bytearray()
    with anyio.CancelScope() as scope:

        async def send(data: bytes) -> None:
            if scope.cancel_called or not data:
                sent.extend(data)
                return
            sent.extend(data[: len(data) // 2])
            scope.cancel()
            await anyio.sleep_forever()

        await export_to_stream(database, filled, send, ExportOptions(slices=3), Progress())
    assert sent.endswith(b'\n{"error":{"detail":"The export broke off."}}\n')
    (tmp_path / "rows.ndjson").write_bytes(sent)
    with pytest.raises(Failed, match="The file ends with an error in place of a row"):
        await imported(database, filled, tmp_path / "rows.ndjson")


async def test_a_table_that_loses_rows_meanwhile(database: Database, keyspace: str) -> None:
    name = f"{keyspace}.losing"
    create = f"CREATE TABLE {name} (id int PRIMARY KEY, a int)"
    await cql(database, create)

    async def export_while(*statements: str) -> str:
        """Run statements when the export has begun to send, and return its failure."""
        sent: list[bytes] = []

        async def change(data: bytes) -> None:
            for statement in statements if not sent else ():
                await cql(database, statement)
            sent.append(data)

        with pytest.raises(Failed) as failed:
            await export_to_stream(database, name, change, ExportOptions(slices=3, parallel=1), Progress())
        assert sent[-1] == b'{"error":{"detail":"The export broke off."}}\n'
        return str(failed.value)

    drop_column, again = f"ALTER TABLE {name} DROP a", f"ALTER TABLE {name} ADD a int"
    altered = f"{name} was altered (see the columns a) while it was exported."
    assert await export_while(drop_column) == altered
    await cql(database, again)
    assert await export_while(drop_column, again) == altered
    assert await export_while(f"TRUNCATE {name}") == f"{name} was truncated while it was exported."
    sentence = f"{name} was dropped and created again while it was exported."
    assert await export_while(f"DROP TABLE {name}", create) == sentence
    assert await export_while(f"DROP TABLE {name}") == f"{name} was dropped while it was exported."


async def test_a_table_that_lost_rows_before_it_is_resumed(database: Database, keyspace: str, tmp_path: Path) -> None:
    name, user_type = f"{keyspace}.lost", f"{keyspace}.pair"
    await cql(database, f"CREATE TYPE {user_type} (x int)")
    await cql(database, f"CREATE TABLE {name} (id int PRIMARY KEY, a int, b frozen<{user_type}>)")
    for number, (statements, sentence) in enumerate(
        (
            ([f"ALTER TABLE {name} DROP a", f"ALTER TABLE {name} ADD a int"], r"was altered \(see the columns a\)"),
            ([f"TRUNCATE {name}"], "was truncated"),
            ([f"ALTER TYPE {user_type} ADD y int"], "was altered"),
        )
    ):
        folder = tmp_path / f"{number}"
        manifest = await exported(database, name, folder, slices=2)
        for statement in statements:
            await cql(database, statement)
        await exported(database, name, folder, resume=True)  # nothing is missing
        (folder / manifest.parts[0].file).unlink()
        before = (folder / "manifest.json").read_bytes()
        with pytest.raises(Refused, match=f"{sentence} since the export in .* began, or is in another cluster"):
            await exported(database, name, folder, resume=True)
        assert (folder / "manifest.json").read_bytes() == before


async def test_what_cannot_be_exported(database: Database, keyspace: str, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    for name, options, sentence in (
        ("nothing", {}, r"There is no table nothing in the keyspace .* at .*:\d+\. .* write KEYSPACE\.nothing"),
        ("nowhere.users", {}, f"Cassandra at {database.settings.address} has no keyspace nowhere"),
        ("test_keyspace.no", {}, r" test_keyspace \(the default while CASSANDRA_KEYSPACE is not set\)"),
        ("system.local", {}, "system belongs to Cassandra"),
        ("shop.users.old", {}, "is not the name of a table"),
        ("users", {"select": ["id", "nick"]}, "has no column nick. It has id, age,"),
    ):
        with pytest.raises(Refused, match=sentence):
            await exported(database, name, folder, **options)
    assert not folder.exists()
    (tmp_path / "file").touch()
    with pytest.raises(Failed, match="file cannot be used: File exists"):
        await exported(database, "users", tmp_path / "file")


async def test_chosen_columns(database: Database, filled: str, tmp_path: Path) -> None:
    manifest = await exported(database, filled, tmp_path, slices=1, select=["sightings", "genus"], format="csv")
    header, *records = (tmp_path / manifest.parts[0].file).read_bytes().splitlines()
    assert header == b"sightings,genus"
    assert sorted(records) == sorted(f"{number},g{number}".encode() for number in range(50))


async def test_a_failure_of_a_file_keeps_the_whole_parts(database: Database, filled: str, tmp_path: Path) -> None:
    blocked = tmp_path / "part-0003-of-0004.ndjson.tmp"
    blocked.mkdir()
    with pytest.raises(Partial, match=r"0003-of-0004.ndjson.tmp could not be written: Is a directory. 2 of 4 parts"):
        await exported(database, filled, tmp_path, slices=4, parallel=1)
    manifest = manifests.load(tmp_path)
    assert manifest is not None
    assert [part.slice for part in manifest.parts] == ["1/4", "2/4"]
    assert manifest.finished_at is None
    blocked.rmdir()
    await exported(database, filled, tmp_path, resume=True)
    assert lines(tmp_path) == await rows_of(database, filled)


async def test_a_value_that_parquet_cannot_have(database: Database, keyspace: str, tmp_path: Path) -> None:
    name = f"{keyspace}.odd"
    await cql(database, f"CREATE TABLE {name} (id int PRIMARY KEY, t time)")
    await cql(database, f"INSERT INTO {name} (id, t) VALUES (1, blob_as_time(0x7fffffffffffffff))")
    with pytest.raises(Failed, match=r"The column t has a value that is no time, .*; NDJSON and CSV can"):
        await exported(database, name, tmp_path / "parquet", format="parquet", slices=1)
    assert [path.name for path in (tmp_path / "parquet").iterdir()] == ["manifest.json"]
    await exported(database, name, tmp_path / "ndjson", slices=1)
    assert lines(tmp_path / "ndjson") == [b'{"id":1,"t":"2562047:47:16.854775807"}']
