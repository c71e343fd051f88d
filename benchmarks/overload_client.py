"""A client that asks for too much: `python -m benchmarks.overload_client PORT ASKS CONNECTIONS SECONDS [RATE]`.

Without a rate each connection asks again as soon as it is answered, refused or not. With one, requests fall due at that
rate whatever the answers are, and go out on the next connection that is free; their time counts from when they were
due. Prints one line of JSON, an `Overloaded`.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

import uvloop

from benchmarks.client import percentiles
from benchmarks.connections import Ran, closed_loop, open_loop, requests_of


@dataclass(slots=True)
class Overloaded:
    """What the client saw: seconds are of each answer, `failures` what was neither a 200 nor a proper 503."""

    seconds: float = 0.0
    accepted: int = 0
    refused: int = 0
    failures: int = 0
    accepted_p50_ms: float = 0.0
    accepted_p99_ms: float = 0.0
    refused_p50_ms: float = 0.0
    refused_p99_ms: float = 0.0


@dataclass(slots=True)
class Tally:
    """What all connections saw."""

    accepted: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    failures: int = 0

    def add(self, answer: bytes, seconds: float) -> None:
        """Count a whole answer."""
        status = answer[9:12]
        if status == b"200":
            self.accepted.append(seconds)
        elif status == b"503" and b"\r\nretry-after:" in answer.lower():
            self.refused.append(seconds)
        else:
            self.failures += 1


def _report(tally: Tally, ran: Ran) -> Overloaded:
    failures = tally.failures + ran.lost + ran.unanswered
    report = Overloaded(ran.seconds, len(tally.accepted), len(tally.refused), failures)
    report.accepted_p50_ms, report.accepted_p99_ms = _percentiles_ms(tally.accepted)
    report.refused_p50_ms, report.refused_p99_ms = _percentiles_ms(tally.refused)
    return report


def _percentiles_ms(values: list[float]) -> tuple[float, float]:
    p50, p99 = percentiles(values, 0.5, 0.99)
    return p50 * 1000, p99 * 1000


def main() -> None:
    """Run as the command line says."""
    port, connections, seconds = int(sys.argv[1]), int(sys.argv[3]), float(sys.argv[4])
    requests = requests_of(Path(sys.argv[2]), port, ())
    tally = Tally()
    if len(sys.argv) > 5:
        load = open_loop(port, requests, connections, seconds, float(sys.argv[5]), tally.add)
    else:
        load = closed_loop(port, requests, connections, seconds, tally.add)
    print(json.dumps(asdict(_report(tally, uvloop.run(load)))))


if __name__ == "__main__":
    main()
