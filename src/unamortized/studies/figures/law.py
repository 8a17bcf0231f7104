"""Figures of the law: reliance of models trained to ignore their trace, against the amortization gap."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from unamortized.studies.amortization_gap import CELL, DIAL, TOLD, by_cell, points
from unamortized.studies.figures.charts import Picture
from unamortized.studies.figures.style import Tables, legend_below, shades, whisker

MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    DIAL: ("trained to ignore its trace (ρ = 0)", {"color": "#0072B2", "marker": "o"}),
    TOLD: ("the same, question states the last belief", {"color": "#D55E00", "marker": "o", "markerfacecolor": "none"}),
}
EQUAL: dict[str, Any] = {"color": "#999999", "linewidth": 1, "linestyle": (0, (4, 2))}


def law(tables: Tables) -> Figure | None:
    """Draw reliance against the amortization gap, by cell and by lag, and the cost of ignoring the trace."""
    found = {name: points(tables.metrics, name) for name in MODELS} if len(tables.metrics) else {}
    if not found or found[DIAL].dropna().empty:
        return None
    figure = Figure(figsize=(9.2, 4.0))
    whole, by_lag, cost = figure.subplots(1, 3)
    by_lag.sharey(whole)
    for name, (_, style) in MODELS.items():
        _points(whole, by_cell(found[name]), "gap", "alpha", style)
        _points(cost, by_cell(found[name]), "kept_kl", "distance", style)
    lags = sorted(found[DIAL]["lag"].unique())
    lag_shades = dict(zip(lags, shades(len(lags), ordered=True), strict=True))
    for lag, own in found[DIAL].groupby("lag"):
        _points(by_lag, own, "gap", "alpha", {"color": lag_shades[lag], "marker": "o"})
    cost.set(xscale="log", yscale="log")
    for axes in (whole, by_lag, cost):
        low, high = axes.get_xlim()
        along = np.geomspace(max(low, 1e-4), high, 50)
        axes.plot(along, along, zorder=1, **EQUAL)
    for axes in (whole, by_lag):
        axes.axhline(0, color="#999999", linewidth=0.8, zorder=1)
    whole.set(title="A point for each world and model", ylabel="causal reliance α")
    whole.set_xlabel("amortization gap:\nKL of the direct model / of the prior")
    by_lag.set(title="... and each lag", xlabel="the same, on questions of\nlag + 1 observations")
    by_lag.tick_params(labelleft=False)
    cost.set(title="Cost of ignoring the trace", ylabel="KL from the optimum for ρ = 0  [nats]")
    cost.set_xlabel("KL of the direct model on the same\nproblems, unedited  [nats]")
    figure.suptitle("Can a model ignore its trace only as far as it has amortized the inference?", x=0.01, ha="left")
    handles = [Line2D([], [], linestyle="", label=label, **style) for label, style in MODELS.values()]
    legend_below(figure, [*handles, Line2D([], [], label="equal", **EQUAL)])
    named = [Line2D([], [], ls="", marker="o", ms=4.5, color=lag_shades[lag], label=f"lag {lag}") for lag in lags]
    by_lag.legend(handles=named, fontsize=7.5, loc="lower right", ncols=2, handletextpad=0, columnspacing=0.5)
    return figure


def _points(axes: Axes, table: pd.DataFrame, x: str, y: str, style: dict[str, Any]) -> None:
    """Draw each cell at its mean over seeds, with the interval of y."""
    for _, own in table.dropna(subset=[x, y]).groupby(CELL):
        whisker(axes, own[y].to_numpy(dtype=float), float(own[x].mean()), along="y", markersize=4.5, **style)


FIGURES = (
    Picture(
        "law",
        "Models trained to ignore their trace rely on it even where little is left to amortize; ignoring it costs "
        "about the direct model's KL or more, unless the question states the last belief.",
        law,
        ("causal_reliance", "dial_distance", "undisturbed_kl", "answer_kl"),
    ),
)
