"""Make the report of a run, the section of a page about it, and their plot from a `Summary`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path

import msgspec

from benchmarks.contenders import SERVICE, Contender
from benchmarks.environments import interpreter, run_with
from benchmarks.measure import CPU_REQUEST, P99, RATE
from benchmarks.rows import UnusableRun
from benchmarks.scenarios import CONNECTIONS, MAIN, SCENARIOS
from benchmarks.summary import SUMMARY, Line, Summary, load_summary, to_json
from benchmarks.targets import TARGETS, Target

REPORT = "report.md"
PAGE = "docs/performance.md"
PLOT = "point-read-cpu.png"
MEDIANS = "medians [least–greatest]"  # noqa: RUF001
NOT_MEASURED = "not measured"
BEGIN, END = "<!-- benchmarks: begin -->", "<!-- benchmarks: end -->"

_ROOT = Path(__file__).resolve().parent.parent
_PLOTTER = Contender("plots", "", "draws the plot", requirements=("matplotlib>=3.10",))
_TITLE = f"CPU time of a point read: GET /users/{{id}}, {MAIN}"


def render(folder: Path) -> None:
    """Write summary, report and plot of the run in a folder. Raises UnusableRun and ContenderFailed."""
    _write(load_summary(folder), folder)


def publish(folder: Path, root: Path = _ROOT) -> None:
    """Put summary, report and plot of a run into `docs/benchmarks`, and its section into docs/performance.md.

    Raises UnusableRun for a quick look or a run without point reads, and ContenderFailed.
    """
    summary = load_summary(folder)
    if summary.quick or not _point_reads(summary):
        raise UnusableRun("only a whole run with the scenario point-read can be published, not a quick look")
    page = root / PAGE
    changed = put_into(page.read_text(), page_section(summary))
    _write(summary, root / "docs" / "benchmarks")
    page.write_text(changed)


def draw_environment() -> None:
    """Make the environment that draws the plot if it is missing, so that no run fails at its end."""
    interpreter(_PLOTTER)


def report(summary: Summary) -> str:
    """Return the report: the same text for the same summary."""
    quick = ["A quick look: it shows that everything runs; do not rely on its figures."] if summary.quick else []
    sections = [_section(name, list(lines)) for name, lines in groupby(summary.lines, lambda line: line.scenario)]
    parts = [
        "# Benchmarks",
        *quick,
        bullets({"at": f"{summary.at:%Y-%m-%d %H:%M} UTC", **summary.machine}.items()),
        "Figures are " + MEDIANS + " over the rounds. *service ÷ it* is the CPU time of the service over that of the "
        "contender, taken round by round.",
        *summary.notes,
        "## Targets",
        table(("figure", "target", MEDIANS, ""), [_judged(target, summary) for target in TARGETS]),
        "## Contenders",
        bullets(summary.contenders.items()),
        *([f"![{_TITLE}]({PLOT})"] if _point_reads(summary) else []),
        *sections,
        *([_times(summary.seconds)] if summary.seconds else []),
    ]
    return "\n\n".join(parts) + "\n"


def page_section(summary: Summary) -> str:
    """Return the section for docs/performance.md, including its marks."""
    machine = summary.machine
    rows = [
        (f"**{line.contender}**" if line.contender == SERVICE.name else line.contender, *_cells(line, _PAGE_FIGURES))
        for line in _point_reads(summary)
    ]
    parts = [
        BEGIN,
        "## Beside its alternatives",
        f"`GET /users/{{id}}` over {CONNECTIONS} keep-alive connections, one process each, on the same Cassandra "
        f"{machine['Cassandra']}, in the same run ({machine['processor']}; client, service and Cassandra share it). "
        f"CPU time is that of the serving process, all its threads. {MEDIANS.capitalize()}.",
        table(("", *_PAGE_FIGURES), rows),
        f"![{_TITLE}](benchmarks/{PLOT})",
        f"From the run of {summary.at:%Y-%m-%d}: [writes, lists, streams, overload, and the targets that were "
        f"missed](benchmarks/{REPORT}).",
        END,
    ]
    return "\n\n".join(parts)


def put_into(page: str, section: str) -> str:
    """Replace what is between the marks of a page with the section. Raises UnusableRun without marks."""
    changed, count = re.subn(f"{BEGIN}.*?{END}", lambda _: section, page, count=1, flags=re.DOTALL)
    if not count:
        raise UnusableRun(f"{PAGE} has no {BEGIN} … {END}")
    return changed


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table: the first column is aligned left, the others right."""
    rule = ("---", *("---:" for _ in header[1:]))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, rule, *rows))


def bullets(entries: Iterable[tuple[str, str]]) -> str:
    """Return a list of names with their values."""
    return "\n".join(f"- {name}: {value}" for name, value in entries)


_PAGE_FIGURES = (CPU_REQUEST, RATE, P99)


def _section(name: str, lines: Sequence[Line]) -> str:
    """Return the table of a scenario: the lines of each load, the smallest CPU time first."""
    figures = list(dict.fromkeys(figure for line in lines for figure in line.figures))
    ordered = [line for _, group in groupby(lines, lambda line: line.load) for line in sorted(group, key=_first_figure)]
    with_ratios = any(line.over_it for line in lines)
    header = ("load", "contender", "rounds", *figures, *(["service ÷ it"] if with_ratios else []))
    rows = [
        (line.load, line.contender, str(line.rounds), *_cells(line, figures), *([_ratio(line)] if with_ratios else []))
        for line in ordered
    ]
    return f"## {name}\n\n{(SCENARIOS[name].__doc__ or '').strip()}\n\n{table(header, rows)}"


def _times(seconds: Mapping[str, float]) -> str:
    return f"It took: {', '.join(f'{name} {value:g} s' for name, value in seconds.items())}."


def _first_figure(line: Line) -> float:
    return next(iter(line.figures.values())).median


def _cells(line: Line, figures: Sequence[str]) -> list[str]:
    return [line.figures[figure].text() if figure in line.figures else "" for figure in figures]


def _ratio(line: Line) -> str:
    return line.over_it.text() if line.over_it else ""


def _judged(target: Target, summary: Summary) -> tuple[str, ...]:
    found = summary.targets.get(target.title)
    if found is None:
        return (target.title, target.aim(), NOT_MEASURED, "")
    return (target.title, target.aim(), found.text(), "met" if target.is_met(found.median) else "**missed**")


def _point_reads(summary: Summary) -> list[Line]:
    """Return the lines that page and plot show, the smallest CPU time first."""
    return sorted(
        (line for line in summary.lines if (line.scenario, line.load) == ("point-read", MAIN)), key=_first_figure
    )


def _write(summary: Summary, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SUMMARY).write_text(to_json(summary))
    (folder / REPORT).write_text(report(summary))
    if bars := {line.contender: line.figures[CPU_REQUEST] for line in _point_reads(summary)}:
        _draw({"title": _TITLE, "label": "CPU µs per request", "highlight": SERVICE.name, "bars": bars}, folder / PLOT)


def _draw(plot: Mapping[str, object], path: Path) -> None:
    """Draw a plot in an environment of its own: the driver uses NumPy where it finds it, which changes its speed."""
    data = msgspec.json.encode(plot).decode()
    run_with(_PLOTTER, str(Path(__file__).with_name("plot.py")), str(path), given=data)
