"""What the figures were measured on, and by whom they were answered."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

import psutil

from asgi_app.driver.transcoding import transcode
from benchmarks.contenders import Contender
from benchmarks.environments import versions
from benchmarks.load import client_name
from benchmarks.runs import Ground
from benchmarks.site import Site

_PACKAGES = (
    "asgi-cassandra",
    "anyio",
    "cassandra-driver",
    "httptools",
    "msgspec",
    "starlette",
    "uvicorn",
    "uvloop",
)


def describe(site: Site) -> dict[str, str]:
    """Machine, kernel, Python, packages, node and client, by name."""
    return {
        "processor": f"{_processor()}, {os.cpu_count()} logical CPUs",
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "load average before": " ".join(f"{average:.2f}" for average in os.getloadavg()),
        "system": f"{platform.system()} {platform.release()}",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "packages": ", ".join(f"{name} {version(name)}" for name in _PACKAGES),
        "compiled transcoder": "not built" if transcode is None else "built",
        "Cassandra": site.node_version,
        "rows": str(len(site.users)),
        "load by": client_name(),
    }


def ground(contenders: Iterable[Contender]) -> dict[str, Ground]:
    """What each contender is, and with what versions; those that share our own environment have ours."""
    return {each.name: Ground(each.description, versions(each) if each.requirements else {}) for each in contenders}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.machine())
