"""The commands `schema` and `seed`: create the tables, and write sample rows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import click

from asgi_app.cli import sample_data
from asgi_app.cli.console import row_progress
from asgi_app.cli.declared import load_resources
from asgi_app.cli.failures import Failure, report_failures
from asgi_app.cli.local_hint import warn_of_missed_node
from asgi_app.cli.options import connection_fields, json_option, quiet_option, settings_options
from asgi_app.cli.session import open_session
from asgi_app.settings import Settings
from asgi_app.tables import ddl
from asgi_app.tables.builtin import TABLES
from asgi_app.tables.table import Table


def _checked_replication(_: click.Context, __: click.Parameter, text: str | None) -> str | None:
    try:
        return text and ddl.parse_replication(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


@click.command()
@click.option("--dry-run", is_flag=True, help="Print the CQL without connecting.")
@click.option(
    "--replication-factor",
    type=click.IntRange(min=1),
    help="Replicas in the local data centre.  [default: 3, or the number of its nodes if it has fewer; with --dry-run, "
    "which does not know the data centres: replicas in each of them, default 1]",
)
@click.option(
    "--replication",
    metavar="CQL",
    callback=_checked_replication,
    help="The keyspace's replication as a CQL map, instead of a factor.",
)
@click.option(
    "--no-keyspace",
    is_flag=True,
    help="Create only the tables. Always on for Astra, where CQL cannot create keyspaces.",
)
@click.option(
    "--indexes",
    is_flag=True,
    help="Also create the index on users.age. It speeds up an age_filter that few users match, and slows down others.",
)
@click.option(
    "--resources",
    metavar="MODULE:NAME",
    help="Create the tables of these resources, with their user-defined types and indexes, in place of the built-in "
    "tables: a Resource, a list or tuple of them, or an application that has them. The module is looked for in the "
    "working directory too.",
)
@quiet_option
@json_option
@settings_options(connection_fields())
@report_failures
def schema(
    dry_run: bool,
    replication_factor: int | None,
    replication: str | None,
    no_keyspace: bool,
    indexes: bool,
    resources: str | None,
    quiet: bool,
    as_json: bool,
    overrides: Mapping[str, str],
) -> None:
    """Create the keyspace and the tables if they are missing. Existing ones are not changed."""
    if replication and replication_factor:
        raise click.UsageError("--replication and --replication-factor cannot be combined.")
    settings = Settings.load(overrides=overrides)
    declared = [resource.table for resource in load_resources(resources)]
    built_in = () if declared else TABLES
    no_keyspace = no_keyspace or settings.astra_db_secure_bundle_path is not None
    if dry_run:
        chosen = replication or ddl.network_replication(replication_factor or 1)
        replication = None if no_keyspace else chosen
        statements = ddl.schema_statements(settings.keyspace, built_in, replication, indexes=indexes, declared=declared)
        _show_statements(statements, as_json)
        return
    warn_of_missed_node(settings, overrides, quiet=quiet)
    with open_session(settings) as session:
        chosen = replication or ddl.local_replication(session, replication_factor)
        with _mismatch_reported(settings):
            ddl.create_schema(
                session,
                settings.keyspace,
                None if no_keyspace else chosen,
                built_in,
                indexes=indexes,
                declared=declared,
            )
    names = list(dict.fromkeys(_shown(table) for table in [*built_in, *declared]))
    if as_json:
        click.echo(json.dumps({"address": settings.address, "keyspace": settings.keyspace, "tables": names}))
    else:
        click.echo(f"Keyspace {settings.keyspace} at {settings.address} has the tables {', '.join(names)}.")


@click.command()
@click.option("--users", type=click.IntRange(min=0), default=100, show_default=True, help="Users to generate.")
@quiet_option
@json_option
@settings_options(connection_fields())
@report_failures
def seed(users: int, quiet: bool, as_json: bool, overrides: Mapping[str, str]) -> None:
    """Write sample animals, plants and users. You may run it again: it keeps later changes of these rows."""
    settings = Settings.load(overrides=overrides)
    warn_of_missed_node(settings, overrides, quiet=quiet)
    with open_session(settings) as session, row_progress(sample_data.row_count(users), quiet=quiet) as show:
        report = sample_data.seed(session, settings.keyspace, users, show)
    click.echo(
        _report_as_json(report)
        if as_json
        else f"Seeded keyspace {settings.keyspace} at {settings.address}: {report.sentence}."
    )


def _report_as_json(report: sample_data.SeedReport) -> str:
    figures = {"rows": report.rows, "seconds": report.seconds, "rows_per_second": report.rows_per_second}
    return json.dumps({name: round(value, 3) for name, value in figures.items()})


def _show_statements(statements: Iterable[str], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"statements": list(statements)}))
        return
    for statement in statements:
        click.echo(f"{statement};")


@contextmanager
def _mismatch_reported(settings: Settings) -> Iterator[None]:
    """Raise Failure if a declared table exists with other columns."""
    try:
        yield
    except ddl.SchemaMismatchError as error:
        raise Failure(f"Keyspace {settings.keyspace} at {settings.address}: {error}") from error


def _shown(table: Table) -> str:
    """Return the table's name, with its keyspace if it has one of its own."""
    return table.name if table.keyspace is None else f"{table.keyspace}.{table.name}"
