"""The garbage collector of a process that serves requests and does nothing else."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

ALLOCATIONS = 10_000
"""New objects after which the collector looks for cycles among them.

Python looks after 700 (from 3.14 on, 2,000), which a few dozen requests at once need without leaving a cycle behind:
it looked at each burst of them in vain.
"""


@contextmanager
def rare_collections() -> Iterator[None]:
    """Within this context the collector leaves alone what is there already, and looks at new objects less often.

    Both are the whole process's. Afterwards the collector looks as often as before, and at everything: also at what was
    frozen before, which cannot be told from the rest. Nothing is changed where the collector is off, or looks as rarely
    already. What it brings is told in docs/performance.md.
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
