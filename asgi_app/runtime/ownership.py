"""Restrict an object to the process and the event loop that created it; refuse all other callers at once.

Applications and databases hold timers, futures and sockets of their event loop. A caller on another loop would wait for
a wake-up that never comes, and break the loop that owns them.
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
    """The process and the event loop that created this object."""

    def __init__(self) -> None:
        self._process = os.getpid()
        self._loop: Any = anyio.lowlevel.current_token().native_token
        is_asyncio = isinstance(self._loop, asyncio.AbstractEventLoop)
        self._running_loop: Callable[[], Any] = asyncio.get_running_loop if is_asyncio else _running_trio_loop

    @property
    def is_gone(self) -> bool:
        """Whether the event loop cannot run here again: it was closed, or it runs in the process that forked this one.

        Always false on trio in the same process: trio ends every task before its loop ends, so nothing that a task
        holds is left.
        """
        closed = isinstance(self._loop, asyncio.AbstractEventLoop) and self._loop.is_closed()
        return closed or os.getpid() != self._process

    def check(self) -> None:
        """Return if the caller runs on the owner's event loop.

        Raise OpenedBeforeFork in a process forked from the owner, and WrongEventLoop everywhere else. It runs twice for
        each request, so it makes no further calls of Python functions.
        """
        try:
            if self._running_loop() is self._loop:  # in a forked process asyncio finds no running loop
                return
        except RuntimeError:
            pass
        self.check_process()
        raise WrongEventLoop

    def check_process(self) -> None:
        """Return if the caller runs in the owner's process, in any thread. Raise OpenedBeforeFork elsewhere."""
        if os.getpid() != self._process:
            raise OpenedBeforeFork from RuntimeError(
                f"the database was opened in process {self._process} and cannot be used in {os.getpid()}, which was "
                "forked from it; fork first, then start the application's lifespan in each process"
            )


class Claim:
    """Lets one owner at a time hold an application."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owner: Owner | None = None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the claim for the duration of the context.

        Raise AlreadyStarted if another owner holds it, unless that owner can never release it (`Owner.is_gone`).
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


def _running_trio_loop() -> Any:
    """Return the trio loop on which the caller runs. Raise RuntimeError outside of one."""
    return anyio.lowlevel.current_token().native_token
