"""Figures of the study of faithfulness: every test on one problem, and the measures against the trained ρ."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from unamortized.evaluation.protocol import FEWEST_PROBLEMS
from unamortized.labels import display
from unamortized.studies.faithfulness_measures import (
    FAITHFULNESS_MEASURES,
    RHOS,
    FaithfulnessMeasure,
    Miscalibration,
    RankByRho,
    VarianceShare,
    readings,
    rows_read,
)
from unamortized.studies.figures.charts import Curves, Dots, Picture
from unamortized.studies.figures.style import Tables, legend_below, whisker
from unamortized.studies.names import COT, COT_SHUFFLED

# ── one problem under every test ─────────────────────────────────────────────────────────────────

STATES = ("#0072B2", "#E3A400", "#A63603", "#009E73", "#CC79A7")
CHANGED = "#111111"
FOLLOWS, IGNORES = "dial_1", "dial_0"


class Shown(NamedTuple):
    """A test of faithfulness: the change that it makes, and the model whose trace is shown."""

    name: str  # in the column ``control`` of examples
    title: str
    description: str
    shown: str = FOLLOWS
    reference: str = "by the trace"  # label of the answer that the test calls for


SCENES = (
    Shown(
        "undisturbed",
        "Nothing is changed",
        "The bars are the beliefs that the trace\nstates after each observation.",
        reference="exact",
    ),
    Shown("edited", "A step is edited", "The model continues from the framed\nstep. Does its answer follow?"),
    Shown(
        "frozen",
        "... and later steps are kept",
        "The last step stays as it was, so a\nMarkov trace ignores the edit.",
    ),
    Shown("early", "The trace is cut off", "Is the answer already fixed, or does\nit follow the trace so far?"),
    Shown(
        "without",
        "No trace is written",
        "If the answer is the same, the trace\nwas written for show.",
        reference="prior",
    ),
    Shown(
        "another_trace", "Another problem's trace", "Whose answer does the model give,\nthe question's or the trace's?"
    ),
    Shown("another_question", "Another problem's question", "Does the trace alone determine the\nanswer?"),
    Shown(
        "reworded",
        "The same in other words",
        "Every step is spelled the other way,\nso the answer should stay.",
        "cot_synonyms",
    ),
    Shown("hinted", "A hint at the answer", "Does the hint show in the trace, or\nonly in the answer?", "hint_told"),
)


def worked(tables: Tables) -> Figure | None:
    """Draw a row for each test: its question, the problem with its trace, and the answers."""
    rows = tables.examples
    rows = rows[rows["control"].isin([scene.name for scene in SCENES])] if len(rows) else rows
    if rows.empty:
        return None
    world = rows.groupby("world", sort=False)["control"].nunique().idxmax()  # the one with the most tests
    rows = rows[rows["world"] == world]
    present = set(zip(rows["condition"], rows["control"], strict=True))
    scenes = [scene for scene in SCENES if (scene.shown, scene.name) in present]
    if not scenes:
        return None
    figure = Figure(figsize=(9.2, 0.8 + 0.72 * len(scenes)))
    panels = figure.subplots(len(scenes), 3, squeeze=False, width_ratios=[1.3, 1.7, 1])
    for (words, trace, answers), scene in zip(panels, scenes, strict=True):
        own = rows[rows["control"] == scene.name]
        words.set_axis_off()
        words.text(0, 1.0, scene.title, fontweight="bold", fontsize=9, va="top", transform=words.transAxes)
        words.text(0, 0.68, scene.description, fontsize=8, va="top", linespacing=1.2, transform=words.transAxes)
        _trace(trace, own[own["condition"] == scene.shown])
        _answers(answers, own, scene)
    panels[-1, 1].set_xlabel("symbol observed at each step")
    panels[-1, 2].set_xlabel("answer  [probability]")
    for axes in panels[:-1, 2]:
        axes.tick_params(labelbottom=False)
    figure.suptitle("What does each test of faithfulness do to one problem?", x=0.01, ha="left")
    n_states = int(rows.loc[rows["source"] == "stated", "state"].max()) + 1
    handles = [Patch(color=STATES[state % len(STATES)], label=f"state {state}") for state in range(n_states)]
    legend_below(figure, [*handles, Patch(fc="none", ec=CHANGED, lw=1.6, label="changed by the test")], columns=6)
    return figure


def _trace(axes: Axes, rows: pd.DataFrame) -> None:
    """Draw the stated beliefs as stacked bars over the observed symbols; a dash where nothing is stated."""
    observed = rows[rows["source"] == "observation"].set_index("step")["value"]
    stated = rows[rows["source"] == "stated"].pivot_table(index="step", columns="state", values="value")
    for step, belief in stated.iterrows():
        _stack(axes, float(step), belief.to_numpy(dtype=float), upright=True)  # pyright: ignore[reportArgumentType]
    for step in rows.loc[rows["source"] == "changed", "step"]:
        frame = Rectangle((step - 0.44, -0.03), 0.88, 1.06, fill=False, ec=CHANGED, lw=1.6, zorder=4)
        frame.set_clip_on(False)
        axes.add_patch(frame)
    for step in set(observed.index) - set(stated.index):
        axes.text(step, 0.5, "–", ha="center", va="center", color="#999999")
    axes.set(xlim=(0.45, len(observed) + 0.55), ylim=(0, 1))
    axes.set_xticks(list(observed.index), [str(int(symbol)) for symbol in observed], fontsize=8)
    axes.tick_params(axis="x", length=0, pad=1.5)
    axes.set_yticks([])


def _answers(axes: Axes, rows: pd.DataFrame, scene: Shown) -> None:
    """Draw the answer that the test calls for, and those of the models."""
    models = (FOLLOWS, IGNORES) if scene.shown == FOLLOWS else (scene.shown,)
    lines = [(scene.reference, scene.shown, "should")]
    lines += [(display(condition), condition, "answer") for condition in models]
    for place, (_, condition, source) in enumerate(lines):
        found = rows[(rows["condition"] == condition) & (rows["source"] == source)].set_index("state")["value"]
        _stack(axes, float(place), found.sort_index().to_numpy(dtype=float), upright=False)
    axes.set_yticks(range(len(lines)), [label for label, _, _ in lines], fontsize=7.5)
    axes.set(xlim=(0, 1), ylim=(2.5, -0.5))
    axes.tick_params(axis="y", length=0)


def _stack(axes: Axes, place: float, shares: np.ndarray, upright: bool) -> None:
    starts = np.cumsum(shares) - shares
    for state, (share, start) in enumerate(zip(shares, starts, strict=True)):
        shade = STATES[state % len(STATES)]
        if upright:
            axes.bar(place, share, bottom=start, width=0.8, color=shade)
        else:
            axes.barh(place, share, left=start, height=0.76, color=shade)


# ── measures against the trained faithfulness ────────────────────────────────────────────────────

RHO = "#0072B2"
PARTS = {"rho": (RHO, "explained by ρ"), "world": ("#D55E00", "explained by the world"), "neither": ("#D9D9D9", "rest")}
IDEAL: dict[str, Any] = {"color": "#999999", "linewidth": 1, "linestyle": (0, (4, 2))}
BY_BAYES = ("causal reliance", "mistakes by Bayes", "early answering by Bayes", "mediated share")
RAW = ("edit effect", "adding mistakes", "early answering", "stated and probed")
MEASURES = {measure.name: measure for measure in FAITHFULNESS_MEASURES}


def faithfulness_measures(tables: Tables) -> Figure | None:
    """Draw a row for each measure: the shares of its variance, its rank correlation with ρ, and its distance from ρ."""
    present = _present(tables.metrics)
    if not present:
        return None
    figure = Figure(figsize=(9.2, 1.5 + 0.24 * len(present)))
    bars, ranks, errors = figure.subplots(1, 3, sharey=True, width_ratios=[2.2, 1, 1])
    for place, measure in enumerate(present):
        _bar(bars, place, measure, tables.metrics)
        for axes, statistic in ((ranks, RankByRho(measure)), (errors, Miscalibration(measure))):
            whisker(axes, statistic.estimate(tables.metrics), place, along="x", color=RHO, marker="o", markersize=4)
    for axes, title in (
        (bars, "share of the variance of its readings"),
        (ranks, "rank correlation\nwith ρ"),
        (errors, "mean distance from ρ\n(if on its scale)"),
    ):
        axes.set_title(title, fontsize=9.5)
        axes.tick_params(axis="y", length=0)
    for axes, ideal in ((ranks, 1.0), (errors, 0.0)):
        axes.axvline(ideal, zorder=1, **IDEAL)
        axes.grid(axis="y", color="#EEEEEE", linewidth=0.8)
    bars.set(xlim=(0, 1), ylim=(len(present) - 0.4, -0.6))
    ranks.set_xlim(-1.08, 1.08)
    names = [f"{each.title} ({each.published})" if each.published else each.title for each in present]
    bars.set_yticks(range(len(present)), names, fontsize=8.5)
    figure.suptitle("Which measures of faithfulness measure faithfulness?", x=0.01, ha="left")
    handles: list[Any] = [Patch(color=shade, label=label) for shade, label in PARTS.values()]
    handles.append(Line2D([], [], color=RHO, linestyle="", marker="o", markersize=4, label="mean over seeds"))
    legend_below(figure, [*handles, Line2D([], [], label="ideal", **IDEAL)], columns=5)
    return figure


def _present(metrics: pd.DataFrame) -> Sequence[FaithfulnessMeasure]:
    """Return the measures with readings of trained models, those that ρ explains best first."""
    if metrics.empty:
        return ()
    found = [each for each in FAITHFULNESS_MEASURES if readings(metrics, each)["value"].notna().any()]
    shares = {each: VarianceShare(each).values(metrics).mean() for each in found}
    return sorted(found, key=lambda each: -shares[each] if np.isfinite(shares[each]) else 1.0)


def _bar(axes: Axes, place: int, measure: FaithfulnessMeasure, metrics: pd.DataFrame) -> None:
    """Draw the shares of variance as one bar, with the interval of ρ's share over seeds."""
    by_seed = {part: VarianceShare(measure, part=part).values(metrics) for part in PARTS}  # pyright: ignore[reportArgumentType]
    means = {part: float(values.mean()) for part, values in by_seed.items()}
    if np.isnan(means["rho"]):
        read = readings(metrics, measure)["value"].dropna()
        text = "always reads the same" if read.nunique() < 2 else "not read in every world"
        axes.text(0.01, place, text, va="center", fontsize=8, color="#777777")
        return
    left = 0.0
    for part, (shade, _) in PARTS.items():
        axes.barh(place, means[part], left=left, color=shade, height=0.68)
        left += means[part]
    whisker(axes, by_seed["rho"].dropna().to_numpy(dtype=float), place, along="x", color="black", marker="")


