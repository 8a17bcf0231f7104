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
    legend_below,
    over_seeds,
    rows_of,
    styled,
    tasks_of,
)

WINDOWS = {"local_windows": "local", "wrong_local_windows": "wrong local", "full_windows": "full"}
ESTIMATORS = {  # in the order of the published figure
    "direct": "#D55E00",
    "negative_scaffold": "#E69F00",
    "free": "#56B4E9",
    "scaffolded": "#0072B2",
}
LEVELS: dict[str, tuple[str, Any]] = {
    "marginal": ("marginal p(X_i)", (0, (1, 1.4))),
    "exact_scaffolded": ("exact conditionals along the path", (0, (5, 1.8))),
}
GRAY = "#6E6E6E"
HELD_OUT = "composition"

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
                axes.axhline(_summary(level)[0], color=GRAY, linestyle=dashes, linewidth=1.3, zorder=1)
        groups = [name for name in WINDOWS if own["condition"].str.startswith(f"{name}/").any()]
        for group, windows in enumerate(groups):
            _bars(axes, own, group, windows)
        axes.set_xticks(range(len(groups)), [f"{WINDOWS[name]} windows" for name in groups])
        axes.tick_params(axis="x", length=0)
        axes.set_title(task)
    panels[0].set_ylabel("mean squared error  [probability²]")
    panels[0].set_ylim(bottom=0)
    figure.suptitle("Do steps in between help where experience was local?  (lower is better)", x=0.01, ha="left")
    handles: list[Any] = [Patch(color=color, label=name) for name, color in ESTIMATORS.items()]
    handles += [
        Line2D([], [], color=GRAY, linestyle=dashes, linewidth=1.3, label=says) for says, dashes in LEVELS.values()
    ]
    handles.append(Line2D([], [], label="published, other nets and model", **_hollow("#333333")))
    legend_below(figure, handles, columns=3)
    return figure


def _bars(axes: Axes, rows: pd.DataFrame, group: int, windows: str) -> None:
    for number, (name, color) in enumerate(ESTIMATORS.items()):
        at = group + 0.2 * (number - 1.5)
        found = rows[rows["condition"] == f"{windows}/{name}"]
        if len(found):
            mean, low, high = _summary(found)
            axes.bar(at, mean, width=0.18, color=color, zorder=2)
            if not np.isnan(low):
                axes.vlines(at, max(low, 0.0), high, color="#222222", linewidth=1.2, zorder=3)
        axes.plot([at], [PUBLISHED[windows, name]], **_hollow("#333333"))


def _hollow(color: str) -> dict[str, Any]:
    return {
        "marker": "D",
        "markerfacecolor": "white",
        "markeredgecolor": color,
        "markeredgewidth": 1.0,
        "linestyle": "none",
        "markersize": 5,
        "zorder": 4,
    }


def _summary(rows: pd.DataFrame) -> tuple[float, float, float]:
    """Mean over seeds and its interval."""
    mean, low, high = over_seeds(rows.assign(all="all"), "all").to_numpy(dtype=float)[0]
    return mean, low, high
