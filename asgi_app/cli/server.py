"""uvicorn as the commands run it: bound before it starts, one log, and a signal is a good end."""

from __future__ import annotations

import logging
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from uvicorn.supervisors import ChangeReload, Multiprocess

from asgi_app.cli.failures import Failure
from asgi_app.cli.patience import BoundedConfig
from asgi_app.cli.protocol import AbortableProtocol
from asgi_app.settings import Settings

APPLICATION = "asgi_app.app:app"
GRACE_SECONDS = 30
"""How long requests may go on after the signal to end."""

BACKLOG = 2048

_NOT_STARTED = "The application did not start; the log above says why."

logger = logging.getLogger("asgi_app.cli")


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 is a free one. Raises Failure where it cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named because asyncio turns off Nagle's delay only on sockets that say they are TCP.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        reason = error.strerror or str(error)
        raise Failure(f"Port {port} on {host} cannot be served ({reason}); choose another with --port.") from error
    return listener


def address(listener: socket.socket) -> str:
    """The URL of a listening socket."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def log_config(level: str) -> dict[str, Any]:
    """One log for all, on standard error. The driver and uvicorn speak of what goes wrong only, but all in debug."""
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
        "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
        "filters": {"told_elsewhere": {"()": _ToldElsewhere}},
        "handlers": {
            "stderr": {
                "class": "logging.StreamHandler",
                "formatter": "line",
                "filters": [] if chatty else ["told_elsewhere"],
                "stream": "ext://sys.stderr",
            },
        },
        "loggers": loggers,
    }


class _ToldElsewhere(logging.Filter):
    """Drops the driver's traceback of a statement that could not be prepared: the request's line tells the cause."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not (record.name == "cassandra.cluster" and record.msg == "Error preparing query:")


def configuration(settings: Settings, *, workers: int = 1, reload: bool = False) -> uvicorn.Config:
    """uvicorn's configuration; applies the log configuration to this process."""
    return BoundedConfig(
        settings,
        APPLICATION,
        workers=workers,
        reload=reload,
        http=AbortableProtocol,
        access_log=False,  # the application logs its requests, with their ids
        server_header=False,
        lifespan="on",
        backlog=BACKLOG,
        log_config=log_config(settings.log_level),
        log_level=None,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )


def run_here(config: uvicorn.Config, listener: socket.socket, on_started: Callable[[], None]) -> None:
    """Serve in this process until SIGINT or SIGTERM; `on_started` is called when it serves. Raises Failure."""
    server = _Server(config, on_started)
    try:
        with _signals_end(server):
            server.run(sockets=[listener])
    except SystemExit as error:  # uvicorn's way to say that the application's lifespan failed
        raise Failure(_NOT_STARTED) from error


def run_workers(config: uvicorn.Config, listener: socket.socket) -> None:
    """Serve in `config.workers` processes until SIGINT or SIGTERM. Raises Failure."""
    supervisor = Multiprocess(config, sockets=[listener])
    logger.info("serving on %s with %d workers", address(listener), config.workers)
    supervisor.run()
    if any(process.exitcode == uvicorn.config.STARTUP_FAILURE for process in supervisor.processes):
        raise Failure(_NOT_STARTED)


def run_reloading(config: uvicorn.Config, listener: socket.socket) -> None:
    """Serve in a process that is replaced whenever a source file changes, until SIGINT or SIGTERM."""
    logger.info("serving on %s, reloading on changes", address(listener))
    ChangeReload(config, target=uvicorn.Server(config).run, sockets=[listener]).run()


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, on_started: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_started = on_started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self._on_started()


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
