"""Drawing: from a chart and the tables to a picture."""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from numbers import Real
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from unamortized.evaluation.metrics import METRICS
from unamortized.labels import display, layer_number
from unamortized.studies.figures.charts import Bars, Chart, Curves, Dots, Heat, Picture, Scale, in_order, rows_of
from unamortized.studies.figures.style import (
    STYLE,
    Tables,
    curve,
    is_baseline,
    legend_below,
    look,
    over_seeds,
    shade_trained,
    shades,
    whisker,
)

DASHES: tuple[Any, ...] = ("-", (0, (5, 1.6)), (0, (1, 1.2)), (0, (6, 1.5, 1, 1.5)))
DIRECT = 5  # lines that are labeled where they end; more get a legend
MARKED = 24  # points of a line that are marked; more would hide it
INK = "#222222"
Looks = dict[Any, dict[str, Any]]


def draw(figure: Chart | Picture, tables: Tables) -> Figure | None:
    """Draw a figure, or nothing where the tables hold nothing for it."""
    if isinstance(figure, Picture):
        with matplotlib.rc_context(STYLE):
            return figure.draw(tables)
    chart, rows = figure, rows_of(figure, tables.metrics)
    rows = rows[np.isfinite(rows["value"].astype(float))]
    if rows.empty:
        return None
    with matplotlib.rc_context(STYLE):
        return _KINDS[type(chart)](chart, rows)  # pyright: ignore[reportArgumentType]


def _grid(chart: Chart, rows: pd.DataFrame) -> tuple[Figure, list[tuple[Axes, pd.DataFrame]], Any]:
    """Return a figure, its visible panels with the rows of each, and the whole grid of axes."""
    wide, high = in_order(chart, chart.panel, rows), in_order(chart, chart.row, rows) if chart.row else [None]
    if chart.row:
        n_columns, n_rows = len(wide), len(high)
    else:
        n_columns = min(chart.columns, len(wide))
        n_rows = math.ceil(len(wide) / n_columns)
    width, height = chart.size
    figure = Figure(figsize=(max(5.2, width * n_columns + 1.2), height * n_rows + 1.0))
    grid = figure.subplots(n_rows, n_columns, sharex="col" if chart.row else False, squeeze=False)
    panels: list[tuple[Axes, pd.DataFrame]] = []
    for axes in grid.flat:
        axes.set_visible(False)
    for (level, value), axes in zip(itertools.product(high, wide), grid.flat, strict=False):
        own = rows[rows[chart.panel] == value]
        own = own if level is None else own[own[chart.row] == level]
        if own.empty:
            continue
        axes.set_visible(True)
        title = called(chart, chart.panel, value)
        if chart.row == "metric":  # which labels the axis of its row
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
        return {value: look(value) for value in values}
    if chart.line == "name":
        first = rows.drop_duplicates("name").set_index("name")
        return {value: look(first.loc[value, "condition"], first.loc[value, "variant"]) for value in values}
    ordered = chart.line == "layer" or all(isinstance(value, Real) for value in values)
    return {
        value: {"color": shade, "marker": "o", "markersize": 4, "markeredgecolor": "white", "markeredgewidth": 0.5}
        for value, shade in zip(values, shades(len(values), ordered), strict=True)
    }


# ── axes ─────────────────────────────────────────────────────────────────────────────────────────


def _of_row(chart: Chart, rows: pd.DataFrame) -> Any:
    """Return the chart of one row of panels, where rows of panels show a metric each."""
    return replace(chart, row="", metrics=(rows["metric"].iloc[0],)) if chart.row == "metric" else chart


