"""The comparison of two commits: when it sees a difference, and its use of git and valgrind."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from asgi_app.settings import ContactPoint
from benchmarks import compare
from benchmarks.processes import ContenderFailed
from benchmarks.regression import checkouts, counting
from benchmarks.regression.checkouts import checkout
from benchmarks.regression.counting import NotGiven, collected, compare_counts
from benchmarks.regression.verdicts import (
    FASTER,
    LEAST_ROUNDS,
    SAME,
    SLOWER,
    Comparison,
    Counts,
    median_interval,
)
from benchmarks.site import Site

BASE = [100.0, 101.0, 99.0, 100.0, 102.0, 98.0, 100.0, 100.0]


def _compared(ratio: float, rounds: int = len(BASE)) -> Comparison:
    base = BASE[:rounds]
    return Comparison("CPU µs/request", base, [value * ratio for value in base])


@pytest.mark.parametrize(("ratio", "verdict"), [(1.04, SLOWER), (0.96, FASTER), (1.0, SAME)])
def test_a_difference_that_every_round_shows_is_seen(ratio: float, verdict: str) -> None:
    found = _compared(ratio)
    assert found.verdict() == verdict
    assert found.ratio == pytest.approx(ratio)


def test_a_difference_that_changes_its_side_is_not_seen() -> None:
    head = [value * ratio for value, ratio in zip(BASE, [1.3, 0.8, 1.2, 0.7, 1.3, 0.8, 1.2, 0.9], strict=True)]
    assert Comparison("CPU µs/row", BASE, head).verdict() == SAME


def test_a_slow_minute_that_hits_both_is_no_difference() -> None:
    base = [100.0, 400.0, 100.0, 300.0, 100.0, 200.0]
    head = [101.0, 398.0, 99.0, 303.0, 101.0, 199.0]
    found = Comparison("CPU µs/row", base, head)
    assert found.verdict() == SAME
    assert found.ratios() == pytest.approx([1.01, 0.995, 0.99, 1.01, 1.01, 0.995])


def test_too_few_rounds_say_nothing() -> None:
    assert _compared(2.0, LEAST_ROUNDS).verdict() == SLOWER
    few = _compared(2.0, LEAST_ROUNDS - 1)
    assert few.interval() is None
    assert few.verdict() == SAME
    assert "too few rounds" in few.cells()


@pytest.mark.parametrize(
    ("count", "left_out"),
    [(0, None), (1, None), (5, None), (6, 0), (8, 0), (9, 1), (11, 1), (12, 2), (15, 3), (20, 5), (25, 7)],
)
def test_the_interval_is_that_of_a_sign_test(count: int, left_out: int | None) -> None:
    """As in the printed tables of the sign test: what may be left out at each end at 5 % on both sides."""
    values = [float(number) for number in reversed(range(count))]
    expected = None if left_out is None else (left_out, count - 1 - left_out)
    assert median_interval(values) == expected


def test_counts_that_are_as_far_apart_as_those_of_one_commit_are_no_difference() -> None:
    assert Counts("", [1000, 1001], [1009, 1010]).verdict() == SAME
    assert Counts("", [1000, 1001], [1012, 1013]).verdict() == SLOWER
    assert Counts("", [1000, 1001], [988, 989]).verdict() == FASTER
    assert Counts("", [1000, 1030], [1020, 1021]).verdict() == SAME


def test_the_least_counts_are_compared_since_noise_only_adds() -> None:
    assert Counts("", [1000, 1500, 1400], [1100, 1101, 1102]).ratio == pytest.approx(1.1)


def test_it_fails_above_a_limit_only_where_a_difference_is_seen() -> None:
    assert _compared(1.2).fails(1.1)
    assert not _compared(1.2, LEAST_ROUNDS - 1).fails(1.1)
    assert not _compared(1.05).fails(1.1)
    assert not _compared(0.5).fails(1.1)
    assert Counts("", [1000], [1200]).fails(1.1)


def test_the_report_has_a_row_for_each_figure() -> None:
    found = [_compared(1.04), Counts("instructions/row", [18000, 18001], [18000, 18002])]
    _, _, cpu, instructions, *rest = compare.report(found, ["a note"]).splitlines()
    assert _cells(cpu)[0] == "CPU µs/request"
    assert _cells(cpu)[3:] == ["1.040", f"{1.04:.3f}\N{EN DASH}{1.04:.3f}", "slower"]
    assert _cells(instructions)[0] == "instructions/row"
    assert _cells(instructions)[3:] == ["1.000", "± 1.0 %", "no difference seen"]
    assert rest == ["", "- a note"]


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.mark.parametrize("counts", ["0", "2"])
def test_the_exit_status_is_that_of_the_limit(monkeypatch: pytest.MonkeyPatch, counts: str) -> None:
    monkeypatch.setattr(compare, "_compare", lambda options: ([_compared(1.2)], []))
    assert compare.main(["HEAD", "--counts", counts]) == 0
    assert compare.main(["HEAD", "--counts", counts, "--fail-above", "1.3"]) == 0
    assert compare.main(["HEAD", "--counts", counts, "--fail-above", "1.10"]) == 1


WRONG = ([], ["HEAD", "--rounds", "0"], ["HEAD", "--counts", "-1"], ["HEAD", "--node", "here"])


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_command_line_is_refused(monkeypatch: pytest.MonkeyPatch, wrong: list[str]) -> None:
    monkeypatch.setattr(compare, "_compare", lambda options: ([], []))
    with pytest.raises(SystemExit) as refused:
        compare.main(wrong)
    assert refused.value.code == 2


def test_what_cannot_run_fails(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(_: object) -> None:
        raise ContenderFailed("no such commit")

    monkeypatch.setattr(compare, "_compare", fail)
    assert compare.main(["nonsense"]) == 1
    assert "no such commit" in capsys.readouterr().err


def test_the_count_that_callgrind_reports_is_read() -> None:
    assert collected("==1== \n==1== Collected : 365747794\n==1== \n") == 365747794
    assert collected("==1== Collected : 1,234\n") == 1234
    with pytest.raises(NotGiven):
        collected("==1== a signal\n")


@pytest.mark.usefixtures("repository")
def test_without_valgrind_there_are_no_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(counting.shutil, "which", lambda name: None)
    site = Site(ContactPoint("127.0.0.1", 9042), "a_keyspace", (), tmp_path)
    with checkout(None, "head", tmp_path) as head, pytest.raises(NotGiven, match="valgrind"):
        compare_counts(head, head, site, 1)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One of our own with a single commit, in the place of this project's."""
    folder = tmp_path / "repository"
    (folder / "asgi_app").mkdir(parents=True)
    (folder / "asgi_app" / "__init__.py").write_text("")
    who = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    for arguments in (["init", "--quiet"], ["add", "."], [*who, "commit", "--quiet", "--message", "all"]):
        subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True)
    monkeypatch.setattr(checkouts, "ROOT", folder)
    return folder


def _worktrees(repository: Path) -> int:
    listed = subprocess.run(["git", "worktree", "list"], cwd=repository, check=True, capture_output=True)
    return len(listed.stdout.splitlines())


def test_a_commit_is_checked_out_elsewhere_and_removed(repository: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), checkout("HEAD", "base", tmp_path) as found:
        assert found.folder != repository
        assert (found.folder / "asgi_app" / "__init__.py").exists()
        assert found.contender().environment["PYTHONPATH"] == str(found.folder)
        raise KeyboardInterrupt
    assert not found.folder.exists()
    assert _worktrees(repository) == 1


def test_without_a_commit_it_is_the_working_tree(repository: Path, tmp_path: Path) -> None:
    with checkout(None, "head", tmp_path) as found:
        assert found.folder == repository
        assert _worktrees(repository) == 1


@pytest.mark.parametrize("commit", ["no-such-commit", "--help", ""])
def test_a_commit_that_is_none_fails(repository: Path, tmp_path: Path, commit: str) -> None:
    with pytest.raises(ContenderFailed), checkout(commit, "base", tmp_path):
        pass
