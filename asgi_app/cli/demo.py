"""The command `demo`: run a local Cassandra with sample data and the service, and end them together."""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import click

from asgi_app.cli import sample_data, server
from asgi_app.cli.background_rows import BackgroundRows
from asgi_app.cli.console import node_progress, row_progress, say
from asgi_app.cli.examples import examples, own_table_hint, shutdown_example
from asgi_app.cli.failures import report_failures
from asgi_app.cli.options import quiet_option
from asgi_app.cli.session import open_session
from asgi_app.cli.sightings import SIGHTINGS, has_sightings, write_sightings
from asgi_app.local_node import LocalNode, NodeSpec, local_node
from asgi_app.settings import Settings, check_metrics_directory, setting_fields
from asgi_app.tables.builtin import TABLES
from asgi_app.tables.ddl import create_schema, network_replication

HOST = "127.0.0.1"
KEYSPACE = "demo"
APPLICATION = "asgi_app.cli.demo_app:app"

_ABOUT_CASSANDRA = ("CASSANDRA_", "ASTRA_", "ASGI_CASSANDRA_TABLES", "ASGI_CASSANDRA_WRITABLE")

FIRST_SIGHTINGS = 1000
"""The sightings that are written before the demo serves; it writes the others while it serves."""


class Shown(NamedTuple):
    """The numbers of rows for the demo's examples, whether all sightings are there, and whether it prints examples."""

    users: int
    sightings: int
    are_all_there: bool
    quiet: bool


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 takes a free port.")
@click.option("--users", type=click.IntRange(min=0), default=1000, show_default=True, help="Users to generate.")
@click.option(
    "--sightings",
    type=click.IntRange(min=0),
    default=100_000,
    show_default=True,
    help="Rows of the large table `sightings`; most of them are written while the demo serves.",
)
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".cassandra/demo"),
    show_default=True,
    help="The data folder of the demo's Cassandra; kept for the next run. Delete it to start from scratch.",
)
@click.option("--heap", default="512m", show_default=True, help="The maximum heap of Cassandra's Java.")
@quiet_option
@report_failures
def demo(port: int, users: int, sightings: int, data: Path, heap: str, quiet: bool) -> None:
    """Start a local Cassandra, create the tables, write sample rows, serve, and print what to try.

    Ctrl-C, SIGTERM or POST /shutdown ends everything. The first run downloads Cassandra (70 MB); rows are kept between
    runs. The demo ignores the Cassandra that the environment names.
    """
    settings = Settings.load(overrides=_environment(HOST, 9042))  # report problems before Cassandra starts
    check_metrics_directory()
    server.listen(HOST, port, settings.send_timeout).close()  # and a port in use too
    with ExitStack() as stack:
        with node_progress(quiet=quiet) as show:
            node = stack.enter_context(local_node(NodeSpec(data=data, heap=heap), progress=show))
        environment = _environment(node.host, node.port)
        settings = Settings.load(overrides=environment)
        os.environ.update(environment)
        if not settings.page_keys:
            os.environ[server.PAGE_KEYS] = server.new_page_key()
        are_all_there = _fill(settings, users, sightings, quiet)
        _serve(settings, port, Shown(users, sightings, are_all_there, quiet), node)
        if not quiet:
            say("stopping Cassandra")


def _environment(host: str, port: int) -> Mapping[str, str]:
    """Return the variables that make the application use only this node, and a token for POST /shutdown.

    The other variables about Cassandra are empty, which counts as not set and hides those in .env.
    """
    others = (field.env for field in setting_fields() if field.env.startswith(_ABOUT_CASSANDRA))
    return {
        **dict.fromkeys(others, ""),
        "CASSANDRA_HOSTS": host,
        "CASSANDRA_PORT": str(port),
        "CASSANDRA_KEYSPACE": KEYSPACE,
        "ASGI_CASSANDRA_ADMIN_TOKEN": secrets.token_urlsafe(24),
    }


def _fill(settings: Settings, users: int, sightings: int, quiet: bool) -> bool:
    """Create the tables and write the rows that are there when the demo serves. Return whether these are all rows."""
    with open_session(settings) as session:
        create_schema(session, settings.keyspace, network_replication(1), TABLES, declared=[SIGHTINGS.table])
        with row_progress(sample_data.row_count(users), quiet=quiet) as show:
            report = sample_data.seed(session, settings.keyspace, users, show)
        write_sightings(session, settings.keyspace, min(sightings, FIRST_SIGHTINGS), threading.Event())
        are_all_there = has_sightings(session, settings.keyspace, sightings)
    if not quiet:
        say(f"seeded users, animals and plants: {report.sentence}")
    return are_all_there


def _serve(settings: Settings, port: int, shown: Shown, node: LocalNode) -> None:
    with (
        server.listen(HOST, port, settings.send_timeout) as listener,
        BackgroundRows(settings, shown.sightings) as rows,
    ):
        url = server.address(listener)
        config = server.configuration(settings, application=APPLICATION, every_second=_watch(node))

        def started() -> None:
            _print_addresses(url, shown, settings)
            rows.start()

        server.run_here(config, listener, started)


def _watch(node: LocalNode) -> Callable[[], Awaitable[None]]:
    """Return a check that logs once if the node has ended: the service continues, and its errors do not say why."""
    is_logged = False

    async def check() -> None:
        nonlocal is_logged
        if not is_logged and not node.is_running():
            is_logged = True
            server.logger.error("the demo's Cassandra has ended; see %s. Start the demo again", node.log_file)

    return check


def _print_addresses(url: str, shown: Shown, settings: Settings) -> None:
    click.echo(f"serving on {url}")
    if shown.quiet:
        return
    click.echo(f"in a browser: {url}/console/ shows tables and rows, {url}/docs has a form for every operation\n")
    if not shown.are_all_there:
        click.echo(_rows_to_come(shown.sightings))
    click.echo("Ctrl-C ends the service and its Cassandra. Try in another terminal:\n")
    for example in (*examples(url, KEYSPACE, shown.users, shown.sightings), *shutdown_example(url, settings)):
        click.echo(f"  {example.command}\n  # {example.answer}\n")
    click.echo(own_table_hint(settings))


def _rows_to_come(sightings: int) -> str:
    return (
        f"The table sightings has {FIRST_SIGHTINGS:,} of {sightings:,} rows so far. The demo writes the others while "
        "it serves, and the log says when all are there.\n"
    )
