"""The scenarios: each takes a node and an effort, and yields the rows of all its rounds.

All contenders of a scenario run from its beginning to its end and take turns in rounds. Before the first round their
answers are checked and they are warmed up: compiled, prepared, connected.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType

from benchmarks.contenders import CONTENDERS, FAST_CONTENDERS, SERVICE
from benchmarks.measure import (
    GOODPUT,
    Load,
    Measurement,
    in_rounds,
    measure,
    measure_beside,
    measure_loop,
    measure_overload,
    measure_stream,
    run_load,
    stream_load,
)
from benchmarks.operations import INSERT, LIST, READ, UPDATE, Operation, asks_file, check, mixed_asks
from benchmarks.rows import Row
from benchmarks.serving import Served, serving, side_by_side
from benchmarks.site import Ground, Site

CONNECTIONS = 32
OTHER_CONNECTIONS = (1, 8, 128)
MIXED_CONNECTIONS = 50
CROWD_CONNECTIONS = 320
FLOOD_CONNECTIONS = 1500
FLOOD_TIMES = 2
STREAMS = 4

MAIN = f"{CONNECTIONS} connections"
STREAM = "2,000 rows a page"
READS, READS_BESIDE = f"reads, {MAIN}", f"reads, {MAIN}, beside {STREAMS} streams"
FLOOD = f"twice the rate of {MAIN}"
NAMED_LOOP, TUPLE_LOOP = "driver loop, its default named tuples", "driver loop, tuples"
"""Names of loads and of the driver's loops; targets are found by them."""

SHORT_ROWS, LONG_ROWS = 10_000, 1_000_000
"""The lengths of the streams whose memory a target compares."""

_ROWS = 1000
_MIXED_ROWS = 20_000
_SHORT_TIMES = 10  # short streams in a row while memory is watched


