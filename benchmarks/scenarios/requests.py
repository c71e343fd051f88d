"""Inserts, updates with a condition and without one, and a list of a hundred, by all contenders."""

from __future__ import annotations

import msgspec

from benchmarks.contenders import CONTENDERS, SERVICE
from benchmarks.figures import Slice, by_contender, chosen, cpu_ratios, rounds_of, table
from benchmarks.load import Load
from benchmarks.operations import INSERT, LIST, OPERATIONS, UPDATE, UPSERT, Operation
from benchmarks.plots import BarPlot, Plot
from benchmarks.report import MEDIANS, Outcome, spread
from benchmarks.scenarios.effort import Effort
from benchmarks.scenarios.rounds import CONNECTIONS, ready_for, side_by_side, take
from benchmarks.site import Site, scratch_site

READS = (LIST,)
WRITES = (INSERT, UPSERT, UPDATE)


class Requests(msgspec.Struct, frozen=True):
    """All raw figures."""

    seconds: int
    slices: list[Slice]


def run(site: Site, effort: Effort) -> Outcome:
    """All contenders in rotated rounds; what writes does so in a keyspace of its own. Raises ContenderFailed."""
    return outcome(Requests(effort.seconds, _all_slices(site, effort, 0)))


def more(site: Site, effort: Effort, found: Requests) -> Outcome:
    """As many rounds again, by fresh processes. Raises ContenderFailed."""
    first = rounds_of(each.number for each in found.slices)
    return outcome(Requests(found.seconds, found.slices + _all_slices(site, effort, first)))


def _all_slices(site: Site, effort: Effort, first: int) -> list[Slice]:
    slices = _slices(site, READS, effort, first)
    with scratch_site(site) as scratch:
        return slices + _slices(scratch, WRITES, effort, first)


def _slices(site: Site, operations: tuple[Operation, ...], effort: Effort, first: int) -> list[Slice]:
    found = []
    rounds = effort.few_rounds if effort.quick else effort.rounds
    with side_by_side(CONTENDERS, site) as running:
        for operation in operations:
            ready_for(running, site, operation, effort.checked, effort.few_warm_up)
            load = Load(CONNECTIONS, effort.seconds)
            found += take(running, site, [load], rounds, operation, first=first)
    return found


def outcome(found: Requests) -> Outcome:
    """What people read of it."""
    operations = list(dict.fromkeys(each.operation for each in found.slices))
    groups = {name: by_contender(chosen(found.slices, operation=name)) for name in operations}
    tables = [table(OPERATIONS[name].title, group) for name, group in groups.items()]
    findings = [
        f"{OPERATIONS[name].title}: CPU per request, {SERVICE.name} ÷ {rival}: "
        f"**{spread(cpu_ratios(chosen(found.slices, operation=name), SERVICE.name, rival), 2)}**"
        for name, group in groups.items()
        for rival in group
        if rival != SERVICE.name
    ]
    title = f"Lists and writes: {CONNECTIONS} connections, rotated rounds of {found.seconds} s, {MEDIANS}"
    return Outcome(title, tables, findings, found, [_plot(name, group) for name, group in groups.items()])


def _plot(name: str, group: dict[str, list[Slice]]) -> Plot:
    bars = {contender: [each.cpu_us for each in slices] for contender, slices in group.items()}
    title = f"CPU time of a request: {OPERATIONS[name].title}"
    return BarPlot(f"requests-{name}-cpu", title, "CPU µs per request", bars, SERVICE.name)
