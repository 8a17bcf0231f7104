"""Worked problems: one question under every test of faithfulness, with what a test asks in a sentence and a formula."""

import textwrap
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from unamortized.evaluation.metrics import METRICS
from unamortized.studies.figures.style import Tables, legend_below, styled

STATES = ("#0072B2", "#E3A400", "#A63603", "#009E73", "#CC79A7")
CHANGED = "#111111"
FOLLOWS, IGNORES = "dial_1", "dial_0"


class WorkedTest(NamedTuple):
    """A row: what is done, what it asks, the metric that says so, and who is shown."""

    name: str
    title: str
    description: str
    metrics: tuple[str, ...]
    by: str = FOLLOWS  # whose trace is shown


TESTS = (
    WorkedTest(
        *("undisturbed", "Nothing is changed"),
        "Below each observation, what the\ntrace says is believed after it.\nRight: what should be answered, and is.",
        ("answer_kl",),
    ),
    WorkedTest(
        *("edited", "A step is edited"),
        "The framed step is made to say\nsomething else, and the model\ngoes on. Does its answer follow?",
        ("causal_reliance",),
    ),
    WorkedTest(
        *("frozen", "... and the rest is kept"),
        "Whoever reads the last step alone\nneed not care: later steps still\nsay what they said.",
        ("causal_reliance_frozen",),
    ),
    WorkedTest(
        *("early", "The answer is asked for early"),
        "Does the answer stand already,\nor does it say what the trace has\ncome to?",
        ("early_reliance",),
    ),
    WorkedTest(
        *("without", "No trace is written"),
        "If the answer is the same without\na trace, the trace was written\nfor show.",
        ("posthocness", "necessity"),
    ),
    WorkedTest(
        *("another_trace", "Another question's trace"),
        "Question A, and the trace that was\nwritten for B: to whose answer\ndoes the model come?",
        ("indirect_effect",),
    ),
    WorkedTest(
        *("another_question", "Another question"),
        "Question B, and the trace that was\nwritten for A. Does the trace tell\nthe answer by itself?",
        ("direct_effect", "sufficiency"),
    ),
    WorkedTest(
        *("another_end", "The question ends otherwise"),
        "From what the trace said before,\ncan one foretell the answer to\nthe changed question?",
        ("simulatability",),
    ),
    WorkedTest(
        *("reworded", "The same in other words"),
        "Every step is spelled the other\nway. It means the same, so the\nanswer should be the same.",
        ("rewording_tv",),
        "cot_synonyms",
    ),
    WorkedTest(
        *("hinted", "A hint at the answer"),
        "The question ends with a hint of\nknown strength. Does it show in\nthe trace, or only in the answer?",
        ("hint_slope", "hint_shown"),
        "hint_told",
    ),
)


@styled
def worked(tables: Tables) -> Figure | None:
    """A row a test: what it asks, the problem with its trace, and the answers."""
    rows = tables.examples[tables.examples["source"].str.contains("/")] if len(tables.examples) else tables.examples
    if rows.empty:
        return None
    task = _task(rows)
    rows = rows[rows["task"] == task]
    there = set(zip(rows["condition"], rows["source"].str.partition("/")[0], strict=True))
    tests = [test for test in TESTS if (test.by, test.name) in there]
    if not tests:
        return None
    figure = Figure(figsize=(11.4, 0.9 + 1.55 * len(tests)))
    panels = figure.subplots(len(tests), 3, squeeze=False, width_ratios=[1.6, 1.7, 1])
    for (words, strip, answers), test in zip(panels, tests, strict=True):
        own = rows[rows["source"].str.partition("/")[0] == test.name]
        own = own.assign(what=own["source"].str.partition("/")[2])
        _words(words, test)
        _trace(strip, own[own["condition"] == test.by])
        _answers(answers, own, test)
    panels[-1, 1].set_xlabel("step t, with the symbol observed")
    panels[-1, 2].set_xlabel("answer  [probability]")
    for axes in panels[:-1, 2]:
        axes.tick_params(labelbottom=False)
    figure.suptitle("Tests of faithfulness, on one and the same problem", x=0.01, ha="left")
    n_states = int(rows.loc[rows["source"].str.endswith("/stated"), "state"].max()) + 1
    handles = [Patch(color=STATES[state % len(STATES)], label=f"state {state}") for state in range(n_states)]
    handles.append(Patch(facecolor="none", edgecolor=CHANGED, linewidth=1.6, label="changed from outside"))
    legend_below(figure, handles, columns=6)
    return figure


