"""The commands of the command line.

The module of a command is imported when that command runs, so that `--version` and usage errors do not wait for the
driver and the server.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType

import click

import asgi_app

_COMMANDS: Mapping[str, str] = MappingProxyType(
    {
        "check": "asgi_app.cli.check",
        "demo": "asgi_app.cli.demo",
        "export": "asgi_app.cli.export",
        "import": "asgi_app.cli.import_table:import_table",
        "node": "asgi_app.cli.node",
        "schema": "asgi_app.cli.data",
        "seed": "asgi_app.cli.data",
        "serve": "asgi_app.cli.serve",
        "tables": "asgi_app.cli.tables",
    }
)


class _LazyGroup(click.Group):
    """A group that imports each command from its module in `_COMMANDS`.

    There it is defined under its own name, or under the one after the colon.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(import_module(module), name or cmd_name)
        return command


@click.command(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(asgi_app.__version__, prog_name="asgi-cassandra")
def command_line() -> None:
    """Apache Cassandra, Astra DB or ScyllaDB behind HTTP.

    Exit codes: 0 success, or Ctrl-C or SIGTERM while serving; 1 failure (Cassandra does not answer, a port is in use,
    ...) or interrupted before the end; 2 wrong command line or settings. Some commands have more; see their --help.
    """
