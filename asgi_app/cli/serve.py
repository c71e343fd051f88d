"""The command `serve`: run the application under uvicorn."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from urllib.parse import unquote

import click

from asgi_app.cli import server
from asgi_app.cli.declared import check_application
from asgi_app.cli.failures import report_failures
from asgi_app.cli.local_hint import missed_node
from asgi_app.cli.options import settings_options
from asgi_app.cli.peers import is_this_machine
from asgi_app.cli.session import check_cluster
from asgi_app.cli.shared_metrics import shared_metrics
from asgi_app.settings import Settings, check_metrics_directory, setting_fields

_prefix = re.compile(r"(/(?:[A-Za-z0-9._~-]|%[0-9A-Fa-f]{2})+)*", re.ASCII)


def _checked_prefix(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    prefix = value.rstrip("/")
    if not _prefix.fullmatch(prefix) or any(unquote(segment) in (".", "..") for segment in prefix.split("/")):
        raise click.BadParameter(
            "must be a path such as /db: letters, digits and -._~, everything else percent-encoded"
        )
    return prefix


@click.command()
@click.argument("application", metavar="[MODULE:NAME]", default=server.APPLICATION)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 takes a free port.")
@click.option(
    "--workers", type=click.IntRange(1, 256), default=1, show_default=True, help="The number of worker processes."
)
@click.option(
    "--root-path",
    default="",
    metavar="PATH",
    callback=_checked_prefix,
    help="The path prefix that a proxy removes from requests; links contain it.",
)
@click.option("--reload", is_flag=True, help="Restart when a source file in the working directory changes.")
@settings_options(setting_fields())
@report_failures
def serve(
    application: str,
    host: str,
    port: int,
    workers: int,
    root_path: str,
    reload: bool,
    overrides: Mapping[str, str],
) -> None:
    """Serve the API with uvicorn until Ctrl-C or SIGTERM.

    MODULE:NAME is an application of your own, made by `create_app`; without it the built-in tables are served.

    Every setting is an option here, an environment variable, and a line of .env; the first that is set wins.
    """
    if reload and workers > 1:
        raise click.UsageError("--reload and --workers cannot be combined.")
    if application != server.APPLICATION:
        check_application(application)
    settings = Settings.load(overrides=overrides)
    check_metrics_directory()
    check_cluster(settings)
    # The application reads the environment when it starts, in this process or in a worker.
    os.environ.update(overrides)
    if not settings.page_keys:
        os.environ[server.PAGE_KEYS] = server.new_page_key()
    with server.listen(host, port, settings.send_timeout) as listener:
        config = server.configuration(
            settings, application=application, workers=workers, reload=reload, root_path=root_path
        )
        warn_if_unauthenticated(host, settings)
        if missed := missed_node(settings, overrides):
            server.logger.warning("%s", missed)
        if reload:
            server.run_reloading(config, listener)
        elif workers > 1:
            with shared_metrics():
                server.run_workers(config, listener)
        else:
            url = server.address(listener)
            server.run_here(config, listener, lambda: server.logger.info("serving on %s", url))


def warn_if_unauthenticated(host: str, settings: Settings) -> None:
    """Log a warning if the address is not loopback and no API keys are set."""
    if not settings.api_keys and not is_this_machine(host):
        server.logger.warning(
            "listening on %s without authentication: everyone who can connect may read and write. "
            "Set ASGI_CASSANDRA_API_KEYS, or restrict access to this address.",
            host,
        )
