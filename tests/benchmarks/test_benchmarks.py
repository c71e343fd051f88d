"""The benchmarks' figures: how ratios, targets, summary and report are made, and that the docs show the kept run."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

import benchmarks.__main__ as command
from benchmarks import report as reporting
from benchmarks.contenders import ACSYLLA, SERVICE, THREAD_HOP
from benchmarks.measure import CPU_REQUEST, CPU_ROW, P99, PEAK_MB, RATE, ROW_RATE, in_rounds, rotated
from benchmarks.processes import ContenderFailed
from benchmarks.report import (
    BEGIN,
    END,
    NOT_MEASURED,
    PAGE,
    PLOT,
    REPORT,
    page_section,
    publish,
    put_into,
    render,
    report,
)
from benchmarks.rows import ROWS, Row, Run, Spread, UnusableRun, load, paired, save, values_of
from benchmarks.scenarios import MAIN, NAMED_LOOP, QUICK, SCENARIOS, STREAM, Effort
from benchmarks.site import Ground, parse_node
from benchmarks.summary import SUMMARY, load_summary, summarize, to_json
from benchmarks.targets import TARGETS

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
KEPT = ROOT / "docs" / "benchmarks"

CPU = {SERVICE.name: (100.0, 300.0, 110.0), THREAD_HOP.name: (200.0, 400.0, 250.0)}


def _rows() -> list[Row]:
    reads = [
        Row("point-read", MAIN, name, number, {CPU_REQUEST: cpu, RATE: 2000.0, P99: 10.0 + number})
        for name, values in CPU.items()
        for number, cpu in enumerate(values)
    ]
    others = [Row("point-read", "8 connections", name, 0, {CPU_REQUEST: 9.0, RATE: 1.0, P99: 1.0}) for name in CPU]
    streams = [
        Row("stream", STREAM, name, number, {CPU_ROW: 0.5, ROW_RATE: rate})
        for name, rates in ((SERVICE.name, (1000.0, 500.0)), (NAMED_LOOP, (1000.0, 250.0)))
        for number, rate in enumerate(rates)
    ]
    return reads + others + streams


def _memory(short: float, long: float, long_rows: str = "1,000,000 rows") -> list[Row]:
    return [
        Row("stream", rows, SERVICE.name, 0, {CPU_ROW: 0.5, PEAK_MB: mb})
        for rows, mb in (("10,000 rows", short), (long_rows, long))
    ]


def _run(*, quick: bool = False, more: tuple[Row, ...] = ()) -> Run:
    machine = {"processor": "a processor", "Cassandra": "5.0.9"}
    contenders = {SERVICE.name: "this project", THREAD_HOP.name: "another (its-driver 1.2)"}
    at = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    return Run(at, quick, machine, contenders, {"point-read": 61.4}, [*_rows(), *more])


def _judged(run: Run) -> dict[str, str]:
    lines = report(summarize(run)).splitlines()
    return {target.title: line for target in TARGETS for line in lines if line.startswith(f"| {target.title} |")}


def test_the_docs_show_the_run_that_they_keep() -> None:
    summary = load_summary(KEPT)
    assert (KEPT / SUMMARY).read_text() == to_json(summary)
    assert (KEPT / REPORT).read_text() == report(summary)
    page = (ROOT / PAGE).read_text()
    assert put_into(page, page_section(summary)) == page
    assert page.count(BEGIN) == page.count(END) == 1
    of_exports = {path for path in KEPT.iterdir() if path.name.startswith("export")}
    assert {path.name for path in {*KEPT.iterdir()} - of_exports} == {SUMMARY, REPORT, PLOT}


def test_the_readme_has_figures_of_the_run_that_is_kept() -> None:
    lines = (line for line in load_summary(KEPT).lines if (line.scenario, line.load) == ("point-read", MAIN))
    cpu = {line.contender: line.figures[CPU_REQUEST].median for line in lines}
    ours, theirs = cpu[SERVICE.name], cpu[THREAD_HOP.name]
    assert f"takes {ours / 1000:.2f} ms of CPU, {theirs / ours:.1f} times less than with a thread" in README.read_text()


def test_the_kept_summary_is_short() -> None:
    assert len((KEPT / SUMMARY).read_text().splitlines()) < 300


def test_a_ratio_is_taken_round_by_round() -> None:
    ours, theirs = (values_of(_rows(), "point-read", MAIN, name, CPU_REQUEST) for name in CPU)
    assert paired(ours, theirs) == [0.5, 0.75, 0.44]
    del theirs[1]
    assert paired(ours, theirs) == [0.5, 0.44]
    assert values_of(_rows(), "point-read", MAIN, "nobody", CPU_REQUEST) == {}


def test_a_spread_has_the_median_the_least_and_the_greatest() -> None:
    assert Spread.of([3, 1, 2]).text() == "2.00 [1.00–3.00]"  # noqa: RUF001
    assert Spread.of([110.2, 100, 300]).text() == "110 [100–300]"  # noqa: RUF001
    assert Spread.of([11.26, 9, 100]).text() == "11.3 [9.0–100.0]"  # noqa: RUF001
    assert Spread.of([7.0]).text() == "7.00"


def test_a_summary_has_a_line_for_each_contender_under_each_load() -> None:
    summary = summarize(_run())
    assert [(line.load, line.contender, line.rounds) for line in summary.lines] == [
        (MAIN, SERVICE.name, 3),
        (MAIN, THREAD_HOP.name, 3),
        ("8 connections", SERVICE.name, 1),
        ("8 connections", THREAD_HOP.name, 1),
        (STREAM, SERVICE.name, 2),
        (STREAM, NAMED_LOOP, 2),
    ]
    assert summary.lines[0].figures[CPU_REQUEST] == Spread(110.0, 100.0, 300.0)
    assert summary.lines[0].over_it is None
    assert summary.lines[1].over_it == Spread(0.5, 0.44, 0.75)


def test_targets_are_judged_by_the_median_and_say_what_was_not_measured() -> None:
    judged = _judged(_run(more=tuple(_memory(60.0, 68.5))))
    assert len(judged) == len(TARGETS)
    hop = "point read, CPU/request ÷ one thread hop a request"
    assert judged[hop] == f"| {hop} | ≤ 0.45 | 0.50 [0.44–0.75] | **missed** |"  # noqa: RUF001
    acsylla = f"point read, CPU/request ÷ {ACSYLLA.name}"
    assert judged[acsylla] == f"| {acsylla} | ≤ 1 | {NOT_MEASURED} |  |"
    loop = "stream, rows/s ÷ plain driver loop without HTTP"
    assert judged[loop] == f"| {loop} | ≥ 1.25 | 1.50 [1.00–2.00] | met |"  # noqa: RUF001
    (growth,) = (line for title, line in judged.items() if title.startswith("growth"))
    assert growth.endswith("| ≤ 8 | 8.50 | **missed** |")


def test_the_growth_of_memory_takes_a_table_of_a_million_rows() -> None:
    judged = _judged(_run(more=tuple(_memory(60.0, 68.5, "20,000 rows"))))
    (growth,) = (line for title, line in judged.items() if title.startswith("growth"))
    assert NOT_MEASURED in growth


def test_a_target_is_met_at_its_limit() -> None:
    by_title = {target.title: target for target in TARGETS}
    most = by_title["point read, CPU/request ÷ one thread hop a request"]
    least = by_title["stream, rows/s ÷ plain driver loop without HTTP"]
    assert [most.is_met(value) for value in (0.44, 0.45, 0.46)] == [True, True, False]
    assert [least.is_met(value) for value in (1.24, 1.25, 1.26)] == [False, True, True]


def test_a_report_puts_the_cheapest_contender_first() -> None:
    text = report(summarize(_run()))
    rows = [line for line in text.splitlines() if line.startswith(f"| {MAIN} |")]
    assert rows == [
        f"| {MAIN} | asgi-cassandra | 3 | 110 [100–300] | 2000 | 11.0 [10.0–12.0] |  |",  # noqa: RUF001
        f"| {MAIN} | thread hop | 3 | 250 [200–400] | 2000 | 11.0 [10.0–12.0] | 0.50 [0.44–0.75] |",  # noqa: RUF001
    ]
    assert "- thread hop: another (its-driver 1.2)" in text


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand in for the plot, which needs an environment of its own."""
    monkeypatch.setattr(reporting, "_draw", lambda plot, path: path.write_bytes(b"a plot"))


