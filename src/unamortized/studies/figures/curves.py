"""Curves over length, lag and step: means over seeds with 95 % t-intervals, one panel a task."""

import math
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from unamortized.studies.figures.style import (
    EXACT,
    Tables,
    color,
    compared,
    curve,
    in_order,
    is_baseline,
    legend_below,
    longest_trained,
    look,
    rows_of,
    shade_trained,
    styled,
    tasks_of,
)

FLOOR = 1e-4  # nats; smaller KLs are drawn here
FROZEN: dict[str, Any] = {"linestyle": (0, (5, 1.5)), "linewidth": 1.4}
FEWEST_KEPT = 16  # problems that a seed's causal reliance is measured on, at least


@styled
def kl_by_length(tables: Tables) -> Figure | None:
    """KL from the exact posterior to the answer, by number of steps, in and out of training length."""
    return _by_length(tables.metrics, "answer_kl", "Does the answer stay exact beyond the lengths seen in training?")


@styled
def accuracy_by_length(tables: Tables) -> Figure | None:
    """Share of answers whose mode is a mode of the exact posterior, by number of steps."""
    return _by_length(tables.metrics, "map_agreement", "How often is the most probable answer the right one?")


def _by_length(metrics: pd.DataFrame, metric: str, title: str) -> Figure | None:
    rows = rows_of(metrics, metric)
    if rows.empty:
        return None
    tasks, names = tasks_of(rows), in_order(rows["condition"])
    width = len(tasks) if len(tasks) < 4 else math.ceil(len(tasks) / 2)
    height = math.ceil(len(tasks) / width)
    figure = Figure(figsize=(max(8.8, (4.4, 3.4)[width > 2] * width), 3.1 * height + 1.3))
    panels = figure.subplots(height, width, sharey=True, squeeze=False)
    for axes, task in zip(panels.flat, tasks, strict=False):
        own = rows[rows["task"] == task]
        for name in names:
            if len(points := own[own["condition"] == name]):
                floor = FLOOR if metric == "answer_kl" else None
                curve(axes, points, "n_steps", floor=floor, band=not is_baseline(name), **look(name))
        length_axis(axes, own["n_steps"].unique().tolist(), longest_trained(own, task))
        axes.set_title(task)
    for axes in panels.flat[len(tasks) :]:
        axes.set_visible(False)
    if metric == "answer_kl":
        log_kl_axis(panels[0, 0])
        label = "KL(exact ‖ answer)  [nats]"
    else:
        panels[0, 0].set_ylim(-0.03, 1.16)
        panels[0, 0].set_yticks(np.linspace(0, 1, 6))
        for axes in panels.flat:
            axes.axhline(1, color=EXACT, linewidth=1, zorder=1)
        label = "agreement with the exact mode  [fraction]"
    for axes in panels[:, 0]:
        axes.set_ylabel(label)
    better = "lower is better" if metric == "answer_kl" else "higher is better"
    figure.suptitle(f"{title}  ({better})", x=0.01, ha="left")
    handles = [Line2D([], [], label=name, **look(name)) for name in names]
    legend_below(figure, handles)
    return figure


