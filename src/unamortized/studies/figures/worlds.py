"""Figures of the study of worlds: where CoT is closer to exact Bayes than a model without a trace, and by how much."""

from typing import Any

import pandas as pd

from unamortized.labels import display
from unamortized.studies.figures.charts import Dots, Heat
from unamortized.studies.names import COT, EQUAL_FLOPS, GRU, PRIOR, WINDOW

SHIFTS = ("length", "parameters", "start", "rare", "composition")
SPLITS = ("in_distribution", *SHIFTS)
SLIPS = (1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.005)
GAP: dict[str, Any] = {
    "metrics": ("answer_kl",),
    "panel": "",
    "label": f"KL of {display(COT)} − KL of\n{display(EQUAL_FLOPS)}  [nats]",
    "palette": "RdBu_r",
    "scale": "symlog",
    "intervals": True,
}


def longest(rows: pd.DataFrame) -> pd.DataFrame:
    """Keep unchanged worlds, and of each split its greatest length."""
    own = rows[rows["world"] == ""]
    return own[own["n_steps"] == own.groupby(["task", "split"])["n_steps"].transform("max")]


def gaps(rows: pd.DataFrame) -> pd.DataFrame:
    """Replace each KL by CoT's minus the other model's, paired by seed; both runs keep their rows."""
    pairs = ["task", "world", "split", "n_steps", "seed"]
    by_condition = rows.pivot_table("value", pairs, "condition").reindex(columns=[COT, EQUAL_FLOPS])
    gap = (by_condition[COT] - by_condition[EQUAL_FLOPS]).dropna().rename("value")
    return rows.drop(columns="value").merge(gap.reset_index(), on=pairs)


def longest_gaps(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the gaps at the greatest length of each split."""
    return gaps(longest(rows))


FIGURES = (
    Heat(
        name="phase_gap",
        title="When does CoT gain: slow or fast forgetting, short or long questions?",
        caption="CoT is closer to exact Bayes (blue) where much has to be composed: long questions of worlds that "
        "forget slowly (bottom); right of the dashed line, questions are longer than in training.",
        where={"condition": (COT, EQUAL_FLOPS), "world.slip": SLIPS},
        prepare=gaps,
        x="n_steps",
        y="world.slip",
        y_label="slip: probability of forgetting at a step",
        range=(-2.0, 2.0),
        size=(7.4, 3.4),
        **GAP,
    ),
    Heat(
        name="phase_diagram",
        title="How far from exact Bayes is each model, by slip and length?",
        caption="Where the world forgets slowly (bottom), answers without a trace get worse with length; CoT and a "
        "GRU stay several times closer. No number: below 0.003 nats.",
        metrics=("answer_kl",),
        where={"condition": (EQUAL_FLOPS, COT, GRU, WINDOW), "world.slip": SLIPS},
        panel="condition",
        x="n_steps",
        y="world.slip",
        range=(0.003, 3.0),
        floor=0.003,
        columns=2,
        size=(3.9, 2.3),
    ),
    Heat(
        name="worlds_gap",
        title="In which worlds does CoT bring the answer closer to exact Bayes?",
        caption="Blue: CoT is closer, most of all in groups, which forget nothing. Red: the model without a trace is, "
        "as from start states that training never showed. Bold: the interval excludes 0.",
        where={"condition": (COT, EQUAL_FLOPS), "split": SPLITS},
        prepare=longest_gaps,
        x="split",
        y="place",
        range=(-5.0, 5.0),
        size=(7.4, 0.0),
        **GAP,
    ),
    Dots(
        name="worlds_kl",
        title="How far are answers from exact Bayes in each world?",
        caption="In groups CoT stays within 0.1 nats of exact Bayes at every length, but from start states that "
        "training never showed it is further off than the prior (gray).",
        metrics=("answer_kl",),
        where={"condition": (EQUAL_FLOPS, COT, GRU, PRIOR), "split": ("in_distribution", "length", "start")},
        names={"in_distribution": "longest in training", "length": "longest in tests", "start": "other start states"},
        prepare=longest,
        panel="split",
        y="place",
        size=(2.6, 0.0),
    ),
)
