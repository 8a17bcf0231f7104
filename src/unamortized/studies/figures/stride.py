"""KStepUpdates: how many questions a trace of every k-th step needs, what its answers cost, and which steps fail."""

import math
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from unamortized.studies.figures.style import (
    Tables,
    color,
    curve,
    in_order,
    is_baseline,
    legend_below,
    look,
    rows_of,
    styled,
    tasks_of,
)
from unamortized.studies.growth import GROWTHS, THRESHOLD, all_needed, fit, learning_curves, questions_of, stride_of

AMORTIZED = "amortized"
FLOOR = 1e-3  # nats; smaller KLs are drawn here
SHADES = ("#08306B", "#2171B5", "#2CA6A4", "#74B72E", "#E3A400")  # k = 1, 2, 4, 8, 16, from dark to light
TABLE: dict[str, Any] = {"color": "#B0B0B0", "linewidth": 3, "zorder": 1.2}
HANDED_DOWN: dict[str, Any] = {"linestyle": (0, (1, 1.3)), "marker": "", "linewidth": 1.4}  # errors before count too
ROUNDED: dict[str, Any] = {"linewidth": 0.8, "marker": "", "alpha": 0.45, "zorder": 1.6}  # what rounding allows
DASHES: dict[str, Any] = {"exponential": "-", "polynomial": (0, (5, 1.8)), "flat": (0, (1, 1.4))}


def _shade(stride: int) -> str:
    place = round(math.log2(stride)) if stride else 0
    return SHADES[min(place, len(SHADES) - 1)] if stride else color(AMORTIZED)


def _label(stride: int) -> str:
    return f"k = {stride}" if stride else AMORTIZED


def _trained(metrics: pd.DataFrame) -> pd.DataFrame:
    """N* and KLs are of models that were trained on N questions, with strides or without any trace."""
    curves = learning_curves(rows_of(metrics, "answer_kl"))
    return curves[(curves["stride"] > 0) | (curves["name"] == AMORTIZED)]


def _questions_axis(axes: Axes, which: str, sizes: list[int]) -> None:
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(FixedLocator([float(size) for size in sizes]))
    axis.set_major_formatter(FuncFormatter(lambda size, _: f"{size:.0f}"))
    axis.set_minor_locator(NullLocator())


def _line(stride: int) -> dict[str, Any]:
    style = {"color": _shade(stride), "marker": "D", "markersize": 4.5, "markeredgecolor": "white", "zorder": 3}
    return style if stride else style | {"marker": "o", "linestyle": (0, (4, 1.6)), "zorder": 2.5}


@styled
def stride_learning(tables: Tables) -> Figure | None:
    """KL from the exact posterior against the number of training questions: a curve a stride, a panel a world."""
    curves = _trained(tables.metrics)
    if curves.empty:
        return None
    tasks = tasks_of(curves)
    figure = Figure(figsize=(max(5.6, 4.4 * len(tasks)), 4.4))
    panels = figure.subplots(1, len(tasks), sharey=True, squeeze=False)[0]
    strides = sorted(curves["stride"].unique().tolist(), key=lambda stride: stride or math.inf)
    drawn: dict[str, Line2D] = {}
    for axes, task in zip(panels, tasks, strict=True):
        own = curves[curves["task"] == task]
        for stride in strides:
            rows = own[own["stride"] == stride].rename(columns={"kl": "value"})
            if len(rows):
                _with_seeds(axes, rows, _line(stride))
        for name in _beside(tables.metrics, axes, task):
            drawn.setdefault(name, Line2D([], [], label=name, **look(name)))
        axes.axhline(math.log(THRESHOLD), color="#777777", linewidth=1, linestyle=(0, (4, 2)), zorder=1)
        axes.set_xscale("log")
        _questions_axis(axes, "x", sorted(own["questions"].unique().tolist()))
        axes.set_xlabel("training questions N")
        axes.set_title(task)
    powers = [1e-3, 1e-2, 1e-1, 1, 10]
    panels[0].set_ylim(math.log(FLOOR / 1.5), math.log(25))
    panels[0].yaxis.set_major_locator(FixedLocator([math.log(value) for value in powers]))
    panels[0].yaxis.set_major_formatter(
        FuncFormatter(lambda y, _: ("≤ " if y < math.log(FLOOR * 1.01) else "") + f"$10^{{{round(y / math.log(10))}}}$")
    )
    panels[0].set_ylabel("KL(exact ‖ answer)  [nats]")
    panels[0].text(
        *(0.99, math.log(THRESHOLD) + 0.1, f"learned: {THRESHOLD:g} nats"),
        transform=panels[0].get_yaxis_transform(),
        ha="right",
        fontsize=7.5,
        color="#777777",
    )
    title = "How many questions does it take to learn from every k-th step?  (lower is better)"
    figure.suptitle(title, x=0.01, ha="left")
    handles = [Line2D([], [], label=_label(stride), **_line(stride)) for stride in strides]
    legend_below(figure, [*handles, *(drawn[name] for name in in_order(drawn))], columns=6)
    return figure