def _measured_axis(chart: Chart, panels: Sequence[tuple[Axes, pd.DataFrame]], along: str) -> None:
    """Scale, limits and references of the axis that the metric is drawn on, alike in all panels that share it.

    Rows of panels that show a metric each have an axis each.
    """
    if chart.row == "metric":
        by_metric = {own["metric"].iloc[0]: _of_row(chart, own) for _, own in panels}
        for metric, of_row in by_metric.items():
            shown = [(axes, own) for axes, own in panels if own["metric"].iloc[0] == metric]
            _measured_axis(of_row, shown, along)
        return
    set_scale, set_limits, get_limits = (f"{verb}_{along}{what}" for verb, what in _AXIS)
    for axes, _ in panels:
        linear = {"linthresh": 1.0} if chart.measured_scale == "symlog" else {}
        getattr(axes, set_scale)("log" if chart.measured_scale == "log2" else chart.measured_scale, **linear)
        for reference in chart.references:
            line = axes.axhline if along == "y" else axes.axvline
            line(reference.value, color="#999999", linewidth=0.9, linestyle=(0, (4, 2)), zorder=1)
            if reference.label and axes is panels[0][0] and along == "y":
                axes.text(0.99, reference.value, reference.label, transform=axes.get_yaxis_transform(), **_SMALL)
    found = [getattr(axes, get_limits)() for axes, _ in panels]
    shared = min(low for low, _ in found), max(high for _, high in found)
    for (axes, _), own in zip(panels, found, strict=True):
        low, high = shared if chart.shared else own
        if chart.measured_scale == "log" and chart.measured_floor:  # down to it, or to the decade of the least value
            low = max(chart.measured_floor, 10.0 ** math.floor(math.log10(max(low, 1e-300)))) / 1.5
        getattr(axes, set_limits)(
            *(own if given is None else given for own, given in zip((low, high), chart.limits, strict=True))
        )
        if chart.measured_scale == "log":
            _decades(axes, along, chart.measured_floor)


_AXIS = (("set", "scale"), ("set", "lim"), ("get", "lim"))
_SMALL: dict[str, Any] = {"ha": "right", "va": "bottom", "fontsize": 7.5, "color": "#777777"}


def _decades(axes: Axes, along: str, floor: float | None) -> None:
    """Powers of ten as ticks; the floor is named as such."""
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


def _number_axis(axes: Axes, values: list[float], scale: Scale | None, label: str) -> None:
    """The axis of numbers that curves run along."""
    axes.set_xlabel(label)
    if scale in (None, "linear"):
        whole = all(value == round(value) for value in values)
        few = FixedLocator(values[:: math.ceil(len(values) / 4)])
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7) if whole else few)
        return
    axes.set_xscale("log", base=2 if scale == "log2" else 10)
    shown = values if len(values) <= 8 else values[:: math.ceil(len(values) / 8)]
    axes.xaxis.set_major_locator(FixedLocator(shown))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())


def _label_outside(chart: Chart, grid: Any, panels: Sequence[tuple[Axes, pd.DataFrame]]) -> None:
    """Label the measured axis at the left of each row of panels; panels inside show no numbers if they share it."""
    metrics = {id(axes): own["metric"].iloc[0] for axes, own in panels}
    for line in grid:
        own = [axes for axes in line if id(axes) in metrics]
        for axes in own[:1]:
            by_metric = chart.row == "metric"
            axes.set_ylabel(called(chart, "metric", metrics[id(axes)]) if by_metric else chart.measured_label)
        if chart.shared:
            for axes in own[1:]:
                axes.tick_params(labelleft=False)


def _label_below(grid: Any) -> None:
    """Label and number the axis that panels of a column share below the last of them."""
    for column in grid.T:
        shown = [axes for axes in column if axes.get_visible()]
        for axes in shown:
            axes.tick_params(labelbottom=axes is shown[-1])
        for axes in shown[:-1]:
            axes.set_xlabel("")


def _legend(figure: Figure, chart: Chart, drawn: Looks, rows: pd.DataFrame, *more: Any) -> None:
    """One legend for all panels: lines by color, then dashes in gray."""
    handles = [Line2D([], [], label=called(chart, chart.line, value), **style) for value, style in drawn.items()]
    handles = handles if len(drawn) > 1 else []
    if chart.dash:
        for value, dashes in zip(in_order(chart, chart.dash, rows), DASHES, strict=False):
            handles.append(Line2D([], [], color="#555555", linestyle=dashes, label=called(chart, chart.dash, value)))
    if handles or more:
        legend_below(figure, [*handles, *more])


# ── kinds ────────────────────────────────────────────────────────────────────────────────────────


