"""More than the service can do: ten times the connections that saturate it, and twice its rate."""

from __future__ import annotations

import statistics
import sys
import time
from dataclasses import replace

import msgspec

from benchmarks.checks import check
from benchmarks.contenders import SERVICE
from benchmarks.figures import rounds_of
from benchmarks.load import asks_file, last_line
from benchmarks.operations import READ
from benchmarks.report import MEDIANS, Outcome, Table, spread, verdict, verdict_at_least
from benchmarks.scenarios.effort import Effort
from benchmarks.serving import ContenderFailed, Served, serving
from benchmarks.site import Site
from benchmarks.streams import PeakMemory

SATURATING = 32
TIMES = 10
RATE_TIMES = 2.0
OPEN_CONNECTIONS = 1500

GOODPUT_TARGET = 0.9
REFUSAL_TARGET_MS = 50.0
GROWTH_TARGET_MB = 32.0
"""What the buffers of 1500 connections and of so many requests under way take; not more the longer it lasts."""

NARROW = replace(
    SERVICE,
    name="asgi-cassandra narrow",
    environment={"ASGI_CASSANDRA_MAX_IN_FLIGHT": "64", "ASGI_CASSANDRA_MAX_WAITING": "64"},
)

PEAK = f"{SATURATING} connections"
CROWD = f"{SATURATING * TIMES} connections"
FLOOD = f"{RATE_TIMES:g} × its rate"  # noqa: RUF001

_GRACE_SECONDS = 40.0
_NORMAL_MS = 50.0
_MB = 1e6


class Seen(msgspec.Struct, frozen=True):
    """What the client saw, see `benchmarks.overload_client`."""

    seconds: float
    accepted: int
    refused: int
    failures: int
    accepted_p50_ms: float
    accepted_p99_ms: float
    refused_p50_ms: float
    refused_p99_ms: float

    @property
    def goodput(self) -> float:
        """Answers of 200 a second."""
        return self.accepted / self.seconds


class Trial(msgspec.Struct, frozen=True):
    """One load on one contender: the growth of its resident memory meanwhile, and how soon it was itself again."""

    contender: str
    load: str
    number: int
    seen: Seen
    peak_bytes: int
    recovery_seconds: float


class Overload(msgspec.Struct, frozen=True):
    """All raw figures."""

    seconds: int
    trials: list[Trial]


def run(site: Site, effort: Effort) -> Outcome:
    """Rounds of all loads. Raises ContenderFailed where an answer is neither a 200 nor a 503 with Retry-After."""
    trials: list[Trial] = []
    for contender, count in ((SERVICE, effort.few_rounds), (NARROW, max(1, effort.few_rounds - 1))):
        with serving(contender, site) as served:
            check(served, site, READ, effort.checked)
            seen_under(served, site, SATURATING * TIMES, effort.warm_up)
            for number in range(count):
                trials += _round(served, site, number, effort.few_seconds)
    return outcome(Overload(effort.few_seconds, trials))


def outcome(found: Overload) -> Outcome:
    """What people read of it."""
    rounds = rounds_of(trial.number for trial in found.trials)
    told = f"{rounds} rounds (one fewer with few slots) of {found.seconds} s"
    title = f"Overload: {told}, {MEDIANS}"
    return Outcome(title, [_table(found.trials)], _findings(found), found)


def _round(served: Served, site: Site, number: int, seconds: int) -> list[Trial]:
    peak = _trial(served, site, PEAK, number, SATURATING, seconds)
    crowd = _trial(served, site, CROWD, number, SATURATING * TIMES, seconds)
    flood = _trial(served, site, FLOOD, number, OPEN_CONNECTIONS, seconds, peak.seen.goodput * RATE_TIMES)
    return [peak, crowd, flood]


def _trial(
    served: Served, site: Site, name: str, number: int, connections: int, seconds: int, rate: float | None = None
) -> Trial:
    with PeakMemory(served) as peak:
        seen = seen_under(served, site, connections, seconds, rate)
    trial = Trial(served.contender.name, name, number, seen, peak.bytes, _recovery(served, site))
    print(
        f"overload: {trial.contender}, {name}: {seen.goodput:.0f}/s, {seen.refused / seen.seconds:.0f}/s refused",
        file=sys.stderr,
    )
    return trial


