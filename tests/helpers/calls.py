"""Calls of a dispatcher whose start and end the test controls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from asgi_app.runtime.deadline import Deadline
from asgi_app.runtime.dispatcher import Call, Dispatcher, OnDone
from asgi_app.runtime.scheduler import Lane

Start = Callable[[float, OnDone[Any]], object]
"""Starts a call. Its arguments are the seconds left and the callback that reports the result."""


class StartedBy(Call[Any]):
    """A call that runs a function to start."""

    def __init__(self, start: Start) -> None:
        super().__init__()
        self._start = start

    def start(self, timeout: float, done: OnDone[Any]) -> None:
        self._start(timeout, done)


async def call(dispatcher: Dispatcher, start: Start, deadline: Deadline, lane: Lane = Lane.REQUESTS) -> Any:
    """Run a call that `start` starts, and return its result."""
    return await dispatcher.run(StartedBy(start), deadline, lane)
