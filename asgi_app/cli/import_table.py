"""The command `import`: rows of files into a table."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, cast, get_args

import click
from msgspec.structs import replace

from asgi_app.cli.console import counted
from asgi_app.cli.failures import report_failures
from asgi_app.cli.local_hint import warn_of_missed_node
from asgi_app.cli.options import connection_fields, settings_options
from asgi_app.cli.transfer_view import View
from asgi_app.cli.transfers import RejectedRows, comma_separated, json_option, need_extra, run_transfer, table_name
from asgi_app.settings import Settings
from asgi_app.settings.values import Consistency
from asgi_app.transfer.batches import MOST_PARTITIONS
from asgi_app.transfer.import_plan import ImportOptions
from asgi_app.transfer.importing import import_from
from asgi_app.transfer.manifest import Format
from asgi_app.transfer.progress import Progress
from asgi_app.transfer.sources import STDIN

MOST_SECONDS = 630_720_000
"""The longest TTL that Cassandra takes: 20 years."""

MOST_MICROSECONDS = 2**62
"""The timestamp furthest from 1970: far within what Cassandra takes, so that repetitions may have later ones."""

_FILE = click.Path(dir_okay=False, path_type=Path)


def _timestamp(_: click.Context, __: click.Parameter, text: str) -> int | str:
    if text in ("now", "export"):
        return text
    try:
        microseconds = int(text)
    except ValueError:
        raise click.BadParameter("must be now, export, or microseconds since 1970.") from None
    if abs(microseconds) > MOST_MICROSECONDS:
        raise click.BadParameter(f"must be from -{MOST_MICROSECONDS} to {MOST_MICROSECONDS} microseconds since 1970.")
    return microseconds


@click.command("import")
@click.argument("table", callback=table_name)
@click.argument("source", type=click.Path(exists=True, allow_dash=True, path_type=Path))
@click.option(
    "--format", "form", type=click.Choice(get_args(Format)), help="The format of a file.  [default: by its name]"
)
@click.option(
    "--parallel", type=click.IntRange(1, 1024), default=64, show_default=True, help="How many writes to have in flight."
)
@click.option(
    "--batch",
    type=click.IntRange(1, 1000),
    default=32,
    show_default=True,
    help="The most rows of one partition to write at once; never more than 5 KiB.",
)
@click.option(
    "--partitions",
    type=click.IntRange(1, MOST_PARTITIONS),
    default=1,
    show_default=True,
    help="The most partitions of one write, where rows come in the order of the ring.",
)
@click.option(
    "--select", metavar="COLUMNS", callback=comma_separated, help="The columns to write, with commas.  [default: all]"
)
@click.option(
    "--timestamp",
    metavar="now|export|MICROSECONDS",
    default="now",
    show_default=True,
    callback=_timestamp,
    help="The timestamp of all writes: the time of each write, the time of the export (later writes to the table then "
    "win), or microseconds since 1970.",
)
@click.option("--ttl", type=click.IntRange(0, MOST_SECONDS), help="Seconds after which the rows expire.")
@click.option(
    "--nulls",
    type=click.Choice(["keep", "delete"]),
    default="keep",
    show_default=True,
    help="What a null does to the value of a row that exists.",
)
@click.option(
    "--consistency",
    type=click.Choice(get_args(Consistency), case_sensitive=False),
    help="The consistency level of the writes.  [default: CASSANDRA_CONSISTENCY]",
)
@click.option(
    "--max-rejects",
    type=click.IntRange(min=0),
    default=100,
    show_default=True,
    help="Stop, as a failure, if more rows than this are rejected.",
)
@click.option("--rejects", type=_FILE, help="The file for rejected rows.  [default: rejected.ndjson beside the files]")
@click.option(
    "--state",
    type=_FILE,
    help="The file that notes what is done.  [default: import-<keyspace>.<table>.json in the folder]",
)
@click.option("--resume", is_flag=True, help="Continue an import that was not finished.")
@click.option("--dry-run", is_flag=True, help="Check everything and write no row.")
@json_option
@settings_options(connection_fields())
@report_failures
def import_table(
    table: str, source: Path, form: str | None, as_json: bool, quiet: bool, overrides: Mapping[str, str], **given: Any
) -> None:
    """Write the rows of SOURCE into TABLE: the folder of an export, one file of NDJSON, CSV or Parquet, or `-`: NDJSON
    on standard input.

    TABLE is a table of the configured keyspace, or of another as `keyspace.table`. It must exist: the manifest of an
    export has its CREATE TABLE.

    Exit codes: 0 all rows are written; 1 failed; 2 wrong command line, settings, table or files; 3 a part is written,
    and the same command with --resume does the rest; 4 rows were rejected, and all others are written.
    """
    settings = Settings.load(overrides=overrides)
    options = ImportOptions(format=cast(Format | None, form), **given)
    if options.resume and not source.is_dir():
        raise click.UsageError(
            "Only the import of a folder can be resumed. Import the file again: repeats are harmless."
        )
    if source == STDIN and sys.stdin is None:
        raise click.UsageError("Standard input is closed, and the rows would come from there; name a file.")
    if source == STDIN and form not in (None, "ndjson"):
        raise click.UsageError("Standard input is NDJSON; other formats are read from files.")
    if form == "parquet" or any(source.glob("*.parquet")) or source.suffix == ".parquet":
        need_extra("pyarrow", "parquet")
    warn_of_missed_node(settings, overrides, quiet=quiet)
    mode: Literal["text", "json", "quiet"] = "quiet" if quiet else "json" if as_json else "text"
    _run(_fitting(settings, options.parallel), table, source, options, mode)


def _fitting(settings: Settings, parallel: int) -> Settings:
    """Return settings that let so many writes be in flight."""
    return replace(settings, max_in_flight=max(settings.max_in_flight, parallel))


def _run(
    settings: Settings, table: str, source: Path, options: ImportOptions, mode: Literal["text", "json", "quiet"]
) -> None:
    progress = Progress()
    view = View(progress, mode, "checking" if options.dry_run else "importing")
    rejects = run_transfer(
        settings,
        lambda database: import_from(database, table, source, options, progress, view.say),
        view,
        resumable=source.is_dir() and not options.dry_run,
    )
    sentence = _end(source, options, progress)
    if not rejects.count:
        view.end("whole", sentence)
        return
    were = "was" if rejects.count == 1 else "were"
    rejected = f"{sentence} {counted(rejects.count, 'row')} {were} rejected; see {rejects.path}."
    view.end("rejected", rejected)
    raise RejectedRows(rejected)


def _end(source: Path, options: ImportOptions, progress: Progress) -> str:
    if progress.total and progress.kept == progress.total:
        return f"The import of {source} was whole already."
    done = "Checked" if options.dry_run else "Imported"
    rows, rate = counted(progress.rows, "row"), f"{progress.rows_per_second:,.0f} rows/s"
    return f"{done} {rows} in {progress.seconds:.1f} s, {rate}."
