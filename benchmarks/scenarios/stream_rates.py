"""Rows a second and CPU a row of each way to read a table, in rotated rounds."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from benchmarks.driver_worker import Body
from benchmarks.report import Table, spread, verdict, verdict_at_least
from benchmarks.serving import ContenderFailed, Served
from benchmarks.streams import Driver, drain

FETCH_SIZE = 2000
FORMATS = ("json", "ndjson", "csv", "msgpack")
SLOW_ROWS = 20_000
"""What the slowest rival streams: its rows cost the same however many there are."""

RATE_TARGET = 1.25
TUPLES_TARGETS = (1.0, 0.5)
CHUNK_A_ROW_TARGET = 0.03

JSON = "stream, json"
LOOP = "driver loop, its default named tuples"
TUPLES = "driver loop, tuples"
CHUNK_A_ROW = "one chunk a row"


class Reading(msgspec.Struct, frozen=True):
    """A table of `table` rows read once in one way: `rows` of them."""

    way: str
    table: int
    number: int
    rows: int
    seconds: float
    cpu_seconds: float
    bytes: int

    @property
    def rate(self) -> float:
        """Rows a second."""
        return self.rows / self.seconds

    @property
    def cpu_us(self) -> float:
        """CPU time a row, in microseconds."""
        return self.cpu_seconds / self.rows * 1e6


@dataclass(frozen=True, slots=True)
class Way:
    """A way to read a table; `read` gives rows, seconds, CPU seconds and bytes, or raises ContenderFailed."""

    name: str
    read: Callable[[], tuple[int, float, float, int]]


def ways(service: Served, rival: Served, plain: Driver, rows: int, *, every: bool) -> list[Way]:
    """Each way, its bodies checked byte by byte against rows that the driver decoded. Raises ContenderFailed."""
    formats = FORMATS if every else FORMATS[:1]
    expected = plain.expect(formats)
    streams = [_stream(f"stream, {form}", service, rows, expected[form], f"&format={form}") for form in formats]
    loops = [_loop(LOOP, plain, "named", rows), _loop(TUPLES, plain, "tuple", rows)]
    if not every:
        return streams + loops
    few = min(rows, SLOW_ROWS)
    return [
        *streams,
        *loops,
        _stream(CHUNK_A_ROW, rival, few, plain.expect(("json",), few)["json"], f"&limit={few}"),
    ]


def _stream(name: str, served: Served, rows: int, expected: Body, query: str) -> Way:
    path = f"/users/stream?fetch_size={FETCH_SIZE}{query}"
    checked = drain(served, path, "--checked")
    if (checked.bytes, checked.crc) != (expected.bytes, expected.crc):
        raise ContenderFailed(f"{served.contender.name} streams {path} as {checked}, not {expected}")

    def read() -> tuple[int, float, float, int]:
        before = served.cpu_seconds()
        found = drain(served, path)
        if found.bytes != expected.bytes:
            raise ContenderFailed(f"{served.contender.name} streams {found.bytes} bytes, not {expected.bytes}")
        return rows, found.seconds, served.cpu_seconds() - before, found.bytes

    return Way(name, read)


def _loop(name: str, plain: Driver, factory: str, rows: int) -> Way:
    def read() -> tuple[int, float, float, int]:
        found = plain.loop(factory, FETCH_SIZE)
        if found.rows != rows:
            raise ContenderFailed(f"the driver gives {found.rows} rows, not {rows}")
        return found.rows, found.seconds, found.cpu_seconds, 0

    return Way(name, read)


def measure(ways: list[Way], rows: int, rounds: int) -> list[Reading]:
    """Each way once a round, the first of a round being the second of the round before. Raises ContenderFailed."""
    found = []
    for number in range(rounds):
        turn = number % len(ways)
        for way in ways[turn:] + ways[:turn]:
            found.append(Reading(way.name, rows, number, *way.read()))
            print(f"stream: {rows} rows, round {number + 1} of {rounds}, {_brief(found[-1])}", file=sys.stderr)
    return found


def table(rows: int, readings: list[Reading]) -> Table:
    """The figures of each way."""
    header = (f"{rows} rows", "rows/s", "CPU µs/row", "MB/s")
    names = dict.fromkeys(each.way for each in sorted(readings, key=lambda each: each.number))
    return Table(header, [_row(name, [each for each in readings if each.way == name]) for name in names])


def findings(rows: int, readings: list[Reading]) -> list[str]:
    """The ratios, each with its target."""
    told = [
        judged_at_least("rows/s ÷ plain driver loop", _ratios(readings, JSON, LOOP, "rate"), RATE_TARGET),
        judged_at_least("rows/s ÷ driver loop with tuples", _ratios(readings, JSON, TUPLES, "rate"), RATE_TARGET),
    ]
    decode = _ratios(readings, JSON, TUPLES, "cpu_us")
    told += [judged("CPU/row ÷ the driver's tuple decode", decode, target) for target in TUPLES_TARGETS]
    slow = _ratios(readings, JSON, CHUNK_A_ROW, "cpu_us")
    told += [judged("CPU/row ÷ one chunk a row", slow, CHUNK_A_ROW_TARGET, digits=3)] if slow else []
    return [f"{rows} rows: {line}" for line in told]


def judged(what: str, values: Sequence[float], target: float, digits: int = 2) -> str:
    """A figure with its target: at most."""
    return f"{what}: **{spread(values, digits)}** ({verdict(statistics.median(values), target)})"


def judged_at_least(what: str, values: Sequence[float], target: float) -> str:
    """A figure with its target: at least."""
    return f"{what}: **{spread(values, 2)}** ({verdict_at_least(statistics.median(values), target)})"


def _ratios(readings: list[Reading], ours: str, theirs: str, figure: str) -> list[float]:
    """Round by round: a slow minute slows both."""
    values = {(each.way, each.number): getattr(each, figure) for each in readings}
    return [
        value / values[theirs, number]
        for (way, number), value in values.items()
        if way == ours and (theirs, number) in values
    ]


def _row(name: str, readings: list[Reading]) -> tuple[str, ...]:
    return (
        name,
        spread([each.rate for each in readings]),
        spread([each.cpu_us for each in readings], 2),
        spread([each.bytes / each.seconds / 1e6 for each in readings], 1) if readings[0].bytes else "",
    )


def _brief(found: Reading) -> str:
    return f"{found.way}: {found.rate:.0f} rows/s, {found.cpu_us:.2f} µs CPU/row"
