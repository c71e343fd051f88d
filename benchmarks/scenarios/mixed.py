"""Fifty connections that read and write, beside four streams and without them, by all contenders with a database."""

from __future__ import annotations

import sys

import msgspec

from benchmarks.checks import check
from benchmarks.contenders import CONTENDERS, Contender
from benchmarks.figures import Slice, paired, table
from benchmarks.load import Load, run_load
from benchmarks.meter import measure
from benchmarks.operations import INSERT, READ, UPDATE, Ask, Operation
from benchmarks.report import MEDIANS, Outcome, spread
from benchmarks.scenarios.effort import Effort
from benchmarks.scenarios.stream_company import STREAMS, beside
from benchmarks.serving import Served, serving
from benchmarks.site import Site, seeded_site

CONNECTIONS = 50
READS_IN_TEN = 8
_ROWS = 20_000  # streamed again and again; the writes change some and add others


def _asks(site: Site) -> list[Ask]:
    """Of ten requests eight reads, an insert and an update, evenly."""
    reads, inserts, updates = (operation.asks(site) for operation in (READ, INSERT, UPDATE))
    asks = list(reads)
    for position in range(0, len(asks), 10):
        asks[position] = inserts[position]
        asks[position + 5] = updates[position + 5]
    return asks


def _is_right(site: Site, ask: Ask, body: bytes) -> bool:
    by_method = {"GET": READ, "POST": INSERT, "PATCH": UPDATE}
    return by_method[ask.method].right(site, ask, body)


MIXED = Operation("mixed", f"{READS_IN_TEN} reads, an insert and an update", 200, _asks, _is_right, writes=True)


class Pair(msgspec.Struct, frozen=True):
    """The same load alone and beside the streams; its CPU is that of the streams too."""

    alone: Slice
    beside: Slice


class Mixed(msgspec.Struct, frozen=True):
    """All raw figures."""

    seconds: int
    pairs: list[Pair]


def run(site: Site, effort: Effort) -> Outcome:
    """One contender after another, each on rows of its own. Raises ContenderFailed."""
    databases = [contender for contender in CONTENDERS if contender.database]
    pairs = [pair for contender in databases for pair in _pairs(contender, site, effort)]
    return outcome(Mixed(effort.few_seconds, pairs))


def _pairs(contender: Contender, site: Site, effort: Effort) -> list[Pair]:
    with seeded_site(site, _ROWS, keep=False) as seeded, serving(contender, seeded) as served:
        for operation in (READ, INSERT, UPDATE):
            check(served, seeded, operation, effort.checked)
        run_load(served, seeded, Load(CONNECTIONS, effort.warm_up), MIXED)
        return [_pair(served, seeded, number, effort) for number in range(effort.few_rounds)]


def _pair(served: Served, site: Site, number: int, effort: Effort) -> Pair:
    load = Load(CONNECTIONS, effort.few_seconds)
    found = {}
    for streams in (0, STREAMS)[:: -1 if number % 2 else 1]:
        with beside(served, streams, effort.few_seconds):
            found[streams] = measure(served, site, load, number, MIXED)
    pair = Pair(found[0], found[STREAMS])
    print(
        f"mixed: round {number + 1} of {effort.few_rounds}, {served.contender.name}: p99 {pair.alone.load.p99_ms:.0f} "
        f"ms alone, {pair.beside.load.p99_ms:.0f} ms beside {STREAMS} streams",
        file=sys.stderr,
    )
    return pair


def p99_ratios(pairs: list[Pair]) -> list[float]:
    """Beside streams over alone, round by round."""
    return paired([pair.beside for pair in pairs], [pair.alone for pair in pairs], lambda each: each.load.p99_ms)


def outcome(found: Mixed) -> Outcome:
    """What people read of it."""
    by_name = {
        name: [pair for pair in found.pairs if pair.alone.contender == name]
        for name in dict.fromkeys(pair.alone.contender for pair in found.pairs)
    }
    alone = {name: [pair.alone for pair in pairs] for name, pairs in by_name.items()}
    together = {name: [pair.beside for pair in pairs] for name, pairs in by_name.items()}
    title = (
        f"Mixed reads and writes: {CONNECTIONS} connections, {READS_IN_TEN * 10} % reads, rounds of {found.seconds} s, "
        f"{MEDIANS}"
    )
    findings = [
        f"p99 beside {STREAMS} streams ÷ alone, {name}: {spread(p99_ratios(by_name[name]), 2)}" for name in by_name
    ]
    findings.append("beside streams CPU and context switches are those of the streams too, over the requests")
    return Outcome(title, [table("alone", alone), table(f"beside {STREAMS} streams", together)], findings, found)
