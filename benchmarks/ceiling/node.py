"""How the CPUs are shared: what Cassandra's own process takes, and all of the machine, while something is measured."""

from __future__ import annotations

import ipaddress
import time

import msgspec
import psutil

from asgi_app.settings import ContactPoint

_BUSY = ("user", "nice", "system", "irq", "softirq")


class Shares(msgspec.Struct, frozen=True):
    """CPUs that were busy on average: with Cassandra, None where its process is not to be seen, and with anything."""

    cassandra: float | None
    machine: float


class CpuWatch:
    """Looks at the clocks when it is made, and again for `shares`."""

    def __init__(self, process: psutil.Process | None) -> None:
        self._process = process
        self._began = time.perf_counter()
        self._cassandra = _process_seconds(process)
        self._machine = _machine_seconds()

    def shares(self) -> Shares:
        """What was busy since then."""
        seconds = time.perf_counter() - self._began
        before, now = self._cassandra, _process_seconds(self._process)
        cassandra = None if before is None or now is None else (now - before) / seconds
        return Shares(cassandra, (_machine_seconds() - self._machine) / seconds)


def node_process(node: ContactPoint) -> psutil.Process | None:
    """The process that listens on the node's port of this machine; None where it is elsewhere or not ours to see."""
    if not _is_here(node.host):
        return None
    try:
        found = psutil.net_connections("tcp")
    except psutil.Error:
        return None
    pids = (each.pid for each in found if each.status == psutil.CONN_LISTEN and _is_at(each.laddr, node))
    pid = next(filter(None, pids), None)
    return None if pid is None else psutil.Process(pid)


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_at(address: tuple[str, int], node: ContactPoint) -> bool:
    """Java's sockets listen on mapped addresses, as in `::ffff:127.0.0.1`."""
    ip, port = address
    same = ip.removeprefix("::ffff:") in (node.host, "0.0.0.0", "::") or node.host == "localhost"  # noqa: S104
    return same and port == node.port


def _process_seconds(process: psutil.Process | None) -> float | None:
    """User and system time of all its threads."""
    if process is None:
        return None
    try:
        times = process.cpu_times()
    except psutil.Error:
        return None
    return float(times.user + times.system)


def _machine_seconds() -> float:
    times = psutil.cpu_times()
    return sum(getattr(times, name, 0.0) for name in _BUSY)
