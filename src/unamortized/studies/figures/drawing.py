"""Drawing: from a chart and the tables to a figure."""

import itertools
import math
import textwrap
from collections.abc import Callable
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize, SymLogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from unamortized.labels import layer_number
from unamortized.studies.figures.charts import Chart, Curves, Dots, Heat, Picture, Scale, in_order, rows_of
from unamortized.studies.figures.panels import (
    DASHES,
    INK,
    Looks,
    called,
    grid_of,
    label_below,
    label_outside,
    legend,
    looks,
    measured_axis,
    number_axis,
    x_axis,
)
from unamortized.studies.figures.style import STYLE, Tables, curve, is_baseline, over_seeds, shade_trained, whisker
from unamortized.studies.statistics import Estimate, estimate

TITLE = 0.1  # inches that a letter of a title takes
DIRECT = 5  # up to this many lines are labeled at their ends; more have a legend
MARKED = 24  # lines of more points have no marks, which would hide them


def draw(figure: Chart | Picture, tables: Tables) -> Figure | None:
    """Draw a figure, or nothing where the tables hold nothing for it."""
    with matplotlib.rc_context(STYLE):
        drawn = figure.draw(tables) if isinstance(figure, Picture) else _draw_chart(figure, tables.metrics)
        if drawn is not None:
            wide = int(drawn.get_figwidth() / TITLE)
            drawn.suptitle(textwrap.fill(drawn.get_suptitle(), wide), x=0.01, ha="left")
    return drawn


def _draw_chart(chart: Chart, metrics: pd.DataFrame) -> Figure | None:
    rows = rows_of(chart, metrics)
    rows = rows[np.isfinite(rows["value"].astype(float))]
    x = getattr(chart, "x", "")
    if rows.empty or (x and rows[x].isna().all()):
        return None
    return _KINDS[type(chart)](chart, rows)


def _curves(chart: Curves, rows: pd.DataFrame) -> Figure:
    figure, panels, grid = grid_of(chart, rows)
    drawn = looks(chart, rows)
    dashes = dict(zip(in_order(chart, chart.dash, rows), DASHES, strict=False)) if chart.dash else {None: DASHES[0]}
    places, label, scale = _places(chart, rows)
    marks = {"marker": ""} if len(places) > MARKED else {}
    floor = chart.measured_floor
    for axes, own in panels:
        for value, (which, dash) in itertools.product(drawn, dashes.items()):
            points = own[own[chart.line] == value]
            points = points if which is None else points[points[chart.dash] == which]
            if points.empty:
                continue
            points = points.assign(**{chart.x: points[chart.x].map(places).astype(float)})
            first = dash == DASHES[0]  # the other dashes are thinner, without marks
            style = drawn[value] | marks | ({} if first else {"linestyle": dash, "marker": "", "linewidth": 1.3})
            band = first and not chart.seeds and not (chart.line == "condition" and is_baseline(value))
            curve(axes, points, chart.x, floor=floor, band=band, **style)
            if chart.seeds:
                axes.plot(
                    points[chart.x], points["value"].clip(lower=floor), ".", color=style["color"], ms=3, alpha=0.5
                )
        number_axis(axes, sorted({float(places[value]) for value in own[chart.x].dropna()}), scale, label)
        if chart.x == "layer":
            shown = [layer for layer in places if (own["layer"] == layer).any()]
            axes.set_xticks([places[layer] for layer in shown], shown)
        trained = own.loc[own["split"] == "in_distribution", "n_steps"].max()
        if chart.x == "n_steps" and pd.notna(trained):
            axes.set_xlim(*axes.get_xlim())  # the shade begins at the edge
            shade_trained(axes, axes.get_xlim()[0], float(trained))
    measured_axis(chart, panels, "y")
    label_outside(chart, grid)
    if chart.row:
        label_below(grid)
    lines = [[(axes, own) for axes, own in panels if axes in list(line)] for line in grid]
    ends = [own[-1] for own in lines if own]  # the panels whose lines get labels, if they hold all lines
    labeled = 1 < len(drawn) <= DIRECT and all(set(drawn) <= set(own[chart.line]) for _, own in ends)
    for axes, own in ends if labeled else ():
        _label_ends(chart, axes, own, drawn, places)
    legend(figure, chart, {} if labeled else drawn, rows)
    return figure


def _places(chart: Curves, rows: pd.DataFrame) -> tuple[dict[Any, float], str, Scale | None]:
    """Return the position of each value of x, the label of that axis, and its scale."""
    values = in_order(chart, chart.x, rows)
    if chart.x == "layer":
        numbered = [layer for layer in values if layer_number(layer) is not None]
        beside = {layer: len(numbered) + 0.5 * (1 + place) for place, layer in enumerate(values[len(numbered) :])}
        places = {layer: float(layer) for layer in numbered} | beside
        return places, chart.x_label or "layer  (0: embedding)", None
    label, scale = x_axis(chart)
    return {value: float(value) for value in values}, chart.x_label or label, chart.x_scale or scale