def _beside(metrics: pd.DataFrame, axes: Axes, task: str) -> list[str]:
    """Draw what stands beside the strides: baselines, which no question trains, and the recurrent net; their names."""
    rows = metrics[(metrics["task"] == task) & (metrics["metric"] == "answer_kl")]
    untrained = [name for name in rows["condition"].unique() if is_baseline(name)]
    for name in untrained:
        level = rows.loc[rows["condition"] == name, "value"].astype(float).mean()
        axes.axhline(math.log(max(level, FLOOR)), **look(name))
    recurrent = rows[rows["condition"].str.startswith("gru@n")]
    if recurrent.empty:
        return untrained
    questions = recurrent["condition"].str.removeprefix("gru@n").astype(int)
    _with_seeds(axes, recurrent.assign(questions=questions), look("gru"))
    return [*untrained, "gru"]


def _with_seeds(axes: Axes, rows: pd.DataFrame, style: dict[str, Any]) -> None:
    """Geometric mean over seeds as a line, and each seed as a dot: learned or not, they lie far apart."""
    logs = np.log(rows["value"].astype(float).clip(lower=FLOOR))
    curve(axes, rows.assign(value=logs), "questions", band=False, **style)
    axes.plot(rows["questions"], logs, linestyle="", marker=".", markersize=4, color=style["color"], alpha=0.6)


@styled
def stride_growth(tables: Tables) -> Figure | None:
    """N* against the stride: every seed, what each growth makes of them, and the size of the table of updates."""
    found = all_needed(tables.metrics)
    found = found[(found["stride"] > 0) | (found["name"] == AMORTIZED)]
    if found.empty:
        return None
    tasks, sizes = tasks_of(found), sorted(_trained(tables.metrics)["questions"].unique().tolist())
    strides = sorted(found.loc[found["stride"] > 0, "stride"].unique().tolist())
    beside = max(strides, default=1) + 2.5  # where the amortized model stands
    figure = Figure(figsize=(max(5.6, 4.4 * len(tasks)), 4.6))
    panels = figure.subplots(1, len(tasks), sharey=True, squeeze=False)[0]
    filling = rows_of(tables.metrics, "table_questions")
    for axes, task in zip(panels, tasks, strict=True):
        own = found[found["task"] == task]
        _table_line(axes, filling[filling["task"] == task])
        _growth_lines(axes, own[own["stride"] > 0])
        for index, seed in enumerate(seeds := sorted(own["seed"].unique().tolist())):
            shift = 0.22 * (index - (len(seeds) - 1) / 2)
            for point in own[own["seed"] == seed].itertuples():
                place = (point.stride or beside) + shift
                axes.plot(place, math.exp(point.log_questions), linestyle="", **_mark(point.stride, point.censored))
        axes.set_yscale("log")
        _questions_axis(axes, "y", sizes)
        axes.set_ylim(sizes[0] / 3, sizes[-1] * 6)
        axes.set_xlim(0, beside + 1.5)
        axes.set_xticks([*strides, beside], [*map(str, strides), "none"])
        axes.set_xlabel("stride k  [steps between stated beliefs]")
        axes.set_title(task)
    panels[0].set_ylabel(f"N*: questions to {THRESHOLD:g} nats")
    figure.suptitle("How fast does what has to be seen grow with the stride?", x=0.01, ha="left")
    handles = [
        Line2D([], [], label="a seed", linestyle="", **_mark(4, 0)),
        Line2D([], [], label="more than the largest N", linestyle="", **_mark(4, 1)),
        Line2D([], [], label=f"{AMORTIZED}: no trace", linestyle="", **_mark(0, 0)),
        *(Line2D([], [], label=f"{growth} fit", **_fit_line(growth)) for growth in GROWTHS),
        Line2D([], [], label="table of all k-step updates", **TABLE),
    ]
    legend_below(figure, handles, columns=4)
    return figure


def _mark(stride: int, censored: int) -> dict[str, Any]:
    marker = {0: "D" if stride else "o", 1: "^", -1: "v"}[censored]
    face = "none" if censored else _shade(stride)
    return {"marker": marker, "color": _shade(stride), "markerfacecolor": face, "markersize": 6, "zorder": 3}


