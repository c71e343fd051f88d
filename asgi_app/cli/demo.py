"""`demo`: a local Cassandra of its own, sample data and the service, ended together."""

from __future__ import annotations

import os
import secrets
import signal
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click

from asgi_app.cli import sample_data as seeding
from asgi_app.cli import server
from asgi_app.cli.console import node_progress, row_progress, say
from asgi_app.cli.examples import examples, farewell
from asgi_app.cli.failures import in_sentences
from asgi_app.cli.session import open_session
from asgi_app.local_node import LocalNode, NodeSpec, local_node
from asgi_app.settings import Settings, check_metrics_directory, setting_fields
from asgi_app.tables.builtin import TABLES
from asgi_app.tables.ddl import create_schema, network_replication

HOST = "127.0.0.1"
KEYSPACE = "demo"


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 takes a free one.")
@click.option("--users", type=click.IntRange(min=0), default=1000, show_default=True, help="Users to generate.")
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".cassandra/demo"),
    show_default=True,
    help="The folder of the demo's Cassandra; kept for the next run. Delete it for a fresh one.",
)
@click.option("--heap", default="512m", show_default=True, help="The heap of its Java.")
@in_sentences
def demo(port: int, users: int, data: Path, heap: str) -> None:
    """Start a local Cassandra, create the tables, write sample rows, serve, and print what to try.

    Ctrl-C, SIGTERM or POST /shutdown ends all of it. The first run downloads Cassandra (70 MB); what rows hold is kept
    between runs. Which Cassandra the environment names does not matter here.
    """
    settings = Settings.load(overrides=_environment(HOST, 9042))  # better told now than after Cassandra has started
    check_metrics_directory()
    server.listen(HOST, port, settings.send_timeout).close()  # so is this
    with ExitStack() as until_ended:
        until_ended.enter_context(_sigterm_as_interrupt())
        with node_progress() as show:
            node = until_ended.enter_context(local_node(NodeSpec(data=data, heap=heap), progress=show))
        environment = _environment(node.host, node.port)
        settings = Settings.load(overrides=environment)
        os.environ.update(environment)
        if not settings.page_keys:
            os.environ[server.PAGE_KEYS] = server.new_page_key()
        _fill(settings, users)
        _serve(settings, port, users, node)
        say("stopping Cassandra")


@contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    """SIGTERM unwinds the command as Ctrl-C does, so that the node is stopped and not left to its guard."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _environment(host: str, port: int) -> Mapping[str, str]:
    """What makes the application use this node alone, and a token for POST /shutdown.

    An empty variable counts as not set, also against .env.
    """
    elsewhere = (field.env for field in setting_fields() if field.env.startswith(("CASSANDRA_", "ASTRA_")))
    return {
        **dict.fromkeys(elsewhere, ""),
        "CASSANDRA_HOSTS": host,
        "CASSANDRA_PORT": str(port),
        "CASSANDRA_KEYSPACE": KEYSPACE,
        "ASGI_CASSANDRA_ADMIN_TOKEN": secrets.token_urlsafe(24),
    }


def _fill(settings: Settings, users: int) -> None:
    with open_session(settings) as session:
        create_schema(session, settings.keyspace, network_replication(1), TABLES)
        with row_progress(seeding.row_count(users)) as show:
            report = seeding.seed(session, settings.keyspace, users, show)
    say(f"seeded {report.rows} rows in {report.seconds:.1f} s, {report.rows_per_second:.0f} rows/s")


def _serve(settings: Settings, port: int, users: int, node: LocalNode) -> None:
    with server.listen(HOST, port, settings.send_timeout) as listener:
        url = server.address(listener)
        config = server.configuration(settings, every_second=_watch(node))
        server.run_here(config, listener, lambda: _print_examples(url, users, settings))


def _watch(node: LocalNode) -> Callable[[], Awaitable[None]]:
    """Says once that the node has ended, which the service survives and its answers only hint at."""
    told = False

    async def look() -> None:
        nonlocal told
        if not told and not node.is_running():
            told = True
            server.logger.error("the demo's Cassandra has ended; its log is %s. Start the demo again", node.log_file)

    return look


def _print_examples(url: str, users: int, settings: Settings) -> None:
    click.echo(f"serving on {url} - in another terminal, try:\n")
    for example in (*examples(url, KEYSPACE, users), *farewell(url, settings)):
        click.echo(f"  {example.command}\n  # {example.answer}\n")
    click.echo("Ctrl-C ends the service and its Cassandra too.")