def seen_under(served: Served, site: Site, connections: int, seconds: int, rate: float | None = None) -> Seen:
    """Ask for more than may be answered, for so long. Raises ContenderFailed on anything but a 200 or a proper 503."""
    numbers = [str(connections), str(seconds), *([] if rate is None else [str(rate)])]
    what = [str(served.port), str(asks_file(site, READ))]
    command = [sys.executable, "-m", "benchmarks.overload_client", *what, *numbers]
    seen = msgspec.json.decode(last_line(command, seconds + _GRACE_SECONDS), type=Seen)
    if seen.failures or not seen.accepted:
        raise ContenderFailed(f"{served.contender.name} under overload: {seen}")
    return seen


def _recovery(served: Served, site: Site) -> float:
    """Seconds after the load until a request is answered as fast as ever."""
    began = time.perf_counter()
    while True:
        asked = time.perf_counter()
        status, _ = served.get(site.users[0].path)
        now = time.perf_counter()
        if status == 200 and (now - asked) * 1000 < _NORMAL_MS:
            return now - began


def _table(trials: list[Trial]) -> Table:
    header = ("load", "200/s", "503/s", "200: p50 ms", "200: p99 ms", "503: p99 ms", "peak RSS MB", "recovery ms")
    kinds = dict.fromkeys((trial.contender, trial.load) for trial in trials)
    return Table(header, [_row(trials, *kind) for kind in kinds])


def _row(trials: list[Trial], contender: str, load: str) -> tuple[str, ...]:
    found = _of(trials, contender, load)
    return (
        f"{contender}, {load}",
        spread([trial.seen.goodput for trial in found]),
        spread([trial.seen.refused / trial.seen.seconds for trial in found]),
        spread([trial.seen.accepted_p50_ms for trial in found]),
        spread([trial.seen.accepted_p99_ms for trial in found]),
        spread([trial.seen.refused_p99_ms for trial in found]),
        spread([trial.peak_bytes / _MB for trial in found], 1),
        spread([trial.recovery_seconds * 1000 for trial in found]),
    )


def goodput_ratios(found: Overload, contender: str, load: str) -> list[float]:
    """Answers of 200 a second under that load over those of the peak, round by round."""
    of_load, of_peak = (_of(found.trials, contender, each) for each in (load, PEAK))
    return [more.seen.goodput / peak.seen.goodput for more, peak in zip(of_load, of_peak, strict=True)]


def refusals_ms(found: Overload, contender: str) -> list[float]:
    """The median time of a refusal at twice the rate, in each round."""
    return [trial.seen.refused_p50_ms for trial in _of(found.trials, contender, FLOOD)]


def _of(trials: list[Trial], contender: str, load: str) -> list[Trial]:
    return [trial for trial in trials if (trial.contender, trial.load) == (contender, load)]


def _findings(found: Overload) -> list[str]:
    told = []
    for contender in dict.fromkeys(trial.contender for trial in found.trials):
        for load in (CROWD, FLOOD):
            ratios = goodput_ratios(found, contender, load)
            judged = verdict_at_least(statistics.median(ratios), GOODPUT_TARGET)
            told.append(f"{contender}, {load}: goodput ÷ that of {PEAK}: **{spread(ratios, 2)}** ({judged})")
        refusals = refusals_ms(found, contender)
        told.append(
            f"{contender}, {FLOOD}: median time of a refusal, from when its request was due, ms: "
            f"**{spread(refusals)}** ({verdict(statistics.median(refusals), REFUSAL_TARGET_MS)})"
        )
        floods = _of(found.trials, contender, FLOOD)
        growth = (floods[-1].peak_bytes - floods[0].peak_bytes) / _MB
        told.append(
            f"{contender}: growth of peak resident memory from the first flood to the last, MB: **{growth:.1f}** "
            f"({verdict(growth, GROWTH_TARGET_MB)})"
        )
    return told
