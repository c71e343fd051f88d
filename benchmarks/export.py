"""A whole table as a file, beside other ways to read all rows: `scripts/bench export`.

Fills a table of users, one row a partition, and one of sightings, a thousand rows a partition. Warms Cassandra up, and
reads all rows of both, in rounds of all ways:

- the service's stream, one page after another, and its export with one slice at a time and with eight, all as NDJSON;
- the driver alone, which walks ranges of tokens in eight threads and makes tuples;
- async-cassandra, in the way of that project's example of bulk operations, into a file of JSON lines;
- cqlsh's COPY TO, from PyPI, into a CSV file. Its rate is the one that it prints, without its start.

All ways read at LOCAL_QUORUM. The service's ask for pages of 2,000 rows, the others for as many as they do by default:
5,000, and COPY TO 1,000. Every way must give every row. Then it reads single users, alone and beside an export that is
read again and again, and the memory of an export of a tenth of the users and of all. It prints medians and the targets.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from benchmarks.__main__ import at_least_one, leave
from benchmarks.contenders import Contender
from benchmarks.environments import description
from benchmarks.export_report import CONNECTIONS, ExportRun, publish, report
from benchmarks.export_ways import EXPORTER, OTHERS, Readable, memory, reads, warm_up, ways
from benchmarks.machine import describe
from benchmarks.measure import in_rounds
from benchmarks.rows import Row
from benchmarks.serving import ROOT, serving
from benchmarks.site import FAILURES, Ground, Site, parse_node, prepared_ground
from benchmarks.whole_tables import WHOLE_TABLES, fill_wide

_ROUNDS, _ROUNDS_ON_SEVERAL, _MEMORY_ROUNDS = 5, 3, 3
_PUBLISHED = ROOT / "docs" / "benchmarks"


def measured(site: Site, options: argparse.Namespace, others: Sequence[Contender]) -> Iterator[Row]:
    """Measure all ways in turn, then the reads beside an export, then memory. Raises ContenderFailed."""
    with serving(EXPORTER, site) as served:
        warm_up(served, WHOLE_TABLES, options.warm_up * options.nodes)
        for table in WHOLE_TABLES:
            yield from in_rounds(ways(Readable(site, table, options.rows), served, others), options.rounds)
        yield from in_rounds(reads(site, served, CONNECTIONS, options.seconds), options.rounds)
    yield from in_rounds(memory(site), min(options.rounds, _MEMORY_ROUNDS))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command: 1 if something cannot run or rows are missing, else 0."""
    signal.signal(signal.SIGTERM, leave)
    options = _parser().parse_args(arguments)
    options.rounds = options.rounds or (_ROUNDS if options.nodes == 1 else _ROUNDS_ON_SEVERAL)
    others = [contender for name, contender in OTHERS.items() if name not in options.without]
    try:
        versions = {each.name: description(each) for each in others}
        with prepared_ground(options.node, options.nodes) as ground, ground.site(options.rows) as site:
            fill_wide(site, options.rows)
            run = ExportRun(_about(ground, options) | versions, list(measured(site, options, others)))
    except FAILURES as error:
        print(f"benchmarks.export: {error}", file=sys.stderr)
        return 1
    if options.raw is not None:
        options.raw.write_bytes(msgspec.json.encode(run))
    if options.publish:
        publish(run, "export" if options.nodes == 1 else f"export-{options.nodes}-nodes", _PUBLISHED)
    print(report(run))
    return 0


def _about(ground: Ground, options: argparse.Namespace) -> dict[str, str]:
    nodes = f"{ground.replicas}, each with every row" if ground.replicas > 1 else "1"
    run = f"{options.rows} rows of each table, {options.rounds} rounds, {options.seconds} s of reads in each"
    return describe(ground) | {"nodes": nodes, "run": run}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.export", description=(__doc__ or "").partition("\n")[0])
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--node", type=parse_node, metavar="HOST:PORT", help="a running Cassandra; else one is started")
    where.add_argument(
        "--nodes", type=at_least_one, default=1, metavar="N", help="so many are started, on 127.0.0.1 and up (1)"
    )
    parser.add_argument("--rows", type=at_least_one, default=200_000, metavar="N", help="in each table (200000)")
    parser.add_argument("--rounds", type=at_least_one, metavar="N", help="of all ways (5; 3 on several nodes)")
    parser.add_argument("--seconds", type=at_least_one, default=5, metavar="N", help="of single reads in a round (5)")
    parser.add_argument("--warm-up", type=int, default=15, metavar="N", help="seconds of reading for each node (15)")
    parser.add_argument(
        "--without", action="append", choices=OTHERS, default=[], help="leave out a way, for which PyPI must be reached"
    )
    parser.add_argument("--publish", action="store_true", help="put the report and every figure into docs/benchmarks")
    parser.add_argument("--raw", type=Path, metavar="FILE", help="write every figure of every round as JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())
