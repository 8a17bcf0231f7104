"""Figures of the modes: the traces that the answer is read from, and when models come to rely on them."""

import pandas as pd

from unamortized.studies.figures.charts import Curves, Dots
from unamortized.studies.names import AMORTIZED, COT, COT_SHUFFLED

READABLE = (COT, "cot_state", "cot_every_2", "cot_reversed")  # traces from which the answer can be read
EMPTY = (COT_SHUFFLED, "cot_posthoc", "cot_filler")
TRACES = (*READABLE, *EMPTY)
FIRST_LAGS = (0, 1, 2)
AVERAGED = "causal reliance α, lags 0 to 2"


def name_readings(rows: pd.DataFrame) -> pd.DataFrame:
    """Name each reading by its metric and lag, and each trace by whether the answer can be read from it."""
    lags = ["" if pd.isna(step) else f" {step}" for step in rows["step"]]
    kinds = {**dict.fromkeys(READABLE, "readable"), **dict.fromkeys(EMPTY, "empty")}
    return rows.assign(
        reading=[f"{metric}{lag}" for metric, lag in zip(rows["metric"], lags, strict=True)],
        kind=rows["condition"].map(kinds).fillna("none"),
    )


def at_first_lags(rows: pd.DataFrame) -> pd.DataFrame:
    """Keep the lags over which reliance is averaged."""
    return rows[rows["step"].isin(FIRST_LAGS)]


WORLDS = {"n8": "noisy permutation, up to 8 observations"}
STYLES = {"readable": {"color": "#0072B2"}, "empty": {"color": "#8A8A8A"}, "none": {"color": "#D55E00"}}
KINDS = {"readable": "the trace holds the answer", "empty": "it does not", "none": "no trace"}

FIGURES = (
    Dots(
        name="modes",
        title="Which traces are used, and which are decoration?",
        caption="The answer follows a trace with a belief or state at every step, partly one at every second step, "
        "hardly one written from its end, and not at all a trace that does not hold the answer.",
        metrics=("indirect_effect", "causal_reliance"),
        where={
            "world": ("n8",),
            "variant": ("l2",),
            "condition": TRACES,
            "reading": ("indirect_effect", "causal_reliance 0", "causal_reliance 2"),
            "kind": ("readable", "empty"),
        },
        prepare=name_readings,
        names=KINDS
        | {
            "indirect_effect": "trace exchanged",
            "causal_reliance 0": "last step edited",
            "causal_reliance 2": "edit two steps earlier",
        },
        panel="reading",
        y="condition",
        line="kind",
        styles=STYLES,
        label="share of the exact move",
        references=(0.0, 1.0),
        size=(2.3, 3.0),
    ),
    Dots(
        name="modes_kl",
        title="Which traces bring the answer closer to exact Bayes?",
        caption="Only CoT, with a belief after every step, is clearly closer than a model without a trace; a trace of "
        "sampled states makes the answer far too certain.",
        metrics=("answer_kl",),
        where={
            "world": ("n8",),
            "variant": ("l2",),
            "n_steps": (8,),
            "condition": (*TRACES, AMORTIZED),
            "kind": ("readable", "empty", "none"),
        },
        prepare=name_readings,
        names=KINDS | WORLDS,
        panel="world",
        y="condition",
        line="kind",
        styles=STYLES,
        size=(5.5, 2.8),
    ),
    Curves(
        name="modes_training",
        title="When do models come to rely on their trace, and does it last?",
        caption="Reliance on traces of beliefs or states appears within about a hundred steps and stays; it grows "
        "slowly for every second belief, and hardly for a trace written from its end.",
        metrics=("causal_reliance",),
        where={"world": ("n8",), "variant.l": (2.0,), "condition": READABLE},
        prepare=at_first_lags,
        names=WORLDS,
        panel="world",
        x="variant.after",
        label=AVERAGED,
        references=(0.0, 1.0),
        size=(5.2, 2.8),
    ),
    Curves(
        name="modes_size",
        title="Do deeper models rely less on their trace, and longer questions more?",
        caption="Neither depth nor length changes much when reliance appears or how large it becomes.",
        metrics=("causal_reliance",),
        where={"condition": (COT,)},
        prepare=at_first_lags,
        names={("world.n", float(n)): f"up to {n} observations" for n in (4, 8, 16)}
        | {("variant.l", float(layers)): f"{layers} layer" + "s" * (layers > 1) for layers in (1, 2, 4)},
        panel="world.n",
        line="variant.l",
        x="variant.after",
        label=AVERAGED,
        references=(0.0, 1.0),
        size=(2.5, 2.6),
    ),
)