def _fit_line(growth: str) -> dict[str, Any]:
    return {"color": "#444444", "linestyle": DASHES[growth], "linewidth": 1.4}


def _growth_lines(axes: Axes, points: pd.DataFrame) -> None:
    if points.empty:
        return
    along = np.linspace(points["stride"].min(), points["stride"].max(), 200)
    for growth in GROWTHS:
        fitted = fit(points, growth)
        if fitted is not None:
            axes.plot(along, np.exp(np.minimum(fitted.log_questions(along), 700)), **_fit_line(growth))


def _table_line(axes: Axes, rows: pd.DataFrame) -> None:
    sizes = rows.groupby("step")["value"].mean()
    if len(sizes):
        axes.plot(sizes.index.to_numpy(dtype=float), sizes.to_numpy(dtype=float), **TABLE)


@styled
def stride_cost(tables: Tables) -> Figure | None:
    """At the largest N: what an answer costs beside how exact it is, and which strides are right, world by world."""
    metrics = tables.metrics
    trained = _trained(metrics)
    if trained.empty:
        return None
    tasks, largest = tasks_of(trained), trained["questions"].max()
    rows = metrics[[questions_of(name.partition("/")[0]) == largest for name in metrics["condition"]]]
    names = rows["condition"].str.partition("@")[0]
    rows = rows.assign(stride=[stride_of(name) or 0 for name in names], name=names)
    figure = Figure(figsize=(max(5.6, 4.4 * len(tasks)), 6.6))
    panels = figure.subplots(2, len(tasks), sharey="row", squeeze=False)
    strides = sorted(rows["stride"].unique().tolist(), key=lambda stride: stride or math.inf)
    learned = in_order(rows.loc[rows["metric"] == "answer_flops", "name"])
    for (cost, steps), task in zip(panels.T, tasks, strict=True):
        own = rows[rows["task"] == task]
        for stride in strides:
            right = own[(own["stride"] == stride) & (own["metric"] == "stride_step_right")]
            exact = own[(own["stride"] == stride) & (own["metric"] == "trace_agreement") & own["step"].notna()]
            if len(right):
                ceiling = right["condition"].str.endswith("/exact_trace")
                curve(steps, right[~ceiling], "step", **_line(stride))
                curve(steps, exact, "step", band=False, **_line(stride) | HANDED_DOWN)
                curve(steps, right[ceiling], "step", band=False, **_line(stride) | ROUNDED)
        for name in learned:
            _cost_points(cost, own[own["name"] == name], _style(name))
        cost.set_yscale("log")
        cost.set_xlim(left=0)
        cost.axhline(THRESHOLD, color="#777777", linewidth=1, linestyle=(0, (4, 2)), zorder=1)
        cost.set_xlabel("one answer  [million FLOPs]")
        cost.set_title(task)
        steps.set_xlabel("step t")
        steps.set_xticks([1, 4, 8, 12, 16])
    panels[0, 0].set_ylim(FLOOR / 1.5, 25)
    panels[0, 0].set_ylabel("KL(exact ‖ answer)  [nats]")
    panels[1, 0].set_ylim(-0.03, 1.05)
    panels[1, 0].set_ylabel("codes that are right  [fraction]")
    figure.suptitle(f"With {largest} questions: what an answer costs, and which strides are right", x=0.01, ha="left")
    handles = [Line2D([], [], label=_label(stride), **_line(stride)) for stride in strides]
    handles += [Line2D([], [], label=name, **_style(name)) for name in learned if name == "gru"]
    gray: dict[str, Any] = {"color": "#555555", "markersize": 4.5}
    handles.append(Line2D([], [], label="right from the model's own code before", marker="D", **gray))
    handles.append(Line2D([], [], label="the exact belief's code", **gray | HANDED_DOWN))
    handles.append(Line2D([], [], label="exact codes, judged alike", **gray | ROUNDED))
    legend_below(figure, handles, columns=4)
    return figure


def _style(name: str) -> dict[str, Any]:
    stride = stride_of(name)
    return look(name) if stride is None and name != AMORTIZED else _line(stride or 0)


def _cost_points(axes: Axes, rows: pd.DataFrame, style: dict[str, Any]) -> None:
    by_seed = rows[rows["metric"].isin(("answer_kl", "answer_flops")) & ~rows["condition"].str.contains("/")]
    by_seed = by_seed.pivot(index="seed", columns="metric", values="value")
    if len(by_seed.columns) == 2:
        kl = by_seed["answer_kl"].astype(float).clip(lower=FLOOR)
        axes.plot(by_seed["answer_flops"].astype(float) / 1e6, kl, **style | {"linestyle": "", "markersize": 6})
