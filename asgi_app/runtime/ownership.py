"""Who may use what was opened: one process and one event loop. All others are refused at once.

What is opened here holds timers, futures and sockets of its event loop. Used from another loop they wait for a wake-up
that never comes, and they break the loop that owns them.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import anyio.lowlevel

from asgi_app.errors import AlreadyStarted, OpenedBeforeFork, WrongEventLoop


class Owner:
    """The process and the event loop that made this object."""

    def __init__(self) -> None:
        self._process = os.getpid()
        self._loop: Any = anyio.lowlevel.current_token().native_token
        self._owns_caller = _loop_test(self._loop)

    @property
    def is_gone(self) -> bool:
        """Whether the event loop cannot run again here: it was closed, or stayed in the process that forked this one.

        On trio it never says so: trio ends every task, and so frees what they hold, before its loop ends.
        """
        closed = isinstance(self._loop, asyncio.AbstractEventLoop) and self._loop.is_closed()
        return closed or os.getpid() != self._process

    def check(self) -> None:
        """Return if the caller runs on the owner's event loop.

        Raise OpenedBeforeFork in a process forked from the owner, and WrongEventLoop everywhere else.
        """
        if not self._owns_caller():
            self.check_process()
            raise WrongEventLoop

    def check_process(self) -> None:
        """Return if the caller is in the owner's process, in any thread of it. Raise OpenedBeforeFork elsewhere."""
        if os.getpid() != self._process:
            raise OpenedBeforeFork from RuntimeError(
                f"the database was opened in process {self._process} and cannot be used in {os.getpid()}, which was "
                "forked from it; fork first, then start the application's lifespan in each process"
            )


class Claim:
    """Gives an application to one owner at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owner: Owner | None = None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the claim while the context lasts.

        Raise AlreadyStarted if another owner holds it, unless that one can never give it back (`Owner.is_gone`).
        """
        owner = Owner()
        with self._lock:
            if self._owner is not None and not self._owner.is_gone:
                raise AlreadyStarted
            self._owner = owner
        try:
            yield
        finally:
            with self._lock:
                if self._owner is owner:
                    self._owner = None


def _loop_test(loop: Any) -> Callable[[], bool]:
    """Return a function that says whether its caller runs on `loop`. It is called for each request and statement."""
    if not isinstance(loop, asyncio.AbstractEventLoop):
        return lambda: _runs_on(loop)
    get_running_loop = asyncio.get_running_loop  # it knows a forked process: there it finds no loop

    def runs_here() -> bool:
        try:
            return get_running_loop() is loop
        except RuntimeError:
            return False

    return runs_here


def _runs_on(loop: Any) -> bool:
    """Return whether the caller runs on this loop of trio's."""
    try:
        return anyio.lowlevel.current_token().native_token is loop
    except RuntimeError:
        return False