@dataclass(frozen=True, slots=True)
class Effort:
    """How long to measure, and how much.

    `few_rounds` and `few_seconds` are for the additional loads; `checked` is the number of answers to check. The
    service streams `stream_rows`, and `long_rows` to measure its memory. The other contenders stream `other_rows`,
    which is enough for the cost of a row. Rounds are short because on a shared machine a request may take twice its
    CPU time for a second or two: of many short rounds only a few are affected.
    """

    rounds: int = 28
    seconds: int = 1
    few_rounds: int = 5
    few_seconds: int = 2
    warm_up: int = 3
    checked: int = 50
    stream_rows: int = 200_000
    other_rows: int = 50_000
    long_rows: int = LONG_ROWS
    quick: bool = False

    @property
    def half_rounds(self) -> int:
        """Return half of the rounds, for what takes several times as long as a point read."""
        return max(1, self.rounds // 2)


QUICK = Effort(2, 1, 1, 1, 1, 10, 10_000, 10_000, 20_000, quick=True)


def point_read(ground: Ground, effort: Effort) -> Iterator[Row]:
    """Measure `GET /users/{id}` in a closed loop over different numbers of connections."""
    with ground.site(_ROWS) as site, side_by_side(CONTENDERS, site) as running:
        asks = asks_file(site, READ.name, READ.asks(site))
        main = Load("point-read", MAIN, CONNECTIONS, effort.seconds, asks)
        _make_ready(running, site, READ, replace(main, seconds=effort.warm_up), effort)
        yield from in_rounds(_each(running, main), effort.rounds)
        for count in () if effort.quick else OTHER_CONNECTIONS:
            load = replace(main, name=f"{count} connection{'s' * (count > 1)}", connections=count)
            yield from in_rounds(_each(running, load), effort.few_rounds)


def requests(ground: Ground, effort: Effort) -> Iterator[Row]:
    """Measure a list of a hundred, an insert, and an update with a condition."""
    titles = {LIST: "GET /users?limit=100", INSERT: "POST /users", UPDATE: "PATCH /users/{id}, IF EXISTS"}
    with ground.site(_ROWS) as site, side_by_side(FAST_CONTENDERS, site) as running:
        for operation, title in titles.items():
            asks = asks_file(site, operation.name, operation.asks(site))
            load = Load("requests", title, CONNECTIONS, effort.seconds, asks)
            _make_ready(running, site, operation, load, effort)
            yield from in_rounds(_each(running, load), effort.half_rounds)


def stream(ground: Ground, effort: Effort) -> Iterator[Row]:
    """Measure `GET /users/stream` beside the driver's own loops, then the memory of short streams and long ones."""
    with ground.site(effort.long_rows) as site:
        own, other = (stream_load(site, "stream", STREAM, rows) for rows in (effort.stream_rows, effort.other_rows))
        with side_by_side(FAST_CONTENDERS, site) as (service, *others):
            ways: list[Measurement] = [partial(measure_stream, service, own)]
            ways += [partial(measure_stream, served, other) for served in others]
            for way in ways:
                way(0)  # checks the body and warms up
            ways += [partial(measure_loop, site, own, *one) for one in (("named", NAMED_LOOP), ("tuple", TUPLE_LOOP))]
            yield from in_rounds(ways, effort.half_rounds)
        short = replace(stream_load(site, "stream", rows_name(SHORT_ROWS), SHORT_ROWS), times=_SHORT_TIMES)
        long = stream_load(site, "stream", rows_name(effort.long_rows), effort.long_rows)
        for number in range(effort.few_rounds):
            with serving(SERVICE, site) as service:  # a fresh process, because one that has streamed keeps its memory
                measure_stream(service, short, number)
                yield from (measure_stream(service, load, number) for load in (short, long))


def mixed(ground: Ground, effort: Effort) -> Iterator[Row]:
    """Measure reads, and reads mixed with writes, alone and beside four streams, whose CPU time counts too."""
    with ground.site(_MIXED_ROWS) as site, side_by_side(FAST_CONTENDERS, site) as running:
        reads = Load("mixed", READS, CONNECTIONS, effort.few_seconds, asks_file(site, READ.name, READ.asks(site)))
        mixture = replace(
            reads,
            name=f"80 % reads, {MIXED_CONNECTIONS} connections",
            connections=MIXED_CONNECTIONS,
            asks=asks_file(site, "mixed", mixed_asks(site)),
        )
        for operation in (READ, INSERT, UPDATE):
            _make_ready(running, site, operation, reads, effort)
        for load in (reads, mixture):
            beside = replace(load, name=f"{load.name}, beside {STREAMS} streams")
            pairs = ((partial(measure, each, load), partial(measure_beside, each, beside, STREAMS)) for each in running)
            yield from in_rounds([way for pair in pairs for way in pair], effort.few_rounds, step=2)


def overload(ground: Ground, effort: Effort) -> Iterator[Row]:
    """Measure the service under ten times the connections that saturate it, and under twice its rate."""
    with ground.site(_ROWS) as site, serving(SERVICE, site) as served:
        asks = asks_file(site, READ.name, READ.asks(site))
        peak = Load("overload", MAIN, CONNECTIONS, effort.few_seconds, asks)
        crowd = replace(peak, name=f"{CROWD_CONNECTIONS} connections", connections=CROWD_CONNECTIONS)
        flood = replace(peak, name=FLOOD, connections=FLOOD_CONNECTIONS)
        _make_ready([served], site, READ, peak, effort)
        for number in range(effort.few_rounds):
            yield (row := measure_overload(served, peak, None, number))
            yield measure_overload(served, crowd, None, number)
            yield measure_overload(served, flood, row.figures[GOODPUT] * FLOOD_TIMES, number)


def rows_name(rows: int) -> str:
    """Return the name of the load of a stream of this many rows."""
    return f"{rows:,} rows"


SCENARIOS: Mapping[str, Callable[[Ground, Effort], Iterator[Row]]] = MappingProxyType(
    {
        "point-read": point_read,
        "requests": requests,
        "stream": stream,
        "mixed": mixed,
        "overload": overload,
    }
)


def _each(running: Sequence[Served], load: Load) -> list[Measurement]:
    return [partial(measure, served, load) for served in running]


def _make_ready(running: Sequence[Served], site: Site, operation: Operation, load: Load, effort: Effort) -> None:
    """Check the answers of each contender, and warm it up. Raises ContenderFailed."""
    for served in running:
        check(served, site, operation, effort.checked)
        run_load(served, load)
