"""Gauges of faithfulness: what each reads for every rho, in worlds that forget at different rates."""

import re
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from unamortized.studies.faithfulness_measures import (
    FAITHFULNESS_MEASURES,
    FEWEST,
    FaithfulnessMeasure,
    miscalibration,
    rank_correlation,
    readings,
    shares,
    slope,
)
from unamortized.studies.figures.style import Tables, legend_below, over_seeds, rows_of, styled, whisker

SHADES = ("#08306B", "#2CA6A4", "#E3A400", "#A63603")  # worlds, from slow to fast mixing
DIALS = ("#440154", "#3B528B", "#21918C", "#5EC962", "#E3A400")  # rho, from 0 to 1
RHO = "#0072B2"
PARTS = {
    "rho": (RHO, "what rho decides"),
    "world": ("#D55E00", "what mixing decides"),
    "neither": ("#D9D9D9", "neither"),
}
ABRUPT = "causal_reliance_abrupt"
LINES: tuple[dict[str, Any], ...] = (
    {"marker": "o", "markersize": 3.5},
    {"linestyle": (0, (1, 1.2)), "linewidth": 1.3},  # of the abrupt end
)
COLUMNS = 4
KINDS: dict[str, dict[str, Any]] = {
    "dial": {"marker": "o", "markersize": 3, "linewidth": 1.3},
    "reader": {"linestyle": (0, (1, 1.2)), "linewidth": 1.1, "zorder": 1.8},
}
SAYS = {"dial": "trained models", "reader": "readers: exact Bayes, known ρ"}


def _worlds(read: pd.DataFrame) -> list[str]:
    """Tasks from slow to fast mixing, as their slip says."""

    def slip(task: str) -> float:
        found = re.search(r"slip_([0-9.]+)", task)
        return float(found[1]) if found else 0.0

    return sorted(read["task"].unique(), key=slip)


def _label(task: str) -> str:
    return task.partition("@")[2].replace("slip_", "slip ") or task


@styled
def gauges(tables: Tables) -> Figure | None:
    """A row a measure: how its readings of trained models vary, and how they are ordered, sloped and off by rho."""
    present = _present(tables)
    if not present:
        return None
    figure = Figure(figsize=(10.6, 1.6 + 0.31 * len(present)))
    bars, ranks, slopes, off = figure.subplots(1, 4, sharey=True, width_ratios=[2.2, 1, 1, 1])
    for place, gauge in enumerate(present):
        _bar(bars, place, shares(readings(tables.metrics, gauge)))
        for axes, measure in ((ranks, rank_correlation), (slopes, slope), (off, miscalibration)):
            values = measure(gauge).per_seed(tables.metrics).to_numpy(dtype=float)
            whisker(axes, values, place, along="x", color=RHO, marker="o", markersize=4)
    for axes, title in (
        (bars, "share of the variance of its readings"),
        (ranks, "rank correlation\nwith ρ"),
        (slopes, "slope on ρ\n(1: calibrated)"),
        (off, "mean distance\nfrom ρ"),
    ):
        axes.set_title(title, fontsize=9.5)
        axes.tick_params(axis="y", length=0)
    for axes, ideal in ((ranks, 1.0), (slopes, 1.0), (off, 0.0)):
        axes.axvline(ideal, color="#999999", linewidth=1, linestyle=(0, (4, 2)), zorder=1)
        axes.grid(axis="y", color="#EEEEEE", linewidth=0.8)
    bars.set_xlim(0, 1)
    ranks.set_xlim(-1.08, 1.08)
    bars.set_ylim(len(present) - 0.4, -0.6)
    bars.set_yticks(range(len(present)), [_name(gauge) for gauge in present], fontsize=8.5)
    figure.suptitle("Which measures of faithfulness measure faithfulness?", x=0.01, ha="left")
    handles: list[Any] = [Patch(color=shade, label=says) for shade, says in PARTS.values()]
    handles.append(Line2D([], [], color=RHO, linestyle="", marker="o", markersize=4, label="mean over seeds"))
    handles.append(Line2D([], [], color="#999999", linestyle=(0, (4, 2)), linewidth=1, label="what it should be"))
    legend_below(figure, handles, columns=5)
    return figure


