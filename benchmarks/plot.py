"""Draw bars: `python plot.py FILE` reads a plot as JSON from its input and writes a PNG. Needs only matplotlib."""

from __future__ import annotations

import json
import sys
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

_HIGHLIGHT, _PLAIN, _INK = "#0072b2", "#9aa5b1", "#222b36"
_STYLE: Any = {"font.size": 10, "axes.edgecolor": _INK, "text.color": _INK, "grid.color": "#e3e7ec"}


def draw(plot: dict[str, Any], path: str) -> None:
    """Draw a horizontal bar for each median, the first on top, with a line from the least value to the greatest."""
    names = list(plot["bars"])
    medians, least, greatest = zip(*plot["bars"].values(), strict=True)
    reach = [
        [m - low for m, low in zip(medians, least, strict=True)],
        [g - m for m, g in zip(medians, greatest, strict=True)],
    ]
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(8.0, 1.3 + 0.48 * len(names)), dpi=110, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        figure.suptitle(plot["title"], x=0.01, ha="left", fontsize=12, fontweight="bold")
        colours = [_HIGHLIGHT if name == plot["highlight"] else _PLAIN for name in names]
        bars = axes.barh(names, medians, xerr=reach, color=colours, height=0.62, ecolor=_INK, capsize=3)
        axes.bar_label(bars, labels=[f" {median:,.0f}" for median in medians], padding=4, color=_INK)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_axisbelow(True)
        axes.grid(axis="x")
        axes.invert_yaxis()
        axes.margins(x=0.14)
        axes.set_xlabel(plot["label"])
        figure.savefig(path, metadata={"Software": None})


if __name__ == "__main__":
    draw(json.load(sys.stdin), sys.argv[1])
