"""Figures of the study of strides: questions needed to learn from every k-th step, and right steps."""

import math
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from unamortized.labels import place
from unamortized.studies.figures.charts import Curves, Picture
from unamortized.studies.figures.style import Tables, color, legend_below
from unamortized.studies.growth import THRESHOLD, all_needed, fit, learning_curves, questions_of, with_strides
from unamortized.studies.names import AMORTIZED, COT, GRU

STRIDES = (COT, "cot_every_2", "cot_every_4", "cot_every_8", "cot_every_16")
FITS: dict[str, Any] = {"exponential": "-", "polynomial": (0, (5, 1.8))}  # dashes by growth
TABLE: dict[str, Any] = {"color": "#C4C4C4", "linewidth": 3, "zorder": 1.2}
MARKERS = {0: "D", 1: "^", -1: "v"}  # by the sign of censoring


def at_most_questions(rows: pd.DataFrame) -> pd.DataFrame:
    """Keep the runs with the most training questions; drop all if no variant names their number."""
    questions = rows["variant"].map(questions_of)
    return rows[questions == max(questions.max(), 1)]


def stride_growth(tables: Tables) -> Figure | None:
    """Draw N* of each seed against the stride, two fits of its growth, and the size of the table of updates."""
    found = all_needed(tables.metrics)
    found = found[(found["stride"] > 0) | (found["condition"] == AMORTIZED)]
    if found.empty:
        return None
    tasks, sizes = list(dict.fromkeys(found["task"])), sorted(learning_curves(tables.metrics)["questions"].unique())
    strides = sorted(with_strides(found)["stride"].unique().tolist())
    last = max(strides, default=1) + 2.5  # where the model without a trace stands
    figure = Figure(figsize=(max(6.9, 3.0 * len(tasks) + 0.6), 4.2))
    panels = figure.subplots(1, len(tasks), sharey=True, squeeze=False)[0]
    for axes, task in zip(panels, tasks, strict=True):
        own = found[found["task"] == task]
        of_task = tables.metrics[tables.metrics["task"] == task]
        shown = of_task[of_task["metric"] == "table_questions"].groupby("step")["value"].mean()
        axes.plot(shown.index.to_numpy(dtype=float), shown.to_numpy(dtype=float), **TABLE)
        _growth(axes, with_strides(own))
        seeds = sorted(own["seed"].unique().tolist())
        for point in own.itertuples():
            x = (point.stride or last) + 0.24 * (seeds.index(point.seed) - (len(seeds) - 1) / 2)
            axes.plot(x, math.exp(point.log_questions), **_mark(point.condition, point.censored))
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(FixedLocator([float(size) for size in sizes]))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda size, _: f"{size:.0f}"))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.set_ylim(sizes[0] / 3, sizes[-1] * 6)
        axes.set_xlim(0, last + 1.5)
        axes.set_xticks([*strides, last], [*map(str, strides), "no\ntrace"])
        axes.set_xlabel("stride k  [steps]")
        axes.set_title(place(task))
    panels[0].set_ylabel(f"N*: questions to {THRESHOLD:g} nats")
    figure.suptitle("How fast does the number of questions needed grow with the stride?", x=0.01, ha="left")
    handles = [
        Line2D([], [], label="a seed", **_mark(COT, 0)),
        Line2D([], [], label="more than the most tried", **_mark(COT, 1)),
        *(Line2D([], [], color="#444444", linestyle=dashes, label=f"{growth} fit") for growth, dashes in FITS.items()),
        Line2D([], [], label="a table of all k-step updates", **TABLE),
    ]
    legend_below(figure, handles, columns=3)
    return figure


def _mark(condition: str, censored: int) -> dict[str, Any]:
    face = "none" if censored else color(condition)
    marker = {"marker": MARKERS[censored], "color": color(condition), "markerfacecolor": face}
    return marker | {"markersize": 5.5, "linestyle": "", "zorder": 3}


def _growth(axes: Axes, points: pd.DataFrame) -> None:
    along = np.linspace(points["stride"].min(), points["stride"].max(), 200) if len(points) else np.array([])
    for growth, dashes in FITS.items():
        fitted = fit(points, growth) if len(points) else None
        if fitted is not None:
            n_questions = np.exp(np.minimum(fitted.log_questions(along), 700))
            axes.plot(along, n_questions, color="#444444", linestyle=dashes, linewidth=1.4)


FIGURES = (
    Picture(
        "stride_growth",
        "In S3, where the order of symbols counts, the questions needed soon exceed all that were tried; where the "
        "past is forgotten (noisy permutation), they grow little with the stride.",
        stride_growth,
        ("answer_kl", "table_questions"),
    ),
    Curves(
        name="stride_learning",
        title="How many training questions does it take to learn from every k-th step?",
        caption="From 12,500 questions all seeds (dots) learn strides of one and two steps in S3, up to four in Z7, "
        "and all strides in noisy permutations; learned is below the dashed line, at 0.1 nats.",
        metrics=("answer_kl",),
        where={"condition": (*STRIDES, AMORTIZED, GRU), "variant": ()},
        panel="task",
        x="variant.n",
        floor=1e-3,
        references=(THRESHOLD,),
        seeds=True,
        size=(2.9, 3.0),
    ),
    Curves(
        name="stride_steps",
        title="With the most training questions, which written steps are right?",
        caption="Given the code before, strides of one and two steps are always right in groups; in noisy "
        "permutations rounding alone keeps even exact codes (dashed) below 1.",
        metrics=("stride_step_right",),
        where={"condition": STRIDES, "variant": (), "control": ("", "exact_trace")},
        names={("control", ""): "the model's codes", "exact_trace": "codes of exact beliefs, judged alike"},
        prepare=at_most_questions,
        panel="task",
        dash="control",
        x="step",
        limits=(-0.03, 1.05),
        label="right codes  [fraction]",
        size=(2.9, 2.8),
    ),
)
