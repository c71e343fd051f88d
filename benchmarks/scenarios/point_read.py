"""GET /users/{id} over 32 connections: CPU of the serving process per request, throughput, latency, memory."""

from __future__ import annotations

import statistics
import sys
from contextlib import ExitStack

import msgspec

from benchmarks.contenders import CONTENDERS, FLOOR, SERVICE, THREAD_HOP, Contender
from benchmarks.load import Load, LoadReport, run_load
from benchmarks.report import Outcome, Table, spread, verdict
from benchmarks.scenarios.effort import Effort
from benchmarks.serving import Memory, Served, check_answers, serving
from benchmarks.site import Site

CONNECTIONS = 32
TARGET = 0.7
"""Of the CPU of one thread hop a request."""

_MB = 1e6


class Round(msgspec.Struct, frozen=True):
    """One contender under load once."""

    contender: str
    number: int
    cpu_us: float
    load: LoadReport
    memory: Memory

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.load.requests / self.load.seconds


def run(site: Site, effort: Effort) -> Outcome:
    """All contenders in rotated rounds. Raises ContenderFailed."""
    rounds = measure(CONTENDERS, site, effort)
    ratios = paired_ratios(rounds, SERVICE.name, THREAD_HOP.name)
    ratio = statistics.median(ratios)
    findings = [
        f"CPU per request, {SERVICE.name} / {THREAD_HOP.name}: **{spread(ratios, 2)}** ({verdict(ratio, TARGET)})",
        f"CPU per request, {SERVICE.name} / {FLOOR.name}: {spread(paired_ratios(rounds, SERVICE.name, FLOOR.name), 2)}",
        *(f"{contender.name}: {contender.description}" for contender in CONTENDERS),
    ]
    title = (
        f"Point read: {CONNECTIONS} connections, {effort.rounds} rotated rounds of {effort.seconds} s, "
        "medians [least–greatest]"  # noqa: RUF001
    )
    return Outcome(title, [table(rounds)], findings, rounds)


def measure(contenders: tuple[Contender, ...], site: Site, effort: Effort) -> list[Round]:
    """Every contender once a round, the first of a round being the second of the round before. Raises ContenderFailed.

    All of them run from the beginning to the end, so that each is warm in all of its rounds.
    """
    with ExitStack() as stack:
        running = [stack.enter_context(serving(contender, site)) for contender in contenders]
        check_answers(running, site, effort.checked)
        for served in running:
            run_load(served, site, Load(CONNECTIONS, effort.warm_up))
        rounds = []
        for number in range(effort.rounds):
            turn = number % len(running)
            for served in running[turn:] + running[:turn]:
                rounds.append(_round(served, site, number, effort.seconds))
                print(f"point read: round {number + 1} of {effort.rounds}, {_brief(rounds[-1])}", file=sys.stderr)
        return rounds


def paired_ratios(rounds: list[Round], ours: str, theirs: str) -> list[float]:
    """CPU per request of one contender over another's, round by round: a slow minute slows both."""
    cpu = {(each.contender, each.number): each.cpu_us for each in rounds}
    numbers = sorted({each.number for each in rounds})
    return [cpu[ours, number] / cpu[theirs, number] for number in numbers]


def _round(served: Served, site: Site, number: int, seconds: int) -> Round:
    before = served.cpu_seconds()
    report = run_load(served, site, Load(CONNECTIONS, seconds))
    used = served.cpu_seconds() - before
    return Round(served.contender.name, number, used / report.requests * 1e6, report, served.memory())


def _brief(found: Round) -> str:
    return f"{found.contender}: {found.cpu_us:.0f} µs CPU/request, {found.rate:.0f} requests/s"


def table(rounds: list[Round]) -> Table:
    """A row for each contender."""
    header = ("contender", "CPU µs/request", "requests/s", "p50 ms", "p99 ms", "RSS MB")
    names = dict.fromkeys(found.contender for found in rounds)
    return Table(header, [_row(name, [found for found in rounds if found.contender == name]) for name in names])


def _row(name: str, rounds: list[Round]) -> tuple[str, ...]:
    return (
        name,
        spread([found.cpu_us for found in rounds]),
        spread([found.rate for found in rounds]),
        spread([found.load.p50_ms for found in rounds], 1),
        spread([found.load.p99_ms for found in rounds], 1),
        spread([found.memory.rss / _MB for found in rounds], 1),
    )