def _curves(chart: Curves, rows: pd.DataFrame) -> Figure:
    figure, panels, grid = _grid(chart, rows)
    drawn = looks(chart, rows)
    dashes = dict(zip(in_order(chart, chart.dash, rows), DASHES, strict=False)) if chart.dash else {None: None}
    places, label, scale = _places(chart, rows)
    marks = {"marker": ""} if len(places) > MARKED else {}
    for axes, own in panels:
        for value, (which, dash) in itertools.product(drawn, dashes.items()):
            points = own[own[chart.line] == value]
            points = points if which is None else points[points[chart.dash] == which]
            if points.empty:
                continue
            points = points.assign(**{chart.x: points[chart.x].map(places).astype(float)})
            first = dash in (None, DASHES[0])  # the other dashes are drawn lighter
            style = drawn[value] | marks | ({} if first else {"linestyle": dash, "marker": "", "linewidth": 1.3})
            band = chart.bands and first and not (chart.line == "condition" and is_baseline(value))
            low = _of_row(chart, own).measured_floor
            curve(axes, points, chart.x, floor=low, band=band, **style)
            if chart.seeds:
                axes.plot(points[chart.x], points["value"].clip(lower=low), ".", color=style["color"], ms=3, alpha=0.5)
        _number_axis(axes, sorted({float(places[value]) for value in own[chart.x].dropna()}), scale, label)
        if chart.x == "layer":
            shown = [layer for layer in places if (own["layer"] == layer).any()]
            axes.set_xticks([places[layer] for layer in shown], shown)
        trained = own.loc[own["split"] == "in_distribution", "n_steps"].max()
        if chart.x == "n_steps" and pd.notna(trained):
            shade_trained(axes, axes.get_xlim()[0], float(trained))
    _measured_axis(chart, panels, "y")
    _label_outside(chart, grid, panels)
    if chart.row:
        _label_below(grid)
    lines = [[(axes, own) for axes, own in panels if any(axes is each for each in line)] for line in grid]
    ends = [own[-1] for own in lines if own]  # where lines are labeled, if all of them are there
    labeled = 1 < len(drawn) <= DIRECT and all(set(drawn) <= set(own[chart.line]) for _, own in ends)
    for axes, own in ends if labeled else ():
        _label_ends(chart, axes, own, drawn, places)
    _legend(figure, chart, {} if labeled else drawn, rows)
    return figure


def _places(chart: Curves, rows: pd.DataFrame) -> tuple[dict[Any, float], str, Scale | None]:
    """Return where each value of x stands, the label of that axis, and its scale."""
    values = in_order(chart, chart.x, rows)
    if chart.x == "layer":
        numbered = [layer for layer in values if layer_number(layer) is not None]
        beside = {layer: len(numbered) + 0.5 * (1 + place) for place, layer in enumerate(values[len(numbered) :])}
        places = {layer: float(layer) for layer in numbered} | beside
        return places, chart.x_label or "layer  (0: embedding)", None
    usual: dict[str, tuple[str, Scale | None]] = {
        "n_steps": ("observations n", "log2"),
        "variant.after": ("steps of training", "log2"),
        "step": (METRICS[chart.metrics[0]].step.partition(";")[0].partition(":")[0], None),
    }
    label, scale = usual.get(chart.x, (called(chart, "", chart.x), None))
    return {value: float(value) for value in values}, chart.x_label or label, chart.x_scale or scale


def _label_ends(chart: Curves, axes: Axes, rows: pd.DataFrame, drawn: Looks, places: dict[Any, float]) -> None:
    """Name each line at its right end, pushed apart where ends lie close together."""
    low, high = axes.get_ylim()
    onto = math.log10 if axes.get_yscale() == "log" else float
    if chart.dash:  # where the first dash ends
        rows = rows[rows[chart.dash] == in_order(chart, chart.dash, rows)[0]]
    ends = {}
    for value in drawn:
        points = rows[rows[chart.line] == value]
        if len(points):
            points = points.assign(at=points[chart.x].map(places).astype(float))
            mean = float(over_seeds(points, "at")["mean"].iloc[-1])
            clipped = min(max(mean, low), high)
            ends[value] = (onto(clipped) - onto(low)) / (onto(high) - onto(low))
    apart = 11 / (72 * chart.size[1] * 0.8)  # of the axes' height: one line of text
    order = sorted(ends, key=lambda value: ends[value])
    heights = np.array([ends[value] for value in order])
    for _ in range(100):
        for one, other in itertools.pairwise(range(len(heights))):
            if (overlap := apart - (heights[other] - heights[one])) > 0:
                heights[one] -= overlap / 2
                heights[other] += overlap / 2
    heights = heights - max(0.0, heights[-1] - 1.02) + max(0.0, -0.02 - heights[0]) if len(heights) else heights
    for value, height in zip(order, heights, strict=True):
        text = {"transform": axes.transAxes, "va": "center", "fontsize": 8.5, "color": drawn[value]["color"]}
        axes.text(1.02, height, called(chart, chart.line, value), **text)


