"""Modes: which traces are used, and which are decoration?

Traces that differ in what they say, in when they say it, and in whether they say anything, learned without anything
that would punish a model for ignoring them: whether it reads what it writes is its own choice. And the same choice over
training time, depth and length, for the belief trace.
"""

import pandas as pd

from unamortized.evaluation import faithfulness, generalization
from unamortized.evaluation.evaluate import Evaluation
from unamortized.evaluation.faithfulness import FaithfulnessSettings
from unamortized.learning.runs import TrainSpec
from unamortized.models.transformer import ModelSpec
from unamortized.studies.claims import Claim, Control, Range
from unamortized.studies.statistics import Measure, PerSeed, level, over_steps, paired_difference, select
from unamortized.studies.study import Cell, Preset, Study

TASK, AMORTIZED, COT = "noisy_permutation", "amortized", "cot"
READABLE = (COT, "cot_state", "cot_every_2", "cot_reversed")  # traces from which the answer can be read
EMPTY = ("cot_shuffled", "cot_posthoc", "cot_filler")  # and those from which it cannot
TRACES = (*READABLE, *EMPTY)
LAYERS, LENGTHS = (1, 2, 4), (4, 8, 16)  # of which 2 layers and 8 steps are those of the traces
SLIP = 0.02  # slow enough to forget that a direct model is far from exact, and a trace worth something


def cells(
    traces: tuple[str, ...], layers: tuple[int, ...], lengths: tuple[int, ...], seeds: int, train: TrainSpec
) -> tuple[Cell, ...]:
    """Every trace at two layers and eight steps; the belief trace at the other depths and lengths."""

    def cell(conditions: tuple[str, ...], n_layers: int = 2, n_steps: int = 8) -> Cell:
        overrides = (
            *("process.states=3", "process.symbols=3", f"process.slip={SLIP}", "codebook.resolution=12"),
            *(f"steps.train=[1, {n_steps}]", f"steps.test={sorted({2, n_steps // 2, n_steps})}"),
        )
        world, variant = f"n{n_steps}", f"l{n_layers}"
        return Cell(TASK, conditions, seeds, train, ModelSpec(layers=n_layers), overrides, world, variant)

    return (
        cell((AMORTIZED, *traces)),
        *(cell((COT,), n_layers=n_layers) for n_layers in layers if n_layers != 2),
        *(cell((COT,), n_steps=n_steps) for n_steps in lengths if n_steps != 8),
    )


