"""Panels: the grid of a chart, the look of its lines, its axes, labels and legend."""

import itertools
import math
from collections.abc import Sequence
from numbers import Real
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from unamortized.evaluation.metrics import METRICS
from unamortized.labels import column_and_word, display, place
from unamortized.studies.figures.charts import Chart, Curves, Heat, Scale, in_order
from unamortized.studies.figures.style import legend_below, look, shades

DASHES: tuple[Any, ...] = ("-", (0, (5, 1.6)))
INK = "#222222"
LARGEST_NUMBER, MOST_NUMBERS = 10_000, 12  # of an axis whose values are written out
Looks = dict[Any, dict[str, Any]]
Panel = tuple[Axes, pd.DataFrame]


def grid_of(chart: Chart, rows: pd.DataFrame) -> tuple[Figure, list[Panel], Any]:
    """Return a figure, its visible panels with their rows, and the grid of all axes."""
    wide = in_order(chart, chart.panel, rows) if chart.panel else [None]
    high = in_order(chart, chart.row, rows) if chart.row else [None]
    n_columns = len(wide) if chart.row else min(chart.columns, len(wide))
    n_rows = len(high) if chart.row else math.ceil(len(wide) / n_columns)
    width, height = chart.size
    height = height or max(1.5, 0.4 + 0.25 * len(in_order(chart, getattr(chart, "y", ""), rows)))
    figure = Figure(figsize=(max(5.2, width * n_columns + 1.2), height * n_rows + 1.0))
    grid = figure.subplots(n_rows, n_columns, sharex="col" if chart.row else False, squeeze=False)
    panels: list[Panel] = []
    for axes in grid.flat:
        axes.set_visible(False)
    for (level, value), axes in zip(itertools.product(high, wide), grid.flat, strict=False):
        own = rows if value is None else rows[rows[chart.panel] == value]
        own = own if level is None else own[own[chart.row] == level]
        if own.empty:
            continue
        axes.set_visible(True)
        parts = [called(chart, chart.row, level)] if level is not None else []
        axes.set_title(": ".join([*parts, called(chart, chart.panel, value)] if value is not None else parts))
        panels.append((axes, own))
    figure.suptitle(chart.title, x=0.01, ha="left")
    return figure, panels, grid


def called(chart: Chart, column: str, value: Any) -> str:
    """Return the label of a value of a column."""
    if (named := chart.names.get((column, value), chart.names.get(value))) is not None:
        return named
    if column == "condition":
        return display(value)
    if column == "task":
        return place(value)
    if column == "metric":
        return METRICS[value].axis
    if column == "layer":
        return {"0": "embedding", "all": "all layers"}.get(value, f"layer {value}" if value.isdecimal() else value)
    if isinstance(value, float):
        _, word = column_and_word(column)
        return f"{word} {value:g}" if len(word) > 1 else f"{value:g}"
    return str(value).replace("_", " ")


def looks(chart: Chart, rows: pd.DataFrame) -> Looks:
    """Return the ``Axes.plot`` arguments of each value of the column ``line``."""
    values = in_order(chart, chart.line, rows)
    if chart.line == "condition":
        found = {value: look(value) for value in values}
    elif chart.line == "name":
        first = rows.drop_duplicates("name").set_index("name")[["condition", "variant"]]
        found = {value: look(*first.loc[value].tolist()) for value in values}
    else:
        ordered = chart.line == "layer" or all(isinstance(value, Real) for value in values)
        mark = {"marker": "o", "markersize": 4, "markeredgecolor": "white", "markeredgewidth": 0.5}
        colors = zip(values, shades(len(values), ordered), strict=True)
        found = {value: {"color": color, **mark} for value, color in colors}
    return {value: style | dict(chart.styles.get(value, {})) for value, style in found.items()}