def _task(rows: pd.DataFrame) -> str:
    """The task of which most is told."""
    return str(rows.groupby("task", sort=False)["source"].nunique().idxmax())


def _words(axes: Axes, test: WorkedTest) -> None:
    axes.set_axis_off()
    style: dict[str, Any] = {"transform": axes.transAxes, "va": "top", "ha": "left"}
    axes.text(0, 1.02, test.title, fontweight="bold", fontsize=9.5, **style)
    axes.text(0, 0.84, test.description, fontsize=8.6, linespacing=1.25, **style)
    formulas = [textwrap.fill(f"{name} = {METRICS[name].formula}", 72) for name in test.metrics]
    axes.text(0, 0.34, "\n".join(formulas), fontsize=7, color="#777777", linespacing=1.15, **style)


def _trace(axes: Axes, rows: pd.DataFrame) -> None:
    """The stated beliefs as bars of probability by step, over the symbols observed."""
    observed = rows[rows["what"] == "observation"].set_index("step")["value"]
    stated = rows[rows["what"] == "stated"].pivot_table(index="step", columns="state", values="value")
    for step, belief in stated.iterrows():
        _stack(axes, float(step), belief.to_numpy(dtype=float), vertical=True)  # pyright: ignore[reportArgumentType]
    for step in rows.loc[rows["what"] == "changed", "step"]:
        frame = Rectangle((step - 0.44, -0.02), 0.88, 1.04, fill=False, edgecolor=CHANGED, linewidth=1.6, zorder=4)
        frame.set_clip_on(False)
        axes.add_patch(frame)
    for step in set(observed.index) - set(stated.index):
        axes.text(step, 0.5, "–", ha="center", va="center", color="#999999")
    axes.set_xlim(0.45, len(observed) + 0.55)
    axes.set_ylim(0, 1)
    axes.set_xticks(list(observed.index), [f"x = {int(symbol)}" for symbol in observed], fontsize=7.8)
    axes.set_yticks([0, 1])
    axes.tick_params(axis="x", length=0)


def _answers(axes: Axes, rows: pd.DataFrame, test: WorkedTest) -> None:
    """Answers as bars: what somebody would say who goes by the trace, and what models say."""
    lines = [("by the trace, exactly" if test.name != "undisturbed" else "exact", test.by, "should")]
    names = {FOLLOWS: "trained with ρ = 1", IGNORES: "trained with ρ = 0"}
    for condition in (FOLLOWS, IGNORES) if test.by == FOLLOWS else (test.by,):
        lines.append((names.get(condition, condition), condition, "answer"))
    for place, (_, condition, what) in enumerate(lines):
        found = rows[(rows["condition"] == condition) & (rows["what"] == what)].set_index("state")["value"]
        _stack(axes, float(place), found.sort_index().to_numpy(dtype=float), vertical=False)
    axes.set_yticks(range(len(lines)), [label for label, _, _ in lines], fontsize=8)
    axes.set_ylim(2.6, -0.6)
    axes.set_xlim(0, 1)
    axes.tick_params(axis="y", length=0)


def _stack(axes: Axes, place: float, shares: np.ndarray, vertical: bool) -> None:
    start = 0.0
    for state, share in enumerate(shares):
        shade = STATES[state % len(STATES)]
        if vertical:
            axes.bar(place, share, bottom=start, width=0.8, color=shade)
        else:
            axes.barh(place, share, left=start, height=0.72, color=shade)
        start += share
