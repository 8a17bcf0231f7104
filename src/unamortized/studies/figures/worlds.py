"""Worlds side by side: where an inference is better walked than amortized, by world, by shift, and by mixing."""

from typing import Any, cast

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, SymLogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from unamortized.studies.figures.style import (
    BASELINES,
    Tables,
    in_order,
    is_baseline,
    legend_below,
    longest_trained,
    look,
    over_seeds,
    rows_of,
    stem,
    styled,
    tasks_of,
)
from unamortized.studies.statistics import estimate

FLOOR = 1e-4  # nats; smaller KLs are drawn here
SPLITS = ("in_distribution", "length", "parameters", "start", "rare", "composition")
COT, AMORTIZED = "cot", "amortized_equal_flops"
SLIP = "noisy_permutation@slip_"
MEMORY = "window_8"  # what it loses tells how many steps have to be composed, which no rate of mixing does
IDLE = 0.9  # of the prior's KL: a model that is no closer has nothing that could be walked instead
INK = "#222222"


def _tests(rows: pd.DataFrame) -> pd.DataFrame:
    """Answer rows of whole worlds, one length a split: the longest trained in distribution, else the longest."""
    if rows.empty:
        return rows
    whole = rows[~rows["task"].str.contains("@")]
    kept = [
        own[own["n_steps"] == own["n_steps"].max()]
        for _, own in whole[whole["split"] != "train"].groupby(["task", "split"], sort=False)
    ]
    return pd.concat(kept) if kept else whole


def _splits(rows: pd.DataFrame) -> list[str]:
    present = list(dict.fromkeys(rows["split"]))
    return [split for split in SPLITS if split in present] + sorted(split for split in present if split not in SPLITS)


@styled
def worlds_gap(tables: Tables) -> Figure | None:
    """KL of CoT minus that of the amortized model, world by split, with its interval over paired seeds."""
    rows = _tests(rows_of(tables.metrics, "answer_kl"))
    if rows.empty:
        return None
    means = rows.groupby(["task", "split", "condition"])["value"].mean().unstack("condition")
    rows = rows[rows["condition"].isin((COT, AMORTIZED))]
    if rows["condition"].nunique() < 2:
        return None
    idle = means[AMORTIZED] >= IDLE * means.get("prior", np.nan)  # there the gap is only what there is to know
    by_seed = rows.pivot_table(index=["task", "split", "seed"], columns="condition", values="value")
    differences = (by_seed[COT] - by_seed[AMORTIZED]).dropna()
    tasks, splits = tasks_of(rows), _splits(rows)
    figure = Figure(figsize=(2.6 + 1.05 * len(splits), 1.9 + 0.36 * len(tasks)))
    axes = figure.subplots()
    values = np.full((len(tasks), len(splits)), np.nan)
    for place, own in differences.groupby(level=["task", "split"]):
        task, split = cast(tuple[str, str], place)
        y, x = tasks.index(task), splits.index(split)
        found = estimate(own.to_numpy(dtype=float))
        values[y, x] = found.value
        certain = found.low is not None and found.high is not None and (found.low > 0 or found.high < 0)
        half = "" if found.high is None else f" ±{_short(found.high - found.value)}"
        looks: dict[str, Any] = {"weight": "bold"} if certain else {"style": "italic"}
        color = "white" if abs(found.value) > 0.5 else INK
        mark = "°" if idle[place] else ""
        axes.text(x, y, _short(found.value) + half + mark, ha="center", va="center", fontsize=7.5, color=color, **looks)
    image = axes.imshow(values, cmap="RdBu_r", norm=SymLogNorm(0.02, vmin=-5, vmax=5), aspect="auto")
    axes.set_xticks(range(len(splits)), [split.replace("+", "\n+ ") for split in splits])
    axes.set_yticks(range(len(tasks)), tasks)
    axes.tick_params(length=0)
    axes.xaxis.tick_top()
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=axes, shrink=0.6, ticks=[-5, -0.5, -0.05, 0, 0.05, 0.5, 5])
    bar.ax.set_yticklabels(["−5", "−.5", "−.05", "0", ".05", ".5", "5"])
    bar.set_label("KL of cot − KL of amortized_equal_flops  [nats]")
    figure.suptitle("Where is an inference better walked (blue) than amortized (red)?", x=0.01, ha="left")
    return figure


def _short(value: float) -> str:
    """Two significant digits at most, no leading zero."""
    text = f"{value:.2f}" if abs(value) < 1 else f"{value:.1f}"
    text = "0" if float(text) == 0 else text
    return text.replace("-", "−").replace("0.", ".")


