"""The runner: `python -m benchmarks [SCENARIO …] [--quick] [--node HOST:PORT]`.

`python -m benchmarks report FOLDER` makes the report of an earlier run again, and `publish FOLDER [AGAIN]` puts it into
docs/ and README.md, compared with a second run.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType, MappingProxyType

import msgspec

from asgi_app.local_node import LocalNodeError
from asgi_app.settings import ContactPoint
from benchmarks.contenders import CHUNK_A_ROW, CONTENDERS, FASTAPI_ASYNC_EXAMPLE, PURE
from benchmarks.drawing import require
from benchmarks.environments import prepare
from benchmarks.failure import ContenderFailed
from benchmarks.machine import describe, ground
from benchmarks.publish import publish
from benchmarks.runs import REPORT, Run, UnusableRun, render, save
from benchmarks.scenarios import DEFAULT, QUICK, QUICK_LOOK, SCENARIOS, USUAL, Effort
from benchmarks.site import Site, parse_node, prepared_site

RESULTS = Path(__file__).resolve().parent / "results"
ROWS = 1000

_OF_FOLDERS: Mapping[str, Callable[..., None]] = MappingProxyType({"report": render, "publish": publish})
"""What is done to runs that are there already, and takes their folders."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what was asked for: 0 whatever the figures are, 1 when something cannot run or answers wrongly."""
    signal.signal(signal.SIGTERM, _leave)
    try:
        _obey(list(sys.argv[1:] if arguments is None else arguments))
    except (ContenderFailed, LocalNodeError, UnusableRun) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _obey(arguments: list[str]) -> None:
    """Raises what `main` tells of."""
    if arguments[:1] and arguments[0] in _OF_FOLDERS:
        _OF_FOLDERS[arguments[0]](*map(_folder, _folders(*arguments)))
        return
    parser = _parser()
    options = parser.parse_args(arguments)
    if unknown := set(options.scenarios) - set(SCENARIOS):
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}")
    folder = _run(options.node, _names(options), _effort(options))
    print((folder / REPORT).read_text())
    print(f"benchmarks: raw figures, report and plots in {folder}", file=sys.stderr)


def _run(node: ContactPoint | None, names: list[str], effort: Effort) -> Path:
    """Measure, and keep what was found, in a folder that is returned. Raises what `main` tells of."""
    require()
    began = datetime.now(UTC)
    folder = RESULTS / f"{began:%Y%m%dT%H%M%SZ}"
    contenders = (*CONTENDERS, FASTAPI_ASYNC_EXAMPLE, PURE, CHUNK_A_ROW)
    prepare(contenders)
    with prepared_site(node, ROWS) as site:
        run = Run(began, effort.quick, describe(site), ground(contenders), {}, {})
        first, second = effort.sittings()
        for position, name in enumerate(names):
            print(f"benchmarks: {name}; {_left(names[position:], quick=effort.quick)}", file=sys.stderr)
            _measure(name, site, first if SCENARIOS[name].more else effort, run)
            save(run, folder)  # what was found is not lost, should the next one fail
        for name in names:
            if second is not None and SCENARIOS[name].more:
                print(f"benchmarks: {name} again", file=sys.stderr)
                _measure(name, site, second, run)
                save(run, folder)
    render(folder)
    return folder


def _measure(name: str, site: Site, effort: Effort, run: Run) -> None:
    """Add the figures of a scenario to the run, or more to those that it has. Raises ContenderFailed."""
    began = time.monotonic()
    scenario = SCENARIOS[name]
    if scenario.more is not None and name in run.scenarios:
        outcome = scenario.more(site, effort, scenario.again(run.scenarios[name]).raw)
    else:
        outcome = scenario.run(site, effort)
    seconds = time.monotonic() - began
    run.seconds[name] = run.seconds.get(name, 0.0) + seconds
    run.scenarios[name] = msgspec.Raw(msgspec.json.encode(outcome.raw))
    print(f"benchmarks: {name} took {seconds:.0f} s", file=sys.stderr)


def _left(names: list[str], *, quick: bool) -> str:
    scenarios = [SCENARIOS[name] for name in names]
    seconds = sum(each.quick or each.seconds if quick else each.seconds for each in scenarios)
    return f"{len(names)} to go, about {seconds / 60:.0f} min" if seconds > 90 else f"{len(names)} to go"


def _folders(what: str, *folders: str) -> Sequence[str]:
    """Raises SystemExit, as for other wrong arguments, where there are too few or too many."""
    most = 2 if what == "publish" else 1
    if not 1 <= len(folders) <= most:
        _parser().error(f"{what} takes the folder of a run{' and of a second one' if most > 1 else ''}")
    return folders


def _folder(text: str) -> Path:
    """As it was named from here, or from this package's folder."""
    return Path(text) if Path(text).exists() else RESULTS.parent / text


def _names(options: argparse.Namespace) -> list[str]:
    named = list(dict.fromkeys([*options.scenarios, *(options.scenario or [])]))
    return named or list(QUICK_LOOK if options.quick else USUAL)


def _effort(options: argparse.Namespace) -> Effort:
    effort = replace(QUICK if options.quick else DEFAULT, keep=options.keep)
    if rounds := options.rounds:
        effort = replace(effort, rounds=rounds, few_rounds=rounds, stream_rounds=rounds)
    if seconds := options.seconds:
        effort = replace(effort, seconds=seconds, few_seconds=seconds, warm_up=min(effort.warm_up, seconds))
    return replace(effort, stream_rows=options.rows) if options.rows else effort


def _sizes(text: str) -> tuple[int, ...]:
    """`200000,1000000` as given on the command line, the least first. Raises ValueError."""
    sizes = tuple(sorted({int(part) for part in text.split(",")}))
    if sizes[0] < 1:
        raise ValueError("a table has rows")
    return sizes


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measures the service and its rivals.",
        epilog="`report FOLDER` makes the report of an earlier run again, `publish FOLDER [AGAIN]` quotes it in the "
        "docs, compared with a second one.",
    )
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=f"of {', '.join(SCENARIOS)}: only these")
    parser.add_argument("--quick", action="store_true", help="under three minutes, for a first look")
    parser.add_argument(
        "--node", type=parse_node, metavar="HOST:PORT", help="a running Cassandra; without it one is booted"
    )
    parser.add_argument("--scenario", action="append", choices=sorted(SCENARIOS), help="only this one; may be repeated")
    parser.add_argument(
        "--rows", type=_sizes, metavar="N[,N…]", help="sizes of the tables that are streamed (200000,1000000)"
    )
    parser.add_argument("--rounds", type=int, metavar="N", help="how often each figure is taken")
    parser.add_argument("--seconds", type=int, metavar="N", help="for how long each time")
    parser.add_argument(
        "--keep", action="store_true", help="leave the streamed tables on --node, take those that were left"
    )
    return parser


def _leave(number: int, frame: FrameType | None) -> None:
    """Ends as on Ctrl-C, through every clean-up."""
    raise SystemExit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
