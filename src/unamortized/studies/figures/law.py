"""The law: reliance of models that were never to rely on their trace, against what a direct model has not amortized."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from unamortized.studies.figures.style import Tables, legend_below, styled, whisker
from unamortized.studies.law import DIAL, TOLD, by_place, points

LAG_SHADES = ("#08306B", "#2171B5", "#2CA6A4", "#74B72E", "#E3A400", "#D55E00")
MODELS: dict[str, dict[str, Any]] = {
    DIAL: {"color": "#08306B", "marker": "o"},
    TOLD: {"color": "#D55E00", "marker": "o", "markerfacecolor": "none"},
}
SAYS = {DIAL: "ρ = 0", TOLD: "ρ = 0, the question tells its end"}


@styled
def law(tables: Tables) -> Figure | None:
    """Reliance against what is not amortized: by place, and lag by lag; and what ignoring the trace costs."""
    metrics = tables.metrics
    found = {name: points(metrics, name) for name in MODELS} if len(metrics) else {}
    if not found or found[DIAL].dropna().empty:
        return None
    figure = Figure(figsize=(11.4, 4.6))
    whole, steps, cost = figure.subplots(1, 3)
    for name, style in MODELS.items():
        _points(whole, by_place(found[name]), "gap", "alpha", style)
        _points(cost, by_place(found[name]), "kept_kl", "distance", style)
    lags = sorted(found[DIAL]["lag"].unique())
    for place, lag in enumerate(lags):
        own = found[DIAL][found[DIAL]["lag"] == lag]
        _points(steps, own, "gap", "alpha", {"color": LAG_SHADES[place % len(LAG_SHADES)], "marker": "o"})
    for axes in (whole, steps):
        axes.axhline(0, color="#999999", linewidth=0.8, zorder=1)
        axes.set_ylabel("causal reliance α, where ρ = 0")
    cost.set_xscale("log")
    cost.set_yscale("log")
    for axes in (whole, steps, cost):
        low, high = axes.get_xlim()
        along = np.geomspace(max(low, 1e-4), high, 50)
        axes.plot(along, along, color="#999999", linewidth=1, linestyle=(0, (4, 2)), zorder=1)
    whole.set_title("whole questions")
    whole.set_xlabel("KL of the direct model / KL of the prior")
    steps.set_title("lag by lag")
    steps.set_xlabel("the same on questions of lag + 1 steps")
    cost.set_title("what ignoring the trace costs")
    cost.set_xlabel("KL of the direct model, same problems  [nats]")
    cost.set_ylabel("distance from the optimum of ρ = 0  [nats]")
    figure.suptitle("Can a model ignore its trace only as far as it has amortized the inference?", x=0.01, ha="left")
    handles = [Line2D([], [], linestyle="", label=SAYS[name], **style) for name, style in MODELS.items()]
    handles += [
        Line2D([], [], linestyle="", marker="o", color=LAG_SHADES[place % len(LAG_SHADES)], label=f"lag {lag}")
        for place, lag in enumerate(lags)
    ]
    handles.append(Line2D([], [], color="#999999", linewidth=1, linestyle=(0, (4, 2)), label="equal"))
    legend_below(figure, handles, columns=5)
    return figure


def _points(axes: Axes, table: pd.DataFrame, x: str, y: str, style: dict[str, Any]) -> None:
    """Means over seeds of each world, size and training, with intervals of what is above."""
    for _, own in table.dropna(subset=[x, y]).groupby(["task", "variant"]):
        whisker(axes, own[y].to_numpy(dtype=float), float(own[x].mean()), along="y", markersize=5, **style)