@styled
def worlds_kl(tables: Tables) -> Figure | None:
    """Every condition and baseline in every world, one panel a split."""
    rows = _tests(rows_of(tables.metrics, "answer_kl"))
    if rows.empty:
        return None
    rows = rows[rows["split"].isin(SPLITS)]
    tasks, splits, names = tasks_of(rows), _splits(rows), in_order(rows["condition"])
    figure = Figure(figsize=(2.2 + 1.95 * len(splits), 1.8 + 0.3 * len(tasks)))
    panels = figure.subplots(1, len(splits), sharex=True, sharey=True, squeeze=False)[0]
    for axes, split in zip(panels, splits, strict=True):
        own = rows[rows["split"] == split]
        absent = [place for place, task in enumerate(tasks) if task not in set(own["task"])]
        for place in range(len(tasks)):
            axes.axhline(place, color="#E4E4E4" if place not in absent else "#F6F6F6", linewidth=0.7, zorder=0)
        for name in names:
            _dots(axes, own[own["condition"] == name], tasks, name)
        axes.set_xscale("log")
        axes.set_xlim(FLOOR / 1.6, 12)
        axes.set_title(split)
        axes.set_xlabel("KL  [nats]")
        axes.tick_params(axis="y", length=0)
    panels[0].set_yticks(range(len(tasks)), tasks)
    panels[0].set_ylim(len(tasks) - 0.4, -0.6)
    figure.suptitle("Distance of answers from exact Bayes, by world and shift  (left is better)", x=0.01, ha="left")
    legend_below(figure, [Line2D([], [], label=name, **_dot(name)) for name in names], columns=5)
    return figure


TICKS = ("|", "x", "+", "1", "2", "3", "4")  # by which baselines are told apart


def _dot(name: str) -> dict[str, Any]:
    if not is_baseline(name):
        return {**look(name), "linestyle": "", "markersize": 6}
    known = [*BASELINES]
    mark = TICKS[known.index(stem(name)) % len(TICKS)]
    return {"color": "#777777", "marker": mark, "linestyle": "", "markersize": 6.5, "zorder": 2}


def _dots(axes: Axes, rows: pd.DataFrame, tasks: list[str], name: str) -> None:
    if rows.empty:
        return
    summary = over_seeds(rows.assign(place=rows["task"].map(tasks.index)), "place").clip(lower=FLOOR)
    places = summary.index.to_numpy(dtype=float)
    style = _dot(name)
    axes.plot(summary["mean"], places, **style)
    if not is_baseline(name):
        axes.hlines(places, summary["low"], summary["high"], color=style["color"], linewidth=1.2, zorder=2.5)


@styled
def phase_diagram(tables: Tables) -> Figure | None:
    """KL of each condition over length and slip, and the difference of CoT and the amortized model."""
    metrics = tables.metrics
    rows = rows_of(metrics, "answer_kl")
    rows = rows[rows["task"].str.startswith(SLIP)] if len(rows) else rows
    names = [name for name in (AMORTIZED, "gru", COT) if name in set(rows["condition"])] if len(rows) else []
    if len(names) < 2:
        return None
    means = rows[rows["condition"].isin(names)].pivot_table(
        index="task", columns=["condition", "n_steps"], values="value"
    )
    means = means.loc[sorted(means.index, key=lambda task: -float(task.removeprefix(SLIP)))]
    figure = Figure(figsize=(3.1 * (len(names) + 1) + 1.6, 1.6 + 0.42 * len(means)))
    panels = figure.subplots(1, len(names) + 1, sharey=True, squeeze=False)[0]
    grids = {name: pd.DataFrame(means[name]) for name in names}
    norm = LogNorm(3e-3, 3)
    for axes, (name, grid) in zip(panels, grids.items(), strict=False):
        axes.imshow(grid.clip(lower=norm.vmin).to_numpy(), norm=norm, cmap="viridis", aspect="auto")
        _phase_axes(axes, grid, name, metrics, means.index[0])
    bar = figure.colorbar(ScalarMappable(norm, "viridis"), ax=list(panels[: len(names)]), shrink=0.85, pad=0.01)
    bar.set_label("KL(exact ‖ answer)  [nats]")
    difference = grids[COT] - grids[AMORTIZED]
    signed = SymLogNorm(0.01, vmin=-2, vmax=2)
    image = panels[-1].imshow(difference.to_numpy(), norm=signed, cmap="RdBu_r", aspect="auto")
    _phase_axes(panels[-1], difference, f"{COT} − {AMORTIZED}", metrics, means.index[0])
    bar = figure.colorbar(image, ax=panels[-1], shrink=0.85, ticks=[-1, -0.1, -0.01, 0, 0.01, 0.1, 1])
    bar.ax.set_yticklabels(["−1", "−.1", "−.01", "0", ".01", ".1", "1"])
    bar.set_label("difference of KLs  [nats]")
    longest = rows[(rows["condition"] == MEMORY) & (rows["n_steps"] == rows["n_steps"].max())]
    lost = longest.groupby("task")["value"].mean()
    labels = [f"{task.removeprefix(SLIP)}   {_short(lost.get(task, np.nan))}" for task in means.index]
    panels[0].set_yticks(range(len(means)), labels)
    panels[0].set_ylabel(f"slip ε,  KL of {MEMORY}  [nats]")
    figure.suptitle(
        "When is there something to gain from walking? noisy_permutation by length and mixing", x=0.01, ha="left"
    )
    return figure


def _phase_axes(axes: Axes, values: pd.DataFrame, title: str, metrics: pd.DataFrame, task: str) -> None:
    lengths = [int(n) for n in values.columns]
    axes.set_xticks(range(len(lengths)), [str(n) for n in lengths])
    axes.set_xlabel("observations n  [steps]")
    axes.set_title(title)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    trained = longest_trained(metrics, task)
    if trained in lengths:
        axes.axvline(lengths.index(trained) + 0.5, color="#9A9A9A", linewidth=1.4, linestyle=(0, (3, 2)))
