"""Geometry: the residual stream beside the truth, what reads a belief, where it lies, and what moving it does."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from unamortized.studies.figures.simplex import beliefs_of, outline, to_triangle
from unamortized.studies.figures.style import (
    EXACT,
    Tables,
    color,
    curve,
    in_order,
    legend_below,
    look,
    rows_of,
    styled,
    tasks_of,
    whisker,
)

NEXT = "next_token"
LOWEST = -0.2
SITES = {"question_probe_r2": "reading the question", "probe_r2": "about to write"}
NAMED = {  # what follows a condition's slash: what it is called, and whether it is asked for something else
    "": "belief, from the network",
    "untrained": "belief, before training",
    "own_output": "belief, from its output alone",
    "last_statement": "belief, from last code x observation",
    "random_relu": "belief, from random features",
    "window_10": "belief, from ten observations",
    "constrained_belief": "constrained belief",
    "next_symbol": "next symbol",
    "belief_1_back": "belief one step ago",
    "belief_2_back": "belief two steps ago",
    "belief_4_back": "belief four steps ago",
    "wrong_process": "a wrong process's exact belief",
    "control_task": "words by heart",
    "shuffled_belief": "another problem's belief",
}
RIVALS = ("untrained", "own_output", "last_statement", "random_relu", "window_10")
MOVES = {  # in the order of the legend: name, color, mark
    "": ("along the belief subspace", "#0072B2", "D"),
    "donor_subspace": ("donor's part in it", "#009E73", "o"),
    "random_subspace": ("as far in a random one", "#8A8A8A", "v"),
    "donor_random": ("donor's part in a random one", "#B0B0B0", "^"),
    "wrong_state": ("to another belief", "#D55E00", "X"),
    "mean_patch": ("mean activation", "#CC79A7", "P"),
    "donor_patch": ("all of the donor's", "#000000", "s"),
    "token_edit": ("the code edited instead", "#000000", "_"),
    "unsteered": ("nothing moved", "#000000", "|"),
}


@styled
def residual_simplex(tables: Tables) -> Figure | None:
    """Exact beliefs, and what is read of them at each layer and at all, of models of the next symbol."""
    rows = tables.examples
    rows = rows[(rows["condition"] == NEXT) & rows["source"].str.startswith("cloud ")] if len(rows) else rows
    if rows.empty:
        return None
    rows = rows.assign(source=rows["source"].str.removeprefix("cloud "))
    tasks, columns = tasks_of(rows), ["exact", *_layers(rows)]
    figure = Figure(figsize=(1.75 * len(columns) + 0.4, 2.05 * len(tasks) + 1.0))
    panels = figure.subplots(len(tasks), len(columns), squeeze=False)
    for line, task in zip(panels, tasks, strict=True):
        own = rows[(rows["task"] == task) & (rows["seed"] == rows["seed"].min())]
        clouds = {name: beliefs_of(own, name) for name in columns if name in set(own["source"])}
        exact = clouds["exact"]
        place, paint = _projection(exact.to_numpy())
        every = [clouds[name].reindex(columns=exact.columns, fill_value=0.0) for name in clouds]
        limits = _frame(np.concatenate([place(cloud.to_numpy()) for cloud in every]))
        for axes, name in zip(line, columns, strict=True):
            axes.set_axis_off()
            if name not in clouds:
                continue
            cloud = clouds[name].reindex(index=exact.index, columns=exact.columns, fill_value=0.0)
            if exact.shape[1] == 3:
                outline(axes, names=("", "", ""))
            points = place(cloud.to_numpy())
            axes.scatter(*points.T, c=paint, s=4, alpha=0.6, linewidths=0, rasterized=True, zorder=2)
            if exact.shape[1] != 3:
                axes.set(xlim=limits[0], ylim=limits[1])
                axes.set_aspect("equal")
            axes.set_title(_column_title(name, task, tables.metrics), fontsize=9, loc="center")
        line[0].text(-0.08, 0.5, task, rotation=90, ha="right", va="center", transform=line[0].transAxes, fontsize=9.5)
    figure.suptitle("Does the residual stream hold the geometry of beliefs?", x=0.01, ha="left")
    said = "Color: the exact belief, alike in all panels. Of more than three states: the first two principal components"
    figure.supxlabel(said, fontsize=8.5, color="#555555")
    return figure


def _layers(examples: pd.DataFrame) -> list[str]:
    return sorted({name for name in examples["source"].unique() if name.startswith("layer ")})


def _column_title(name: str, task: str, metrics: pd.DataFrame) -> str:
    """What a panel shows, with the R2 of it, the mean over seeds."""
    if name == "exact":
        return "exact belief"
    layer = name.removeprefix("layer ")
    rows = rows_of(metrics, "question_probe_r2")
    rows = rows[(rows["task"] == task) & (rows["condition"] == NEXT) & (rows["layer"] == layer) & rows["step"].isna()]
    rows = rows[rows["split"] == "in_distribution"]
    said = "all layers" if layer == "all" else name
    return f"{said}\n$R^2$ {rows['value'].mean():.2f}" if len(rows) else said


def _projection(exact: Float[np.ndarray, "point state"]):
    """How points of belief space are placed in the plane, and a color for each exact belief."""
    if exact.shape[1] == 3:
        return to_triangle, exact.clip(0, 1)
    center = exact.mean(axis=0)
    _, _, axes = np.linalg.svd(exact - center, full_matrices=False)
    shades = (exact - center) @ axes[:3].T
    paint = (shades - shades.min(axis=0)) / np.ptp(shades, axis=0).clip(min=1e-12)
    return (lambda points: (points - center) @ axes[:2].T), paint


def _frame(points: Float[np.ndarray, "point 2"]) -> list[tuple[float, float]]:
    low, high = points.min(axis=0), points.max(axis=0)
    margin = 0.05 * (high - low)
    return [(float(a), float(b)) for a, b in zip(low - margin, high + margin, strict=True)]


@styled
def probe_rivals(tables: Tables) -> Figure | None:
    """R2 of what is read from all layers, beside rivals that read the belief without a network, as dots."""
    rows = rows_of(tables.metrics, *SITES)
    if rows.empty:
        return None
    rows = rows[rows["step"].isna() & (rows["split"] == "in_distribution")]
    rows = rows[(rows["layer"] == "all") | rows["layer"].isna()]
    beside = rows["condition"].str.partition("/")[2]
    rows = rows[beside.isin(list(NAMED))].assign(beside=beside, own=rows["condition"].str.partition("/")[0])
    panels = [
        (task, name, site)
        for task in tasks_of(rows)
        for name in in_order(rows.loc[rows["task"] == task, "own"])
        for site in SITES
        if ((rows["task"] == task) & (rows["own"] == name) & (rows["metric"] == site)).any()
        and not (site == "probe_r2" and name == NEXT)  # whose answer is one more symbol
    ]
    if not panels:
        return None
    wide = min(4, len(panels))
    high = -(-len(panels) // wide)
    order = list(NAMED)[::-1]
    figure = Figure(figsize=(2.0 * wide + 2.6, 2.75 * high + 1.0))
    grid = figure.subplots(high, wide, sharex=True, sharey=True, squeeze=False)
    for axes, (task, name, site) in zip(grid.flat, panels, strict=False):
        own = rows[(rows["task"] == task) & (rows["own"] == name) & (rows["metric"] == site)]
        best = own[own["beside"] == ""].groupby("seed")["value"].mean().mean()
        axes.axvline(best, color=color(name), linewidth=0.9, alpha=0.5, zorder=0)
        for at, key in enumerate(order):
            values = own.loc[own["beside"] == key, "value"].to_numpy(dtype=float)
            mark = "D" if not key else "o" if key in RIVALS else "s"
            shade = color(name) if not key else "#555555" if key in RIVALS else "#A6A6A6"
            whisker(axes, values.clip(min=LOWEST), at, along="x", marker=mark, color=shade, markersize=4.5)
        axes.set_title(f"{task}\n{name}, {SITES[site]}", fontsize=8.5)
        axes.grid(axis="y", color="#EEEEEE", linewidth=0.7)
    for axes in list(grid.flat)[len(panels) :]:
        axes.set_visible(False)
    for line in grid:
        line[0].set_yticks(range(len(order)), [NAMED[key] for key in order], fontsize=8)
    grid[0, 0].set_xlim(LOWEST - 0.03, 1.03)
    for at in range(wide):
        shown = [line[at] for line in grid if line[at].get_visible()]
        shown[-1].set_xlabel("$R^2$  [ratio]")
        shown[-1].tick_params(labelbottom=True)
    figure.suptitle("What can be read from all layers, and what reads the belief as well?", x=0.01, ha="left")
    return figure


@styled
def probe_training(tables: Tables) -> Figure | None:
    """R2 of the belief at each layer over training, of models that kept their weights on the way."""
    rows = rows_of(tables.metrics, "question_probe_r2")
    if rows.empty:
        return None
    after = rows["condition"].str.extract(r"^([^/]+)/after_(\d+)$")
    rows = rows.assign(own=after[0], after=after[1].astype(float))[after[1].notna() & rows["step"].isna()]
    if rows.empty:
        return None
    tasks = tasks_of(rows)
    figure = Figure(figsize=(4.2 * len(tasks), 3.4))
    panels = figure.subplots(1, len(tasks), sharey=True, squeeze=False)[0]
    layers = sorted(set(rows["layer"]), key=lambda layer: (layer == "all", layer))
    for axes, task in zip(panels, tasks, strict=True):
        own = rows[rows["task"] == task]
        for layer in layers:
            curve(axes, own[own["layer"] == layer], "after", floor=LOWEST, label=layer, **_layer_look(layer, layers))
        axes.set_xscale("log", base=2)
        axes.set_xlabel("steps of training")
        axes.set_title(task)
    panels[0].set_ylabel("probe $R^2$ of the belief  [ratio]")
    panels[0].set_ylim(LOWEST - 0.03, 1.03)
    figure.suptitle("When does the belief appear, and at which layer?", x=0.01, ha="left")
    said = {"0": "embedding", "all": "all layers"}
    handles = [Line2D([], [], label=said.get(each, f"layer {each}"), **_layer_look(each, layers)) for each in layers]
    legend_below(figure, handles, columns=6)
    return figure


def _layer_look(layer: str, layers: Sequence[str]) -> dict:
    if layer == "all":
        return {"color": EXACT, "marker": "D", "markersize": 4}
    depth = int(layer) / max(1, len(layers) - 2)
    shade = np.array([0.78, 0.87, 0.95]) * (1 - depth) + np.array([0.0, 0.27, 0.5]) * depth
    return {"color": tuple(shade.tolist()), "marker": "o", "markersize": 4}


@styled
def steering(tables: Tables) -> Figure | None:
    """KL to the counterfactual after each way of moving an activation, by layer; the mean over lags."""
    rows = rows_of(tables.metrics, "steered_kl", "question_steered_kl")
    if rows.empty:
        return None
    rows = rows[rows["step"].notna() & rows["layer"].str.isdecimal()]
    parts = rows["condition"].str.partition("/")
    rows = rows.assign(own=parts[0], beside=parts[2])
    panels = [
        (task, name, metric)
        for task in tasks_of(rows)
        for name in in_order(rows.loc[rows["task"] == task, "own"])
        for metric in ("steered_kl", "question_steered_kl")
        if ((rows["task"] == task) & (rows["own"] == name) & (rows["metric"] == metric)).any()
    ]
    wide = min(4, len(panels))
    high = -(-len(panels) // wide)
    figure = Figure(figsize=(2.35 * wide + 0.6, 2.6 * high + 1.5))
    grid = figure.subplots(high, wide, squeeze=False)
    for axes, (task, name, metric) in zip(grid.flat, panels, strict=False):
        own = rows[(rows["task"] == task) & (rows["own"] == name) & (rows["metric"] == metric)]
        layers = sorted(set(own["layer"]), key=int)
        for number, (beside, (_, shade, mark)) in enumerate(MOVES.items()):
            of = own[own["beside"] == beside]
            aside = 0.5 * ((number + 0.5) / len(MOVES) - 0.5)
            for layer in layers:
                values = of[of["layer"] == layer].groupby("seed")["value"].mean().to_numpy(dtype=float)
                whisker(axes, values, int(layer) + aside, along="y", marker=mark, color=shade, markersize=4.5)
        axes.set_xticks(range(len(layers)), layers)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("layer")
        where = "in the question" if metric.startswith("question") else "about to write"
        axes.set_title(f"{task}\n{name}, {where}", fontsize=8.5)
    for axes in list(grid.flat)[len(panels) :]:
        axes.set_visible(False)
    for line in grid:
        line[0].set_ylabel("KL to the counterfactual  [nats]")
    figure.suptitle("Does the answer follow a belief that is moved inside?", x=0.01, ha="left")
    handles = [
        Line2D([], [], linestyle="", marker=mark, color=shade, label=says) for says, shade, mark in MOVES.values()
    ]
    legend_below(figure, handles, columns=4)
    return figure


@styled
def subspaces(tables: Tables) -> Figure | None:
    """Effective dimension, share of variance, and angles of belief subspaces, by layer."""
    drawn = ("effective_dimension", "belief_variance", "subspace_angle")
    rows = rows_of(tables.metrics, *drawn, *(f"question_{name}" for name in drawn))
    if rows.empty:
        return None
    tasks = tasks_of(rows)
    figure = Figure(figsize=(9.6, 2.3 * len(tasks) + 1.3))
    grid = figure.subplots(len(tasks), 4, squeeze=False)
    names = in_order(name for name in rows["condition"] if "/" not in name)
    for line, task in zip(grid, tasks, strict=True):
        own = rows[rows["task"] == task]
        for name in in_order(each for each in own["condition"] if "/" not in each):
            prefix = "question_" if name == NEXT else ""
            for axes, metric in zip(line, ("effective_dimension", "belief_variance"), strict=False):
                found = own[(own["metric"] == prefix + metric) & (own["condition"] == name)]
                curve(axes, found.assign(layer=found["layer"].astype(float)), "layer", **look(name))
            exact = own[
                (own["metric"] == f"{prefix}effective_dimension") & (own["condition"] == f"{name}/exact_belief")
            ]
            if len(exact):
                line[0].axhline(exact["value"].mean(), color=EXACT, linewidth=1, linestyle=(0, (4, 2)), zorder=0)
            furthest = own[(own["metric"] == f"{prefix}subspace_angle") & own["condition"].str.startswith(name)]
            across = furthest[furthest["split"] == "length"]
            across = across[across["n_steps"] == across["n_steps"].max()]
            _angle_lines(line[2], across, name, "", "refit", "random_subspace")
            between = furthest[furthest["split"] == "in_distribution"]
            _angle_lines(line[3], between, name, "amortized", "amortized_refit", "amortized_random_subspace")
        line[0].set_ylabel(task)
        line[2].set_ylim(0, 90)
        line[3].set_ylim(0, 90)
    for axes in grid.flat:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("layer")
        axes.set_visible(bool(axes.lines))
    titles = (
        "effective dimension",
        "variance that is the belief's\n[fraction]",
        "angle to the longest n compared\n[degrees]",
        "angle to amortized\n[degrees]",
    )
    for column, title in zip(grid.T, titles, strict=True):
        next((axes for axes in column if axes.get_visible()), column[0]).set_title(title, fontsize=9)
    figure.suptitle("In how many directions, and in which ones, does the belief lie?", x=0.01, ha="left")
    handles = [Line2D([], [], label=name, **look(name)) for name in names]
    handles += [
        Line2D([], [], color=EXACT, linewidth=1, linestyle=(0, (4, 2)), label="exact beliefs"),
        Line2D([], [], color="#555555", linewidth=1.3, linestyle=(0, (1, 1.2)), label="chance"),
        Line2D([], [], color="#555555", linewidth=1.3, linestyle=(0, (5, 2)), label="two fits of one"),
    ]
    legend_below(figure, handles, columns=4)
    return figure


def _angle_lines(axes: Axes, rows: pd.DataFrame, name: str, own: str, refit: str, chance: str) -> None:
    for beside, style in ((own, None), (refit, (0, (5, 2))), (chance, (0, (1, 1.2)))):
        found = rows[rows["condition"] == (f"{name}/{beside}" if beside else name)]
        found = found.assign(layer=found["layer"].astype(float))
        if found["value"].notna().any():
            shown = look(name) if style is None else {"color": color(name), "linestyle": style, "linewidth": 1.3}
            curve(axes, found, "layer", band=style is None, **shown)
