"""What a background task looks at while the service runs: how late the event loop is, and the state of things."""

from __future__ import annotations

import time
from collections.abc import Callable

import anyio

from asgi_app.telemetry.instruments import shared_by_workers
from asgi_app.telemetry.metrics import Metrics

PERIOD = 0.25
"""Seconds between two looks at the event loop. A look costs some ten microseconds."""

_LOOKS_A_SECOND = round(1 / PERIOD)


async def sample(metrics: Metrics, publish: Callable[[], None]) -> None:
    """Look until cancelled. Where workers share their figures, `publish` is called every second, for a scrape may reach
    another worker; where they do not, whoever reads the figures calls it.
    """
    shared = shared_by_workers()
    if shared:
        publish()
    while True:
        for _ in range(_LOOKS_A_SECOND):
            began = time.perf_counter()
            await anyio.sleep(PERIOD)
            metrics.loop_lagged(max(0.0, time.perf_counter() - began - PERIOD))
        metrics.mark_second()
        if shared:
            publish()
