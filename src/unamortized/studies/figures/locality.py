"""Locality: the error on pairs never seen together, by what was seen and by how the model is asked."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from unamortized.studies.figures.style import (
    Tables,
    curve,
    legend_below,
    over_seeds,
    rows_of,
    styled,
    tasks_of,
)

WINDOWS = {"local_windows": "local", "wrong_local_windows": "wrong local", "full_windows": "full"}
ESTIMATORS = {  # by name, colour and marker
    "direct": ("#D55E00", "o"),
    "negative_scaffold": ("#E69F00", "s"),
    "free": ("#56B4E9", "^"),
    "scaffolded": ("#0072B2", "D"),
}
LEVELS: dict[str, tuple[str, Any]] = {
    "marginal": ("marginal p(X_i)", (0, (1, 1.4))),
    "exact_scaffolded": ("exact conditionals along the path", (0, (5, 1.8))),
}
GREY = "#6E6E6E"
HELD_OUT, SEEN = "composition", "in_distribution"

# Prystawski, Li & Goodman 2023: mean squared error to the true conditional on held-out pairs, from the tables released
# with the paper (ten nets, geometric windows); of wrong windows only the common size of all estimators is told apart
PUBLISHED = {
    ("local_windows", "direct"): 0.027,
    ("local_windows", "negative_scaffold"): 0.027,
    ("local_windows", "free"): 0.014,
    ("local_windows", "scaffolded"): 0.016,
    ("full_windows", "direct"): 0.035,
    ("full_windows", "negative_scaffold"): 0.039,
    ("full_windows", "free"): 0.036,
    ("full_windows", "scaffolded"): 0.026,
    **{("wrong_local_windows", name): 0.07 for name in ESTIMATORS},
}
UNIT = "mean squared error  [probability²]"


@styled
def locality_mse(tables: Tables) -> Figure | None:
    """Bars of each estimator after each kind of window, beside the published values."""
    rows = rows_of(tables.metrics, "conditional_mse")
    rows = rows[rows["step"].isna() & (rows["split"] == HELD_OUT)] if len(rows) else rows
    if rows.empty:
        return None
    tasks = tasks_of(rows)
    figure = Figure(figsize=(max(7.6, 5.4 * len(tasks)), 4.4))
    panels = figure.subplots(1, len(tasks), sharey=True, squeeze=False)[0]
    for axes, task in zip(panels, tasks, strict=True):
        own = rows[rows["task"] == task]
        for name, (_, dashes) in LEVELS.items():
            if len(level := own[own["condition"] == name]):
                axes.axhline(_summary(level)[0], color=GREY, linestyle=dashes, linewidth=1.3, zorder=1)
        groups = [name for name in WINDOWS if own["condition"].str.startswith(f"{name}/").any()]
        for group, windows in enumerate(groups):
            _bars(axes, own, group, windows)
        axes.set_xticks(range(len(groups)), [f"{WINDOWS[name]} windows" for name in groups])
        axes.tick_params(axis="x", length=0)
        axes.set_title(task)
    panels[0].set_ylabel(UNIT)
    panels[0].set_ylim(bottom=0)
    figure.suptitle("Do steps in between help where experience was local?  (lower is better)", x=0.01, ha="left")
    handles: list[Any] = [Patch(color=colour, label=name) for name, (colour, _) in ESTIMATORS.items()]
    handles += [
        Line2D([], [], color=GREY, linestyle=dashes, linewidth=1.3, label=says) for says, dashes in LEVELS.values()
    ]
    handles.append(Line2D([], [], label="published, other nets and model", **_hollow("#333333")))
    legend_below(figure, handles)
    return figure


def _bars(axes: Axes, rows: pd.DataFrame, group: int, windows: str) -> None:
    for number, (name, (colour, _)) in enumerate(ESTIMATORS.items()):
        at = group + 0.2 * (number - 1.5)
        found = rows[rows["condition"] == f"{windows}/{name}"]
        if len(found):
            mean, low, high = _summary(found)
            axes.bar(at, mean, width=0.18, color=colour, zorder=2)
            if not np.isnan(low):
                axes.vlines(at, max(low, 0.0), high, color="#222222", linewidth=1.2, zorder=3)
        axes.plot([at], [PUBLISHED[windows, name]], **_hollow("#333333"))


def _hollow(colour: str) -> dict[str, Any]:
    return {
        "marker": "D",
        "markerfacecolor": "white",
        "markeredgecolor": colour,
        "markeredgewidth": 1.0,
        "linestyle": "none",
        "markersize": 5,
        "zorder": 4,
    }


def _summary(rows: pd.DataFrame) -> tuple[float, float, float]:
    """Mean over seeds and its interval."""
    mean, low, high = over_seeds(rows.assign(all="all"), "all").to_numpy(dtype=float)[0]
    return mean, low, high


@styled
def locality_by_distance(tables: Tables) -> Figure | None:
    """Error of each estimator by distance, one panel a kind of window."""
    rows = rows_of(tables.metrics, "conditional_mse")
    rows = rows[rows["step"].notna()] if len(rows) else rows
    if rows.empty:
        return None
    tasks = tasks_of(rows)
    groups = [name for name in WINDOWS if rows["condition"].str.startswith(f"{name}/").any()]
    if not groups:
        return None
    figure = Figure(figsize=(max(7.6, 3.2 * len(groups)), 2.6 * len(tasks) + 1.3))
    panels = figure.subplots(len(tasks), len(groups), sharex=True, sharey=True, squeeze=False)
    for line_of_panels, task in zip(panels, tasks, strict=True):
        for axes, windows in zip(line_of_panels, groups, strict=True):
            own = rows[rows["task"] == task]
            for name, (_, dashes) in LEVELS.items():
                level = own[(own["condition"] == name) & (own["split"] == HELD_OUT)]
                if len(level):
                    curve(axes, level, "step", band=False, color=GREY, linestyle=dashes, linewidth=1.3, zorder=1.5)
            for name, (colour, marker) in ESTIMATORS.items():
                found = own[own["condition"] == f"{windows}/{name}"]
                style = {"color": colour, "marker": marker, "markeredgecolor": "white", "markeredgewidth": 0.6}
                for split, alpha in ((SEEN, 0.3), (HELD_OUT, 1.0)):
                    if len(points := found[found["split"] == split]):
                        curve(axes, points, "step", floor=0.0, band=split == HELD_OUT, alpha=alpha, zorder=3, **style)
            axes.set_title(f"{task}: {WINDOWS[windows]} windows")
        line_of_panels[0].set_ylabel(UNIT)
    for axes in panels[-1]:
        axes.set_xticks(sorted(float(step) for step in rows["step"].unique()))
        axes.set_xlabel("edges between the two variables  [steps]")
    panels[0, 0].set_ylim(bottom=0)
    figure.suptitle("How far do the steps reach?  (lower is better)", x=0.01, ha="left")
    handles = [Line2D([], [], color=colour, marker=marker, label=name) for name, (colour, marker) in ESTIMATORS.items()]
    handles += [
        Line2D([], [], color=GREY, linestyle=dashes, linewidth=1.3, label=says) for says, dashes in LEVELS.values()
    ]
    legend_below(figure, handles, columns=3)
    return figure
