"""What tests of figures ask of a drawing."""

import numpy as np
from matplotlib.colors import to_hex

from mergelaw.report import style
from mergelaw.report.figures import DRAW
from mergelaw.report.registry import FIGURES


def draw(study, frames, name):
    """Draw one figure from tables by file name, laid out as it is saved."""
    needed = {file: frames[file] for file in FIGURES[name].tables}
    with style.settings():
        figure = DRAW[name](study, needed)
        figure.draw_without_rendering()
    return figure


def panel(figure, title):
    """The panel with this title."""
    return next(axes for axes in figure.axes if axes.get_title(loc="left") == title)


def drawn_as(axes, color, marker=None):
    """(x, y) of every line of this colour, with markers or without."""
    return [
        (np.asarray(line.get_xdata(), float).tolist(), np.asarray(line.get_ydata(), float).tolist())
        for line in axes.lines
        if to_hex(line.get_color()) == color
        and (line.get_marker() == marker if marker else line.get_marker() in {"None", "", None})
    ]


def legend_texts(figure):
    """The texts of all legends."""
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def whole_text(figure):
    """Titles and legends of a figure."""
    titles = [legend.get_title().get_text() for legend in figure.legends]
    texts = [text.get_text() for text in figure.texts]
    return " ".join([*titles, figure.get_suptitle(), *legend_texts(figure), *texts])
