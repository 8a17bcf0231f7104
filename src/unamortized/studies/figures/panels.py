"""Panels: the grid of a chart, how its lines look, its axes, its names and its legend."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from numbers import Real
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from unamortized.evaluation.metrics import METRICS
from unamortized.labels import display, place
from unamortized.studies.figures.charts import Chart, Curves, Heat, Scale, in_order
from unamortized.studies.figures.style import legend_below, look, shades

DASHES: tuple[Any, ...] = ("-", (0, (5, 1.6)), (0, (1, 1.2)), (0, (6, 1.5, 1, 1.5)))
DIRECT = 5  # up to this many lines are labeled where they end; more have a legend
MARKED = 24  # lines of more points have no marks, which would hide them
INK = "#222222"
Looks = dict[Any, dict[str, Any]]


def grid_of(chart: Chart, rows: pd.DataFrame) -> tuple[Figure, list[tuple[Axes, pd.DataFrame]], Any]:
    """Return a figure, its visible panels with the rows of each, and the whole grid of axes."""
    wide = in_order(chart, chart.panel, rows) if chart.panel else [None]
    high = in_order(chart, chart.row, rows) if chart.row else [None]
    if chart.row:
        n_columns, n_rows = len(wide), len(high)
    else:
        n_columns = min(chart.columns, len(wide))
        n_rows = math.ceil(len(wide) / n_columns)
    width, height = chart.size
    height = height or max(1.5, 0.4 + 0.25 * len(in_order(chart, getattr(chart, "y", ""), rows)))
    figure = Figure(figsize=(max(5.2, width * n_columns + 1.2), height * n_rows + 1.0))
    grid = figure.subplots(n_rows, n_columns, sharex="col" if chart.row else False, squeeze=False)
    panels: list[tuple[Axes, pd.DataFrame]] = []
    for axes in grid.flat:
        axes.set_visible(False)
    for (level, value), axes in zip(itertools.product(high, wide), grid.flat, strict=False):
        own = rows if value is None else rows[rows[chart.panel] == value]
        own = own if level is None else own[own[chart.row] == level]
        if own.empty:
            continue
        axes.set_visible(True)
        title = "" if value is None else called(chart, chart.panel, value)
        if chart.row == "metric" or isinstance(chart, Heat):  # the row is named on its axis
            title = title if level == high[0] else ""
        elif level is not None:
            title = f"{called(chart, chart.row, level)}: {title}"
        axes.set_title(title)
        panels.append((axes, own))
    figure.suptitle(chart.title, x=0.01, ha="left")
    return figure, panels, grid


def called(chart: Chart, column: str, value: Any) -> str:
    """Return what people read in place of a value of a column."""
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
        word = column.partition(".")[2]
        return f"{word} {value:g}" if len(word) > 1 else f"{value:g}"
    return str(value).replace("_", " ")


def looks(chart: Chart, rows: pd.DataFrame) -> Looks:
    """Return how each value of the column ``line`` is drawn, as arguments of ``Axes.plot``."""
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


def chart_of_row(chart: Chart, rows: pd.DataFrame) -> Any:
    """Return the chart of one row of panels; if each row shows another metric, it has that metric only."""
    return replace(chart, row="", metrics=(rows["metric"].iloc[0],)) if chart.row == "metric" else chart


_AXIS = (("set", "scale"), ("set", "lim"), ("get", "lim"))
_SMALL: dict[str, Any] = {"ha": "right", "va": "bottom", "fontsize": 7.5, "color": "#777777"}


def measured_axis(chart: Chart, panels: Sequence[tuple[Axes, pd.DataFrame]], along: str) -> None:
    """Set scale, limits and references of the measured axis, alike in all panels that share it.

    If each row of panels shows another metric, each row has an axis of its own.
    """
    if chart.row == "metric":
        by_metric = {own["metric"].iloc[0]: chart_of_row(chart, own) for _, own in panels}
        for metric, of_row in by_metric.items():
            shown = [(axes, own) for axes, own in panels if own["metric"].iloc[0] == metric]
            measured_axis(of_row, shown, along)
        return
    set_scale, set_limits, get_limits = (f"{verb}_{along}{what}" for verb, what in _AXIS)
    for axes, _ in panels:
        more = {"symlog": {"linthresh": 1.0}, "log2": {"base": 2}}.get(chart.measured_scale, {})
        getattr(axes, set_scale)("log" if chart.measured_scale == "log2" else chart.measured_scale, **more)
        if chart.measured_scale == "log2":
            axis = axes.yaxis if along == "y" else axes.xaxis
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        for reference in chart.references:
            line = axes.axhline if along == "y" else axes.axvline
            line(reference.value, color="#999999", linewidth=0.9, linestyle=(0, (4, 2)), zorder=1)
            if reference.label and axes is panels[0][0] and along == "y":
                axes.text(0.99, reference.value, reference.label, transform=axes.get_yaxis_transform(), **_SMALL)
    found = [getattr(axes, get_limits)() for axes, _ in panels]
    shared = min(low for low, _ in found), max(high for _, high in found)
    for (axes, _), own in zip(panels, found, strict=True):
        low, high = shared if chart.shared else own
        if chart.measured_scale == "log" and chart.measured_floor:  # or the decade of the least value
            low = max(chart.measured_floor, 10.0 ** math.floor(math.log10(max(low, 1e-300)))) / 1.5
        getattr(axes, set_limits)(
            *(own if given is None else given for own, given in zip((low, high), chart.limits, strict=True))
        )
        if chart.measured_scale == "log":
            _decades(axes, along, chart.measured_floor)


def _decades(axes: Axes, along: str, floor: float | None) -> None:
    """Put ticks at powers of ten, and mark the floor as such."""
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
    """Set label, scale and ticks of the axis of numbers that curves run along."""
    axes.set_xlabel(label)
    if scale == "linear":
        axes.xaxis.set_major_locator(MaxNLocator(nbins=7))
        return
    if scale is None:
        whole = all(value == round(value) for value in values)
        few = FixedLocator(values[:: math.ceil(len(values) / 4)])
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, steps=[1, 2, 4, 5, 10]) if whole else few)
        return
    axes.set_xscale("log", base=2 if scale == "log2" else 10)
    shown = values
    if len(values) > 8:
        powers = [value for value in values if scale == "log2" and math.log2(value).is_integer()]
        shown = powers or values
    axes.xaxis.set_major_locator(FixedLocator(shown[:: math.ceil(len(shown) / 8)]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())


def x_axis(chart: Curves | Heat) -> tuple[str, Scale | None]:
    """Return the usual label and scale of the column x."""
    usual: dict[str, tuple[str, Scale | None]] = {
        "n_steps": ("observations n", "log2"),
        "variant.after": ("steps of training", "log2"),
        "step": (METRICS[chart.metrics[0]].step.partition(";")[0].partition(":")[0], None),
    }
    return usual.get(chart.x, ("" if isinstance(chart, Heat) else called(chart, "", chart.x), None))


def draw_level(axes: Axes, rows: pd.DataFrame, style: dict[str, Any]) -> None:
    """Draw a mean without x as a line across a panel."""
    dashes = style.get("linestyle", DASHES[1])
    axes.axhline(float(rows["value"].mean()), color=style["color"], linestyle=dashes, linewidth=1.3, zorder=1.5)


def label_outside(chart: Chart, grid: Any, panels: Sequence[tuple[Axes, pd.DataFrame]]) -> None:
    """Label the measured axis at the left of each row of panels; a shared axis has numbers only there."""
    metrics = {id(axes): own["metric"].iloc[0] for axes, own in panels}
    for line in grid:
        own = [axes for axes in line if id(axes) in metrics]
        for axes in own[:1]:
            by_metric = chart.row == "metric"
            axes.set_ylabel(called(chart, "metric", metrics[id(axes)]) if by_metric else chart.measured_label)
        if chart.shared:
            for axes in own[1:]:
                axes.tick_params(labelleft=False)


def label_below(grid: Any) -> None:
    """Label and number the x axis only below the last panel of each column."""
    for column in grid.T:
        shown = [axes for axes in column if axes.get_visible()]
        for axes in shown:
            axes.tick_params(labelbottom=axes is shown[-1])
        for axes in shown[:-1]:
            axes.set_xlabel("")


def legend(figure: Figure, chart: Chart, drawn: Looks, rows: pd.DataFrame, *more: Any) -> None:
    """Draw one legend for all panels: lines by color, then dashes in gray."""
    handles = [Line2D([], [], label=called(chart, chart.line, value), **style) for value, style in drawn.items()]
    handles = handles if len(drawn) > 1 else []
    if chart.dash:
        for value, dashes in zip(in_order(chart, chart.dash, rows), DASHES, strict=False):
            handles.append(Line2D([], [], color="#555555", linestyle=dashes, label=called(chart, chart.dash, value)))
    if handles or more:
        legend_below(figure, [*handles, *more])
