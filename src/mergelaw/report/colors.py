"""Colours of methods, sizes and drawing, for light and dark pages; readable by the colour-blind."""

from typing import NamedTuple

from mergelaw.config import Study


class Color(NamedTuple):
    """One colour: as figures' files and print have it, and on a dark page."""

    light: str
    dark: str


INK = Color("#1b1b1f", "#ececf1")
MUTED = Color("#5b5b66", "#a9a9b6")
GRID = Color("#dcdce2", "#3a3a44")
PAPER = Color("#fefefe", "#16161a")

METHODS = (
    Color("#1f6fb4", "#5aa9e6"),  # blue
    Color("#c8500a", "#f28e4b"),  # vermilion
    Color("#0b7f5c", "#3cc29a"),  # green
    Color("#a8478f", "#dd8cc6"),  # purple
    Color("#8a6d00", "#d6b73d"),  # mustard
    Color("#5c6470", "#a9b1bd"),  # slate
)
SIZES = (  # from the smallest to the largest: darker on white, lighter on black
    Color("#d9793b", "#c8692f"),
    Color("#c9564f", "#d2605f"),
    Color("#ad4069", "#cf6490"),
    Color("#8b347a", "#c377b5"),
    Color("#673080", "#b98fd6"),
    Color("#452a78", "#b4a9ee"),
    Color("#251f5c", "#c3c6fb"),
)
MARKERS = "os^DvPX"

THEME = {
    color: f"--c{index}" for index, color in enumerate((INK, MUTED, GRID, PAPER, *METHODS, *SIZES))
}
"""The CSS variable that stands for each colour in a figure inside the page."""


class Look(NamedTuple):
    """Colour and marker of one series."""

    color: str
    marker: str


def method_look(study: Study, label: str) -> Look:
    """Return a method's look, the same in every figure of the study."""
    index = study.method_labels.index(label)
    return Look(METHODS[index % len(METHODS)].light, MARKERS[index % len(MARKERS)])


def size_look(study: Study, name: str) -> Look:
    """Return the look of a size of the ladder, over which the palette is spread."""
    index, last = study.ladder.index(name), max(len(study.ladder) - 1, 1)
    return Look(SIZES[round(index * (len(SIZES) - 1) / last)].light, MARKERS[index % len(MARKERS)])
