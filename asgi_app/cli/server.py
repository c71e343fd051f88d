"""uvicorn as the commands run it: bound before it starts, one log, and an end that drains first."""

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
from asgi_app.cli.peers import in_both_forms
from asgi_app.cli.protocol import AbortableProtocol
from asgi_app.cli.timeouts import BoundedConfig
from asgi_app.cli.workers import Supervisor
from asgi_app.http.extensions import StreamAborted
from asgi_app.settings import LogFormat, Settings
from asgi_app.telemetry.logging import ConsoleLines, JsonLines, RequestFields

APPLICATION = "asgi_app.app:app"
PAGE_KEYS = "ASGI_CASSANDRA_PAGE_KEYS"

LOOPBACK = "127.0.0.1,::1"
"""The proxies that are trusted where FORWARDED_ALLOW_IPS names no others, as uvicorn does."""

BACKLOG = 2048
KERNEL_SECONDS = 10
"""How much longer than the application the kernel waits for a client that takes nothing."""

RELOAD_SECONDS = 5
"""How long requests may go on when a source file has changed."""

_NOT_STARTED = "The application did not start; the log above says why."

logger = logging.getLogger("asgi_app.cli")


def new_page_key() -> str:
    """Return a key for page tokens, so that those of one worker are good in all of them and in one that follows."""
    return secrets.token_urlsafe(32)


def listen(host: str, port: int, send_timeout: float) -> socket.socket:
    """A listening socket; port 0 is a free one. Raises Failure where it cannot be had.

    The kernel gives up what a client takes none of for `send_timeout` and some seconds, also where the connection was
    closed already. Some more, because the application does so by itself, and can say why.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named because asyncio turns off Nagle's delay only on sockets that say they are TCP.
    try:
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    except OSError as error:  # a machine without IPv6
        raise Failure(_not_served(host, port, error)) from error
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux, which hands it on to the connections (tcp(7))
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int((send_timeout + KERNEL_SECONDS) * 1000))
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise Failure(_not_served(host, port, error)) from error
    return listener


def _not_served(host: str, port: int, error: OSError) -> str:
    reason = error.strerror or str(error)
    if isinstance(error, socket.gaierror) or error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
        return f"This machine has no address {host} to listen on ({reason}); choose another with --host."
    return f"Port {port} on {host} cannot be served ({reason}); choose another with --port."


def address(listener: socket.socket) -> str:
    """The URL of a listening socket."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def log_config(level: str, form: LogFormat) -> dict[str, Any]:
    """One log for all, on standard error. The driver and uvicorn speak of what goes wrong only, but all in debug.

    The loggers of others, asyncio's for one, come with warnings and worse.
    """
    chatty = level == "debug"
    levels = {
        "asgi_app": level.upper(),
        "uvicorn": "DEBUG" if chatty else "WARNING",
        "cassandra": "INFO" if chatty else "ERROR",
    }
    loggers = {name: {"handlers": ["stderr"], "level": it, "propagate": False} for name, it in levels.items()}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "console": {"()": ConsoleLines},
            "json": {"()": JsonLines},
        },
        "filters": {"request": {"()": RequestFields}, "told_elsewhere": {"()": _ToldElsewhere}},
        "handlers": {
            "stderr": {
                "class": "logging.StreamHandler",
                "formatter": form,
                "filters": ["request"] if chatty else ["request", "told_elsewhere"],
                "stream": "ext://sys.stderr",
            },
        },
        "loggers": loggers,
        "root": {"handlers": ["stderr"], "level": "WARNING"},
    }


class _ToldElsewhere(logging.Filter):
    """Drops tracebacks of what a line of the application's own tells: a failed prepare, a stream that broke off."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name == "cassandra.cluster":
            return record.msg != "Error preparing query:"
        return not (record.exc_info and isinstance(record.exc_info[1], StreamAborted))


def configuration(
    settings: Settings,
    *,
    workers: int = 1,
    reload: bool = False,
    root_path: str = "",
    every_second: Callable[[], Awaitable[None]] | None = None,
) -> uvicorn.Config:
    """uvicorn's configuration; applies the log configuration to this process."""
    return BoundedConfig(
        settings,
        APPLICATION,
        workers=workers,
        reload=reload,
        root_path=root_path,
        http=AbortableProtocol,
        ws="none",
        forwarded_allow_ips=in_both_forms(os.environ.get("FORWARDED_ALLOW_IPS", LOOPBACK)),
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
    """Serve in this process until SIGINT, SIGTERM or POST /shutdown; `on_started` is called when it serves.

    Raises Failure where the application did not start, or was not let finish by a second signal.
    """
    server = DrainingServer(config, on_started)
    try:
        with _signals_end(server):
            server.run(sockets=[listener])
    except SystemExit as error:  # uvicorn's way to say that the application's lifespan failed
        raise Failure(_NOT_STARTED) from error
    if server.force_exit:
        raise Failure(CUT)


def run_workers(config: uvicorn.Config, listener: socket.socket) -> None:
    """Serve in `config.workers` processes until SIGINT, SIGTERM or POST /shutdown.

    Raises Failure where the application did not start, where workers kept dying, and where they were not let finish by
    a second signal.
    """
    supervisor = Supervisor(config, [listener])
    logger.info("serving on %s with %d workers", address(listener), config.workers)
    supervisor.run()
    if supervisor.start_failed:
        raise Failure(_NOT_STARTED)
    if supervisor.gave_up:
        raise Failure(
            "Workers died one after another; the log above says what they said. One that said nothing was killed, "
            "often because memory ran out."
        )
    if supervisor.forced:
        raise Failure(CUT)


def run_reloading(config: uvicorn.Config, listener: socket.socket) -> None:
    """Serve in a process that is replaced whenever a source file changes, until SIGINT or SIGTERM."""
    logger.info("serving on %s, reloading on changes", address(listener))
    config.timeout_graceful_shutdown = RELOAD_SECONDS
    ChangeReload(config, target=uvicorn.Server(config).run, sockets=[listener]).run()


@contextmanager
def _signals_end(server: uvicorn.Server) -> Iterator[None]:
    """SIGINT and SIGTERM ask the server to end, and that is all they do.

    While it runs, uvicorn has handlers of its own; when it has ended it raises the signals it got once more, for those
    who had handlers before.
    """

    def ask_to_end(*_: Any) -> None:
        server.should_exit = True

    before = {number: signal.signal(number, ask_to_end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