@styled
def gauge_readings(tables: Tables) -> Figure | None:
    """A panel a measure: what it reads off trained models and off readers, for every rho and world."""
    present = _present(tables)
    if not present:
        return None
    read = {gauge: {kind: readings(tables.metrics, gauge, kind) for kind in KINDS} for gauge in present}
    worlds = _worlds(pd.concat([read[gauge]["dial"] for gauge in present]))
    n_rows = -(-len(present) // COLUMNS)
    figure = Figure(figsize=(10.8, 1.3 + 1.75 * n_rows))
    panels = figure.subplots(n_rows, COLUMNS, sharex=True, squeeze=False).ravel()
    for axes, gauge in zip(panels, present, strict=False):
        for kind, style in KINDS.items():
            _lines(axes, read[gauge][kind], worlds, style)
        if gauge.on_scale:
            ends = [gauge.should_read(0), gauge.should_read(1)]
            axes.plot([0, 1], ends, color="#999999", linestyle=(0, (4, 2)), linewidth=1, zorder=1)
        axes.set_title(_name(gauge), fontsize=8.5)
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", ".25", ".5", ".75", "1"])
        axes.tick_params(labelsize=7.5)
    for axes in panels[len(present) :]:
        axes.set_visible(False)
    for axes in panels[max(0, len(present) - COLUMNS) : len(present)]:
        axes.tick_params(labelbottom=True)
        axes.set_xlabel("ρ")
    figure.suptitle("What measures of faithfulness read, for every faithfulness", x=0.01, ha="left")
    handles = [Line2D([], [], label=_label(world), color=SHADES[place]) for place, world in enumerate(worlds)]
    handles += [Line2D([], [], color="#555555", label=says, **KINDS[kind]) for kind, says in SAYS.items()]
    handles.append(Line2D([], [], label="what it should read", color="#999999", linestyle=(0, (4, 2)), linewidth=1))
    legend_below(figure, handles, columns=6)
    return figure


def _present(tables: Tables) -> list[FaithfulnessMeasure]:
    """The gauges that read something off trained models, those first that follow rho."""
    if not len(tables.metrics):
        return []
    read = {gauge: readings(tables.metrics, gauge) for gauge in FAITHFULNESS_MEASURES}
    found = {gauge: _share(of) for gauge, of in read.items() if of["value"].notna().any()}
    return sorted(found, key=lambda gauge: -found[gauge])


def _share(read: pd.DataFrame) -> float:
    mean = float(shares(read)["rho"].mean())
    return mean if np.isfinite(mean) else -1.0


def _name(gauge: FaithfulnessMeasure) -> str:
    return f"{gauge.title} ({gauge.published})" if gauge.published else gauge.title


def _lines(axes: Axes, read: pd.DataFrame, worlds: list[str], style: dict[str, Any]) -> None:
    """Readings against rho, a line a world, with their intervals over seeds."""
    for place, world in enumerate(worlds):
        own = read[read["task"] == world].dropna()
        if own.empty:
            continue
        summary, shade = over_seeds(own, "rho"), SHADES[place % len(SHADES)]
        axes.plot(summary.index, summary["mean"], color=shade, **style)
        if style is KINDS["dial"]:
            axes.vlines(summary.index, summary["low"], summary["high"], color=shade, linewidth=1)


def _bar(axes: Axes, place: int, found: pd.DataFrame) -> None:
    """The shares as one bar; rho's with its interval over seeds."""
    left, means = 0.0, found.mean()
    for part, (shade, _) in PARTS.items():
        width = float(means[part]) if np.isfinite(means[part]) else 0.0
        axes.barh(place, width, left=left, color=shade, height=0.66)
        left += width
    if not left:
        says = "is always the same" if means.notna().all() else "not read in every world"
        axes.text(0.01, place, says, va="center", fontsize=8, color="#777777")
    by_rho = found["rho"].dropna().to_numpy(dtype=float)
    if left:
        whisker(axes, by_rho, place, along="x", color="black", marker="")


@styled
def dial(tables: Tables) -> Figure | None:
    """Causal reliance of dial models by lag for every rho, and how far their answers are from the optimum."""
    rows = rows_of(tables.metrics, "causal_reliance", ABRUPT, "dial_distance")
    rows = rows[rows["condition"].str.fullmatch(r"dial_[0-9.]+(_told)?").fillna(False)] if len(rows) else rows
    if rows.empty:
        return None
    worlds, conditions = _worlds(rows), sorted(rows["condition"].unique())
    figure = Figure(figsize=(max(6.4, 3.5 * len(worlds)), 5.6))
    panels = figure.subplots(2, len(worlds), sharex=True, sharey="row", squeeze=False)
    shade = {name: _dial_shade(place, len(conditions)) for place, name in enumerate(conditions)}
    for (above, below), world in zip(panels.T, worlds, strict=True):
        for name in conditions:
            own = rows[(rows["task"] == world) & (rows["condition"] == name)]
            rho = float(name.split("_")[1])
            for axes, metric in ((above, ABRUPT), (above, "causal_reliance"), (below, "dial_distance")):
                points = own[own["metric"] == metric]
                points = points[points["count"] >= FEWEST]
                if len(points):
                    summary = over_seeds(points, "step")
                    axes.plot(summary.index, summary["mean"], color=shade[name], **LINES[metric == ABRUPT])
                    if metric != ABRUPT:
                        axes.vlines(summary.index, summary["low"], summary["high"], color=shade[name], linewidth=1)
            above.axhline(rho, color=shade[name], linewidth=0.8, linestyle=(0, (4, 2)), zorder=1)
        above.set_title(_label(world))
        below.set_xlabel("lag: steps between edit and end")
        below.axhline(0, color="#999999", linewidth=0.8)
    panels[0, 0].set_ylabel("causal reliance α")
    panels[1, 0].set_ylabel("distance from the optimum  [nats]")
    figure.suptitle("Do models become as faithful as they are taught to be?", x=0.01, ha="left")
    handles = [Line2D([], [], color=shade[name], marker="o", markersize=3.5, label=name) for name in conditions]
    handles.append(Line2D([], [], color="#777777", linewidth=0.8, linestyle=(0, (4, 2)), label="ρ"))
    handles.append(Line2D([], [], color="#777777", label="the wrong end alone", **LINES[True]))
    legend_below(figure, handles, columns=7)
    return figure


def _dial_shade(place: int, count: int) -> str:
    """One of a row of colors from dark to light."""
    return DIALS[round(place * (len(DIALS) - 1) / max(1, count - 1))]
