"""Run uvicorn: bind the listener first, configure one log for everything, and drain before the end."""

from __future__ import annotations

import errno
import logging
import os
import secrets
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from uvicorn.supervisors import ChangeReload

from asgi_app.cli.draining import CUT, DrainingServer
from asgi_app.cli.failures import Failure
from asgi_app.cli.peers import with_mapped_addresses
from asgi_app.cli.protocol import AbortableProtocol
from asgi_app.cli.timeouts import BoundedConfig
from asgi_app.cli.workers import Supervisor
from asgi_app.http.extensions import StreamAborted
from asgi_app.settings import LogFormat, Settings
from asgi_app.telemetry.logging import ConsoleLines, JsonLines, RequestFields

APPLICATION = "asgi_app.app:app"
"""The application with the built-in tables, as uvicorn names applications."""

PAGE_KEYS = "ASGI_CASSANDRA_PAGE_KEYS"

TRUSTED_PROXIES = "127.0.0.1,::1"
"""The proxies that are trusted if FORWARDED_ALLOW_IPS is not set; uvicorn has the same default."""

BACKLOG = 2048
KERNEL_SECONDS = 10
"""How many seconds longer than the application the kernel waits for a client that reads nothing."""

RELOAD_SECONDS = 5
"""Seconds that running requests may still take when a source file has changed."""

_NOT_STARTED = "The application did not start; the log above says why."

logger = logging.getLogger("asgi_app.cli")


def new_page_key() -> str:
    """Return a random key for page tokens. All workers share it, so that a token is valid in each of them."""
    return secrets.token_urlsafe(32)


def listen(host: str, port: int, send_timeout: float) -> socket.socket:
    """Return a listening socket; port 0 takes a free port. Raises Failure if that is not possible.

    The kernel drops a connection, also one that is being closed, if the client reads nothing for `send_timeout` plus
    KERNEL_SECONDS. The application drops it after `send_timeout`, so it comes first and can log why.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is given because asyncio turns off Nagle's algorithm only on sockets whose protocol is TCP.
    try:
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    except OSError as error:  # a machine without IPv6
        raise Failure(_listen_error(host, port, error)) from error
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux; accepted connections inherit it (tcp(7))
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int((send_timeout + KERNEL_SECONDS) * 1000))
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise Failure(_listen_error(host, port, error)) from error
    return listener


def _listen_error(host: str, port: int, error: OSError) -> str:
    reason = error.strerror or str(error)
    if isinstance(error, socket.gaierror) or error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
        return f"This machine has no address {host} to listen on ({reason}); choose another address with --host."
    return f"Cannot listen on port {port} of {host} ({reason}); choose another port with --port."


def address(listener: socket.socket) -> str:
    """Return the URL of a listening socket."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def log_config(level: str, form: LogFormat) -> dict[str, Any]:
    """Return the configuration of one log on standard error.

    At the level "debug" uvicorn and the driver log their details too, otherwise only what goes wrong. Other loggers,
    such as asyncio's, log warnings and errors.
    """
    verbose = level == "debug"
    levels = {
        "asgi_app": level.upper(),
        "uvicorn": "DEBUG" if verbose else "WARNING",
        "cassandra": "INFO" if verbose else "ERROR",
    }
    loggers = {name: {"handlers": ["stderr"], "level": it, "propagate": False} for name, it in levels.items()}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "console": {"()": ConsoleLines},
            "json": {"()": JsonLines},
        },
        "filters": {"request": {"()": RequestFields}, "already_logged": {"()": _AlreadyLogged}},
        "handlers": {
            "stderr": {
                "class": "logging.StreamHandler",
                "formatter": form,
                "filters": ["request"] if verbose else ["request", "already_logged"],
                "stream": "ext://sys.stderr",
            },
        },
        "loggers": loggers,
        "root": {"handlers": ["stderr"], "level": "WARNING"},
    }


_LOGGED_BY_US = ("Error preparing query:", "Control connection failed to connect, shutting down Cluster:")
"""Messages that the driver logs with a traceback although it also raises the error."""


class _AlreadyLogged(logging.Filter):
    """Drops tracebacks of errors that are logged in one line: failed connects and prepares, broken streams."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name == "cassandra.cluster":
            return record.msg not in _LOGGED_BY_US
        return not (record.exc_info and isinstance(record.exc_info[1], StreamAborted))


def configuration(
    settings: Settings,
    *,
    application: str = APPLICATION,
    workers: int = 1,
    reload: bool = False,
    root_path: str = "",
    every_second: Callable[[], Awaitable[None]] | None = None,
) -> uvicorn.Config:
    """Return uvicorn's configuration. Side effect: configures the log of this process.

    `every_second` is called once a second while the server runs.
    """
    return BoundedConfig(
        settings,
        application,
        workers=workers,
        reload=reload,
        root_path=root_path,
        http=AbortableProtocol,
        ws="none",
        forwarded_allow_ips=with_mapped_addresses(os.environ.get("FORWARDED_ALLOW_IPS", TRUSTED_PROXIES)),
        access_log=False,  # the application logs its requests, with their ids
        server_header=False,
        lifespan="on",
        backlog=BACKLOG,
        log_config=log_config(settings.log_level, settings.log_format),
        log_level=None,
        timeout_notify=1,
        callback_notify=every_second,
    )


def run_here(config: uvicorn.Config, listener: socket.socket, on_started: Callable[[], None]) -> None:
    """Serve in this process until SIGINT, SIGTERM or POST /shutdown; call `on_started` once the service is up.

    Raises Failure if the application did not start, or if a second signal forced the exit.
    """
    server = DrainingServer(config, on_started)
    try:
        with _exit_on_signals(server):
            server.run(sockets=[listener])
    except SystemExit as error:  # uvicorn raises this if the application's lifespan failed
        raise Failure(_NOT_STARTED) from error
    if server.force_exit:
        raise Failure(CUT)


def run_workers(config: uvicorn.Config, listener: socket.socket) -> None:
    """Serve in `config.workers` processes until SIGINT, SIGTERM or POST /shutdown.

    Raises Failure if the application did not start, if workers died again and again, or if a second signal forced the
    exit.
    """
    supervisor = Supervisor(config, [listener])
    logger.info("serving on %s with %d workers", address(listener), config.workers)
    supervisor.run()
    if supervisor.start_failed:
        raise Failure(_NOT_STARTED)
    if supervisor.gave_up:
        raise Failure(
            "Workers died one after another; see the log above. A worker that logged nothing was killed, often because "
            "memory ran out."
        )
    if supervisor.forced:
        raise Failure(CUT)


def run_reloading(config: uvicorn.Config, listener: socket.socket) -> None:
    """Serve until SIGINT or SIGTERM, in a process that is replaced whenever a source file changes."""
    logger.info("serving on %s, reloading on changes", address(listener))
    config.timeout_graceful_shutdown = RELOAD_SECONDS
    ChangeReload(config, target=uvicorn.Server(config).run, sockets=[listener]).run()


@contextmanager
def _exit_on_signals(server: uvicorn.Server) -> Iterator[None]:
    """Let SIGINT and SIGTERM request the server's exit within this context, and do nothing else.

    While the server runs, uvicorn has its own handlers. Afterwards it raises the received signals again, for the
    handlers from before; without this context they would end the process.
    """

    def request_exit(*_: Any) -> None:
        server.should_exit = True

    before = {number: signal.signal(number, request_exit) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
