"""Probes: where in the network the belief can be read affinely, beside what reads as well without learning."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from unamortized.studies.figures.style import (
    CONTROLS,
    Tables,
    curve,
    in_order,
    legend_below,
    look,
    over_seeds,
    rows_of,
    styled,
    tasks_of,
)

SITES = {"probe_r2": "about to write", "question_probe_r2": "reading the question"}
LAYERED = ("untrained", "shuffled_belief")  # controls that have layers; the window has none
LOWEST = -0.2  # a probe that is worse is drawn here


@styled
def probe_r2_by_layer(tables: Tables) -> Figure | None:
    """Probe R2 pooled over steps, by layer, each condition beside its controls."""
    rows = rows_of(tables.metrics, *SITES)
    rows = rows[rows["step"].isna()] if len(rows) else rows
    if rows.empty:
        return None
    tasks, sites = tasks_of(rows), [site for site in SITES if site in set(rows["metric"])]
    conditions = in_order(name for name in rows["condition"] if "/" not in name)
    layers = sorted({str(layer) for layer in rows["layer"].dropna()} - {"all"}, key=int)
    places = {layer: float(layer) for layer in layers} | {"all": len(layers) + 0.5}
    figure = Figure(figsize=(8.8, 2.1 * len(tasks) + 1.5))
    panels = figure.subplots(len(tasks), len(sites), sharex=True, sharey=True, squeeze=False)
    for line_of_panels, task in zip(panels, tasks, strict=True):
        for axes, site in zip(line_of_panels, sites, strict=True):
            own = rows[(rows["task"] == task) & (rows["metric"] == site)]
            for number, name in enumerate(conditions):
                aside = 0.5 * ((number + 0.5) / len(conditions) - 0.5)  # or the points would hide each other
                for control in LAYERED:
                    _layers(axes, own[own["condition"] == f"{name}/{control}"], places, aside, f"{name}/{control}")
                window = own[own["condition"] == f"{name}/window_10"]
                if len(window):
                    level = over_seeds(window.assign(layer="none"), "layer")["mean"].iloc[0]
                    axes.axhline(max(level, LOWEST), **look(f"{name}/window_10"))
                _layers(axes, own[own["condition"] == name], places, aside, name)
            axes.axhline(0, color="#BBBBBB", linewidth=0.8, zorder=0)
            axes.set_title(f"{task}: {SITES[site]}")
        line_of_panels[0].set_ylabel("probe $R^2$  [ratio]")
    panels[0, 0].set_ylim(LOWEST - 0.03, 1.03)
    panels[0, 0].set_xlim(-0.3, places["all"] + 0.4)
    for axes in panels[-1]:
        axes.set_xticks(list(places.values()), list(places))
        axes.set_xlabel("layer  (0 = embedding; all = layers concatenated)")
    figure.suptitle("Where can the exact belief be read, and would a control read it as well?", x=0.01, ha="left")
    handles = [Line2D([], [], label=name, **look(name)) for name in conditions]
    for control in CONTROLS:
        if f"/{control}" in {name[name.find("/") :] for name in rows["condition"] if "/" in name}:
            style: dict[str, Any] = look(f"{conditions[0]}/{control}") | {"color": "#555555"}
            handles.append(Line2D([], [], label=f"<condition>/{control}", **style))
    legend_below(figure, handles, columns=3)
    return figure


def _layers(axes: Axes, rows: pd.DataFrame, places: dict[str, float], aside: float, name: str) -> None:
    """A line through the layers; all of them concatenated stand apart, as a point that no line leads to."""
    style, joined = look(name), rows["layer"] == "all"
    at = rows.assign(place=rows["layer"].map(places).astype(float))
    if not joined.all():
        curve(axes, at[~joined], "place", floor=LOWEST, band="/" not in name, **style)
    summary = over_seeds(at[joined], "place").clip(lower=LOWEST).to_numpy(dtype=float)
    if len(summary):  # none where the beliefs never vary, so that every R² is not a number
        mean, low, high = summary[0]
        mark = {"marker": "_", "markersize": 9, "markeredgewidth": 1.5} if "/" in name else {}
        axes.plot([places["all"] + aside], [mean], **style | mark)
        if "/" not in name and not np.isnan(low):
            axes.vlines(places["all"] + aside, low, high, color=style["color"], alpha=0.5, linewidth=1.2)
