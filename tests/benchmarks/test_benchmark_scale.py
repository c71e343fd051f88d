"""The curves of the benchmarks' scenario `scale`: what people read, and what the sizing page quotes, of raw figures."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from benchmarks.figures import Slice
from benchmarks.load import LoadReport
from benchmarks.publish import Quote
from benchmarks.scenarios import QUICK_LOOK, SCENARIOS, scale_in_flight, scale_streams
from benchmarks.scenarios.overload import Seen
from benchmarks.scenarios.scale import Scale, outcome, sizing_section
from benchmarks.scenarios.scale_connections import Connections, Held
from benchmarks.scenarios.scale_curve import slope
from benchmarks.scenarios.scale_in_flight import Bounded
from benchmarks.scenarios.scale_nodes import Clustered, Nodes
from benchmarks.scenarios.scale_streams import StreamCurves, Streamed
from benchmarks.scenarios.scale_workers import Worked
from benchmarks.serving import Memory

PAGE = Path(__file__).parents[2] / "docs" / "sizing.md"
MB = 1_000_000


def _slice(connections: int, number: int = 0, cpu_us: float = 200.0, rate: int = 4000) -> Slice:
    seen = LoadReport(requests=rate * 2, seconds=2.0, p50_ms=5.0, p99_ms=10.0, failures={})
    return Slice("asgi-cassandra", "read", connections, number, cpu_us, 3.0, 70 * MB, seen)


def _bounded(bound: int, accepted: int) -> Bounded:
    return Bounded(bound, 0, 250.0, 4.0, 10.0, Seen(2.0, accepted, 0, 0, 20.0, 50.0, 0.0, 0.0))


def _streamed(
    streams: int, peak_mb: int, *, rows: int = 200_000, fetch_size: int = 2000, cpu_us: float = 2.5
) -> Streamed:
    read = streams * rows
    return Streamed(streams, rows, fetch_size, 0, read, 2.0, read * cpu_us / 1e6, 76 * MB, peak_mb * MB, [0.02, 0.03])


def _worked(workers: int, uss_mb: int) -> Worked:
    return Worked(workers, _slice(64), Memory(90 * MB * workers, (uss_mb + 2) * MB, uss_mb * MB))


def _scale(nodes: Nodes) -> Scale:
    connections = [_slice(1, number, cpu) for number, cpu in enumerate((400.0, 300.0))]
    connections += [_slice(32, number) for number in range(2)]
    connections += [_slice(128, number, 100.0) for number in range(2)]
    streams = StreamCurves(
        [_streamed(1, 84), _streamed(2, 88), _streamed(4, 90)],
        [_streamed(1, 83, rows=10_000), _streamed(1, 90, rows=1_000_000)],
        [_streamed(1, 80, fetch_size=100, cpu_us=9.0), _streamed(1, 90, fetch_size=5000, cpu_us=3.0)],
    )
    in_flight = [_bounded(8, 2000), _bounded(32, 7700), _bounded(128, 8000)]
    workers = [_worked(1, 44), _worked(2, 110), _worked(4, 194)]
    return Scale(2, Connections(connections, [Held(200, 70 * MB, 72 * MB)]), workers, in_flight, streams, nodes)


def _three_nodes() -> Nodes:
    rounds = [
        Clustered(nodes, 0, _slice(8, cpu_us=cpu), _streamed(1, 84, cpu_us=cpu / 100))
        for nodes, cpu in ((1, 200.0), (3, 260.0))
    ]
    return Nodes("", "400m", [700 * MB, 710 * MB, 690 * MB], rounds)


def test_kept_figures_give_the_same_report_and_the_same_page() -> None:
    found = _scale(_three_nodes())
    kept = msgspec.json.encode(found)
    scenario = SCENARIOS["scale"]
    assert scenario.again(kept) == outcome(found)
    (text,) = (text_of(msgspec.json.decode(kept, type=Scale)) for text_of in scenario.quotes.values())
    assert text == sizing_section(found)


def test_the_curves_are_told() -> None:
    told = outcome(_scale(_three_nodes()))
    assert len(told.tables) == 7
    assert len({plot.name for plot in told.plots}) == len(told.plots) == 8
    assert "CPU per point read, 128 connections ÷ 1: **0.29 [0.25–0.33]**" in told.findings  # noqa: RUF001
    assert "a connection that is kept open, kB of resident memory: **10.0**" in told.findings
    assert "growth of peak resident memory, streams of 10000 to 1000000 rows, MB: **7.0**" in told.findings
    assert "CPU per row, 100 rows a page ÷ 5000, the cheapest: **3.00**" in told.findings
    assert "CPU per point read, 3 nodes ÷ 1: **1.30**" in told.findings


def test_an_operator_finds_what_to_size_by() -> None:
    text = sizing_section(_scale(_three_nodes()))
    assert "| CPU time of a point read, 32 connections | 200 µs |" in text
    assert "| point reads a second that take one CPU | 5,000 |" in text
    assert "| streamed rows a second that take one CPU | 400,000 |" in text
    assert "| least bound in flight that was enough | 32 |" in text
    assert "| statements at Cassandra with it, mean (Little's law) | 38 |" in text
    assert "| a hundred statements that wait are, at that rate | 26 ms |" in text
    assert "| resident memory of a fresh process | 76 MB |" in text
    assert "| one more worker, memory of its own (USS) | 50 MB |" in text
    assert "| one more connection that is kept open | 10.0 kB |" in text
    assert "| one more stream at once, 2000 rows a page | 2.0 MB |" in text
    assert "with a heap of 400m, the largest of three | 710 MB |" in text
    assert "](benchmarks/scale-connections.png)" in text


def test_nodes_that_were_left_out_are_told_so() -> None:
    found = _scale(Nodes("less memory than they need", "400m", [], []))
    told = outcome(found)
    assert len(told.tables) == 6
    assert "three nodes were left out: less memory than they need" in told.findings
    assert "400m" not in sizing_section(found)


def test_the_least_bound_that_is_enough_need_not_be_the_best() -> None:
    assert scale_in_flight.least_enough([_bounded(8, 7500), _bounded(32, 7700), _bounded(128, 8000)]) == 32
    assert scale_in_flight.least_enough([_bounded(8, 8000), _bounded(32, 7000)]) == 8


def test_a_slope_is_that_of_medians_from_the_least_to_the_greatest() -> None:
    assert slope({1: [10, 12, 50], 2: [1], 4: [18]}, float) == 2.0
    found = _scale(_three_nodes()).streams
    assert scale_streams.stream_memory(found) == pytest.approx(2 * MB)


def test_the_scenario_is_no_part_of_a_quick_look_and_its_page_has_a_place_for_it() -> None:
    assert "scale" not in QUICK_LOOK
    (page,) = SCENARIOS["scale"].quotes
    assert page == "docs/sizing.md"
    for mark in Quote(page, "scale", "").marks:
        assert PAGE.read_text().count(mark) == 1
