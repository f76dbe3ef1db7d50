"""The look of all figures: settings, panels, legends, axes, and files of equal bytes."""

import io
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from textwrap import fill
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from mergelaw.report.colors import GRID, INK, MUTED, PAPER, Look

WIDTH = 7.6
"""Width of every figure in inches: 9 points of text stay readable on a page 48 rem wide."""

SETTINGS: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.labelsize": 9,
    "axes.edgecolor": MUTED.light,
    "axes.labelcolor": INK.light,
    "axes.titlecolor": INK.light,
    "axes.facecolor": PAPER.light,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID.light,
    "grid.linewidth": 0.6,
    "text.color": INK.light,
    "xtick.color": MUTED.light,
    "ytick.color": MUTED.light,
    "xtick.labelcolor": INK.light,
    "ytick.labelcolor": INK.light,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "figure.facecolor": PAPER.light,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.5,
    "lines.markersize": 4.5,
    "axes.formatter.useoffset": False,
    "axes.unicode_minus": True,
    "svg.fonttype": "path",
    "svg.hashsalt": "mergelaw",
}

HEADING = {"size": 11, "weight": "bold"}
FITTED: dict[str, Any] = {"linestyle": "-"}
FLOOR: dict[str, Any] = {"linestyle": (0, (4, 3)), "linewidth": 0.9}
JOINT: dict[str, Any] = {"linestyle": (0, (6, 2, 1, 2)), "linewidth": 1.2, "alpha": 0.55}
EXTRAPOLATED: dict[str, Any] = {"linestyle": (0, (6, 2, 1, 2)), "linewidth": 1.3}
MEASURED: dict[str, Any] = {"linestyle": "none"}
UNUSED: dict[str, Any] = {"linestyle": "none", "markerfacecolor": PAPER.light}


@contextmanager
def settings() -> Iterator[None]:
    """Draw and save with the settings above and matplotlib's own defaults for the rest."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(SETTINGS)  # type: ignore[arg-type]
        yield


def panels(
    count: int,
    panel_height: float = 2.5,
    columns: int | None = None,
    share_y: bool = False,
) -> tuple[Figure, list[Axes]]:
    """Return a figure of equal panels.

    Parameters
    ----------
    count : int
        Number of panels; what is left of the grid stays empty.
    panel_height : float
        Height of a row in inches.
    columns : int, optional
        Panels in a row; chosen from `count` when absent.
    share_y : bool
        One loss scale for all panels.
    """
    columns = columns or {1: 1, 2: 2, 4: 2}.get(count, 3 if count <= 9 else 4)
    rows = math.ceil(count / columns)
    figure = Figure(figsize=(WIDTH, 0.95 + rows * panel_height), layout="constrained")
    grid = figure.subplots(rows, columns, sharex=False, sharey=share_y, squeeze=False)
    axes = list(grid.flat)
    for unused in axes[count:]:
        unused.set_visible(False)
    return figure, axes[:count]


def message(title: str, text: str) -> Figure:
    """Return a figure that says why there is nothing to draw."""
    figure = Figure(figsize=(WIDTH, 1.6), layout="constrained")
    figure.text(0.01, 0.4, fill(text, 110), color=MUTED.light, va="center")
    return finish(figure, title)


def k_panels(
    titles: Sequence[str], height: float, share_y: bool = False
) -> tuple[Figure, Sequence[Axes]]:
    """Return a figure with a panel per title, each with the number of merged experts as x."""
    figure, axes = panels(len(titles), height, share_y=share_y)
    for panel, title in zip(axes, titles, strict=True):
        panel.set_title(title, loc="left")
        k_axis(panel, label=False)
    return figure, axes


def k_axis(axes: Axes, label: bool = True) -> None:
    """Make x the number of merged experts: whole numbers only."""
    axes.xaxis.set_major_locator(MaxNLocator(9, integer=True, min_n_ticks=1))
    axes.grid(visible=False, axis="x")
    if label:
        axes.set_xlabel("k, merged experts")


def label_outer(axes: Sequence[Axes], x: str, y: str) -> None:
    """Label x at the lowest panel of every column and y at the first of every row."""
    specs = [(panel, panel.get_subplotspec()) for panel in axes]
    lowest: dict[int, Axes] = {}
    for panel, spec in specs:
        if spec is not None:
            lowest[spec.colspan.start] = panel
            if spec.colspan.start == 0:
                panel.set_ylabel(y)
    for panel in lowest.values():
        panel.set_xlabel(x)


def entry(label: str, color: str = MUTED.light, **style: Any) -> Line2D:
    """Return a legend entry."""
    return Line2D([], [], label=label, color=color, **style)


def series(label: str, look: Look, **style: Any) -> Line2D:
    """Return the legend entry of a size or a method."""
    return entry(label, look.color, marker=look.marker, **style)


def finish(
    figure: Figure, title: str, series: Sequence[Line2D] = (), kinds: Sequence[Line2D] = ()
) -> Figure:
    """Put title and series above the panels, kinds of marks below; return the figure."""
    options: dict[str, Any] = {"columnspacing": 1.4, "handlelength": 2.4, "borderaxespad": 0.2}
    if series:  # the title is the legend's: a title and a legend of the figure would overlap
        figure.legend(
            handles=list(series),
            loc="outside upper left",
            ncols=min(len(series), 4),
            title=title,
            alignment="left",
            title_fontproperties=dict(HEADING),
            **options,
        )
    else:
        figure.suptitle(title, x=0.01, ha="left", fontproperties=dict(HEADING))
    if kinds:
        figure.legend(
            handles=list(kinds), loc="outside lower left", ncols=min(len(kinds), 4), **options
        )
    return figure


def to_svg(figure: Figure) -> str:
    """Return the figure as SVG: text as paths, no date, no version, ids from a fixed salt."""
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(buffer, format="svg", metadata=nothing)
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"


def to_png(figure: Figure) -> bytes:
    """Return the figure as PNG at 200 dots per inch."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=200, metadata={"Software": None})
    return buffer.getvalue()
