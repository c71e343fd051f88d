"""The command `check`: say whether the service could serve, what, and what of its configuration is dangerous."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import msgspec

from asgi_app.cli.check_cluster import cluster_dangers, replication_problems
from asgi_app.cli.check_report import CheckReport, report_as_values, show_report
from asgi_app.cli.console import say
from asgi_app.cli.declared import load_declarations
from asgi_app.cli.failures import report_failures
from asgi_app.cli.live import LiveView, absence
from asgi_app.cli.local_hint import warn_of_missed_node
from asgi_app.cli.options import quiet_option, settings_options
from asgi_app.cli.peers import is_this_machine
from asgi_app.cli.session import CassandraFailure, open_session
from asgi_app.cli.tables_report import Served, output, tables_report
from asgi_app.driver.cluster import ClusterUnreachableError
from asgi_app.driver.cluster_facts import cluster_facts, keyspaces, may_execute
from asgi_app.http.auth import unknown_scopes
from asgi_app.http.routing import resource_names
from asgi_app.resources.start_checks import shortened
from asgi_app.settings import Problem, Settings, setting_fields
from asgi_app.settings.dangers import dangers
from asgi_app.tables.builtin import RESOURCES
from asgi_app.tables.cql import read_of_nothing, write_of_nothing
from asgi_app.tables.live_choice import why_read_only


@click.command()
@click.argument("application", metavar="[MODULE:NAME]", required=False)
@quiet_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--strict", is_flag=True, help="Exit with 1 also if something is dangerous.")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address that `serve` will listen on.")
@click.option("--workers", type=click.IntRange(1, 256), default=1, show_default=True, help="The workers of `serve`.")
@click.option(
    "--resources",
    metavar="MODULE:NAME",
    help="Compare these resources with the schema, in place of the built-in tables: a Resource, a list or tuple of "
    "them, or an application that has them. The module is looked for in the working directory too.",
)
@settings_options(setting_fields())
@report_failures
def check(
    application: str | None,
    quiet: bool,
    as_json: bool,
    strict: bool,
    host: str,
    workers: int,
    resources: str | None,
    overrides: Mapping[str, str],
) -> None:
    """Say whether the service could serve, what it would serve, and what of its settings is dangerous.

    MODULE:NAME is your application as for `serve`, or its resources; without it the built-in tables are looked at,
    unless --tables names others.

    Writes nothing, to Cassandra or elsewhere. Exit codes: 0 it can serve; 1 it cannot, or with --strict something is
    dangerous; 2 wrong command line or settings.
    """
    if application and resources:
        raise click.UsageError("MODULE:NAME and --resources cannot be combined.")
    settings = Settings.load(overrides=overrides)
    own = load_declarations(application, "MODULE:NAME") if application else load_declarations(resources)
    examples = not own and not settings.tables
    view = LiveView(settings, own or (RESOURCES if examples else ()), examples=examples)
    login = None if settings.astra_db_secure_bundle_path else settings.cassandra_username
    report = CheckReport(settings.address, login)
    warn_of_missed_node(settings, overrides, quiet=quiet)
    try:
        with open_session(settings) as session:
            _look(session, settings, view, report)
    except (ClusterUnreachableError, CassandraFailure) as error:
        report.problems.append(Problem("cluster", str(error)))
    is_open = not is_this_machine(host)
    report.dangers += dangers(
        settings, is_open=is_open, workers=workers, serves_examples=examples, env_file=Path(".env")
    )
    if report.cluster is not None and not own:
        report.dangers += _unknown_scopes(settings, view, report)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(report_as_values(report))))
    else:
        show_report(output(), report)
        if examples and not quiet and any(each.wanted for each in report.tables.not_served):
            say("These are the built-in tables. For yours: check MODULE:NAME of your application, or --tables '*'.")
    raise click.exceptions.Exit(report.exit_code(strict=strict))


def _look(session: Any, settings: Settings, view: LiveView, report: CheckReport) -> None:
    """Add what the cluster says to the report. Raises the driver's errors."""
    report.cluster = cluster_facts(session)
    existing = keyspaces(session)
    report.keyspaces = [existing[name] for name in view.keyspaces if name in existing]
    report.problems += replication_problems(report.cluster, report.keyspaces, settings)
    report.dangers += cluster_dangers(report.cluster, report.keyspaces, settings)
    if missing := view.missing_keyspaces(existing):
        report.problems += [Problem(f"keyspace {name}", absence(name, report.address, existing)) for name in missing]
        return
    report.tables = tables_report(view.snapshot(session), view.resources)
    report.problems += [Problem(each.name, each.reason) for each in report.tables.not_served if each.wanted]
    report.problems += [
        Problem(each.resource.name, f"it is to be writable, and is read-only: {reason}")
        for each in report.tables.served
        if view.names_writable(each.table) and (reason := why_read_only(each.table))
    ]
    if not report.tables.served and not report.problems:
        place = f"{', '.join(view.keyspaces)} at {report.address}"
        report.problems.append(Problem("tables", f"the keyspace {place} has none to serve"))
    if settings.cassandra_username or settings.astra_db_secure_bundle_path:
        report.problems += [problem for each in report.tables.served for problem in _denials(session, each)]


def _denials(session: Any, served: Served) -> Iterator[Problem]:
    """Yield what the role may not do with a table although the service offers it."""
    name, table = served.resource.name, served.table
    place = f"{table.keyspace}.{table.name}"
    if not may_execute(session, read_of_nothing(table)):
        yield Problem(name, f"the role may not read {place}; it needs the permission SELECT")
    is_written = served.resource.writes != "none" and not (table.is_view or table.is_virtual)
    if is_written and not may_execute(session, write_of_nothing(table)):
        yield Problem(name, f"the role may not write {place}; it needs the permission MODIFY")


def _unknown_scopes(settings: Settings, view: LiveView, report: CheckReport) -> Iterator[Problem]:
    names = resource_names(view.routes) | {served.resource.name for served in report.tables.served}
    for key, scope in unknown_scopes(settings.api_keys, names):
        sentence = f"the key {key} has the scope {scope}, and there is no such resource"
        yield Problem("ASGI_CASSANDRA_API_KEYS", f"{sentence}; there are: {shortened(sorted(names))}")
