"""Describe the machine, the packages and the node of a run."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

import psutil

from asgi_app.driver.transcoding import HOW
from benchmarks.environments import SHARED
from benchmarks.measure import client_name
from benchmarks.site import Ground


def describe(ground: Ground) -> dict[str, str]:
    """Return machine, kernel, Python, packages, node and load client by name."""
    return {
        "processor": f"{_processor()}, {os.cpu_count()} logical CPUs",
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "load average before": " ".join(f"{average:.2f}" for average in os.getloadavg()),
        "system": f"{platform.system()} {platform.release()}",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "packages": ", ".join(f"{name} {version(name)}" for name in ("asgi-cassandra", *SHARED)),
        "rows to JSON": HOW,
        "Cassandra": ground.version(),
        "load by": client_name(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.machine())