def _dots(chart: Dots, rows: pd.DataFrame) -> Figure:
    order = in_order(chart, chart.y, rows)
    figure, panels, grid = _grid(chart, rows)
    drawn = looks(chart, rows)
    for axes, own in panels:
        crowded = own.groupby(chart.y)[chart.line].nunique().max() > 1
        for place, category in enumerate(order):
            for number, (value, style) in enumerate(drawn.items()):
                points = own[(own[chart.y] == category) & (own[chart.line] == value)]
                values = points.groupby("seed")["value"].mean().to_numpy(dtype=float)
                aside = 0.56 * ((number + 0.5) / len(drawn) - 0.5) if crowded else 0.0
                marker = {name: style[name] for name in ("color", "marker") if name in style} | {"markersize": 4.5}
                clipped = np.clip(values, chart.measured_floor, None) if chart.measured_floor is not None else values
                whisker(axes, clipped, place + aside, along="x", **{"marker": "|"} | marker)
        axes.set_ylim(len(order) - 0.4, -0.6)
        axes.set_yticks(range(len(order)), [called(chart, chart.y, value) for value in order])
        axes.grid(axis="y", color="#EEEEEE", linewidth=0.8)
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel(chart.measured_label if chart.panel != "metric" else "")
    if chart.row:
        _label_below(grid)
    for line in grid:
        for axes in [axes for axes in line if axes.get_visible()][1:]:
            axes.tick_params(labelleft=False)
    _measured_axis(chart, panels, "x")
    if chart.line != chart.y:
        _legend(figure, chart, {value: style | {"linestyle": ""} for value, style in drawn.items()}, rows)
    return figure


def _bars(chart: Bars, rows: pd.DataFrame) -> Figure:
    figure, panels, grid = _grid(chart, rows)
    drawn, groups = looks(chart, rows), in_order(chart, chart.x, rows)
    width = 0.8 / (1 if chart.stacked else len(drawn))
    for axes, own in panels:
        bottom = np.zeros(len(groups))
        for number, (value, style) in enumerate(drawn.items()):
            summary = over_seeds(own[own[chart.line] == value], chart.x).reindex(groups)
            at = np.arange(len(groups)) + (0 if chart.stacked else width * (number - (len(drawn) - 1) / 2))
            mean = summary["mean"].to_numpy(dtype=float)
            axes.bar(at, mean, width * 0.92, bottom=bottom if chart.stacked else None, color=style["color"], zorder=2)
            base = bottom if chart.stacked else 0
            axes.vlines(at, base + summary["low"], base + summary["high"], color=INK, linewidth=1, zorder=3)
            bottom = bottom + np.nan_to_num(mean)
        axes.set_xticks(range(len(groups)), [called(chart, chart.x, value) for value in groups])
        axes.tick_params(axis="x", length=0)
        axes.set_xlabel(chart.x_label)
    _measured_axis(chart, panels, "y")
    _label_outside(chart, grid, panels)
    handles = [Patch(color=style["color"], label=called(chart, chart.line, value)) for value, style in drawn.items()]
    legend_below(figure, handles)
    return figure


def _heat(chart: Heat, rows: pd.DataFrame) -> Figure:
    across, down = in_order(chart, chart.x, rows), in_order(chart, chart.y, rows)
    figure, panels, grid = _grid(chart, rows)
    image = None
    for axes, own in panels:
        means = own.pivot_table(index=chart.y, columns=chart.x, values="value").reindex(index=down, columns=across)
        low, high = chart.range
        image = axes.imshow(means.to_numpy(dtype=float), cmap=chart.colors, vmin=low, vmax=high, aspect="auto")
        for (y, x), value in np.ndenumerate(means.to_numpy(dtype=float)):
            if np.isfinite(value) and chart.digits:
                text = f"{value:.{chart.digits}f}".replace("0.", ".").replace("-", "−")
                shade = "white" if (value - low) / (high - low) > 0.6 else INK
                axes.text(x, y, text, ha="center", va="center", fontsize=7, color=shade)
        axes.set_xticks(range(len(across)), [called(chart, chart.x, value) for value in across])
        axes.set_yticks(range(len(down)), [called(chart, chart.y, value) for value in down])
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set_xlabel(chart.x_label)
    for line in grid:
        own = [axes for axes in line if axes.get_visible()]
        for axes in own[:1]:
            axes.set_ylabel(chart.y_label)
        for axes in own[1:]:
            axes.tick_params(labelleft=False)
    if image is not None:
        figure.colorbar(image, ax=[axes for axes, _ in panels], label=chart.measured_label, shrink=0.7)
    return figure


_KINDS: dict[type[Chart], Callable[[Any, pd.DataFrame], Figure]] = {
    Curves: _curves,
    Dots: _dots,
    Bars: _bars,
    Heat: _heat,
}
