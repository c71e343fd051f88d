"""Calls of a dispatcher whose start and end the test controls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from asgi_app.runtime.deadline import Deadline
from asgi_app.runtime.dispatcher import Call, Dispatcher, OnDone
from asgi_app.runtime.scheduler import Lane

Start = Callable[[float, OnDone[Any]], object]
"""Starts a call. Its arguments are the seconds left and the callback that reports the result."""


async def call(dispatcher: Dispatcher, start: Start, deadline: Deadline, lane: Lane = Lane.REQUESTS) -> Any:
    """Run a call that `start` starts, and return its result."""
    return await dispatcher.run(Call(start), deadline, lane)
