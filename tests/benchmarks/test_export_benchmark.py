"""`benchmarks.export` measures each way to read a whole table on a real node; its report judges the targets."""

from pathlib import Path

import msgspec
import pytest

from benchmarks import export
from benchmarks.export_report import CONNECTIONS, TARGETS, ExportRun, publish, report
from benchmarks.export_ways import (
    ALONE,
    BESIDE,
    COPY,
    DRIVER,
    EXPORT,
    IN_ORDER,
    MEMORY,
    SCENARIO,
    STREAM,
    TENTH,
    WHOLE,
    reads_load,
)
from benchmarks.measure import CPU_ROW, P99, PEAK_MB, RATE, ROW_RATE
from benchmarks.rows import Row
from benchmarks.whole_tables import NARROW, WHOLE_TABLES, WIDE

PUBLISHED = Path(__file__).parents[2] / "docs" / "benchmarks"


@pytest.mark.long  # it starts services and waits for loads of seconds
def test_each_way_gives_every_row(node_address, capsys, tmp_path):
    host, port = node_address
    raw = tmp_path / "rows.json"
    effort = ["--rows", "1500", "--rounds", "1", "--seconds", "1", "--warm-up", "0"]
    without = ["--without", "cqlsh", "--without", "async-cassandra"]
    assert export.main(["--node", f"{host}:{port}", *effort, *without, "--raw", str(raw)]) == 0
    kept = msgspec.json.decode(raw.read_bytes())
    found = {(row["load"], row["contender"]) for row in kept["rows"]}
    assert found == {
        *((each.load, way) for each in WHOLE_TABLES for way in (STREAM, IN_ORDER, EXPORT, DRIVER)),
        *((reads_load(each), way) for each in CONNECTIONS for way in (ALONE, BESIDE)),
        *((MEMORY, part) for part in (TENTH, WHOLE)),
    }
    assert all(value > 0 for row in kept["rows"] for value in row["figures"].values())
    printed = capsys.readouterr().out
    assert "1500 rows of each table" in printed
    assert f"| {WIDE.load} | {EXPORT} |" in printed


def _row(load: str, way: str, number: int, **figures: float) -> Row:
    return Row(SCENARIO, load, way, number, figures)


RUN = ExportRun(
    {"processor": "a processor", "nodes": "1"},
    [
        *(_row(NARROW.load, STREAM, at, **{ROW_RATE: rate, CPU_ROW: 0.5}) for at, rate in enumerate((100.0, 200.0))),
        *(_row(NARROW.load, EXPORT, at, **{ROW_RATE: rate, CPU_ROW: 0.5}) for at, rate in enumerate((140.0, 320.0))),
        _row(NARROW.load, COPY.name, 0, **{ROW_RATE: 10.0, CPU_ROW: 40.0}),
        _row(MEMORY, TENTH, 0, **{PEAK_MB: 70.0}),
        _row(MEMORY, WHOLE, 0, **{PEAK_MB: 79.0}),
        *(
            _row(reads_load(32), way, 0, **{RATE: 9.0, "p50 ms": 1.0, P99: p99})
            for way, p99 in ((ALONE, 10.0), (BESIDE, 20.0))
        ),
    ],
)


def test_targets_are_judged_round_by_round_and_say_what_was_not_measured():
    lines = report(RUN).splitlines()
    judged = {target.title: line for target in TARGETS for line in lines if line.startswith(f"| {target.title} |")}
    assert [line.split(" | ")[2:] for line in judged.values()] == [
        ["1.50 [1.40–1.60]", "met |"],  # noqa: RUF001
        ["14.0", "**missed** |"],
        ["not measured", " |"],
        ["not measured", " |"],
        ["9.00", "**missed** |"],
        ["2.00", "met |"],
        ["not measured", " |"],
    ]


def test_a_published_run_has_its_report_and_every_figure(tmp_path):
    publish(RUN, "export", tmp_path)
    runs = [*tmp_path.glob("export*.json"), *PUBLISHED.glob("export*.json")]
    for path in runs:
        run = msgspec.json.decode(path.read_bytes(), type=ExportRun)
        assert path.with_suffix(".md").read_text() == report(run)
    assert msgspec.json.decode(runs[0].read_bytes(), type=ExportRun) == RUN
    assert "- processor: a processor" in report(RUN)


def test_a_way_has_its_ratios_where_both_were_measured():
    lines = report(RUN).splitlines()
    (line,) = (line for line in lines if line.startswith(f"| {NARROW.load} | {EXPORT} |"))
    assert line.endswith("| 230 [140–320] | 1.50 [1.40–1.60] | 14.0 | 0.50 |  |")  # noqa: RUF001
    (line,) = (line for line in lines if line.startswith(f"| {reads_load(32)} | {BESIDE} |"))
    assert line.endswith("| 9.00 | 1.00 | 20.0 | 2.00 |")