@pytest.mark.usefixtures("undrawn")
def test_a_run_that_was_kept_gives_the_same_report(tmp_path: Path) -> None:
    save(_run(), tmp_path)
    assert load(tmp_path / ROWS, Run) == _run()
    render(tmp_path)
    first = (tmp_path / REPORT).read_text()
    assert first == report(summarize(_run()))
    (tmp_path / ROWS).unlink()
    render(tmp_path)  # from the summary alone
    assert (tmp_path / REPORT).read_text() == first


@pytest.mark.usefixtures("undrawn")
def test_a_run_without_point_reads_has_no_plot(tmp_path: Path) -> None:
    run = _run()
    run.rows[:] = _memory(60.0, 61.0)
    save(run, tmp_path)
    render(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {ROWS, SUMMARY, REPORT}
    assert PLOT not in (tmp_path / REPORT).read_text()


@pytest.mark.usefixtures("undrawn")
def test_a_run_is_published_whole(tmp_path: Path) -> None:
    page = tmp_path / PAGE
    page.parent.mkdir()
    page.write_text(f"# A page\n\n{BEGIN}\nold\n{END}\n\n## More\n")
    save(_run(), tmp_path / "run")
    for _ in range(2):
        publish(tmp_path / "run", root=tmp_path)
        text = page.read_text()
        assert text.count(BEGIN) == 1
        assert text.startswith("# A page\n")
        assert text.endswith(f"{END}\n\n## More\n")
    assert "old" not in text
    assert "| **asgi-cassandra** | 110 [100–300] | 2000 | 11.0 [10.0–12.0] |" in text  # noqa: RUF001
    assert {path.name for path in (tmp_path / "docs" / "benchmarks").iterdir()} == {SUMMARY, REPORT, PLOT}


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("wrong", ["nothing", "quick", "no point reads", "broken", "no marks"])
def test_what_cannot_be_published_changes_nothing(tmp_path: Path, wrong: str) -> None:
    text = "# A page\n" if wrong == "no marks" else f"{BEGIN}\nold\n{END}\n"
    page = tmp_path / PAGE
    page.parent.mkdir()
    page.write_text(text)
    folder = tmp_path / "run"
    if wrong != "nothing":
        run = _run(quick=wrong == "quick")
        if wrong == "no point reads":
            run.rows[:] = _memory(1.0, 2.0)
        save(run, folder)
    if wrong == "broken":
        (folder / ROWS).write_text('{"at": "once"}')
    with pytest.raises(UnusableRun):
        publish(folder, root=tmp_path)
    assert page.read_text() == text
    assert list(page.parent.iterdir()) == [page]


def test_each_round_begins_with_another_contender() -> None:
    assert rotated("abc", 4) == ["b", "c", "a"]
    ways = [partial(Row, "a scenario", "a load", name, figures={}) for name in "ab"]
    taken = [(row.round, row.contender) for row in in_rounds(ways, 2)]
    assert taken == [(0, "a"), (0, "b"), (1, "b"), (1, "a")]


def _options(**given: int | bool) -> argparse.Namespace:
    return argparse.Namespace(**{"quick": False, "rounds": None, "seconds": None, **given})


def test_the_effort_is_that_of_the_command_line() -> None:
    assert command.effort_of(_options()) == Effort()
    assert command.effort_of(_options(quick=True)) == QUICK
    shorter = command.effort_of(_options(rounds=3, seconds=1))
    assert (shorter.rounds, shorter.few_rounds, shorter.half_rounds) == (3, 3, 1)
    assert (shorter.seconds, shorter.few_seconds, shorter.warm_up) == (1, 1, 1)
    assert command.effort_of(_options(rounds=50)).few_rounds == Effort().few_rounds


@pytest.mark.parametrize(
    "wrong", [["nonsense"], ["--rounds", "0"], ["--node", "here"], ["report"], ["publish", "one", "two"]]
)
def test_a_wrong_command_line_is_refused(wrong: list[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        command.main(wrong)
    assert refused.value.code == 2


def test_a_failure_ends_with_1_and_keeps_the_rows_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def works(ground: Ground, effort: Effort) -> Iterator[Row]:
        yield from _rows()

    def fails(ground: Ground, effort: Effort) -> Iterator[Row]:
        raise ContenderFailed("wrong bytes")

    monkeypatch.setattr(command, "SCENARIOS", {"works": works, "fails": fails})
    monkeypatch.setattr(command, "RESULTS", tmp_path)
    for name, result in (("draw_environment", None), ("describe", {}), ("description", "")):
        monkeypatch.setattr(command, name, lambda *_, result=result: result)
    assert command.main(["--node", "127.0.0.1:1"]) == 1
    assert "wrong bytes" in capsys.readouterr().err
    (folder,) = tmp_path.iterdir()
    assert load(folder / ROWS, Run).rows == _rows()


def test_a_node_is_a_host_and_a_port() -> None:
    node = parse_node("127.0.0.1:9042")
    assert (node.host, node.port) == ("127.0.0.1", 9042)
    for wrong in ("127.0.0.1", ":9042", "host:", "host:port"):
        with pytest.raises(ValueError, match="host:port"):
            parse_node(wrong)


def test_every_scenario_says_what_it_measures() -> None:
    assert all((scenario.__doc__ or "").startswith("Measure ") for scenario in SCENARIOS.values())