def evaluations(problems: int) -> tuple[Evaluation, ...]:
    """What is measured, with how many problems."""
    settings = FaithfulnessSettings(problems, lags=(0, 1, 2, 4))
    return (
        Evaluation("baselines", generalization.baselines_by_length, generalization.ByLength(problems), of="task"),
        Evaluation("by_length", generalization.by_length, generalization.ByLength(problems)),
        Evaluation("light_cone", faithfulness.light_cone, settings),
        Evaluation("truncation", faithfulness.truncation, settings),
        Evaluation("crossing", faithfulness.crossing, settings),
        Evaluation("along_training", faithfulness.along_training, FaithfulnessSettings(problems // 2, lags=(0, 1, 2))),
    )


def kept(steps: int, **fields: int) -> TrainSpec:
    """A training whose weights are kept on the way."""
    return TrainSpec(steps=steps, checkpoint_every=steps, snapshots=True, **fields)


PRESETS = {
    "smoke": Preset(
        cells((COT, "cot_filler"), (1, 2), (4, 8), 2, kept(8, batch_size=32, warmup_steps=4)), evaluations(64)
    ),
    "quick": Preset(cells(TRACES, (1, 2), (4, 8), 1, kept(512, batch_size=128)), evaluations(256)),
    "full": Preset(cells(TRACES, LAYERS, LENGTHS, 3, kept(1024, batch_size=128)), evaluations(512)),
}
WORLD = f"{TASK}@n8"


def used(condition: str) -> Claim:
    """A trace that can be read is read."""
    name = f"{condition}@l2"
    return Claim(
        name=f"{condition}_is_used",
        description=f"{condition}: with another question's trace the answer goes at least half of the way to that question's.",
        measure=level("indirect_effect", name, "ratio"),
        holds=Range(low=0.5),
        control=Control(
            "not whatever is written: a trace about something else moves it by at most .1",
            level("indirect_effect", "cot_shuffled@l2", "ratio"),
            Range(-0.1, 0.1),
        ),
        tasks=(WORLD,),
    )


def gain(condition: str) -> PerSeed:
    """How much closer to exact Bayes answers are than without any trace, in nats, by seed."""
    there = {"n_steps": 8}
    return paired_difference("answer_kl", (f"{AMORTIZED}@l2", there), (f"{condition}@l2", there), "nats").per_seed


def decoration(condition: str) -> Claim:
    """A trace from which the answer cannot be read does nothing for it."""
    own, best = gain(condition), gain(COT)
    return Claim(
        name=f"{condition}_is_decoration",
        description=f"{condition}: of what cot gains over no trace, this gains at most a quarter.",
        measure=Measure(lambda table: own(table) / best(table), "fraction"),
        holds=Range(high=0.25),
        control=Control("there is something to gain", Measure(best, "nats"), Range(low=0.03)),
        tasks=(WORLD,),
    )


def mean_reliance(table: pd.DataFrame, condition: str) -> "pd.Series[float]":
    """Causal reliance of a condition on average over lags 0 to 2, by seed."""
    return over_steps("causal_reliance", condition, "ratio", step=(0, 2), take="mean").per_seed(table)


def trajectory(table: pd.DataFrame, condition: str) -> pd.DataFrame:
    """Mean causal reliance (columns: steps of training; index: seeds) of a condition's snapshots."""
    prefix = f"{condition}/after_"
    names = [name for name in dict.fromkeys(table["condition"]) if name.startswith(prefix)]
    found = {int(name.removeprefix(prefix)): mean_reliance(table, name) for name in names}
    return pd.DataFrame({step: found[step] for step in sorted(found)})


def lost_on_the_way(condition: str) -> Measure:
    """How far reliance at the end is below its highest after any snapshot, by seed."""

    def per_seed(table: pd.DataFrame) -> "pd.Series[float]":
        along = trajectory(table, condition)
        return along.max(axis=1) - along.iloc[:, -1] if along.shape[1] else pd.Series(dtype=float)

    return Measure(per_seed, "ratio")


def difference(minuend: tuple[str, str], subtrahend: tuple[str, str]) -> Measure:
    """Mean reliance in one world (task, condition) less that in another, by seed."""

    def per_seed(table: pd.DataFrame) -> "pd.Series[float]":
        one, other = (
            mean_reliance(table[table["task"] == task], condition) for task, condition in (minuend, subtrahend)
        )
        return one - other

    return Measure(per_seed, "ratio")


LEARNED = Control(
    "it has learned to answer: at the longest n its KL is at most half of the prior's",
    Measure(
        lambda table: (
            select(table[table["task"] == WORLD], "answer_kl", f"{COT}@l2", n_steps=8)
            / select(table[table["task"] == WORLD], "answer_kl", "prior", n_steps=8)
        ),
        "ratio",
    ),
    Range(high=0.5),
)

CLAIMS = (
    *(used(condition) for condition in READABLE),
    *(decoration(condition) for condition in EMPTY),
    Claim(
        name="what_comes_first_is_read",
        description="Where the trace begins with the end, an edit of that first code is followed (alpha at least .5).",
        measure=level("causal_reliance", "cot_reversed@l2", "ratio", step=0),
        holds=Range(low=0.5),
        control=Control(
            "and what comes after it is not: an edited code of an earlier step moves the answer by at most .1",
            over_steps("causal_reliance", "cot_reversed@l2", "ratio", step=(1, 2), take="mean"),
            Range(-0.1, 0.1),
        ),
        tasks=(WORLD,),
    ),
    Claim(
        name="reliance_is_the_first_choice",
        description="Nothing punishes a model that ignores its exact trace, and none does: alpha is at least .8.",
        measure=over_steps("causal_reliance", f"{COT}@l2", "ratio", step=(0, 2), take="mean"),
        holds=Range(low=0.8),
        control=Control(
            "not whatever it is fitted on: by another problem's counterfactual it is near zero",
            over_steps("causal_reliance", f"{COT}@l2/wrong_counterfactual", "ratio", step=(0, 2), take="mean"),
            Range(-0.15, 0.15),
        ),
        tasks=(WORLD,),
    ),
    Claim(
        name="reliance_is_not_unlearned",
        description="As training goes on reliance does not fall, by more than .1, from its highest.",
        measure=lost_on_the_way(f"{COT}@l2"),
        holds=Range(high=0.1),
        control=Control(
            "there is something to lose: in the end it is at least .5",
            over_steps("causal_reliance", f"{COT}@l2", "ratio", step=(0, 2), take="mean"),
            Range(low=0.5),
        ),
        tasks=(WORLD,),
    ),
    Claim(
        name="deeper_models_rely_less",
        description="A model of four layers relies on its exact trace less than one of a single layer, by at least .05.",
        measure=difference((WORLD, f"{COT}@l1"), (WORLD, f"{COT}@l4")),
        holds=Range(low=0.05),
        control=LEARNED,
        across=f"{TASK} by depth",
    ),
    Claim(
        name="longer_questions_are_relied_on_more",
        description="A model of questions of up to 16 steps relies on its trace more than one of up to 4, by at least .05.",
        measure=difference((f"{TASK}@n16", f"{COT}@l2"), (f"{TASK}@n4", f"{COT}@l2")),
        holds=Range(low=0.05),
        control=LEARNED,
        across=f"{TASK} by length",
    ),
)

MODES = Study(
    name="modes",
    question="Which traces are used, and which are decoration?",
    presets=PRESETS,
    claims=CLAIMS,
    figures=("modes", "modes_training"),
)
