"""Depth: right answers by length and depth, and what each layer has put together by then."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from unamortized.evaluation.composition import READ
from unamortized.studies.depth import AMORTIZED, COT, TRAINED, direct, steps_by_layer
from unamortized.studies.figures.curves import length_axis
from unamortized.studies.figures.style import (
    Tables,
    curve,
    legend_below,
    longest_trained,
    look,
    rows_of,
    styled,
    tasks_of,
    whisker,
)

SHADES = ("#F5B041", "#E3743B", "#C43C5A", "#7D2E7C", "#2E1A5B", "#000000")  # from shallow to deep
WALKED: dict[str, Any] = {"color": "#0072B2", "linestyle": (0, (5, 1.5)), "marker": "D", "markersize": 4}
WINDOW = "window_8"
KINDS = {  # of steps, and the metrics of which the larger is shown
    "last k, at the end": ("window_r2", "question_window_r2"),
    "first k, at $x_k$": ("path_r2",),
}
COUNTED = ("composed_steps", "path_steps")
HEAT = "mako_r"
DOUBLED = "#D55E00"
PREDICTED: dict[str, Any] = {
    "doubling": {"color": "#999999", "linestyle": (0, (5, 1.5)), "linewidth": 1.2, "zorder": 1},
    "one more a layer": {"color": "#999999", "linestyle": (0, (1, 1.2)), "linewidth": 1.2, "zorder": 1},
}


def depths_of(rows: pd.DataFrame) -> list[int]:
    """Numbers of layers of the models without a trace, from shallow to deep."""
    names = rows["condition"].astype(str).str.extract(rf"^{AMORTIZED}@l(\d+)$")[0].dropna()
    return sorted({int(name) for name in names})


@styled
def depth_accuracy(tables: Tables) -> Figure | None:
    """Share of right answers by number of observations, one line a depth, beside one layer that writes its steps."""
    rows = rows_of(tables.metrics, "map_agreement")
    if rows.empty or not (depths := depths_of(rows)):
        return None
    tasks = tasks_of(rows)
    figure = Figure(figsize=(max(6.4, 3.7 * len(tasks)), 4.1))
    panels = figure.subplots(1, len(tasks), sharey=True, squeeze=False)[0]
    lines = {direct(layers): line_of(layers, depths) for layers in depths} | {f"{COT}@l1": WALKED, WINDOW: look(WINDOW)}
    for axes, task in zip(panels, tasks, strict=True):
        own = rows[rows["task"] == task]
        for name, line in lines.items():
            if len(points := own[own["condition"] == name]):
                curve(axes, points, "n_steps", band=name != WINDOW, **line)
        lengths = own["n_steps"].unique().tolist()
        length_axis(axes, [n for n in lengths if n & (n - 1) == 0 or n > TRAINED], longest_trained(own, task))
        axes.set_title(task)
    panels[0].set_ylim(-0.03, 1.12)
    panels[0].set_ylabel("agreement with the exact mode  [fraction]")
    figure.suptitle("How many steps does a model of so many layers answer at once?", x=0.01, ha="left")
    says = {direct(layers): said(layers) for layers in depths}
    says |= {f"{COT}@l1": "one layer, writes its steps", WINDOW: "exact, last 8 observations alone"}
    legend_below(figure, [Line2D([], [], label=says[name], **line) for name, line in lines.items()])
    return figure


def line_of(layers: int, depths: list[int]) -> dict[str, Any]:
    """How a model of so many layers is drawn; depths are spread over the shades."""
    place = depths.index(layers) * (len(SHADES) - 2) // max(1, len(depths) - 1)
    return {"color": SHADES[place], "marker": "o", "markersize": 4, "linewidth": 1.6}


def said(layers: int) -> str:
    """The legend of a model without a trace."""
    return f"{layers} layer{'s' if layers > 1 else ''}"


@styled
def depth_windows(tables: Tables) -> Figure | None:
    """R2 by layer and number of steps, one panel a task, depth and kind of steps, with the staircase of doublings."""
    rows = rows_of(tables.metrics, *(metric for metrics in KINDS.values() for metric in metrics))
    if rows.empty or not (depths := depths_of(rows)):
        return None
    listed = [(task, kind) for task in tasks_of(rows) for kind in KINDS]
    figure = Figure(figsize=(1.9 + 1.9 * len(depths), 1.2 + 1.5 * len(listed)))
    panels = figure.subplots(len(listed), len(depths), sharex=True, squeeze=False)
    heat = ScalarMappable(Normalize(0, 1), cmap=HEAT)
    for line_of_panels, (task, kind) in zip(panels, listed, strict=True):
        for axes, layers in zip(line_of_panels, depths, strict=True):
            own = rows[rows["task"] == task]
            found = [explained(own, direct(layers), metric) for metric in KINDS[kind]]
            values = pd.concat([value for value, _ in found]).groupby(level=0).max()
            counted = pd.concat([counts for _, counts in found]).groupby(level=0).max()
            if values.empty:
                axes.set_visible(False)
                continue
            axes.imshow(values, norm=heat.norm, cmap=HEAT, aspect="auto", origin="lower")
            layer, step = np.nonzero(counted.to_numpy())
            axes.plot(step, layer, linestyle="", marker="o", markersize=2.8, color="#E69F00", markeredgewidth=0)
            staircase(axes, *values.shape)
            axes.set_yticks(range(len(values)))
            axes.set_xticks(range(len(values.columns)), [str(step) for step in values.columns])
        line_of_panels[0].set_ylabel(f"{task}\n{kind}\nafter layer", fontsize=8)
    for top, bottom, layers in zip(panels[0], panels[-1], depths, strict=True):
        top.set_title(said(layers))
        bottom.set_xlabel("steps k")
    figure.colorbar(heat, ax=panels, label="R² of the probe", shrink=0.4, aspect=30)
    figure.suptitle("What has been put together after each layer?", x=0.01, ha="left")
    outline = Line2D([], [], color=DOUBLED, linewidth=1.6, label="$k = 2^{layer}$")
    dot = Line2D([], [], linestyle="", marker="o", markersize=4, color="#E69F00", label="counts as put together")
    legend_below(figure, [outline, dot])
    return figure


def explained(rows: pd.DataFrame, condition: str, metric: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """R2 by layer and step, mean over seeds, and whether it counts, given the untrained network's."""
    rows = rows[rows["metric"] == metric].assign(layer=lambda table: table["layer"].astype(int))

    def table(name: str) -> pd.DataFrame:
        own = rows[rows["condition"] == name]
        return own.pivot_table(index="layer", columns="step", values="value", aggfunc="mean").astype(float)

    own, before = table(condition), table(f"{condition}/untrained").clip(lower=0)
    before = before.reindex_like(own)
    return own, (own >= READ) & ((before >= READ) | (own - before >= READ * (1 - before)))  # as ``steps_read`` counts


