"""Heat maps of experts against domains: what each adds, and what each knows alone."""

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from mergelaw.config import Study
from mergelaw.laws.schemas import MACRO, SPECIALISTS, SYNERGY
from mergelaw.report import style
from mergelaw.report.colors import PAPER
from mergelaw.report.inputs import Tables, present, rows
from mergelaw.report.registry import FIGURES

FRAME = "#262626"
"""Colour of frames: seaborn's dark annotations, as cells keep their colours on dark pages."""


def matrix(
    frame: pl.DataFrame,
    row: str,
    column: str,
    value: str,
    row_names: list[str],
    column_names: list[str],
) -> np.ndarray:
    """Return a table's values as rows against columns, NaN where it has none."""
    cells = {(r, c): v for r, c, v in frame.select(row, column, value).iter_rows()}
    values = [[cells.get((r, c)) for c in column_names] for r in row_names]
    return np.array(values, dtype=float).reshape(len(row_names), len(column_names))


def text_size(n_columns: int) -> float:
    """Return the points of text that a cell of a map as wide as the figure has room for."""
    return 7.5 if n_columns <= 10 else 6


def draw_map(
    axes: Axes,
    values: np.ndarray,
    row_names: list[str],
    column_names: list[str],
    size: float | None = None,
    **options: object,
) -> None:
    """Draw one annotated heat map with names along both sides; `size` is its text's, in points."""
    import seaborn as sns  # 0.8 s, which only heat maps should take

    sns.heatmap(
        values,
        ax=axes,
        annot=np.round(values, 2) + 0.0,
        fmt=".2f",
        annot_kws={"size": size or text_size(len(column_names))},
        square=False,
        linewidths=0.5,
        linecolor=PAPER.light,
        cbar=False,
        xticklabels=column_names,
        yticklabels=row_names,
        **options,
    )
    for text in axes.texts:
        text.set_in_layout(False)  # inside the axes; the layout need not measure each of them
    axes.grid(visible=False)
    axes.tick_params(length=0)
    axes.set_xticklabels(axes.get_xticklabels(), rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticklabels(axes.get_yticklabels(), rotation=0)


def color_bar(figure: Figure, axes: list[Axes], label: str) -> None:
    """Put the scale of the maps' colours at their right, as vector shapes."""
    bar = figure.colorbar(
        axes[0].collections[0],
        ax=axes,
        location="right",
        shrink=0.7,
        aspect=4 * figure.get_figheight(),
    )
    if bar.solids is not None:
        bar.solids.set(rasterized=False, edgecolor="face")
    bar.outline.set_visible(False)
    bar.set_label(label)


def synergy(study: Study, tables: Tables) -> Figure:
    """Draw donor against receiver for the reference method, a map per size, centred at 0."""
    method = study.reference_label
    frame = rows(tables[SYNERGY.file], method=method).drop_nulls("gain")
    sizes = present(study.size_names, frame, "size")
    title = f"{FIGURES['synergy'].title} ({method})"
    if not sizes:
        return style.message(title, "No two measured subsets differ by one expert.")
    donors = present(study.expert_names, frame, "donor")
    receivers = present([*study.domain_names, MACRO], frame, "receiver")
    figure, axes = style.panels(len(sizes), 0.4 + 0.22 * len(donors), columns=1)
    largest = max(float(np.max(np.abs(frame["gain"].to_numpy()))), 1e-9)
    for panel, size in zip(axes, sizes, strict=True):
        values = matrix(rows(frame, size=size), "donor", "receiver", "gain", donors, receivers)
        draw_map(
            panel, values, donors, receivers, cmap="RdBu", center=0, vmin=-largest, vmax=largest
        )
        panel.set_title(size, loc="left")
        if panel is not axes[-1]:
            panel.set_xticklabels([])
    style.label_outer(axes, "domain that is scored", "expert that joins")
    color_bar(figure, axes, "fall of the loss (nats/token)")
    return style.finish(figure, title)


def own_cross(study: Study, tables: Tables) -> Figure:
    """Draw expert against domain at k = 1 and the largest size, for the reference method."""
    method = study.reference_label
    frame = rows(tables[SPECIALISTS.file], method=method)
    sizes = present(study.size_names, frame, "size")
    if not sizes:
        return style.message(FIGURES["own_cross"].title, "No single experts were measured.")
    title = f"{FIGURES['own_cross'].title} ({method}, {sizes[-1]})"
    frame = rows(frame, size=sizes[-1])
    experts = present(study.expert_names, frame, "expert")
    names = present(study.domain_names, frame, "domain")
    figure, (panel,) = style.panels(1, 1.1 + 0.3 * len(experts))
    values = matrix(frame, "expert", "domain", "loss", experts, names)
    draw_map(panel, values, experts, names, cmap="crest")
    for expert, domain in frame.filter(pl.col("is_own")).select("expert", "domain").iter_rows():
        corner = (names.index(domain), experts.index(expert))
        panel.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor=FRAME, linewidth=1.8))
    panel.set_xlabel("domain that is scored")
    panel.set_ylabel("expert")
    color_bar(figure, [panel], "loss (nats/token)")
    return style.finish(figure, title)
