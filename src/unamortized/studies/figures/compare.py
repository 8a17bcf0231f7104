"""Figures of the headline study."""

import pandas as pd

from unamortized.evaluation.protocol import FEWEST_PROBLEMS
from unamortized.labels import ABOUT_TO_STATE, QUESTION
from unamortized.studies.figures.charts import Curves, Dots, Picture
from unamortized.studies.figures.simplex import belief_simplex
from unamortized.studies.figures.story import one_problem
from unamortized.studies.flops_multiple import is_budget, multiples, with_flops
from unamortized.studies.names import AMORTIZED, COT, DENSE, GRU, PRIOR, WINDOW, after

EDITS = {
    ("causal_reliance", ""): "CoT",
    ("causal_reliance_frozen", ""): "later steps frozen",
    ("causal_reliance", "wrong_counterfactual"): "wrong counterfactual",
}


def name_edits(rows: pd.DataFrame) -> pd.DataFrame:
    """Keep readings of enough problems, and add ``edit``, the name of the edit and its judge."""
    rows = rows[rows["count"] >= FEWEST_PROBLEMS]
    return rows.assign(edit=[EDITS.get(pair, "") for pair in zip(rows["metric"], rows["control"], strict=True)])


def at_longest(rows: pd.DataFrame) -> pd.DataFrame:
    """Keep the longest questions of each task."""
    return rows[rows["n_steps"] == rows.groupby("task")["n_steps"].transform("max")]


def as_shares(rows: pd.DataFrame) -> pd.DataFrame:
    """Divide each KL by the prior's in the same world, at the same length; other metrics stay as they are."""
    where, values = ["task", "world", "seed", "n_steps"], rows["value"].astype(float)
    priors = rows[rows["condition"] == PRIOR].set_index(where)["value"].astype(float)
    own = priors.reindex(pd.MultiIndex.from_frame(rows[where])).to_numpy()
    return rows.assign(value=values.where(rows["metric"] != "answer_kl", values / own))


def budgets(rows: pd.DataFrame) -> pd.DataFrame:
    """Keep conditions trained for several budgets and alike otherwise, with what their training cost."""
    rows = with_flops(as_shares(rows[is_budget(rows)]))
    several = rows.groupby(["task", "condition"])["training_flops"].transform("nunique") > 1
    return rows[several]


def at_sixteen(rows: pd.DataFrame) -> pd.DataFrame:
    """Keep questions of sixteen observations, with shares of the prior's KL; nothing if no budget was varied."""
    if not (rows["variant"] == after(1200)).any():
        return rows[:0]
    return as_shares(rows[rows["n_steps"].eq(16).fillna(False)])


COMPARED = (AMORTIZED, DENSE, COT, GRU, PRIOR, WINDOW)
SHARE = "KL(exact ‖ answer)  [share of the prior's]"
STEPWISE = ("no trace (1,200 steps)", "no trace, dense, drawn (1,200 steps)", "no trace, dense (1,200 steps)")
DEEP = ("no trace (4 layers)", "no trace, dense (4 layers)", "CoT (4 layers)")
BUDGETS = {"n_steps": (4, 8, 16, 64), "condition": (AMORTIZED, DENSE, COT), "variant": ()}

