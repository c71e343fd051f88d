"""What is measured. A new scenario is a module in this folder with a `run`, and a line in `SCENARIOS`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from benchmarks.report import Outcome
from benchmarks.scenarios import features, footprint, overload, point_read, stream, stream_company
from benchmarks.scenarios.effort import DEFAULT, QUICK, Effort
from benchmarks.site import Site

__all__ = ["DEFAULT", "QUICK", "SCENARIOS", "USUAL", "Effort", "Scenario"]


@dataclass(frozen=True, slots=True)
class Scenario:
    """A measurement by name; `run` raises ContenderFailed where a contender does not run or answers wrongly."""

    name: str
    run: Callable[[Site, Effort], Outcome]


SCENARIOS: Mapping[str, Scenario] = MappingProxyType(
    {
        scenario.name: scenario
        for scenario in (
            Scenario("point-read", point_read.run),
            Scenario("features", features.run),
            Scenario("footprint", footprint.run),
            Scenario("stream", stream.run),
            Scenario("company", stream_company.run),
            Scenario("overload", overload.run),
        )
    }
)

USUAL = ("point-read", "footprint")
"""What is run when nothing is named."""
