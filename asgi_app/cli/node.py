"""The commands `node start`, `node stop` and `node status`: a local Cassandra that keeps running."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import click

from asgi_app.cli.console import node_progress, say
from asgi_app.cli.failures import Failure, report_failures
from asgi_app.cli.local_hint import CQL_PORT, DATA, how_to_reach
from asgi_app.cli.options import json_option, quiet_option
from asgi_app.local_node import (
    NodeSpec,
    NodeStatus,
    PortInUseError,
    ProgressCallback,
    detached_status,
    start_detached,
    stop_detached,
)

NOT_RUNNING = 3

_data_option = click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    default=DATA,
    show_default=True,
    help="The folder for everything the node writes. Delete it to start from scratch.",
)


@click.group()
def node() -> None:
    """A local Cassandra for development; needs no Java, no Docker and no root. Listens on 127.0.0.1 only."""


@node.command()
@_data_option
@click.option(
    "--port", type=click.IntRange(1, 65535), help="The CQL port.  [default: 9042, or a free port if that is in use]"
)
@click.option("--heap", default="512m", show_default=True, help="Java's maximum heap.")
@quiet_option
@json_option
@report_failures
def start(data: Path, port: int | None, heap: str, quiet: bool, as_json: bool) -> None:
    """Start the node, unless it runs already, and return when it answers. The first start downloads Cassandra."""
    with node_progress(quiet=quiet) as show:
        status, subject = _start(data, port, heap, show)
    _show(status, as_json)
    if not (quiet or as_json):
        _show_port(status, subject)


@node.command()
@_data_option
@quiet_option
@json_option
@report_failures
def stop(data: Path, quiet: bool, as_json: bool) -> None:  # it shows no progress, so --quiet changes nothing
    """Stop the node and return when its process has ended."""
    stopped = stop_detached(data)
    sentence = "Stopped." if stopped else f"No node runs on {data}."
    click.echo(json.dumps({"stopped": stopped}) if as_json else sentence)


@node.command()
@_data_option
@quiet_option
@json_option
@report_failures
def status(data: Path, quiet: bool, as_json: bool) -> None:
    """Print the address and process of the node. Exit code 3 if no node runs on this folder."""
    found = detached_status(data)
    if found is None:
        click.echo(json.dumps({"running": False}) if as_json else f"No node runs on {data}.")
        raise click.exceptions.Exit(NOT_RUNNING)
    _show(found, as_json)
    if not (quiet or as_json):
        _show_port(found, "It")


def _start(data: Path, port: int | None, heap: str, show: ProgressCallback) -> tuple[NodeStatus, str]:
    """Start the node. Return its status, and how a sentence about its port begins."""
    running = detached_status(data)
    if port and running is not None and running.port != port:
        raise Failure(f"The node on {data} already runs on port {running.port}; stop it, or choose another --data.")
    try:
        return start_detached(NodeSpec(data=data, port=port or CQL_PORT, heap=heap), show), "It"
    except PortInUseError:
        if port:
            raise
    return start_detached(NodeSpec(data=data, heap=heap), show), f"Port {CQL_PORT} is taken, so it"


def _show(status: NodeStatus, as_json: bool) -> None:
    click.echo(_as_json(status) if as_json else _description(status))


def _show_port(status: NodeStatus, subject: str) -> None:
    """Say what to set for a node that does not listen on the port that the commands expect."""
    if status.port != CQL_PORT:
        say(f"{subject} listens on {status.port}. {how_to_reach(status.port)}")


def _as_json(status: NodeStatus) -> str:
    return json.dumps({"running": True, **dataclasses.asdict(status)}, default=str)


def _description(status: NodeStatus) -> str:
    answers = "" if status.answers else ", which does not answer"
    return (
        f"Cassandra {status.version} at {status.host}:{status.port}, process {status.pid}, data {status.data}{answers}"
    )
