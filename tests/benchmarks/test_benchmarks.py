"""The benchmarks' figures: how ratios and targets are counted, and that the docs quote the run they keep."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

import benchmarks.__main__
from asgi_app.settings import ContactPoint
from benchmarks import publish, runs
from benchmarks.agreement import agreement
from benchmarks.contenders import FASTAPI_ASYNC, SERVICE, THREAD_HOP
from benchmarks.figures import Slice, by_contender, chosen, cpu_ratios, quiet
from benchmarks.load import LoadReport
from benchmarks.plots import Plot
from benchmarks.publish import Quote, quotes
from benchmarks.report import Outcome, spread, verdict, verdict_at_least
from benchmarks.runs import AGAIN, RAW, REPORT, Ground, Run, UnusableRun, load, load_again, report, save
from benchmarks.scenarios import DEFAULT, QUICK, SCENARIOS, Effort, Scenario, point_read
from benchmarks.scenarios.point_read import PointRead
from benchmarks.scenarios.stream import FirstByte, Peak, Streams
from benchmarks.scenarios.stream_rates import JSON, LOOP, Reading
from benchmarks.site import Site
from benchmarks.targets import NOT_MEASURED, TARGETS, judgements

ROOT = Path(__file__).parents[2]
KEPT = ROOT / "docs" / "benchmarks"
README = ROOT / "README.md"
BEGIN, END = Quote("README.md", "benchmarks", "").marks

CPU = {
    SERVICE.name: (100.0, 300.0, 110.0),
    THREAD_HOP.name: (200.0, 400.0, 250.0),
    FASTAPI_ASYNC.name: (400.0, 900.0, 500.0),
}


def _slice(contender: str, number: int, cpu_us: float, connections: int = 32) -> Slice:
    seen = LoadReport(requests=4000, seconds=2.0, p50_ms=5.0, p99_ms=10.0 + number, p999_ms=20.0, failures={})
    return Slice(contender, "read", connections, number, cpu_us, 3.0, 70_000_000, seen)


def _point_read() -> PointRead:
    main = [_slice(name, number, cpu) for name, values in CPU.items() for number, cpu in enumerate(values)]
    others = [_slice(name, 0, 1000.0, connections=8) for name in CPU]
    return PointRead(2, main + others, [])


def _run(*, quick: bool = False) -> Run:
    machine = {"processor": "a processor", "Cassandra": "5.0.9"}
    contenders = {SERVICE.name: Ground("this project", {}), "rival": Ground("another", {"its-driver": "1.2"})}
    scenarios = {"point-read": msgspec.Raw(msgspec.json.encode(_point_read()))}
    return Run(datetime(2026, 1, 2, 3, 4, tzinfo=UTC), quick, machine, contenders, {"point-read": 61.4}, scenarios)


def test_the_docs_quote_the_run_that_they_keep() -> None:
    if not (KEPT / RAW).exists():
        assert not KEPT.exists()
        assert BEGIN not in README.read_text()
        return
    run = load(KEPT)
    outcomes = run.outcomes()
    again = load_again(KEPT)
    assert (KEPT / REPORT).read_text() == report(run, outcomes, again)
    told = quotes(run, outcomes)
    for quote in told:
        page = (ROOT / quote.page).read_text()
        assert quote.put_into(page) == page
        assert page.count(quote.marks[0]) == 1
    assert "README.md" in {quote.page for quote in told}
    drawn = {f"{plot.name}.png" for outcome in outcomes.values() for plot in outcome.plots}
    assert {path.name for path in KEPT.iterdir()} == {RAW, REPORT, *drawn, *([AGAIN] if again else [])}


def test_a_ratio_is_taken_round_by_round() -> None:
    found = _point_read().main
    assert cpu_ratios(found, SERVICE.name, THREAD_HOP.name) == [0.5, 0.75, 0.44]
    assert cpu_ratios(found, SERVICE.name, "nobody") == []
    without_a_round = [each for each in found if (each.contender, each.number) != (THREAD_HOP.name, 1)]
    assert cpu_ratios(without_a_round, SERVICE.name, THREAD_HOP.name) == [0.5, 0.44]


def test_only_the_main_load_counts_and_the_cheapest_comes_first() -> None:
    found = _point_read()
    assert {each.connections for each in found.main} == {32}
    assert list(by_contender(found.main)) == [SERVICE.name, THREAD_HOP.name, FASTAPI_ASYNC.name]
    assert len(chosen(found.closed, contender=SERVICE.name, connections=8)) == 1


def test_a_spread_has_the_median_the_least_and_the_greatest() -> None:
    assert spread([3, 1, 2]) == "2 [1–3]"  # noqa: RUF001
    assert spread([1.25, 1.0], 2) == "1.12 [1.00–1.25]"  # noqa: RUF001
    assert spread([7.0], 1) == "7.0"


def test_a_target_is_met_at_its_limit() -> None:
    assert verdict(1.5, 1.5).endswith("met")
    assert verdict(1.5, 1.5, below=True).endswith("missed")
    assert verdict_at_least(1.25, 1.25).endswith("met")


def _streams(*peaks: Peak) -> Streams:
    ways = {JSON: (1.0, 2.0), LOOP: (1.0, 4.0)}
    readings = [
        Reading(way, 1000, number, 1000, seconds, seconds / 2, 10, 0.1, 1)
        for way, values in ways.items()
        for number, seconds in enumerate(values)
    ]
    return Streams(readings, [FirstByte(0.02, 0.02), FirstByte(0.03, 0.02)], list(peaks))


def test_targets_are_judged_by_the_median_and_say_what_was_not_measured() -> None:
    raws = {"point-read": _point_read(), "stream": _streams(Peak(10_000, 80_000_000), Peak(20_000, 90_000_000))}
    rows = {figure: rest for figure, *rest in judgements(raws).rows}
    assert len(rows) == len(TARGETS)
    hop = rows["point read, CPU/request ÷ one thread hop a request"]
    assert hop == ["≤ 0.45", "0.50 [0.44–0.75]", "**missed**"]  # noqa: RUF001
    assert rows["point read, CPU/request ÷ Starlette + acsylla"] == ["≤ 1.25, then ≤ 1", NOT_MEASURED, ""]
    loop = rows["stream, rows/s ÷ plain driver loop without HTTP, 1000 rows"]
    assert loop == ["≥ 1.25", "1.50 [1.00–2.00]", "met"]  # noqa: RUF001
    first = rows["time to first byte of a stream ÷ time of one page by the driver"]
    assert first == ["≤ 1.3", "1.25 [1.00–1.50]", "met"]  # noqa: RUF001
    growth = "growth of resident memory from a 10 k to a 1 M row stream, MB"
    assert rows[growth][1] == NOT_MEASURED  # the table was too small
    raws["stream"] = _streams(Peak(10_000, 80_000_000), Peak(1_000_000, 88_500_000))
    assert {row[0]: row[2:] for row in judgements(raws).rows}[growth] == ("8.5", "**missed**")


def test_every_target_is_of_a_scenario_that_there_is() -> None:
    assert {target.scenario for target in TARGETS} <= set(SCENARIOS)


def test_a_run_that_was_kept_gives_the_same_report(tmp_path: Path) -> None:
    run = _run()
    save(run, tmp_path)
    again = load(tmp_path)
    told = report(again, again.outcomes())
    assert told == report(run, run.outcomes())
    assert "| asgi-cassandra | 110 [100–300] | 2000 [2000–2000] |" in told  # noqa: RUF001
    assert "- rival: another (its-driver 1.2)" in told
    assert "![CPU time of a point read" in told


def draw(drawn: Sequence[Plot], folder: Path) -> None:
    """Stands for what needs an environment of its own."""
    for plot in drawn:
        (folder / f"{plot.name}.png").write_bytes(b"a plot")


def test_two_runs_agree_where_no_ratio_is_ten_percent_apart() -> None:
    slower = [
        msgspec.structs.replace(each, cpu_us=each.cpu_us * 1.2) if each.contender == THREAD_HOP.name else each
        for each in _point_read().main
    ]
    first = {"point-read": _point_read(), "stream": _streams()}
    table = agreement(first, {"point-read": PointRead(2, slower, []), "requests": None})
    assert table.rows == [
        (f"{THREAD_HOP.name}, point read", "0.467", "0.389", "-17%", "**differ**", "-17%"),
        (f"{FASTAPI_ASYNC.name}, point read", "0.233", "0.233", "+0%", "agree", "+0%"),
    ]
    assert [row[0] for row in agreement(first, first).rows][2:] == [f"{LOOP}, a row of 1000"]


def test_a_burst_in_less_than_half_of_the_rounds_changes_no_quiet_figure() -> None:
    assert quiet([3.0, 1.0, 2.0]) == quiet([9.0, 1.0, 2.0]) == 1.5
    assert quiet([4.0]) == 4.0


def test_the_rounds_of_two_sittings_are_all_rounds() -> None:
    first, second = DEFAULT.sittings()
    assert second is not None
    assert (first.rounds + second.rounds, first.stream_rounds + second.stream_rounds) == (28, 28)
    assert replace(DEFAULT, rounds=3).sittings()[0].rounds == 2
    assert QUICK.sittings() == (QUICK, None)
    assert replace(DEFAULT, rounds=1).sittings()[1] is None


def test_a_second_sitting_adds_to_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    def run_it(site: Site, effort: Effort) -> Outcome:
        return point_read.outcome(_point_read())

    def more(site: Site, effort: Effort, found: PointRead) -> Outcome:
        again = [msgspec.structs.replace(each, number=each.number + 3) for each in found.closed]
        return point_read.outcome(msgspec.structs.replace(found, closed=found.closed + again))

    scenario = Scenario("point-read", run_it, PointRead, point_read.outcome, 1, more=more)
    monkeypatch.setattr(benchmarks.__main__, "SCENARIOS", {"point-read": scenario})
    run = _run()
    run.scenarios.clear()
    run.seconds.clear()
    site = Site(ContactPoint("127.0.0.1", 9042), "5", "k", (), KEPT)
    taken = []
    for _ in range(2):
        benchmarks.__main__._measure("point-read", site, QUICK, run)
        taken.append(run.seconds["point-read"])
    assert taken[0] < taken[1]
    assert sorted({each.number for each in run.outcomes()["point-read"].raw.main}) == [*range(6)]


def test_a_second_run_is_published_beside_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish, "require", lambda: None)
    monkeypatch.setattr(runs, "draw", lambda plots, folder: None)
    (tmp_path / "README.md").write_text("# P\n\n## Run it on your Cassandra\n")
    for name in ("run", "again"):
        save(_run(), tmp_path / name)
    publish.publish(tmp_path / "run", tmp_path / "again", root=tmp_path)
    kept = tmp_path / "docs" / "benchmarks"
    assert "## Two runs" in (kept / REPORT).read_text()
    assert load_again(kept) == load(tmp_path / "again")
    publish.publish(tmp_path / "run", root=tmp_path)
    assert "## Two runs" not in (kept / REPORT).read_text()
    assert load_again(kept) is None


def test_a_run_is_published_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish, "require", lambda: None)
    monkeypatch.setattr(runs, "draw", draw)
    (tmp_path / "README.md").write_text("# A project\n\n## Run it on your Cassandra\n\nSo.\n")
    save(_run(), tmp_path / "run")
    for _ in range(2):
        publish.publish(tmp_path / "run", root=tmp_path)
        readme = (tmp_path / "README.md").read_text()
        assert readme.count(BEGIN) == 1
        assert readme.startswith("# A project\n")
        assert readme.endswith(f"{END}\n\n## Run it on your Cassandra\n\nSo.\n")
    assert "| **asgi-cassandra** | 110 [100–300] | 2000 [2000–2000] | 11.0 [10.0–12.0] |" in readme  # noqa: RUF001
    kept = tmp_path / "docs" / "benchmarks"
    assert (kept / "point-read-cpu.png").exists()
    assert (kept / RAW).read_bytes() == (tmp_path / "run" / RAW).read_bytes()


def test_what_is_no_run_is_not_published(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("# A project\n")
    for folder in (tmp_path / "nothing", tmp_path):
        with pytest.raises(UnusableRun, match=RAW):
            publish.publish(folder, root=tmp_path)
    save(_run(quick=True), tmp_path / "quick")
    with pytest.raises(UnusableRun, match="quick look"):
        publish.publish(tmp_path / "quick", root=tmp_path)
    (tmp_path / RAW).write_text(json.dumps({"at": "once"}))
    with pytest.raises(UnusableRun):
        publish.publish(tmp_path, root=tmp_path)
    assert (tmp_path / "README.md").read_text() == "# A project\n"
    assert not (tmp_path / "docs").exists()


def test_figures_of_another_version_are_told_so() -> None:
    changed = msgspec.structs.replace(_run(), scenarios={"point-read": msgspec.Raw(b'{"slices": 3}')})
    with pytest.raises(UnusableRun, match="version"):
        changed.outcomes()


def test_a_quote_is_replaced_and_nothing_else() -> None:
    quote = Quote("docs/a-page.md", "benchmarks", "new \\1")
    old = f"before\n\n{BEGIN}\nold\n{END}\n\nafter {END}\n"
    assert quote.put_into(old) == f"before\n\n{BEGIN}\n\nnew \\1\n\n{END}\n\nafter {END}\n"
    with pytest.raises(UnusableRun, match="a-page"):
        quote.put_into("without marks\n")
