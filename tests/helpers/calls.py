"""Calls of a dispatcher that a function of the test starts, and that report when the test says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from asgi_app.runtime.deadline import Deadline
from asgi_app.runtime.dispatcher import Call, Dispatcher, OnDone
from asgi_app.runtime.scheduler import Lane

Start = Callable[[float, OnDone[Any]], object]
"""Starts a call: takes the time left, in seconds, and the callback that reports the end."""


class StartedBy(Call[Any]):
    """A call that a function starts."""

    def __init__(self, start: Start) -> None:
        super().__init__()
        self._start = start

    def start(self, timeout: float, done: OnDone[Any]) -> None:
        self._start(timeout, done)


async def call(dispatcher: Dispatcher, start: Start, deadline: Deadline, lane: Lane = Lane.REQUESTS) -> Any:
    """Run a call that `start` starts."""
    return await dispatcher.run(StartedBy(start), deadline, lane)
