"""Say how other commands reach the local node of this folder, and warn of a command that does not reach it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from asgi_app.cli.console import say
from asgi_app.local_node import LocalNodeError, detached_port
from asgi_app.settings import Settings, given_variables

DATA = Path(".cassandra")
"""The folder of the local node, in the working directory, unless another is named."""

CQL_PORT = 9042
"""The port of Cassandra that CASSANDRA_PORT has by default."""

_NAMES_CASSANDRA = frozenset({"CASSANDRA_HOSTS", "CASSANDRA_PORT", "ASTRA_DB_SECURE_BUNDLE_PATH"})


def how_to_reach(port: int) -> str:
    """Return what to run so that commands connect to this port."""
    return (
        f"In every terminal: export CASSANDRA_PORT={port} (or once, in this folder: echo CASSANDRA_PORT={port} >> .env)"
    )


def warn_of_missed_node(settings: Settings, overrides: Mapping[str, str], *, quiet: bool = False) -> None:
    """Print the warning of `missed_node`, if there is one."""
    if not quiet and (warning := missed_node(settings, overrides)):
        say(f"Warning: {warning}")


def missed_node(settings: Settings, overrides: Mapping[str, str]) -> str | None:
    """Return a warning if a local node runs in this folder and the settings, by default, lead to another Cassandra.

    `overrides` are the options that the settings were made with. Returns None if a setting names a Cassandra, or if
    the node listens on the default port.
    """
    if not _NAMES_CASSANDRA.isdisjoint(given_variables(overrides=overrides)):
        return None
    try:
        port = detached_port(DATA)
    except (LocalNodeError, OSError):  # a command that needs no local node does not end with the node's trouble
        return None
    if port is None or port == CQL_PORT:
        return None
    return (
        f"the node in {DATA} listens on {port}, and no setting names that port, so this connects to "
        f"{settings.address}. {how_to_reach(port)}"
    )
