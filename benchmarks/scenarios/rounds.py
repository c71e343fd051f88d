"""Contenders side by side: all of them run from the beginning to the end, and take turns in rounds."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TypeVar

from benchmarks.checks import check
from benchmarks.contenders import Contender
from benchmarks.figures import Slice
from benchmarks.load import Load, run_load
from benchmarks.meter import measure
from benchmarks.operations import READ, Operation
from benchmarks.serving import Served, serving
from benchmarks.site import Site

CONNECTIONS = 32

Item = TypeVar("Item")


def rotated(items: Sequence[Item], number: int) -> list[Item]:
    """The first of a round is the second of the round before."""
    turn = number % len(items)
    return [*items[turn:], *items[:turn]]


@contextmanager
def side_by_side(contenders: Sequence[Contender], site: Site) -> Iterator[list[Served]]:
    """All of them, ready. Raises ContenderFailed."""
    with ExitStack() as stack:
        yield [stack.enter_context(serving(contender, site)) for contender in contenders]


def ready_for(running: Sequence[Served], site: Site, operation: Operation, checked: int, warm_up: int) -> None:
    """Check the answers of each, and let it run warm: compiled, prepared, connected. Raises ContenderFailed."""
    for served in running:
        check(served, site, operation, checked)
        if warm_up:
            run_load(served, site, Load(CONNECTIONS, warm_up), operation)


def take(
    running: Sequence[Served],
    site: Site,
    loads: Sequence[Load],
    rounds: int,
    operation: Operation = READ,
    *,
    first: int = 0,
) -> list[Slice]:
    """Each contender under each load once a round; `first` is the number of the first. Raises ContenderFailed."""
    found = []
    for number in range(first, first + rounds):
        for load in loads:
            for served in rotated(running, number):
                found.append(measure(served, site, load, number, operation))
                _tell(found[-1], number, first + rounds)
    return found


def at_rate(rate: float | None) -> str:
    """How a load at a fixed rate is told from one as fast as it goes."""
    return "" if rate is None else f" at {rate:.0f}/s"


def _tell(found: Slice, number: int, rounds: int) -> None:
    load = f"{found.operation}, {found.connections} connections{at_rate(found.fixed_rate)}"
    print(
        f"{load}, round {number + 1} of {rounds}: {found.contender}: "
        f"{found.cpu_us:.0f} µs CPU/request, {found.load.per_second:.0f} requests/s, p99 {found.load.p99_ms:.1f} ms",
        file=sys.stderr,
    )