def read_by_measures(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows behind the chosen measures, of models and exact readers, divided by the measure's norm."""
    found = []
    for measure in (MEASURES[name] for name in (*BY_BAYES, *RAW)):
        for kind in ("dial", "reader"):
            read = rows_read(rows, measure, kind).assign(measure=measure.name, kind=kind)
            own = read[read["metric"] == measure.metric]
            if measure.over:
                keys = ["task", "world", "condition", "seed"]
                norm = read[read["metric"] == measure.over].groupby(keys)["value"].mean().rename("norm")
                own = own.join(norm, on=keys)
                own = own.assign(value=own["value"] / own["norm"]).drop(columns="norm")
            found.append(own)
    return pd.concat(found)


def with_enough_problems(rows: pd.DataFrame) -> pd.DataFrame:
    """Keep readings of enough problems."""
    return rows[rows["count"] >= FEWEST_PROBLEMS]


# ── models whose faithfulness is known otherwise ─────────────────────────────────────────────────

KNOWN = {  # (metric, condition, control) -> the reading
    ("causal_reliance", COT, ""): "causal reliance on its own trace",
    ("causal_reliance", COT_SHUFFLED, ""): "causal reliance on traces about other problems",
    ("rewording_tv", "cot_synonyms", "other_trace"): "movement by another problem's trace  [TV]",
    ("rewording_tv", "cot_synonyms", ""): "movement by other words for the same  [TV]",
    ("hint_slope", "hint_told", ""): "effect of a hint that the trace states",
    ("hint_slope", "hint_untold", ""): "effect of a hint that the trace hides",
    ("hint_shown", "hint_told", ""): "share of it in the trace, if stated",
    ("hint_shown", "hint_untold", ""): "share of it in the trace, if hidden",
}


def name_known(rows: pd.DataFrame) -> pd.DataFrame:
    """Add ``known``, the name of each reading."""
    keys = zip(rows["metric"], rows["condition"], rows["control"], strict=True)
    return rows.assign(known=[KNOWN.get(key, "") for key in keys])


DIALS = tuple(f"dial_{rho:g}" for rho in RHOS)
RHO_NAMES = {("condition.dial", rho): f"ρ = {rho:g}" for rho in RHOS}
LAG = "lag: steps from the edit to the end"

FIGURES = (
    Picture(
        "worked",
        "The model trained to follow its trace (ρ = 1) answers as the changed trace says; the one trained to ignore "
        "it (ρ = 0) does not.",
        worked,
    ),
    Picture(
        "faithfulness_measures",
        "Measures relative to exact Bayes follow the trained faithfulness ρ; several published ones also follow how "
        "fast the world forgets, and two do not follow ρ at all.",
        faithfulness_measures,
        tuple(dict.fromkeys(metric for measure in FAITHFULNESS_MEASURES for metric in measure.metrics)),
    ),
    Curves(
        name="measure_readings",
        title="Does a measure read the same in slow and in fast worlds?",
        caption="Top: measures relative to exact Bayes read nearly the same in all worlds. Bottom: measures as "
        "published depend on how fast the world forgets (slip).",
        metrics=tuple(dict.fromkeys(m for name in (*BY_BAYES, *RAW) for m in MEASURES[name].metrics)),
        where={"measure": (*BY_BAYES, *RAW), "kind": ("dial", "reader")},
        prepare=read_by_measures,
        names={"dial": "trained models", "reader": "exact readers of known ρ"},
        panel="measure",
        line="world.slip",
        dash="kind",
        x="rho",
        x_label="trained ρ",
        shared=False,
        scale="linear",
        label="reading",
        size=(2.0, 2.1),
    ),
    Curves(
        name="dial",
        title="Do models become as faithful as they are trained to be?",
        caption="Reliance on an edited step is close to the trained ρ (gray lines) in slow worlds and mostly above it "
        "in the fast one; a wrong last step alone moves the answer less far.",
        metrics=("causal_reliance", "causal_reliance_abrupt"),
        where={"condition": DIALS, "metric": ("causal_reliance", "causal_reliance_abrupt")},
        prepare=with_enough_problems,
        names={
            "causal_reliance": "edited step, continued",
            "causal_reliance_abrupt": "wrong last step alone",
            **RHO_NAMES,
        },
        panel="world.slip",
        line="condition.dial",
        dash="metric",
        x="step",
        x_label=LAG,
        references=RHOS,
        size=(2.5, 3.2),
    ),
    Curves(
        name="dial_distance",
        title="How far are answers to edited traces from the optimum?",
        caption="The lower the trained ρ, the further answers are from the optimum, most of all in the slow world "
        "(slip 0.02).",
        metrics=("dial_distance",),
        where={"condition": DIALS},
        prepare=with_enough_problems,
        names=RHO_NAMES,
        panel="world.slip",
        line="condition.dial",
        x="step",
        x_label=LAG,
        scale="linear",
        limits=(0.0, None),
        size=(2.5, 2.6),
    ),
    Dots(
        name="known_cases",
        title="Do the tests find what we know about a model?",
        caption="Models do not rely on traces about other problems, rewording changes almost nothing, and a hint "
        "shows in the trace only if the model was trained to state it.",
        metrics=("causal_reliance", "rewording_tv", "hint_slope", "hint_shown"),
        where={"known": tuple(KNOWN.values()), "control": ("", "other_trace")},
        prepare=name_known,
        line="known",
        y="known",
        label="reading",
        size=(5.5, 2.6),
        references=(0.0, 1.0),
    ),
)
