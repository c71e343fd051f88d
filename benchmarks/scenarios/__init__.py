"""What is measured. A new scenario is a module here with a `run` and an `outcome`, and a line in `SCENARIOS`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import msgspec

from benchmarks.report import Outcome
from benchmarks.scenarios import (
    ceiling,
    features,
    footprint,
    mixed,
    overload,
    point_read,
    requests,
    scale,
    slow_clients,
    stream,
    stream_company,
    workers,
)
from benchmarks.scenarios.effort import DEFAULT, QUICK, Effort
from benchmarks.site import Site

__all__ = ["DEFAULT", "QUICK", "QUICK_LOOK", "SCENARIOS", "USUAL", "Effort", "Scenario"]


@dataclass(frozen=True, slots=True)
class Scenario:
    """A measurement by name; `run` raises ContenderFailed where a contender does not run or answers wrongly.

    `run` gives an Outcome whose raw figures are a `raw`, and `outcome` makes the same Outcome of these again, as they
    come out of a file. It takes about `seconds` on two CPUs, and `quick` in a quick look, which leaves it out with 0.
    `more` adds the rounds of a second sitting, later in the run, to the raw figures of the first (`Effort.sittings`).
    `quotes` are the pages, by their path in the project, that quote it between marks of its name, and what they say.
    """

    name: str
    run: Callable[[Site, Effort], Outcome]
    raw: type[msgspec.Struct]
    outcome: Callable[[Any], Outcome]
    seconds: int
    quick: int = 0
    more: Callable[[Site, Effort, Any], Outcome] | None = None
    quotes: Mapping[str, Callable[[Any], str]] = field(default_factory=dict)

    def again(self, kept: bytes | msgspec.Raw) -> Outcome:
        """The outcome of raw figures that were kept as JSON. Raises msgspec.DecodeError."""
        return self.outcome(msgspec.json.decode(kept, type=self.raw))


_SIZING = MappingProxyType({"docs/sizing.md": scale.sizing_section})

SCENARIOS: Mapping[str, Scenario] = MappingProxyType(
    {
        scenario.name: scenario
        for scenario in (
            Scenario("point-read", point_read.run, point_read.PointRead, point_read.outcome, 560, 40, point_read.more),
            Scenario("requests", requests.run, requests.Requests, requests.outcome, 900, 45, requests.more),
            Scenario("stream", stream.run, stream.Streams, stream.outcome, 960, 30, stream.more),
            Scenario("company", stream_company.run, stream_company.Company, stream_company.outcome, 170, 15),
            Scenario("mixed", mixed.run, mixed.Mixed, mixed.outcome, 150),
            Scenario("overload", overload.run, overload.Overload, overload.outcome, 90),
            Scenario("slow-clients", slow_clients.run, slow_clients.SlowClients, slow_clients.outcome, 120),
            Scenario("workers", workers.run, workers.Workers, workers.outcome, 260),
            Scenario("footprint", footprint.run, footprint.Footprint, footprint.outcome, 55),
            Scenario("ceiling", ceiling.run, ceiling.Ceiling, ceiling.outcome, 60, 15),
            Scenario("scale", scale.run, scale.Scale, scale.outcome, 540, quotes=_SIZING),
            Scenario("features", features.run, features.Features, features.outcome, 80),
        )
    }
)

ONLY_BY_NAME = frozenset({"features"})
"""What is run only when it is named."""

USUAL = tuple(name for name in SCENARIOS if name not in ONLY_BY_NAME)
"""What is run when nothing is named."""

QUICK_LOOK = tuple(name for name in USUAL if SCENARIOS[name].quick)
"""The same of a quick look."""
