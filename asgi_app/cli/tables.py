"""The command `tables`: show which tables of a keyspace would be served without a declaration, and how."""

from __future__ import annotations

from collections.abc import Mapping

import click
import msgspec

from asgi_app.cli.console import say
from asgi_app.cli.failures import Failure, report_failures
from asgi_app.cli.live import LiveView, absence
from asgi_app.cli.local_hint import warn_of_missed_node
from asgi_app.cli.options import connection_fields, quiet_option, settings_options
from asgi_app.cli.session import open_session
from asgi_app.cli.tables_report import output, show_tables, tables_as_values, tables_report
from asgi_app.driver.cluster_facts import keyspaces
from asgi_app.settings import Settings, setting_fields

_CHOICE = tuple(field for field in setting_fields() if field.name in ("tables", "writable"))
_TABLES, _WRITABLE = "ASGI_CASSANDRA_TABLES", "ASGI_CASSANDRA_WRITABLE"


@click.command()
@quiet_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@settings_options((*_CHOICE, *connection_fields()))
@report_failures
def tables(quiet: bool, as_json: bool, overrides: Mapping[str, str]) -> None:
    """Show which tables would be served without a declaration, and how.

    Without --tables: all of the keyspace, as `serve --tables '*'` serves them.

    Exit code 1 if nothing would be served, or if a table that you name would not.
    """
    settings = _settings(overrides)
    warn_of_missed_node(settings, overrides, quiet=quiet)
    view = LiveView(settings, examples=False)
    place = f"{', '.join(view.keyspaces)} at {settings.address}"
    with open_session(settings) as session:
        existing = keyspaces(session)
        if missing := view.missing_keyspaces(existing):
            raise Failure(f"The keyspace {missing[0]} {absence(missing[0], settings.address, existing)}.")
        report = tables_report(view.snapshot(session), {})
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(tables_as_values(report))))
    elif report.served or report.not_served:
        if not quiet:
            say(f"Keyspace {place}")
        show_tables(output(), report)
    else:
        raise Failure(f"The keyspace {place} has no tables.")
    if not report.served or any(each.wanted for each in report.not_served):
        raise click.exceptions.Exit(1)


def _settings(overrides: Mapping[str, str]) -> Settings:
    """Return the settings, with all tables if none are named."""
    named = Settings.load(overrides={**overrides, _WRITABLE: ""}).tables
    return Settings.load(overrides=overrides if named else {**overrides, _TABLES: "*"})
