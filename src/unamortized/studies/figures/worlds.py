"""Figures of the study of worlds: where CoT is closer to exact Bayes than a model without a trace, and by how much."""

import pandas as pd

from unamortized.labels import display
from unamortized.studies.figures.charts import Dots, Heat
from unamortized.studies.names import COT, EQUAL_FLOPS, GRU, PRIOR, WINDOW

SHIFTS = ("length", "parameters", "start", "rare", "composition")
SPLITS = ("in_distribution", *SHIFTS)
GAP = f"KL of {display(COT)} − KL of\n{display(EQUAL_FLOPS)}  [nats]"


def longest(rows: pd.DataFrame) -> pd.DataFrame:
    """Keep the worlds as their task files have them, each split at its greatest length."""
    own = rows[rows["world"] == ""]
    return own[own["n_steps"] == own.groupby(["task", "split"])["n_steps"].transform("max")]


def gaps(rows: pd.DataFrame) -> pd.DataFrame:
    """Replace each KL by CoT's minus the other model's, paired by seed; rows of both remain, as both runs are shown."""
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
        metrics=("answer_kl",),
        where={"condition": (COT, EQUAL_FLOPS), "world.slip": (1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.005)},
        prepare=gaps,
        panel="",
        x="n_steps",
        y="world.slip",
        y_label="slip: probability of forgetting at a step",
        label=GAP,
        palette="RdBu_r",
        scale="symlog",
        range=(-2.0, 2.0),
        intervals=True,
        size=(7.4, 3.4),
    ),
    Heat(
        name="phase_diagram",
        title="How far from exact Bayes is each model, by slip and length?",
        caption="Where the world forgets slowly (bottom), answers without a trace get worse with length; CoT and a "
        "GRU stay several times closer. No number: below 0.003 nats.",
        metrics=("answer_kl",),
        where={
            "condition": (EQUAL_FLOPS, COT, GRU, WINDOW),
            "world.slip": (1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.005),
        },
        panel="condition",
        x="n_steps",
        y="world.slip",
        palette="Blues",
        range=(0.003, 3.0),
        floor=0.003,
        columns=2,
        size=(3.9, 2.3),
    ),
    Heat(
        name="worlds_gap",
        title="In which worlds is CoT closer to exact Bayes (blue) than a model without a trace (red)?",
        caption="CoT gains most in groups, which forget nothing, and loses where questions start from states that "
        "training never showed; bold where the interval excludes 0.",
        metrics=("answer_kl",),
        where={"condition": (COT, EQUAL_FLOPS), "split": SPLITS},
        prepare=longest_gaps,
        panel="",
        x="split",
        y="place",
        label=GAP,
        palette="RdBu_r",
        scale="symlog",
        range=(-5.0, 5.0),
        intervals=True,
        size=(7.4, 0.0),
    ),
    Dots(
        name="worlds_kl",
        title="How far are answers from exact Bayes in each world?",
        caption="In groups CoT stays within 0.1 nats of exact Bayes at every length, while a model without a trace is "
        "hardly better than the prior (gray).",
        metrics=("answer_kl",),
        where={"condition": (EQUAL_FLOPS, COT, GRU, PRIOR), "split": ("in_distribution", "length")},
        names={"in_distribution": "longest training length", "length": "longest test length"},
        prepare=longest,
        panel="split",
        y="place",
        size=(3.4, 0.0),
    ),
    Dots(
        name="worlds_kl_shifted",
        title="How far are answers from exact Bayes under each shift?",
        caption="From start states that training never showed, CoT is further from exact Bayes than the prior (gray) "
        "in every group tested.",
        metrics=("answer_kl",),
        where={"condition": (EQUAL_FLOPS, COT, GRU, PRIOR), "split": ("parameters", "start", "rare")},
        prepare=longest,
        panel="split",
        y="place",
        size=(2.4, 0.0),
    ),
)
