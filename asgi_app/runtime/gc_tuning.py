"""Tune the garbage collector of a process that serves requests and does nothing else."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

ALLOCATIONS = 10_000
"""New objects after which the collector searches the youngest generation for cycles.

Python's default is 700 (2,000 from 3.13 on). A few dozen concurrent requests allocate that many objects and leave no
cycle, so the collector would run in vain at each burst.
"""


@contextmanager
def rare_collections() -> Iterator[None]:
    """Freeze the existing objects and raise the collector's threshold to `ALLOCATIONS`, for the whole process.

    On exit, restore the threshold and unfreeze everything. That includes objects that were frozen before the context,
    because Python does not distinguish them. Do nothing if the collector is disabled or its threshold is at least as
    high. docs/performance.md has the measured gain.
    """
    before = gc.get_threshold()
    if not gc.isenabled() or not 0 < before[0] < ALLOCATIONS:
        yield
        return
    gc.collect()
    gc.freeze()
    gc.set_threshold(ALLOCATIONS, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