def measured_axis(chart: Chart, panels: Sequence[Panel], along: str) -> None:
    """Set scale, limits and references of the measured axis, alike in all panels that share it."""
    for axes, _ in panels:
        getattr(axes, f"set_{along}scale")(chart.measured_scale)
        for reference in chart.references:
            line = axes.axhline if along == "y" else axes.axvline
            line(reference, color="#999999", linewidth=0.9, linestyle=(0, (4, 2)), zorder=1)
    found = [getattr(axes, f"get_{along}lim")() for axes, _ in panels]
    shared = min(low for low, _ in found), max(high for _, high in found)
    for (axes, _), own in zip(panels, found, strict=True):
        low, high = shared if chart.shared else own
        if chart.measured_scale == "log" and chart.measured_floor:  # or the decade of the least value
            low = max(chart.measured_floor, 10.0 ** math.floor(math.log10(max(low, 1e-300)))) / 1.5
        ends = zip((low, high), chart.limits, strict=True)
        getattr(axes, f"set_{along}lim")(*(drawn if given is None else given for drawn, given in ends))
        if chart.measured_scale == "log":
            _decades(axes, along, chart.measured_floor)


def _decades(axes: Axes, along: str, floor: float | None) -> None:
    """Put ticks at powers of ten, and mark the floor with a ≤ sign."""
    low, high = axes.get_ylim() if along == "y" else axes.get_xlim()
    axis = axes.yaxis if along == "y" else axes.xaxis
    powers = [10.0**power for power in range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)]
    if len(powers) < 2:
        return

    def written(value: float, _: int) -> str:
        mark = "≤ " if floor is not None and value < floor * 1.01 else ""
        return f"{mark}$10^{{{round(math.log10(value))}}}$"

    axis.set_major_locator(FixedLocator(powers))
    axis.set_major_formatter(FuncFormatter(written))
    axis.set_minor_locator(NullLocator())


def number_axis(axes: Axes, values: list[float], scale: Scale | None, label: str) -> None:
    """Set label, scale and ticks of the numeric axis that curves run along."""
    axes.set_xlabel(label)
    if scale is None:
        whole = all(value == round(value) for value in values)
        few = FixedLocator(values[:: math.ceil(len(values) / 4)])
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, steps=[1, 2, 4, 5, 10]) if whole else few)
        return
    axes.set_xscale(scale)
    if values[-1] > LARGEST_NUMBER or len(values) > MOST_NUMBERS:
        return  # numbered in powers of ten
    powers = [value for value in values if math.log2(value).is_integer()]
    shown = powers if powers and len(values) > 8 else values
    axes.xaxis.set_major_locator(FixedLocator(shown[:: math.ceil(len(shown) / 8)]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())


def x_axis(chart: Curves | Heat) -> tuple[str, Scale | None]:
    """Return the default label and scale of the column x."""
    usual: dict[str, tuple[str, Scale | None]] = {
        "n_steps": ("observations n", "log"),
        "variant.after": ("steps of training", "log"),
        "variant.n": ("training questions N", "log"),
        "training_flops": ("training FLOPs", "log"),
        "step": (METRICS[chart.metrics[0]].step.partition(";")[0].partition(":")[0], None),
    }
    return usual.get(chart.x, ("" if isinstance(chart, Heat) else called(chart, "", chart.x), None))


def label_outside(chart: Chart, grid: Any) -> None:
    """Label the measured axis at the left of each row of panels; only there, a shared axis has numbers."""
    for line in grid:
        own = [axes for axes in line if axes.get_visible()]
        for axes in own:
            axes.set_ylabel(chart.measured_label if axes is own[0] else "")
            axes.tick_params(labelleft=axes is own[0] or not chart.shared)


def label_below(grid: Any) -> None:
    """Label and number the x axis only below the last panel of each column."""
    for column in grid.T:
        shown = [axes for axes in column if axes.get_visible()]
        for axes in shown:
            axes.tick_params(labelbottom=axes is shown[-1])
        for axes in shown[:-1]:
            axes.set_xlabel("")


def legend(figure: Figure, chart: Chart, drawn: Looks, rows: pd.DataFrame) -> None:
    """Draw one legend for all panels: lines by color, then dashes in gray."""
    handles = [Line2D([], [], label=called(chart, chart.line, value), **style) for value, style in drawn.items()]
    handles = handles if len(drawn) > 1 else []
    if chart.dash:
        for value, dashes in zip(in_order(chart, chart.dash, rows), DASHES, strict=False):
            handles.append(Line2D([], [], color="#555555", linestyle=dashes, label=called(chart, chart.dash, value)))
    if handles:
        legend_below(figure, handles)