def length_axis(axes: Axes, lengths: list[int], trained: int | None) -> None:
    """Log axis of the lengths tested, with those seen in training shaded."""
    first, last = float(min(lengths)), float(max(lengths))
    axes.set_xscale("log", base=2)
    axes.set_xlim(first / 1.25, last * 1.25)
    axes.xaxis.set_major_locator(FixedLocator(sorted(float(n) for n in lengths)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda n, _: f"{n:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("observations n  [steps]")
    if trained is not None:
        shade_trained(axes, first / 1.25, trained)


def log_kl_axis(axes: Axes) -> None:
    """Log axis down to the floor, which is named as such, with room for a label at the top."""
    axes.set_yscale("log")
    _, top = axes.get_ylim()
    decades = range(round(math.log10(FLOOR)), math.floor(math.log10(top)) + 1)
    axes.set_ylim(FLOOR / 1.5, top * 2.5)
    axes.yaxis.set_major_locator(FixedLocator([10.0**power for power in decades]))
    axes.yaxis.set_major_formatter(
        FuncFormatter(lambda y, _: ("≤ " if y < FLOOR * 1.01 else "") + f"$10^{{{round(math.log10(y))}}}$")
    )
    axes.yaxis.set_minor_locator(NullLocator())


@styled
def light_cone(tables: Tables) -> Figure | None:
    """How far an edited step moves the answer, by lag, and how much of the exact movement that is."""
    metrics = tables.metrics
    rows = rows_of(metrics, "edit_tv", "counterfactual_tv", "causal_reliance", "causal_reliance_frozen")
    if rows.empty:
        return None
    tasks = tasks_of(rows)
    conditions = in_order(name for name in rows["condition"] if "/" not in name)
    figure = Figure(figsize=(8.8, 2.2 * len(tasks) + 1.4))
    panels = figure.subplots(len(tasks), 2, sharex=True, sharey="col", squeeze=False)
    alone = len(conditions) == 1
    for (moved, reliance), task in zip(panels, tasks, strict=True):
        own = rows[rows["task"] == task]
        edited = set(own.loc[own["metric"] == "edit_tv", "condition"])  # none that sample their trace
        for name in conditions:
            style = look(name)
            for metric, line in (
                (
                    "counterfactual_tv",
                    style | {"color": EXACT, "zorder": 2.5} | ({"marker": "."} if alone else {}),
                ),
                ("edit_tv", style),
            ):
                if name in edited:
                    _lag_curve(moved, own, name, metric, line)
            fits = own[own["count"] >= FEWEST_KEPT]
            _lag_curve(
                reliance,
                fits,
                f"{name}/wrong_counterfactual",
                "causal_reliance",
                look(f"{name}/wrong_counterfactual"),
            )
            _lag_curve(reliance, fits, name, "causal_reliance_frozen", style | {"marker": ""} | FROZEN)
            _lag_curve(reliance, fits, name, "causal_reliance", style)
        for level, says in ((1, "follows the trace as Bayes would"), (0, "ignores the trace")):
            reliance.axhline(level, color="#999999", linewidth=0.9, zorder=1)
            reliance.text(
                *(0.995, level + (0.04 if level else -0.05), says),
                transform=reliance.get_yaxis_transform(),
                ha="right",
                va="bottom" if level else "top",
                fontsize=7.5,
                color="#777777",
            )
        moved.set_ylabel("total variation  [probability]")
        reliance.set_ylabel("causal reliance α  [ratio]")
        moved.set_title(f"{task}: movement of the answer")
        reliance.set_title(f"{task}: share of the exact movement")
    panels[0, 0].set_ylim(-0.03, 1.03)
    panels[0, 1].set_ylim(-0.35, 1.35)
    lags = sorted(rows["step"].dropna().unique())
    for axes in panels[-1]:
        axes.set_xticks([float(lag) for lag in lags])
        axes.set_xlabel("lag between edited step and end, n − k  [steps]")
    figure.suptitle("Does the answer follow an edited step as far as Bayes would?", x=0.01, ha="left")
    handles = [Line2D([], [], label="exact counterfactual", color=EXACT, marker=".")]
    handles += [Line2D([], [], label=name, **look(name)) for name in conditions]
    gray: dict[str, Any] = {"color": color(conditions[0]) if alone else "#555555"}
    whose = conditions[0] if alone else "<condition>"
    wrong = look(f"{conditions[0]}/wrong_counterfactual") | gray
    handles.append(Line2D([], [], label=f"{whose}, later steps frozen", **FROZEN | gray))
    handles.append(Line2D([], [], label=f"{whose}/wrong_counterfactual", **wrong))
    legend_below(figure, handles, columns=3)
    return figure


def _lag_curve(axes: Axes, rows: pd.DataFrame, condition: str, metric: str, style: dict) -> None:
    points = rows[(rows["condition"] == condition) & (rows["metric"] == metric)].dropna(subset=["value"])
    if len(points):
        curve(axes, points, "step", band=metric != "counterfactual_tv" and "/" not in condition, **style)


PAIRS = {  # metric: dashes, and what it is the KL of
    "stated_kl": ("-", "KL(exact ‖ stated)"),
    "probed_kl": ((0, (4, 1.4)), "KL(exact ‖ probed)"),
    "stated_probed_kl": ((0, (1, 1.2)), "KL(stated ‖ probed)"),
}


@styled
def triangle_along_trace(tables: Tables) -> Figure | None:
    """Stated, probed and exact belief, pairwise by KL, step by step; one column a number of steps."""
    rows = rows_of(tables.metrics, *PAIRS)
    if rows.empty:
        return None
    rows = rows[np.isfinite(rows["value"])]
    tasks = tasks_of(rows)
    lengths = {task: sorted(int(n) for n in rows.loc[rows["task"] == task, "n_steps"].unique()) for task in tasks}
    width = max(len(found) for found in lengths.values())
    figure = Figure(figsize=(max(5.6, 3.3 * width), 2.1 * len(tasks) + 1.4))
    panels = figure.subplots(len(tasks), width, sharey=True, squeeze=False)
    drawn: dict[str, Line2D] = {}
    for line_of_panels, task in zip(panels, tasks, strict=True):
        for axes, n_steps in zip(line_of_panels, lengths[task], strict=False):
            own = rows[(rows["task"] == task) & (rows["n_steps"] == n_steps)]
            for name in compared(own["condition"]):
                for metric, (dashes, says) in PAIRS.items():
                    points = own[(own["condition"] == name) & (own["metric"] == metric)]
                    if len(points):
                        style = {"color": color(name), "linestyle": dashes, "linewidth": 1.6}
                        curve(axes, points, "step", floor=FLOOR, **style)
                        drawn[f"{name}: {says}"] = Line2D([], [], **style)
            axes.set_xlim(0, n_steps + 0.5)
            axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
            trained = longest_trained(tables.metrics, task)
            if trained is not None:
                shade_trained(axes, 0, min(trained, n_steps + 0.5))
            axes.set_title(f"{task}, n = {n_steps}")
        for axes in line_of_panels[len(lengths[task]) :]:
            axes.set_visible(False)
        line_of_panels[0].set_ylabel("KL  [nats]")
    for axes in panels[-1]:
        axes.set_xlabel("step t")
    log_kl_axis(panels[0, 0])
    figure.suptitle("Along the trace: do the stated, the probed and the exact belief agree?", x=0.01, ha="left")
    for label, handle in drawn.items():
        handle.set_label(label)
    legend_below(figure, drawn.values(), columns=3)
    return figure
