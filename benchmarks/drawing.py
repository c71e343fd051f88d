"""Has the plots of a report drawn, in an environment that holds what draws them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import msgspec

from benchmarks.contenders import Contender
from benchmarks.environments import interpreter
from benchmarks.failure import ContenderFailed
from benchmarks.plots import Plot

_ROOT = Path(__file__).resolve().parent.parent
_SECONDS = 300.0
_PLOTTER = Contender("plots", "", "draws the plots", requirements=("matplotlib>=3.10", "msgspec>=0.20"))


def require() -> None:
    """Make the environment where there is none yet: before minutes are spent on what the plots are to show.

    Raises ContenderFailed.
    """
    interpreter(_PLOTTER)


def draw(plots: Sequence[Plot], folder: Path) -> None:
    """Write each plot into the folder, as its name with `.png`. Raises ContenderFailed."""
    command = [interpreter(_PLOTTER), "-m", "benchmarks.plots", str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(_ROOT)}
    data = msgspec.json.encode(plots)
    done = subprocess.run(command, env=environment, input=data, capture_output=True, timeout=_SECONDS, check=False)
    if done.returncode:
        raise ContenderFailed(f"the plots cannot be drawn: {done.stderr.decode(errors='replace')[-2000:]}")