FIGURES = (
    Curves(
        name="kl_by_length",
        title="Does the answer stay exact beyond the lengths seen in training?",
        caption="CoT stays close to exact at four times the training length. Without a trace a GRU does (on S3 it "
        "coincides with CoT), though not on S5, and any model where the world forgets (mess3).",
        metrics=("answer_kl",),
        where={"condition": (AMORTIZED, DENSE, COT, GRU, WINDOW)},
        prepare=as_shares,
        x="n_steps",
        references=(1.0,),
        floor=1e-3,
        label=SHARE,
        columns=2,
    ),
    Curves(
        name="accuracy_by_length",
        title="How often is the most probable answer right?",
        caption="On groups only CoT stays right beyond the lengths seen in training, and on S3 a GRU, which coincides "
        "with it.",
        metrics=("map_agreement",),
        where={"condition": COMPARED},
        x="n_steps",
        limits=(0.0, 1.15),
        columns=2,
    ),
    Curves(
        name="kl_by_flops",
        title="Would longer training close the gap?",
        caption="Longer training brings models without a trace to CoT's KL at short lengths, but not beyond the "
        "lengths seen in training (n = 64).",
        metrics=("answer_kl", "training_flops"),
        where=BUDGETS | {"task": ("noisy_permutation",)},
        prepare=budgets,
        names={("n_steps", n): f"n = {n}" for n in (4, 8, 16, 64)},
        panel="n_steps",
        x="training_flops",
        floor=1e-3,
        label=SHARE,
        size=(2.5, 2.8),
    ),
    Curves(
        name="flops_multiple",
        title="How many times CoT's training would match CoT?",
        caption="The power law through three budgets, solved for CoT's KL: 0 is as much training as CoT's, 2 a "
        "hundred times as much. A lower bound.",
        metrics=("training_flops", "answer_kl"),
        where={"condition": (AMORTIZED, DENSE), "variant": (), "task": ("noisy_permutation",)},
        prepare=multiples,
        x="n_steps",
        references=(0.0,),
        label="log₁₀ of training FLOPs to match CoT  [× CoT's]",
        size=(3.6, 3.2),
    ),
    Dots(
        name="labels_and_writing",
        title="What closes the gap: more labels, softer labels, depth, or writing?",
        caption="KL at n = 16, trained for 1,200 steps each: one drawn answer, a drawn answer after every observation, "
        "the exact belief there, four layers, and CoT.",
        metrics=("answer_kl",),
        where={
            "name": (*STEPWISE, *DEEP[:2], "CoT", DEEP[2]),
            "task": ("noisy_permutation",),
            "variant": (),
        },
        prepare=at_sixteen,
        y="name",
        label=SHARE,
        size=(4.2, 2.6),
    ),
    Curves(
        name="edit_effect",
        title="How far does an edited step move the answer?",
        caption="One step of CoT's trace is replaced by another problem's: the answer moves as far as exact Bayes "
        "says (on S5 the lines coincide), and less far on mess3, which forgets the step within a few more.",
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
        caption="CoT follows an edited step nearly as far as exact Bayes (1) on all worlds but mess3, which forgets; "
        "with the later steps frozen, an early edit moves hardly anything (0), as it should.",
        metrics=("causal_reliance", "causal_reliance_frozen"),
        where={"condition": (COT,), "control": ("", "wrong_counterfactual")},
        prepare=name_edits,
        line="edit",
        x="step",
        references=(0.0, 1.0),
        limits=(-0.35, 1.35),
        columns=2,
    ),
    Curves(
        name="triangle_along_trace",
        title="Along the trace, do the stated, the probed and the exact belief agree?",
        caption="CoT states nearly the exact belief at every step; the probe reads it less well than CoT states it "
        "(on S5 the two lines of the probe coincide).",
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
        caption="Where CoT is about to state a step, layers 1 and 2 hold far more of the belief than any control on "
        "the noisy permutation and S5; on mess3 an untrained network holds nearly as much.",
        metrics=("probe_r2",),
        where={
            "condition": (COT,),
            "control": ("", "untrained", "window_4_exact", "last_statement", "shuffled_belief"),
            "site": (ABOUT_TO_STATE, QUESTION),
            "layer": ("0", "1", "2", "all", ""),
            "step": (None,),
        },
        names={
            ("layer", ""): "no network",
            ("control", ""): "trained network",
            "untrained": "before training",
            "window_4_exact": "exact, last four observations",
            "last_statement": "last code and observation",
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
        "Each point is a belief, colored by the exact one: CoT states the beliefs of mess3 on the points of its "
        "codebook, and probes read them from CoT and from a model without a trace.",
        belief_simplex,
    ),
    Picture(
        "one_problem",
        "One problem, not hand-picked: CoT states nearly the exact belief after each observation; without a trace, "
        "the answer is spread over wrong states.",
        one_problem,
    ),
)
