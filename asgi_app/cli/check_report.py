"""The report of the command `check`: its parts, and how they are printed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from rich.console import Console
from rich.text import Text

from asgi_app.cli.console import counted
from asgi_app.cli.tables_report import TablesReport, show_list, show_tables, tables_as_values
from asgi_app.driver.cluster_facts import ClusterFacts, Keyspace, Node
from asgi_app.settings import Problem


@dataclass
class CheckReport:
    """The findings of `check`. `problems` keep something from being served; `dangers` do not.

    `address` is the Cassandra that the settings name.
    """

    address: str
    login: str | None = None
    cluster: ClusterFacts | None = None
    keyspaces: Sequence[Keyspace] = ()
    tables: TablesReport = field(default_factory=TablesReport)
    problems: list[Problem] = field(default_factory=list)
    dangers: list[Problem] = field(default_factory=list)

    def exit_code(self, *, strict: bool) -> int:
        """Return 0 if there are no problems; with `strict`, only if there are no dangers either."""
        return 1 if self.problems or (strict and self.dangers) else 0


def report_as_values(report: CheckReport) -> dict[str, Any]:
    """Return the report as docs/cli.md describes it for `--json`."""
    cluster = None
    if report.cluster is not None:
        cluster = {**asdict(report.cluster), "schema_versions": report.cluster.schema_versions, "login": report.login}
    return {
        "ok": not report.problems,
        "problems": [{"where": place, "message": message} for place, message in report.problems],
        "dangers": [{"where": place, "message": message} for place, message in report.dangers],
        "cluster": cluster,
        "keyspaces": [asdict(keyspace) for keyspace in report.keyspaces],
        "tables": tables_as_values(report.tables),
    }


def show_report(console: Console, report: CheckReport) -> None:
    """Print the report for people."""
    for name, text in _facts(report):
        console.print(Text.assemble((f"{name:<10}", "bold"), text), soft_wrap=True)
    others = [each for each in report.tables.not_served if not each.wanted]  # the wanted ones are problems
    if report.tables.served or others:
        console.print()
        show_tables(console, replace(report.tables, not_served=others))
    show_list(console, "dangers", report.dangers, style="yellow")
    show_list(console, "problems", report.problems, style="red")
    console.print()
    dangers = f", {counted(len(report.dangers), 'danger')}" if report.dangers else ""
    if report.problems:
        text, style = f"Not all of this can be served: {counted(len(report.problems), 'problem')}{dangers}.", "bold red"
    else:
        text, style = f"All that is asked for can be served{dangers}.", "bold green"
    console.print(Text(text, style=style))


def _facts(report: CheckReport) -> Iterator[tuple[str, str]]:
    cluster = report.cluster
    if cluster is None:
        yield "cluster", f"not connected to {report.address}"
        return
    name = f" '{cluster.name}'" if cluster.name else ""
    tls = "with TLS" if cluster.tls else "without TLS"
    login = f"as {report.login}" if report.login else "without a login"
    yield "cluster", f"{cluster.product}{name} at {report.address}, {tls}, {login}, protocol {cluster.protocol_version}"
    tested = "" if cluster.driver_is_tested else ", which is not tested with this service: it uses public parts only"
    yield "driver", f"{cluster.driver}{tested}"
    yield "nodes", _nodes_text(cluster.nodes)
    for node in cluster.nodes:
        yield "", _node_text(node)
    yield "schema", "the nodes agree" if cluster.schema_versions <= 1 else f"{cluster.schema_versions} versions"
    yield "rows", f"placed by {cluster.partitioner}"
    for keyspace in report.keyspaces:
        yield "keyspace", f"{keyspace.name}, {_replication_text(keyspace)}"


def _nodes_text(nodes: Sequence[Node]) -> str:
    up = sum(node.is_up is True for node in nodes)
    centres = ", ".join(f"{count} in {name}" for name, count in Counter(node.data_center for node in nodes).items())
    not_tried = sum(node.is_up is None for node in nodes)
    return f"{up} of {len(nodes)} up{f', {not_tried} not tried' if not_tried else ''}: {centres}"


def _node_text(node: Node) -> str:
    state = {True: "up", False: "down", None: "not tried"}[node.is_up]
    clock = ""
    if node.clock_ahead is not None and node.clock_error is not None:
        clock = f", clock {round(node.clock_ahead * 1000):+d} ms, give or take {round(node.clock_error * 1000)}"
    return f"{node.address} {node.data_center}/{node.rack}, version {node.version}, {state}{clock}"


def _replication_text(keyspace: Keyspace) -> str:
    options: Mapping[str, str] = {name: text for name, text in keyspace.replication.items() if name != "class"}
    strategy = keyspace.replication.get("class", "").rpartition(".")[2]
    return f"{strategy} {', '.join(f'{name}: {text}' for name, text in options.items())}".strip()
