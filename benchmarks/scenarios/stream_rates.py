"""Rows a second and CPU a row of each way to read a table, in rotated rounds."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from benchmarks.contenders import SERVICE
from benchmarks.driver_worker import Body
from benchmarks.plots import BarPlot, Plot
from benchmarks.report import Table, judged, judged_at_least, spread
from benchmarks.scenarios.rounds import rotated
from benchmarks.serving import ContenderFailed, Served
from benchmarks.streams import Driver, PeakMemory, drain

FETCH_SIZE = 2000
FORMATS = ("json", "ndjson", "csv", "msgpack")
RIVAL_ROWS = 50_000
SLOW_ROWS = 10_000
"""What a rival streams, and one that is slow: their rows cost the same however many there are."""
_SLOW_SECONDS = 0.5
"""A rival that takes longer for so many is slow."""

RATE_TARGET = 1.25
TUPLES_TARGETS = (1.0, 0.5)

_MB = 1e6

LOOP = "driver loop, its default named tuples"
TUPLES = "driver loop, tuples"


def own_way(form: str) -> str:
    """What a stream of the service in a format is called."""
    return f"{SERVICE.name}, {form}"


JSON = own_way("json")
PURE_JSON = own_way("json, pure Python")
PURE_TARGET = 0.5
"""CPU a row over that in pure Python: what compiled code has to be worth."""


class Reading(msgspec.Struct, frozen=True):
    """A table of `table` rows read once in one way: `rows` of them; `peak` is the most resident memory meanwhile.

    Of the driver's loops `bytes`, `first_byte` and `peak` are 0.
    """

    way: str
    table: int
    number: int
    rows: int
    seconds: float
    cpu_seconds: float
    bytes: int
    first_byte: float
    peak: int

    @property
    def rate(self) -> float:
        """Rows a second."""
        return self.rows / self.seconds

    @property
    def cpu_us(self) -> float:
        """CPU time a row, in microseconds."""
        return self.cpu_seconds / self.rows * 1e6


class Read(NamedTuple):
    """One reading, as the way itself sees it."""

    rows: int
    seconds: float
    cpu_seconds: float
    bytes: int = 0
    first_byte: float = 0.0
    peak: int = 0


@dataclass(frozen=True, slots=True)
class Way:
    """A way to read a table; `read` raises ContenderFailed."""

    name: str
    read: Callable[[], Read]


def own_ways(service: Served, plain: Driver, rows: int, formats: Sequence[str]) -> list[Way]:
    """The service in each format, and the driver's loops. Bodies are checked byte by byte. Raises ContenderFailed."""
    expected = plain.expect(tuple(formats))
    streams = [_stream(own_way(form), service, rows, expected[form], f"&format={form}") for form in formats]
    return [*streams, _loop(LOOP, plain, "named", rows), _loop(TUPLES, plain, "tuple", rows)]


def pure_way(pure: Served, plain: Driver, rows: int) -> Way:
    """The service in pure Python, in JSON. Raises ContenderFailed."""
    return _stream(PURE_JSON, pure, rows, plain.expect(("json",))["json"], "")


def rival_ways(rivals: Sequence[Served], plain: Driver, rows: int) -> list[Way]:
    """Each rival, over as many rows as are bearable. Bodies are checked byte by byte. Raises ContenderFailed."""
    few, most = min(rows, SLOW_ROWS), min(rows, RIVAL_ROWS)
    some, many = (plain.expect(("json",), count)["json"] for count in (few, most))
    return [_rival(rival, few, some, most, many) for rival in rivals]


def _rival(rival: Served, few: int, some: Body, most: int, many: Body) -> Way:
    name = rival.contender.name
    way = _stream(name, rival, few, some, f"&limit={few}")
    slow = way.read().seconds > _SLOW_SECONDS
    return way if slow else _stream(name, rival, most, many, f"&limit={most}")


def _stream(name: str, served: Served, rows: int, expected: Body, query: str) -> Way:
    path = f"/users/stream?fetch_size={FETCH_SIZE}{query}"
    checked = drain(served, path, "--checked")
    if (checked.bytes, checked.crc) != (expected.bytes, expected.crc):
        raise ContenderFailed(f"{served.contender.name} streams {path} as {checked}, not {expected}")

    def read() -> Read:
        with PeakMemory(served) as peak:
            before = served.cpu_seconds()
            found = drain(served, path)
            used = served.cpu_seconds() - before
        if found.bytes != expected.bytes:
            raise ContenderFailed(f"{served.contender.name} streams {found.bytes} bytes, not {expected.bytes}")
        return Read(rows, found.seconds, used, found.bytes, found.first_byte, peak.bytes)

    return Way(name, read)


