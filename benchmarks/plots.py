"""Plots of the report, as PNG files. A plot is data first (`LinePlot`, `BarPlot`), so that a report can be made again.

They are drawn by `python -m benchmarks.plots FOLDER`, which reads them from its input, in an environment of its own:
the driver takes NumPy where it finds it, so that matplotlib beside a contender would change what is measured.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#555555", "#000000")
"""Okabe and Ito's, which people who see colours differently can tell apart."""
_MARKERS = "osD^vP*X"
_PLAIN = "#9aa5b1"
_INK = "#222b36"
_STYLE: Any = {
    "font.size": 10,
    "axes.edgecolor": _INK,
    "text.color": _INK,
    "grid.color": "#e3e7ec",
    "axes.axisbelow": True,
}
_INCHES = (8.0, 4.5)
_DPI = 110

Points = Sequence[tuple[float, Sequence[float]]]
"""Values of x, each with what every round found there: drawn are the median, the least and the greatest."""


class BarPlot(msgspec.Struct, frozen=True, tag=True):
    """A bar for each name, as long as the median of its values; `name` is that of the file, without `.png`."""

    name: str
    title: str
    label: str
    bars: dict[str, list[float]]
    highlight: str = ""

    def draw(self, folder: Path) -> None:
        """Write it into `folder`."""
        bar_plot(folder / f"{self.name}.png", self.title, self.label, self.bars, highlight=self.highlight)


class LinePlot(msgspec.Struct, frozen=True, tag=True):
    """A line for each name; `name` is that of the file, without `.png`."""

    name: str
    title: str
    x_label: str
    y_label: str
    series: dict[str, list[tuple[float, list[float]]]]
    log_x: bool = False
    log_y: bool = False
    highlight: str = ""

    def draw(self, folder: Path) -> None:
        """Write it into `folder`."""
        line_plot(
            folder / f"{self.name}.png",
            self.title,
            self.x_label,
            self.y_label,
            self.series,
            log_x=self.log_x,
            log_y=self.log_y,
            highlight=self.highlight,
        )


Plot = BarPlot | LinePlot


def bar_plot(path: Path, title: str, label: str, bars: Mapping[str, Sequence[float]], *, highlight: str = "") -> None:
    """Write a PNG of horizontal bars, the first on top: medians with their spread, one of them in colour."""
    names = list(bars)
    middles, reach = _middles(list(bars.values()))
    with _figure(path, title, (_INCHES[0], 1.3 + 0.48 * len(names))) as axes:
        colours = [_COLOURS[0] if name == highlight else _PLAIN for name in names]
        drawn = axes.barh(names, middles, xerr=reach, color=colours, height=0.62, ecolor=_INK, capsize=3)
        tops = [f" {_figures(middle)}" for middle in middles]
        axes.bar_label(drawn, labels=tops, label_type="edge", padding=4, color=_INK)
        for name, tick in zip(names, axes.get_yticklabels(), strict=True):
            if name == highlight:  # its bar may be too short to be seen
                tick.set(color=_COLOURS[0], fontweight="bold")
        axes.invert_yaxis()
        axes.set_xlabel(label)
        axes.margins(x=0.14)
        axes.grid(axis="x")


def line_plot(
    path: Path,
    title: str,
    x_label: str,
    y_label: str,
    series: Mapping[str, Points],
    *,
    log_x: bool = False,
    log_y: bool = False,
    highlight: str = "",
) -> None:
    """Write a PNG with a line for each of `series`: medians, and a bar from the least to the greatest; one is thick."""
    with _figure(path, title, _INCHES) as axes:
        _scale(axes, series, log_x=log_x, log_y=log_y)
        for number, (name, points) in enumerate(series.items()):
            style = {"color": _COLOURS[number % len(_COLOURS)], "marker": _MARKERS[number % len(_MARKERS)]}
            _line(axes, name, points, linewidth=3.0 if name == highlight else 1.4, **style)
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        axes.grid()
        if len(series) > 1:
            axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)


def _line(axes: Any, name: str, points: Points, **style: Any) -> None:
    at = [x for x, _ in points]
    middles, reach = _middles([values for _, values in points])
    axes.errorbar(at, middles, yerr=reach, label=name, markersize=5, capsize=3, elinewidth=1.2, **style)


def _middles(values: Sequence[Sequence[float]]) -> tuple[list[float], list[list[float]]]:
    """The medians, and how far down and up the values reach from them."""
    middles = [statistics.median(each) for each in values]
    down = [middle - min(each) for middle, each in zip(middles, values, strict=True)]
    up = [max(each) - middle for middle, each in zip(middles, values, strict=True)]
    return middles, [down, up]


def _scale(axes: Any, series: Mapping[str, Points], *, log_x: bool, log_y: bool) -> None:
    """Logarithmic where asked for, with the measured values of x as ticks; from zero where not."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    plain = FuncFormatter(lambda value, _: _figures(value))
    measured = sorted({x for points in series.values() for x, _ in points})
    if log_x:
        axes.set_xscale("log")
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticks(measured)
    axes.xaxis.set_major_formatter(plain)
    if log_y:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_minor_locator(NullLocator())
    else:
        axes.set_ylim(
            bottom=0, top=1.08 * max((max(values) for points in series.values() for _, values in points), default=1)
        )
    axes.yaxis.set_major_formatter(plain)


def _figures(value: float) -> str:
    """A number as people read it: three figures, thousands apart."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


@contextmanager
def _figure(path: Path, title: str, inches: tuple[float, float]) -> Iterator[Any]:
    """Axes to draw on, written to `path` afterwards."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=inches, dpi=_DPI, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")  # wider than axes with long labels
        axes.spines[["top", "right"]].set_visible(False)
        yield axes
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, metadata={"Software": None})


def main() -> None:
    """Draw what the input holds, as JSON, into the folder that the command names."""
    for plot in msgspec.json.decode(sys.stdin.buffer.read(), type=list[Plot]):
        plot.draw(Path(sys.argv[1]))


if __name__ == "__main__":
    main()