def _label_ends(chart: Curves, axes: Axes, rows: pd.DataFrame, drawn: Looks, places: dict[Any, float]) -> None:
    """Label each line at its right end; labels that would overlap are pushed apart."""
    low, high = axes.get_ylim()
    onto = math.log10 if axes.get_yscale() == "log" else float
    if chart.dash:  # where the first dash ends
        rows = rows[rows[chart.dash] == in_order(chart, chart.dash, rows)[0]]
    ends = {}
    for value in drawn:
        points = rows[rows[chart.line] == value]
        if len(points):
            mean = float(over_seeds(points.assign(at=points[chart.x].map(places)), "at")["mean"].iloc[-1])
            clipped = min(max(mean, low), high)
            ends[value] = (onto(clipped) - onto(low)) / (onto(high) - onto(low))
    apart = 11 / (72 * chart.size[1] * 0.8)  # one line of text, as a share of the axes' height
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
    figure, panels, grid = grid_of(chart, rows)
    # baselines, in the middle of their row
    tick = {"marker": "|", "markersize": 10, "markeredgewidth": 1.5, "linestyle": ""}
    drawn = {value: tick | style if "marker" not in style else style for value, style in looks(chart, rows).items()}
    beside = [value for value in drawn if drawn[value]["marker"] != "|"]
    for axes, own in panels:
        crowded = own.groupby(chart.y)[chart.line].nunique().max() > 1
        for (height, category), (value, style) in itertools.product(enumerate(order), drawn.items()):
            points = own[(own[chart.y] == category) & (own[chart.line] == value)]
            values = points.groupby("seed")["value"].mean().to_numpy(dtype=float)
            clipped = np.clip(values, chart.measured_floor, None) if chart.measured_floor is not None else values
            if value not in beside:
                axes.plot(clipped.mean() if len(clipped) else [], height if len(clipped) else [], **style)
                continue
            aside = 0.56 * ((beside.index(value) + 0.5) / len(beside) - 0.5) if crowded else 0.0
            marker = {"color": style["color"], "marker": style["marker"], "markersize": 4.5}
            whisker(axes, clipped, height + aside, along="x", **marker)
        axes.set_ylim(len(order) - 0.4, -0.6)
        axes.set_yticks(range(len(order)), [called(chart, chart.y, value) for value in order])
        axes.grid(axis="y", color="#EEEEEE", linewidth=0.8)
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel(chart.measured_label)
    if chart.row:
        label_below(grid)
    for line in grid:
        for axes in [axes for axes in line if axes.get_visible()][1:]:
            axes.tick_params(labelleft=False)
    measured_axis(chart, panels, "x")
    if chart.line != chart.y:
        legend(figure, chart, {value: style | {"linestyle": ""} for value, style in drawn.items()}, rows)
    return figure


def _heat(chart: Heat, rows: pd.DataFrame) -> Figure:
    across, down = in_order(chart, chart.x, rows), in_order(chart, chart.y, rows)
    figure, panels, grid = grid_of(chart, rows)
    norm = _norm(chart)
    colors = ScalarMappable(norm, chart.palette)
    for axes, own in panels:
        means = np.full((len(down), len(across)), np.nan)
        for (y, x), cell in own.groupby([chart.y, chart.x]):
            at = down.index(y), across.index(x)
            found = estimate(cell.groupby("seed")["value"].mean().to_numpy(dtype=float))
            means[at] = max(found.value, chart.measured_floor or -math.inf)
            text, style = _number(chart, found)
            dark = np.dot(colors.to_rgba(means[at])[:3], (0.3, 0.6, 0.1)) < 0.5
            style |= {"ha": "center", "va": "center", "fontsize": 7.5, "color": "white" if dark else INK}
            axes.text(at[1], at[0], text, **style)
        axes.imshow(means, cmap=chart.palette, norm=norm, aspect="auto")
        axes.set_xticks(range(len(across)), [called(chart, chart.x, value) for value in across])
        axes.set_yticks(range(len(down)), [called(chart, chart.y, value) for value in down])
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        trained = own.loc[own["split"] == "in_distribution", "n_steps"].max()
        if chart.x == "n_steps" and trained in across[:-1]:
            axes.axvline(across.index(trained) + 0.5, color="#777777", linewidth=1.4, linestyle=(0, (3, 2)))
    for line in grid:
        own = [axes for axes in line if axes.get_visible()]
        for axes in own:
            axes.tick_params(labelleft=axes is own[0])
            axes.set_xlabel(chart.x_label or x_axis(chart)[0])
        for axes in own[:1]:
            axes.set_ylabel(chart.y_label)
    bar = figure.colorbar(colors, ax=[axes for axes, _ in panels], label=chart.measured_label, shrink=0.7, pad=0.01)
    if chart.measured_scale != "linear":
        bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}".replace("-", "−")))
        bar.ax.yaxis.set_minor_locator(NullLocator())
    return figure


def _norm(chart: Heat) -> Normalize:
    """Return the scale of the colors; a symmetric logarithm is linear within 1/100 of its range."""
    low, high = chart.range
    if chart.measured_scale == "symlog":
        return SymLogNorm(high / 100, vmin=low, vmax=high)
    return (LogNorm if chart.measured_scale == "log" else Normalize)(low, high)


def _number(chart: Heat, found: Estimate) -> tuple[str, dict[str, Any]]:
    """Return the text of a cell and its style."""

    def short(value: float) -> str:
        text = f"{value:.2g}" if chart.measured_scale == "log" else f"{value:.{2 if abs(value) < 1 else 1}f}"
        text = text.replace("-0.", "-.").removeprefix("0") or "0"
        return "0" if float(text) == 0 else text.replace("-", "−")

    mean = short(found.value) if found.value >= (chart.measured_floor or -math.inf) else ""
    if not chart.intervals or found.low is None or found.high is None:
        return mean, {}
    differs = mean != "0" and (found.low > 0 or found.high < 0)
    return f"{mean} ±{short(found.high - found.value)}", {"weight": "bold"} if differs else {"style": "italic"}


_KINDS: dict[type[Chart], Callable[[Any, pd.DataFrame], Figure]] = {Curves: _curves, Dots: _dots, Heat: _heat}
