"""A run becomes part of the docs: it is kept in `docs/benchmarks/`, and pages quote it between two marks each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from benchmarks.contenders import FLOOR, SERVICE
from benchmarks.drawing import require
from benchmarks.figures import Slice, by_contender
from benchmarks.report import MEDIANS, Outcome, Table, spread
from benchmarks.runs import AGAIN, REPORT, Run, UnusableRun, load, render, save
from benchmarks.scenarios import SCENARIOS
from benchmarks.scenarios.point_read import PointRead
from benchmarks.scenarios.rounds import CONNECTIONS

ROOT = Path(__file__).resolve().parent.parent

README = "README.md"
_BEFORE = "## Run it on your Cassandra"
"""Where a README without the marks gets them."""


class Quote(NamedTuple):
    """What a page of the docs, by its path in the project, says of a run between the marks of a name."""

    page: str
    name: str
    text: str

    @property
    def marks(self) -> tuple[str, str]:
        """Where it begins and where it ends."""
        return f"<!-- {self.name}: begin -->", f"<!-- {self.name}: end -->"

    def whole(self) -> str:
        """With its marks."""
        begin, end = self.marks
        return f"{begin}\n\n{self.text.strip()}\n\n{end}"

    def put_into(self, page: str) -> str:
        """The page with what it says now. Raises UnusableRun where it has no place for it."""
        begin, end = map(re.escape, self.marks)
        changed, count = re.subn(f"{begin}.*?{end}", lambda _: self.whole(), page, count=1, flags=re.DOTALL)
        if not count and self.page == README and _BEFORE in page:
            changed, count = page.replace(_BEFORE, f"{self.whole()}\n\n{_BEFORE}", 1), 1
        if not count:
            raise UnusableRun(f"{self.page} has no {' … '.join(self.marks)}")
        return changed


def publish(folder: Path, again: Path | None = None, root: Path = ROOT) -> None:
    """Keep the figures of the run in `folder` in the docs, with report and plots, and quote them.

    `again` holds another run of some of it: the report tells whether they agree.
    Raises UnusableRun or ContenderFailed, and has changed nothing then.
    """
    run = load(folder)
    second = load(again) if again is not None else None
    if second is not None:
        second.outcomes()
    pages = [(root / quote.page, quote) for quote in quotes(run, run.outcomes())]
    changed = {path: quote.put_into(path.read_text()) for path, quote in pages}
    require()
    kept = root / "docs" / "benchmarks"
    kept.mkdir(parents=True, exist_ok=True)
    for old in kept.glob("*.png"):
        old.unlink()
    save(run, kept)
    (kept / AGAIN).unlink(missing_ok=True)
    if second is not None:
        save(second, kept, AGAIN)
    render(kept)
    for path, text in changed.items():
        path.write_text(text)


def quotes(run: Run, outcomes: Mapping[str, Outcome]) -> list[Quote]:
    """All that the docs say of a run, a page each. Raises UnusableRun for a run that is not to be quoted."""
    if run.quick or "point-read" not in outcomes:
        raise UnusableRun("only a whole run with the scenario point-read is published, not a quick look")
    of_scenarios = (
        Quote(page, name, text_of(outcome.raw))
        for name, outcome in outcomes.items()
        for page, text_of in SCENARIOS[name].quotes.items()
    )
    return [Quote(README, "benchmarks", _readme_text(run, outcomes["point-read"])), *of_scenarios]


def _readme_text(run: Run, point_read: Outcome) -> str:
    found: PointRead = point_read.raw
    cpu, *_ = point_read.plots
    parts = [
        "## How fast",
        f"`GET /users/{{id}}` over {CONNECTIONS} keep-alive connections, one process each, on the same Cassandra "
        f"{run.machine['Cassandra']}, in the same run ({run.machine['processor']}; client, service and Cassandra share "
        f"it). CPU time is that of the serving process, all its threads. "
        f"{FLOOR.name} has no database: it is the floor. {MEDIANS.capitalize()}.",
        _table(by_contender(found.main)).markdown(),
        f"![{cpu.title}](docs/benchmarks/{cpu.name}.png)",
        f"Made by `scripts/bench publish` from the run of {run.at:%Y-%m-%d}: [writes, lists, streams, overload "
        f"and what was missed](docs/benchmarks/{REPORT}).",
    ]
    return "\n\n".join(parts)


def _table(groups: Mapping[str, list[Slice]]) -> Table:
    rows = [(_strong(name), *_cells(group)) for name, group in groups.items()]
    return Table(("", "CPU µs per request", "requests/s", "p99 ms"), rows)


def _cells(slices: list[Slice]) -> tuple[str, ...]:
    return (
        spread([each.cpu_us for each in slices]),
        spread([each.load.per_second for each in slices]),
        spread([each.load.p99_ms for each in slices], 1),
    )


def _strong(name: str) -> str:
    return f"**{name}**" if name == SERVICE.name else name
