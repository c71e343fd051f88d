"""`python -m benchmarks.resources` compares a declared resource with handlers written by hand on a real node."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import resource_counts, resources
from benchmarks.regression.counting import NotGiven


def test_report_has_a_ratio_for_each_kind_of_request(
    node_address: tuple[str, int], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resources, "RESOURCES", 2)
    host, port = node_address
    arguments = ["--node", f"{host}:{port}", "--rounds", "1", "--requests", "64", "--counts", "0"]
    assert resources.main(arguments) == 0
    printed = capsys.readouterr().out
    assert "| read a row |" in printed
    assert "| create a row |" in printed
    assert "instructions: not requested" in printed


def test_the_least_count_of_each_dump_is_taken(tmp_path: Path) -> None:
    for number, (name, total) in enumerate([("hand-0", 5000), ("hand-0", 4500), ("declared-0", 6000)]):
        text = f"version: 1\ndesc: Trigger: Client Request: dump {name}\nsummary: {total}\n"
        (tmp_path / f"callgrind.out.1.{number}").write_text(text)
    (tmp_path / "callgrind.out.1").write_text("desc: Trigger: Program termination\nsummary: 7\n")
    least = resource_counts._least(tmp_path.glob("callgrind.out.*"))
    assert least == {"hand-0": 900.0, "declared-0": 1200.0}
    with pytest.raises(NotGiven):
        resource_counts._least(tmp_path.glob("nothing*"))
