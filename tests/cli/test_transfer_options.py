"""What the command lines of `export` and `import` refuse."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from asgi_app.cli.commands import command_line


def refused(*arguments: str) -> str:
    ended: Result = CliRunner().invoke(command_line, arguments)
    assert ended.exit_code == 2, ended.output
    return " ".join(ended.output.replace("│", "").split())


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["-", "--format", "parquet"], "Parquet cannot be written to standard output; name a folder."),
        (["-", "--resume"], "An export to standard output cannot be resumed; name a folder."),
        (["-", "--gzip"], "use `| gzip`"),
        (["out", "--gzip", "--format", "parquet"], "Parquet files are compressed by themselves"),
        (["out.csv"], "for one file: asgi-cassandra export users - --format csv > out.csv"),
        (["a b/out.JSONL.gz"], "export users - --format ndjson | gzip > 'a b/out.JSONL.gz'"),
        (["out.parquet"], "TARGET is a folder, which gets the files of the export: name it without .parquet."),
        (["out.json.gz"], "name it without .json.gz."),
        (["out", "--slices", "0"], "--slices"),
        (["out", "--slices", "65537"], "--slices"),
        (["out", "--consistency", "MOST"], "--consistency"),
        (["out", "--cassandra-port", "no"], "CASSANDRA_PORT"),
    ],
)
def test_export(options: list[str], sentence: str) -> None:
    assert sentence in refused("export", "users", *options)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--resume"], "Only the import of a folder can be resumed"),
        (["--timestamp", "soon"], "must be now, export, or microseconds since 1970"),
        (["--timestamp", f"{2**63}"], "must be from -4611686018427387904 to 4611686018427387904"),
        (["--ttl", "-1"], "--ttl"),
        (["--batch", "0"], "--batch"),
    ],
)
def test_import(options: list[str], sentence: str, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").touch()
    assert sentence in refused("import", "users", str(tmp_path / "rows.csv"), *options)


@pytest.mark.parametrize("name", [".t", "t.", "a.b.c", "", '"t"'])
@pytest.mark.parametrize("command", ["export", "import"])
def test_a_name_that_is_none(command: str, name: str, tmp_path: Path) -> None:
    sentence = "is not the name of a table: write TABLE or KEYSPACE.TABLE, without quotes."
    assert f"{name!r} {sentence}" in refused(command, name, str(tmp_path))


def test_import_of_nothing(tmp_path: Path) -> None:
    assert "does not exist" in refused("import", "users", str(tmp_path / "none"))


def test_parquet_without_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asgi_app.cli.transfers.find_spec", lambda _: None)
    sentence = "This needs the extra parquet; in a clone of the project: pip install '.[parquet]'."
    assert sentence in refused("export", "users", "out", "--format", "parquet")
