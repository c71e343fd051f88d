"""Measure both commits in paired rounds: point reads over 32 connections and a stream.

Two processes of the same code may differ by some percent for as long as they run, because of their hashes and
addresses. So every round has fresh processes.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from benchmarks.measure import (
    CPU_REQUEST,
    CPU_ROW,
    Load,
    StreamLoad,
    measure,
    measure_stream,
    rotated,
    run_load,
    stream_load,
)
from benchmarks.operations import READ, asks_file, check
from benchmarks.regression.checkouts import Checkout
from benchmarks.regression.verdicts import Comparison
from benchmarks.scenarios import CONNECTIONS
from benchmarks.serving import side_by_side
from benchmarks.site import Site

_CHECKED = 10


def compare(base: Checkout, head: Checkout, site: Site, rows: int, rounds: int, seconds: int) -> list[Comparison]:
    """Measure both; they swap places after each round. Raises ContenderFailed."""
    reads = Load("compare", "reads", CONNECTIONS, seconds, asks_file(site, READ.name, READ.asks(site)))
    stream = stream_load(site, "compare", "stream", rows)
    found: dict[str, dict[str, list[float]]] = {name: {base.name: [], head.name: []} for name in (CPU_REQUEST, CPU_ROW)}
    for number in range(rounds):
        for name, figures in _round(rotated((base, head), number), site, reads, stream).items():
            for figure, value in figures.items():
                found[figure][name].append(value)
        last = [f"{figure}: {found[figure][each.name][-1]:.2f}" for each in (base, head) for figure in found]
        print(f"round {number + 1} of {rounds}: {', '.join(last)}", file=sys.stderr)
    return [Comparison(figure, values[base.name], values[head.name]) for figure, values in found.items()]


def _round(order: Sequence[Checkout], site: Site, reads: Load, stream: StreamLoad) -> dict[str, dict[str, float]]:
    """Return both figures by the name of the checkout."""
    with side_by_side([each.contender() for each in order], site) as running:
        for served in running:
            check(served, site, READ, _CHECKED)
            run_load(served, reads)
            measure_stream(served, stream, 0)
        requests = {each.name: measure(each, reads, 0).figures[CPU_REQUEST] for each in running}
        rows = {each.name: measure_stream(each, stream, 0).figures[CPU_ROW] for each in running}
    return {name: {CPU_REQUEST: requests[name], CPU_ROW: rows[name]} for name in requests}
