"""The ceiling's figures: what is made of raw ones, where there is no Go, and whose CPU time Cassandra's is."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import msgspec
import psutil
import pytest

from asgi_app.settings import ContactPoint
from benchmarks.ceiling import program as building
from benchmarks.ceiling.node import CpuWatch, Shares, node_process
from benchmarks.contenders import SERVICE
from benchmarks.report import Outcome
from benchmarks.scenarios import SCENARIOS
from benchmarks.scenarios.ceiling import Ceiling, outcome
from benchmarks.scenarios.ceiling_ways import CONCURRENT, NATIVE, READS, ROWS, TUPLES, Asked, Taking

HERE = "127.0.0.1"


def _takings(kind: str, way: str, in_flight: int, counts: tuple[int, ...], cpu_seconds: float) -> list[Taking]:
    shares = Shares(0.9, 1.9)
    return [
        Taking(kind, way, in_flight, number, Asked(count, 1.0, cpu_seconds), shares)
        for number, count in enumerate(counts)
    ]


DRIVER_ALONE = [
    *_takings(READS, CONCURRENT, 32, (4000, 5000), 0.5),
    *_takings(READS, SERVICE.name, 32, (3000, 3000), 0.6),
    *_takings(ROWS, TUPLES, 1, (90_000, 90_000), 0.3),
]
CEILING = [
    *_takings(READS, NATIVE, 1, (1000, 1000), 0.1),
    *_takings(READS, NATIVE, 32, (12_000, 15_000), 0.2),
    *_takings(ROWS, NATIVE, 1, (100_000, 120_000), 0.1),
]


def _told(found: Outcome) -> str:
    return "\n".join(found.findings)


def test_the_service_is_compared_with_what_there_is_to_reach() -> None:
    told = _told(outcome(Ceiling(1, 50_000, 2, DRIVER_ALONE + CEILING)))
    assert f"CPU per request, {SERVICE.name} ÷ the driver alone, 32 in flight: **1.80 [1.60" in told
    assert f"a second, {SERVICE.name} ÷ the ceiling, 32 in flight: **0.23 [0.20" in told
    assert "the driver's loop over tuples ÷ the ceiling: **0.82 [0.75" in told


def test_without_a_ceiling_it_says_why() -> None:
    told = _told(outcome(Ceiling(1, 50_000, 2, DRIVER_ALONE, "no Go toolchain")))
    assert "the ceiling was not measured: no Go toolchain" in told
    assert "÷ the driver alone" in told
    assert "÷ the ceiling" not in told


def test_an_outcome_comes_out_of_its_raw_figures_again() -> None:
    once = outcome(Ceiling(1, 50_000, 2, DRIVER_ALONE + CEILING))
    assert SCENARIOS["ceiling"].again(msgspec.json.encode(once.raw)) == once


def test_without_go_there_is_no_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(building, "_KEPT", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(building.NotBuilt, match="no Go toolchain"):
        building.program()


def test_a_program_that_does_not_build_leaves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    go = tmp_path / "go"
    go.write_text('#!/bin/sh\necho "go: reads no module" >&2\nexit 1\n')
    go.chmod(0o755)
    monkeypatch.setattr(building, "_KEPT", tmp_path / "kept")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(building.NotBuilt, match="reads no module"):
        building.program()
    assert not [path for path in (tmp_path / "kept").rglob("*") if path.is_file()]


def test_the_process_that_listens_on_the_port_is_found() -> None:
    with socket.create_server((HERE, 0)) as server:
        port = server.getsockname()[1]
        found = node_process(ContactPoint(HERE, port))
    assert found is not None
    assert found.pid == os.getpid()


def test_a_node_that_is_elsewhere_or_not_there_has_no_process() -> None:
    with socket.create_server((HERE, 0)) as server:
        port = server.getsockname()[1]
    assert node_process(ContactPoint(HERE, port)) is None
    assert node_process(ContactPoint("192.0.2.1", port)) is None


def test_cpu_time_is_shared_out() -> None:
    shares = CpuWatch(None).shares()
    assert shares.cassandra is None
    mine = CpuWatch(psutil.Process()).shares()
    assert mine.cassandra is not None
    assert mine.machine >= 0
