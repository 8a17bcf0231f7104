"""Routes: which heads fetch the observation and the last belief, and where the two become the next one."""

import re
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from unamortized.studies.figures.style import Tables, in_order, legend_below, rows_of, styled, tasks_of, whisker

GROUPS = {  # what the column about to state step t attends to, by what is appended to the condition's name
    "observation": "$x_t$",
    "own": "itself",
    "last_code": "$c_{t-1}$",
    "earlier_codes": "earlier\ncodes",
    "earlier_observations": "$x$ before\n$x_t$",
    "later_observations": "$x$ after\n$x_t$",
    "marks": "marks",
    "random_columns": "another\n$x$",
}
CORRUPTED = {"observation": ("#1B9E77", "o", "another $x_t$"), "last_code": ("#7570B3", "D", "another $c_{t-1}$")}
METRICS = ("route_tv", "route_reliance", "route_reliance_direct")
INK, RULE = "#222222", "#E4E4E4"


def _parts(layers: set[str]) -> list[str]:
    """Parts of the network in the order in which they compute; without the heads of a layer as one."""

    def turn(name: str) -> tuple[int, int, str]:
        if name in ("embed", "all"):
            return (-1, 0, name) if name == "embed" else (10**6, 0, name)
        layer, part = re.findall(r"L(\d+)(.*)", name)[0]
        return int(layer), 10**6 if part == "MLP" else int(part[1:]), name

    return sorted((name for name in layers if not re.fullmatch(r"L\d+", name)), key=turn)


@styled
def routes(tables: Tables) -> Figure | None:
    """Left what each head's sight of a group of columns is worth, right what each part passes on; a row a model."""
    rows = rows_of(tables.metrics, *METRICS)
    if rows.empty:
        return None
    named = rows["condition"].str.partition("/")
    rows = rows.assign(trained=named[0], of=named[2])
    models = [(task, name) for task in tasks_of(rows) for name in in_order(rows.loc[rows["task"] == task, "trained"])]
    parts = {model: _parts(set(_of(rows, *model)["layer"])) for model in models}
    heights = [0.215 * len(parts[model]) + 0.75 for model in models]
    figure = Figure(figsize=(9.4, sum(heights) + 1.0))
    panels = figure.subplots(
        len(models), 2, squeeze=False, gridspec_kw={"width_ratios": (1.15, 1), "height_ratios": heights}
    )
    for (left, right), model in zip(panels, models, strict=True):
        own = _of(rows, *model)
        _heat_map(left, own[own["metric"] == "route_tv"], parts[model])
        _passed_on(right, own[own["metric"] != "route_tv"], parts[model])
        left.set_title(f"{model[0]}, {model[1]}: without a look at")
        right.set_title("as if told otherwise")
    panels[-1, 0].set_xlabel("cell: how far the new code moves  [TV]")
    panels[-1, 1].set_xlabel("reliance of the belief about to be stated  [ratio]")
    figure.suptitle("Which heads fetch the observation, which the last belief?", x=0.01, ha="left")
    handles = [
        Line2D([], [], color=shade, marker=mark, ls="", label=f"{says}, {how}", markerfacecolor=face)
        for shade, mark, says in CORRUPTED.values()
        for how, face in (("in all", shade), ("straight to the output", "white"))
    ]
    legend_below(figure, handles)
    return figure


def _of(rows: pd.DataFrame, task: str, trained: str) -> pd.DataFrame:
    return rows[(rows["task"] == task) & (rows["trained"] == trained)]


def _heat_map(axes: Axes, rows: pd.DataFrame, parts: list[str]) -> None:
    """Mean over seeds by head and group, written out; nothing where a part attends to nothing."""
    present = [group for group in GROUPS if (rows["of"] == group).any()]
    means = rows.pivot_table(index="layer", columns="of", values="value").reindex(index=parts, columns=present)
    values = means.to_numpy(dtype=float)
    axes.imshow(values, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (y, x), value in np.ndenumerate(values):
        if np.isfinite(value):
            shade = "white" if value > 0.6 else INK if value >= 0.005 else "#B0B0B0"
            text = "0" if value < 0.005 else f"{value:.2f}".removeprefix("0")
            axes.text(x, y, text, ha="center", va="center", fontsize=7, color=shade)
    # what is in no column before is in that column itself; in neither where the trace has copied the observation
    held = [GROUPS[group] for group in ("observation", "last_code") if group not in present]
    names = GROUPS | {"own": "\n".join(["itself", *[f"({one})" for one in held]])}
    axes.set_xticks(range(len(present)), [names[group] for group in present], fontsize=7.5)
    axes.set_yticks(range(len(parts)), parts)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _passed_on(axes: Axes, rows: pd.DataFrame, parts: list[str]) -> None:
    """Reliance by part, in all (filled) and straight to the output (hollow), with intervals over seeds."""
    for number, (name, (shade, mark, _)) in enumerate(CORRUPTED.items()):
        for metric in METRICS[1:]:
            own = rows[(rows["of"] == name) & (rows["metric"] == metric)]
            for place, part in enumerate(parts):
                found = own.loc[own["layer"] == part, "value"].to_numpy(dtype=float)
                hollow = {"markerfacecolor": "white", "markersize": 3.6} if metric.endswith("direct") else {}
                style: dict[str, Any] = {"color": shade, "marker": mark, "markersize": 4.4} | hollow
                whisker(axes, found, place + 0.3 * (number - 0.5), along="x", **style)
    for value in (0, 1):
        axes.axvline(value, color="#BBBBBB", linewidth=0.8, zorder=0)
    axes.hlines(range(len(parts)), -0.1, 1.1, color=RULE, linewidth=0.6, zorder=0)
    axes.set_xlim(-0.1, 1.15)
    axes.set_ylim(len(parts) - 0.5, -0.5)
    axes.set_yticks(range(len(parts)), parts)
    axes.tick_params(axis="y", length=0)