def _loop(name: str, plain: Driver, factory: str, rows: int) -> Way:
    def read() -> Read:
        found = plain.loop(factory, FETCH_SIZE)
        if found.rows != rows:
            raise ContenderFailed(f"the driver gives {found.rows} rows, not {rows}")
        return Read(found.rows, found.seconds, found.cpu_seconds)

    return Way(name, read)


def measure(ways: list[Way], rows: int, rounds: int, first: int = 0) -> list[Reading]:
    """Each way once a round, in rotation; `first` is the number of the first round. Raises ContenderFailed."""
    found = []
    for number in range(first, first + rounds):
        for way in rotated(ways, number):
            found.append(Reading(way.name, rows, number, *way.read()))
            print(f"stream: {rows} rows, round {number + 1} of {first + rounds}, {_brief(found[-1])}", file=sys.stderr)
    return found


def table(rows: int, readings: list[Reading]) -> Table:
    """The figures of each way."""
    header = (f"table of {rows} rows", "rows/s", "CPU µs/row", "MB/s", "first byte ms", "peak RSS MB", "rows read")
    names = dict.fromkeys(each.way for each in sorted(readings, key=lambda each: each.number))
    return Table(header, [_row(name, [each for each in readings if each.way == name]) for name in names])


def findings(rows: int, readings: list[Reading]) -> list[str]:
    """The ratios, each with its target."""
    told = [
        judged_at_least("rows/s ÷ plain driver loop", ratios(readings, JSON, LOOP, "rate"), RATE_TARGET),
        judged_at_least("rows/s ÷ driver loop with tuples", ratios(readings, JSON, TUPLES, "rate"), RATE_TARGET),
    ]
    decode = ratios(readings, JSON, TUPLES, "cpu_us")
    told += [judged("CPU/row ÷ the driver's tuple decode", decode, target) for target in TUPLES_TARGETS]
    if pure := ratios(readings, JSON, PURE_JSON, "cpu_us"):
        told.append(judged("CPU/row ÷ the same in pure Python", pure, PURE_TARGET))
    return [f"{rows} rows: {line}" for line in told]


def rival_findings(readings: list[Reading], rivals: Sequence[str]) -> list[str]:
    """CPU a row against each rival."""
    return [f"CPU/row ÷ {rival}: **{spread(ratios(readings, JSON, rival, 'cpu_us'), 3)}**" for rival in rivals]


def plots(readings: list[Reading]) -> list[Plot]:
    """CPU a row of each way, of the service in JSON alone, the cheapest first."""
    others = {own_way(form) for form in FORMATS} - {JSON}
    ways = dict.fromkeys(each.way for each in readings if each.way not in others)
    bars = {way: [each.cpu_us for each in readings if each.way == way] for way in ways}
    ordered = dict(sorted(bars.items(), key=lambda item: min(item[1])))
    return [BarPlot("stream-cpu", "CPU time of a row in a stream, JSON", "CPU µs per row", ordered, JSON)]


def ratios(readings: list[Reading], ours: str, theirs: str, figure: str) -> list[float]:
    """A figure of one way over that of another, round by round: a slow minute slows both."""
    values = {(each.way, each.number): getattr(each, figure) for each in readings}
    return [
        value / values[theirs, number]
        for (way, number), value in values.items()
        if way == ours and (theirs, number) in values
    ]


def _row(name: str, readings: list[Reading]) -> tuple[str, ...]:
    streamed = [each for each in readings if each.bytes]
    return (
        name,
        spread([each.rate for each in readings]),
        spread([each.cpu_us for each in readings], 2),
        spread([each.bytes / each.seconds / _MB for each in streamed], 1) if streamed else "",
        spread([each.first_byte * 1000 for each in streamed], 1) if streamed else "",
        spread([each.peak / _MB for each in streamed], 1) if streamed else "",
        str(readings[0].rows),
    )


def _brief(found: Reading) -> str:
    return f"{found.way}: {found.rate:.0f} rows/s, {found.cpu_us:.2f} µs CPU/row"