def staircase(axes: Axes, layers: int, steps: int) -> None:
    """The outline of what doublings would have put together: k = 2^l, over rows from layer 0."""
    reached = [min(2**layer, steps) for layer in range(layers)]
    x = np.repeat(reached, 2) - 0.5
    y = np.repeat(np.arange(layers + 1), 2)[1:-1] - 0.5
    axes.plot(x, y, color=DOUBLED, linewidth=1.6, clip_on=False, zorder=3)


@styled
def depth_steps(tables: Tables) -> Figure | None:
    """Steps put together by layer, one line a depth, beside doublings and one step a layer."""
    rows = rows_of(tables.metrics, *COUNTED)
    if rows.empty or not (depths := depths_of(rows)):
        return None
    tasks = tasks_of(rows)
    figure = Figure(figsize=(max(6.4, 3.5 * len(tasks)), 3.9))
    panels = figure.subplots(1, len(tasks), sharex=True, sharey=True, squeeze=False)[0]
    for axes, task in zip(panels, tasks, strict=True):
        own = rows[rows["task"] == task]
        longest = int(own["n_steps"].max())
        for place, layers in enumerate(depths):
            found = steps_by_layer(own, direct(layers), *COUNTED)
            aside = 0.5 * ((place + 0.5) / len(depths) - 0.5)  # or the marks would hide each other
            places = found.columns.to_numpy(dtype=float) + aside
            line = line_of(layers, depths)
            for at, values in zip(places.tolist(), found.to_numpy(dtype=float).T, strict=True):
                whisker(axes, values, at, along="y", color=line["color"], marker="o", markersize=4)
            axes.plot(places, found.mean(), color=line["color"], linewidth=1.2)
        along = np.linspace(0, max(depths), 50)
        axes.plot(along, np.minimum(2**along, longest), **PREDICTED["doubling"])
        axes.plot(along, np.minimum(1 + along, longest), **PREDICTED["one more a layer"])
        axes.set_title(task)
        axes.set_xlabel("layer")
        axes.set_yscale("log", base=2)
        ticks = [2**power for power in range(longest.bit_length())]
        axes.set_yticks(ticks, [str(steps) for steps in ticks])
        axes.set_ylim(0.9, 1.15 * longest)  # an interval of few seeds may begin below zero
    panels[0].set_ylabel("steps put together by then")
    figure.suptitle("Do layers double what is put together, or add a step?", x=0.01, ha="left")
    handles = [Line2D([], [], label=said(layers), **line_of(layers, depths)) for layers in depths]
    legend_below(figure, handles + [Line2D([], [], label=name, **line) for name, line in PREDICTED.items()])
    return figure
