"""The commands `schema` and `seed`: create the tables, and write sample rows."""

from __future__ import annotations

from collections.abc import Mapping

import click

from asgi_app.cli import sample_data
from asgi_app.cli.console import row_progress
from asgi_app.cli.failures import report_failures
from asgi_app.cli.options import connection_fields, settings_options
from asgi_app.cli.session import open_session
from asgi_app.settings import Settings
from asgi_app.tables import ddl
from asgi_app.tables.builtin import TABLES


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
@settings_options(connection_fields())
@report_failures
def schema(
    dry_run: bool,
    replication_factor: int | None,
    replication: str | None,
    no_keyspace: bool,
    indexes: bool,
    overrides: Mapping[str, str],
) -> None:
    """Create the keyspace and the tables if they are missing. Existing ones are not changed."""
    if replication and replication_factor:
        raise click.UsageError("--replication and --replication-factor cannot be combined.")
    settings = Settings.load(overrides=overrides)
    no_keyspace = no_keyspace or settings.astra_db_secure_bundle_path is not None
    if dry_run:
        chosen = replication or ddl.network_replication(replication_factor or 1)
        _print_statements(settings.keyspace, None if no_keyspace else chosen, indexes)
        return
    with open_session(settings) as session:
        chosen = replication or ddl.local_replication(session, replication_factor)
        ddl.create_schema(session, settings.keyspace, None if no_keyspace else chosen, TABLES, indexes=indexes)
    click.echo(f"Keyspace {settings.keyspace} has the tables {', '.join(table.name for table in TABLES)}.")


@click.command()
@click.option("--users", type=click.IntRange(min=0), default=100, show_default=True, help="Users to generate.")
@settings_options(connection_fields())
@report_failures
def seed(users: int, overrides: Mapping[str, str]) -> None:
    """Write sample animals, plants and users. You may run it again: it keeps later changes of these rows."""
    settings = Settings.load(overrides=overrides)
    with open_session(settings) as session, row_progress(sample_data.row_count(users)) as show:
        report = sample_data.seed(session, settings.keyspace, users, show)
    click.echo(f"Seeded {report.rows} rows in {report.seconds:.1f} s, {report.rows_per_second:.0f} rows/s.")


def _print_statements(keyspace: str, replication: str | None, indexes: bool) -> None:
    for statement in ddl.schema_statements(keyspace, TABLES, replication, indexes=indexes):
        click.echo(f"{statement};")
