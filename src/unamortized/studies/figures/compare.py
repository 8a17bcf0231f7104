"""Figures of the headline study."""

import pandas as pd

from unamortized.evaluation.protocol import FEWEST_PROBLEMS
from unamortized.labels import ABOUT_TO_STATE, QUESTION
from unamortized.studies.figures.charts import Curves, Dots, Picture, Reference
from unamortized.studies.figures.simplex import belief_simplex
from unamortized.studies.figures.story import one_problem
from unamortized.studies.names import COT, EQUAL_FLOPS, GRU, PRIOR, WINDOW

EDITS = {
    ("causal_reliance", ""): "CoT",
    ("causal_reliance_frozen", ""): "later steps frozen",
    ("causal_reliance", "wrong_counterfactual"): "wrong counterfactual",
}


def name_edits(rows: pd.DataFrame) -> pd.DataFrame:
    """Keep readings of enough problems, and name what was edited and what it is judged by."""
    rows = rows[rows["count"] >= FEWEST_PROBLEMS]
    return rows.assign(edit=[EDITS.get(pair, "") for pair in zip(rows["metric"], rows["control"], strict=True)])


def at_longest(rows: pd.DataFrame) -> pd.DataFrame:
    """Keep the longest questions of each task."""
    return rows[rows["n_steps"] == rows.groupby("task")["n_steps"].transform("max")]


def if_states_are_sampled(rows: pd.DataFrame) -> pd.DataFrame:
    """Keep all rows if any run samples its trace, else none."""
    return rows if (rows["condition"] == SAMPLED).any() else rows[:0]


SAMPLED = "cot_state"
COMPARED = (EQUAL_FLOPS, COT, GRU, PRIOR, WINDOW)
FOLLOWED = (Reference(1.0, "as exact Bayes"), Reference(0.0, "ignores the trace"))

FIGURES = (
    Curves(
        name="kl_by_length",
        title="Does the answer stay exact beyond the lengths seen in training?",
        caption="CoT stays close to exact Bayes at four times the training length; models without a trace do so only "
        "where the world forgets (mess3) or a GRU can track the state.",
        metrics=("answer_kl",),
        where={"condition": COMPARED},
        x="n_steps",
        columns=2,
    ),
    Curves(
        name="accuracy_by_length",
        title="How often is the most probable answer the right one?",
        caption="On S3 and S5 only CoT keeps giving the right answer beyond the lengths seen in training.",
        metrics=("map_agreement",),
        where={"condition": COMPARED},
        x="n_steps",
        limits=(0.0, 1.15),
        columns=2,
    ),
    Curves(
        name="sampled_states",
        title="Do sampled thoughts average to a posterior?",
        caption="A trace of sampled states answers with certainty; averaging more traces helps, but sixteen are no "
        "better than the prior.",
        metrics=("answer_kl",),
        where={"condition": (PRIOR, SAMPLED, COT), "task": ("noisy_permutation",)},
        prepare=if_states_are_sampled,
        line="name",
        x="n_steps",
        size=(3.6, 3.2),
    ),
    Curves(
        name="edit_effect",
        title="How far does an edited step move the answer?",
        caption="One step of CoT's trace is replaced by another problem's; on slow worlds the answer moves as far as "
        "exact Bayes says, and a world that forgets leaves nothing to follow.",
        metrics=("edit_tv", "counterfactual_tv"),
        where={"condition": (COT,)},
        names={"edit_tv": "CoT's answer", "counterfactual_tv": "the exact answer"},
        line="metric",
        x="step",
        limits=(0.0, 1.02),
        label="movement of the answer  [TV]",
        columns=2,
    ),
    Curves(
        name="light_cone",
        title="Does the answer follow an edited step as far as exact Bayes would?",
        caption="CoT follows an edited step fully where the world is slow; with the later steps frozen, an early edit "
        "moves nothing, as it should.",
        metrics=("causal_reliance", "causal_reliance_frozen"),
        where={"condition": (COT,), "control": ("", "wrong_counterfactual")},
        prepare=name_edits,
        line="edit",
        x="step",
        references=FOLLOWED,
        limits=(-0.35, 1.35),
        columns=2,
    ),
    Curves(
        name="triangle_along_trace",
        title="Along the trace, do the stated, the probed and the exact belief agree?",
        caption="CoT states beliefs close to exact at every step; the probe reads them less well than they are "
        "written.",
        metrics=("stated_kl", "probed_kl", "stated_probed_kl"),
        where={"condition": (COT,), "metric": ("stated_kl", "probed_kl", "stated_probed_kl")},
        prepare=at_longest,
        names={"stated_kl": "exact ‖ stated", "probed_kl": "exact ‖ probed", "stated_probed_kl": "stated ‖ probed"},
        line="metric",
        x="step",
        label="KL  [nats]",
        columns=2,
        size=(3.2, 2.5),
    ),
    Dots(
        name="probe_r2_by_layer",
        title="Where can the exact belief be read, and would a control read it as well?",
        caption="Where CoT is about to state a step, its layers hold more of the belief than any control, except on "
        "worlds that ten observations give away.",
        metrics=("probe_r2",),
        where={
            "condition": (COT,),
            "control": ("", "untrained", "window_10", "shuffled_belief"),
            "site": (ABOUT_TO_STATE, QUESTION),
            "layer": ("0", "1", "2", "all", ""),
            "step": (None,),
        },
        names={
            ("layer", ""): "no network",
            ("control", ""): "trained network",
            "untrained": "before training",
            "window_10": "last ten observations",
            "shuffled_belief": "shuffled beliefs",
            ABOUT_TO_STATE: "about to state",
            QUESTION: "in the question",
        },
        y="layer",
        line="control",
        panel="site",
        row="place",
        limits=(-0.1, 1.03),
        size=(3.9, 1.55),
    ),
    Picture(
        "belief_simplex",
        "Each point is a belief, colored by the exact one: CoT states and holds the triangle of mess3; without a "
        "trace it is held as well.",
        belief_simplex,
    ),
    Picture(
        "one_problem",
        "One problem, not a chosen one: CoT writes the exact belief after each observation; the model without a trace "
        "has to guess at the end.",
        one_problem,
    ),
)
