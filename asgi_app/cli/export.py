"""The command `export`: a whole table, to files or to standard output."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal, cast, get_args

import click
from msgspec.structs import replace

from asgi_app.cli.console import counted
from asgi_app.cli.failures import report_failures
from asgi_app.cli.local_hint import warn_of_missed_node
from asgi_app.cli.options import connection_fields, settings_options
from asgi_app.cli.standard_output import StandardOutput
from asgi_app.cli.transfer_view import View, size_text
from asgi_app.cli.transfers import comma_separated, json_option, need_extra, run_transfer, table_name
from asgi_app.settings import Settings
from asgi_app.settings.values import Consistency
from asgi_app.transfer.export_plan import ExportOptions
from asgi_app.transfer.exporting import export_to_folder, export_to_stream
from asgi_app.transfer.manifest import Format, Manifest
from asgi_app.transfer.progress import Progress

STDOUT = "-"

_FILE_ENDS = re.compile(r"\.(?P<form>csv|ndjson|jsonl|json|parquet|msgpack)(?P<gzip>\.gz)?$", re.IGNORECASE)
"""Matches the name of a file of rows."""

_TEXT_FORMATS: Mapping[str, Format] = MappingProxyType({"csv": "csv", "ndjson": "ndjson", "jsonl": "ndjson"})
"""The formats that can be written to standard output, by the ends of files' names."""

_Mode = Literal["text", "json", "quiet"]


@click.command()
@click.argument("table", callback=table_name)
@click.argument("target")
@click.option(
    "--format", "form", type=click.Choice(get_args(Format)), help="The format of the rows.  [default: ndjson]"
)
@click.option("--gzip", is_flag=True, default=None, help="Compress the files.")
@click.option(
    "--slices",
    type=click.IntRange(1, 65536),
    help="Into how many parts the ring is cut; each is a file, and what a resumed run makes anew.  [default: 64]",
)
@click.option(
    "--parallel", type=click.IntRange(1, 64), default=4, show_default=True, help="How many slices to read at once."
)
@click.option(
    "--select", metavar="COLUMNS", callback=comma_separated, help="The columns to export, with commas.  [default: all]"
)
@click.option(
    "--consistency",
    type=click.Choice(get_args(Consistency), case_sensitive=False),
    help="The consistency level of the reads.  [default: CASSANDRA_CONSISTENCY]",
)
@click.option("--resume", is_flag=True, help="Continue an export that was not finished: keep its whole parts.")
@json_option
@settings_options(connection_fields())
@report_failures
def export(
    table: str,
    target: str,
    form: str | None,
    gzip: bool | None,
    slices: int | None,
    parallel: int,
    select: tuple[str, ...],
    consistency: str | None,
    resume: bool,
    as_json: bool,
    quiet: bool,
    overrides: Mapping[str, str],
) -> None:
    """Write every row of TABLE into the folder TARGET, or to standard output if that is `-`.

    TABLE is a table or view of the configured keyspace, or of another as `keyspace.table`.

    Exit codes: 0 all rows are there; 1 failed; 2 wrong command line, settings, table or folder; 3 a part is there, and
    the same command with --resume does the rest.
    """
    settings = Settings.load(overrides=overrides)
    options = ExportOptions(cast(Format | None, form), gzip, slices, select, consistency, parallel, resume)
    mode: _Mode = "quiet" if quiet else "json" if as_json else "text"
    if target == STDOUT:
        _check_for_stdout(options)
        warn_of_missed_node(settings, overrides, quiet=quiet)
        _to_stdout(_fitting(settings, parallel), table, options, mode)
    else:
        _check_for_files(options)
        _check_is_folder(table, Path(target))
        warn_of_missed_node(settings, overrides, quiet=quiet)
        _to_files(_fitting(settings, parallel), table, Path(target), options, mode)


def _check_for_stdout(options: ExportOptions) -> None:
    if sys.stdout is None:
        raise click.UsageError("Standard output is closed, and the rows would go there; name a folder.")
    if options.format == "parquet":
        raise click.UsageError("Parquet cannot be written to standard output; name a folder.")
    if options.gzip:
        raise click.UsageError("--gzip is for files; for standard output use `| gzip`.")
    if options.resume:
        raise click.UsageError("An export to standard output cannot be resumed; name a folder.")


def _check_for_files(options: ExportOptions) -> None:
    if options.format == "parquet":
        need_extra("pyarrow", "parquet")
        if options.gzip:
            raise click.UsageError("--gzip is for text; Parquet files are compressed by themselves.")


def _check_is_folder(table: str, target: Path) -> None:
    """Raise a usage error if the target has the name of a file and is not a folder that exists."""
    ends = _FILE_ENDS.search(target.name)
    if ends is None or target.is_dir():
        return
    form = _TEXT_FORMATS.get(ends["form"].lower())
    if form is None:
        raise click.UsageError(f"TARGET is a folder, which gets the files of the export: name it without {ends[0]}.")
    compress = " | gzip" if ends["gzip"] else ""
    command = f"asgi-cassandra export {table} - --format {form}{compress} > {shlex.quote(str(target))}"
    raise click.UsageError(f"TARGET is a folder, which gets the files of the export; for one file: {command}")


def _fitting(settings: Settings, parallel: int) -> Settings:
    """Return settings that let so many pages be read at once."""
    return replace(
        settings,
        max_in_flight=max(settings.max_in_flight, 2 * parallel),
        max_stream_pages=max(settings.max_stream_pages, parallel),
    )


def _to_files(settings: Settings, table: str, folder: Path, options: ExportOptions, mode: _Mode) -> None:
    progress = Progress()
    view = View(progress, mode, "exporting")
    manifest = run_transfer(
        settings,
        lambda database: export_to_folder(database, table, folder, options, progress, view.say),
        view,
        resumable=True,
    )
    view.end("whole", _end(manifest, folder, progress))


def _end(manifest: Manifest, folder: Path, progress: Progress) -> str:
    rows, name = counted(manifest.rows, "row"), f"{manifest.keyspace}.{manifest.table}"
    size = f"{counted(len(manifest.parts), 'part')}, {size_text(sum(part.bytes for part in manifest.parts))}"
    if progress.kept == progress.total:
        return f"The export of {name} in {folder} was whole already: {rows}, {size}."
    return (
        f"Exported {rows} of {name} to {folder}: {size}, in {progress.seconds:.1f} s, "
        f"{progress.rows_per_second:,.0f} rows/s."
    )


def _to_stdout(settings: Settings, table: str, options: ExportOptions, mode: _Mode) -> None:
    progress = Progress()
    view = View(progress, mode, "exporting", rows_on_stdout=True)
    output = StandardOutput()
    run_transfer(
        settings,
        lambda database: export_to_stream(database, table, output.send, options, progress),
        view,
        resumable=False,
    )
    view.end("whole", f"Exported {counted(progress.rows, 'row')} of {table}, {size_text(progress.bytes)}.")
