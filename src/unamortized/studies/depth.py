"""Depth: what a model composes that writes no steps, by the number of its layers.

Answers of short questions are learned by models of one to six layers. S5 needs depth that grows with the length of the
question (Barrington 1989), S3 is solvable, and permutations that slip are beliefs rather than elements. A shortcut of
depth log n puts windows of twice the length together in each layer (Liu et al. 2023; Hu et al. 2024); walking the path
takes a layer a step. A model of one layer that writes its steps stands beside them.
"""

import pandas as pd

from unamortized.evaluation import generalization
from unamortized.evaluation.composition import Composition, composition
from unamortized.evaluation.evaluate import Evaluation
from unamortized.learning.runs import TrainSpec
from unamortized.models.transformer import ModelSpec
from unamortized.studies.claims import Claim, Control, Range
from unamortized.studies.statistics import Measure, PerSeed, level, paired_difference, paired_ratio, select
from unamortized.studies.study import Cell, Preset, Study

AMORTIZED, COT = "amortized", "cot"
S5, S3, NOISY = TASKS = ("group_word_s5", "group_word_s3", "noisy_permutation")
LAYERS = (1, 2, 3, 6)
TRAINED = 8  # observations in the longest training question, for which three doublings do
LENGTHS = (*range(1, TRAINED + 1), 12, 16, 32)
RATES = {S5: 2e-3, S3: 1e-3, NOISY: 2e-3}
STEPS = {S5: 6000, S3: 4000, NOISY: 1000}  # until models that are deep enough have left their plateaus
COT_STEPS = 600


def cell(task: str, condition: str, layers: int, seeds: int, steps: int, warmup: int = 200) -> Cell:
    """One model on a task's short questions."""
    train = TrainSpec(
        steps=steps, batch_size=128, checkpoint_every=steps, learning_rate=RATES[task], warmup_steps=warmup
    )
    overrides = (f"steps.train=[1, {TRAINED}]", f"steps.test={list(LENGTHS)}")
    return Cell(task, (condition,), seeds, train, ModelSpec(layers=layers), overrides, f"n{TRAINED}", f"l{layers}")


def evaluations(problems: int, fitted: int) -> tuple[Evaluation, ...]:
    """What is measured, with how many problems."""
    lengths = generalization.ByLength(problems)
    return (
        Evaluation("baselines", generalization.baselines_by_length, lengths, of="task"),
        Evaluation("by_length", generalization.by_length, lengths),
        Evaluation("composition", composition, Composition(fitted, fitted)),
    )


PRESETS = {
    "smoke": Preset(
        (
            *(cell(S3, AMORTIZED, layers, 2, steps=8, warmup=4) for layers in (1, 2)),
            cell(S3, COT, 1, 2, steps=8, warmup=4),
        ),
        evaluations(64, fitted=64),
    ),
    "quick": Preset(
        (*(cell(S5, AMORTIZED, layers, 1, steps=1500) for layers in (1, 2, 3)), cell(S5, COT, 1, 1, COT_STEPS)),
        evaluations(256, fitted=512),
    ),
    "full": Preset(
        (
            *(cell(task, AMORTIZED, layers, 3, STEPS[task]) for task in TASKS for layers in LAYERS),
            *(cell(task, COT, 1, 3, STEPS[task]) for task in TASKS),
        ),
        evaluations(512, fitted=1024),
    ),
}


def world(task: str) -> str:
    """What tables call a task here."""
    return f"{task}@n{TRAINED}"


def direct(layers: int) -> str:
    """What tables call the model of so many layers that writes nothing."""
    return f"{AMORTIZED}@l{layers}"


def steps_by_layer(metrics: pd.DataFrame, condition: str, *names: str) -> pd.DataFrame:
    """Steps that were put together by a layer or before it, by seed (index) and layer (columns, from 0).

    Where several metrics are named, the largest: the windows at the end of the question, or the path on the way.
    """
    rows = metrics[metrics["metric"].isin(names) & (metrics["condition"] == condition)]
    rows = rows.assign(layer=rows["layer"].astype(int), value=rows["value"].astype(float))
    return rows.pivot_table(index="seed", columns="layer", values="value", aggfunc="max").cummax(axis=1)


def slowest_doubling(condition: str) -> Measure:
    r"""The smallest $s_l / \min(2^l, n)$ over layers, with $s_l$ the steps that any token has put together by then."""

    def per_seed(table: pd.DataFrame) -> "pd.Series[float]":
        steps = steps_by_layer(table, condition, "composed_steps", "path_steps").drop(columns=0, errors="ignore")
        return steps.div([min(2 ** int(layer), TRAINED) for layer in steps.columns.tolist()]).min(axis=1)

    return Measure(per_seed, "ratio")


def longest_path(condition: str) -> Measure:
    """The most steps of the path that any layer holds at the observations."""
    return Measure(lambda table: steps_by_layer(table, condition, "path_steps").max(axis=1), "steps")


def right(condition: str, n_steps: int) -> Measure:
    """Share of right answers."""
    return level("map_agreement", condition, "fraction", n_steps=n_steps)


def more_right(deep: str, shallow: str, n_steps: int) -> Measure:
    """How many more answers of one model are right than of another."""
    where = {"n_steps": n_steps}
    return paired_difference("map_agreement", (deep, where), (shallow, where), "fraction")


def of_prior(condition: str, n_steps: int) -> PerSeed:
    """KL of answers as a share of the prior's."""
    return lambda table: (
        select(table, "answer_kl", condition, n_steps=n_steps) / select(table, "answer_kl", "prior", n_steps=n_steps)
    )


IN_S5, IN_S3, IN_NOISY = ((world(task),) for task in TASKS)
HALF, SHALLOW, LOG, SIX = TRAINED // 2, direct(1), direct(3), direct(6)  # LOG: of as many layers as doublings
LAST = {"layer": "last"}

CLAIMS = (
    Claim(
        name="s5_needs_depth",
        description="S5, n = 8: without a trace six layers give at least .3 more right answers than one.",
        measure=more_right(SIX, SHALLOW, TRAINED),
        holds=Range(low=0.3),
        control=Control(
            "not for want of width or training: one layer that writes its steps is right in .95",
            right(f"{COT}@l1", TRAINED),
            Range(low=0.95),
        ),
        tasks=IN_S5,
    ),
    Claim(
        name="slow_beliefs_need_depth",
        description="Permutations that slip, n = 8: the KL of one layer is at least twice that of six.",
        measure=paired_ratio("answer_kl", (SHALLOW, {"n_steps": TRAINED}), (SIX, {"n_steps": TRAINED})),
        holds=Range(low=2.0),
        control=Control(
            "not for want of width or training: one layer that writes its steps is within .1 nats",
            level("answer_kl", f"{COT}@l1", "nats", n_steps=TRAINED),
            Range(high=0.1),
        ),
        tasks=IN_NOISY,
    ),
    Claim(
        name="log_depth_suffices_for_s5",
        description="S5, n = 8: three layers, as many as doublings lead to eight, are at most .05 less often right than six.",
        measure=more_right(SIX, LOG, TRAINED),
        holds=Range(high=0.05),
        control=Control(
            "not as any depth does: of two layers at least .1 fewer answers are right than of three",
            more_right(LOG, direct(2), TRAINED),
            Range(low=0.1),
        ),
        tasks=IN_S5,
    ),
    Claim(
        name="two_layers_suffice_for_s3",
        description="S3, which is solvable: at n = 8 two layers are at most .05 less often right than six.",
        measure=more_right(SIX, direct(2), TRAINED),
        holds=Range(high=0.05),
        control=Control(
            "and they are right: in at least .9 of questions (of which training has shown all that there are)",
            right(direct(2), TRAINED),
            Range(low=0.9),
        ),
        tasks=IN_S3,
    ),
    *(
        Claim(
            name=f"{name}_steps_double_with_layers",
            description=f"{title}: of three layers the l-th has put at least 2^l steps together "
            "(the smallest share of that is shown).",
            measure=slowest_doubling(LOG),
            holds=Range(low=1.0),
            control=Control(
                "all eight are to be put together: at n = 8 it is right in at least .9 of questions",
                right(LOG, TRAINED),
                Range(low=0.9),
            ),
            tasks=tasks,
        )
        for name, title, tasks in (("s5", "S5", IN_S5), ("s3", "S3", IN_S3))
    ),
    *(
        Claim(
            name=f"{name}_shortcut_breaks_out_of_length",
            description=f"{title}: six layers, enough for six doublings, are right in at most half of the questions at "
            "n = 16.",
            measure=right(SIX, 2 * TRAINED),
            holds=Range(high=0.5),
            control=Control(
                "they have learned to compose: at n = 8 in at least .9", right(SIX, TRAINED), Range(low=0.9)
            ),
            tasks=tasks,
        )
        for name, title, tasks in (("s5", "S5", IN_S5), ("s3", "S3", IN_S3))
    ),
    Claim(
        name="slow_beliefs_break_out_of_length",
        description="Permutations that slip: the KL of six layers at n = 16 is at least half of the prior's.",
        measure=Measure(of_prior(SIX, 2 * TRAINED), "ratio"),
        holds=Range(low=0.5),
        control=Control("at n = 8 it is at most a quarter", Measure(of_prior(SIX, TRAINED), "ratio"), Range(high=0.25)),
        tasks=IN_NOISY,
    ),
    *(
        Claim(
            name=f"one_layer_walks_{name}_at_any_length",
            description=f"{title}: one layer that writes its steps is right in at least .95 of questions at four times the "
            "training length.",
            measure=right(f"{COT}@l1", 4 * TRAINED),
            holds=Range(low=0.95),
            control=Control(
                "the last eight observations do not suffice", right("window_8", 4 * TRAINED), Range(high=0.5)
            ),
            tasks=tasks,
        )
        for name, title, tasks in (("s5", "S5", IN_S5), ("s3", "S3", IN_S3))
    ),
    Claim(
        name="one_layer_walks_slow_beliefs_at_any_length",
        description="Permutations that slip: one layer that writes its steps is within .1 nats of exact Bayes at four times "
        "the training length.",
        measure=level("answer_kl", f"{COT}@l1", "nats", n_steps=4 * TRAINED),
        holds=Range(high=0.1),
        control=Control(
            "the last eight observations do not suffice",
            level("answer_kl", "window_8", "nats", n_steps=4 * TRAINED),
            Range(low=0.1),
        ),
        tasks=IN_NOISY,
    ),
    Claim(
        name="the_path_is_walked_inside",
        description="Three layers that write nothing hold the belief of each step where it was just observed, for at least "
        "half of the training length, in some layer.",
        measure=longest_path(LOG),
        holds=Range(low=HALF),
        control=Control(
            "there is something to walk: at n = 8 their KL is at most a quarter of the prior's",
            Measure(of_prior(LOG, TRAINED), "ratio"),
            Range(high=0.25),
        ),
    ),
    Claim(
        name="the_path_is_forgotten_at_the_answer",
        description="Where the answer is given the last of three layers has not kept the belief of half-way (R² at most .3).",
        measure=level("answer_path_r2", LOG, "ratio", step=HALF, **LAST),
        holds=Range(high=0.3),
        control=Control(
            "it holds that of the end (R² at least .5)",
            level("answer_path_r2", LOG, "ratio", step=TRAINED, **LAST),
            Range(low=0.5),
        ),
    ),
)

DEPTH = Study(
    name="depth",
    question="Does a direct model compose steps layer by layer, and is a shortcut of depth log n found?",
    presets=PRESETS,
    claims=CLAIMS,
    figures=("depth_accuracy", "depth_windows", "depth_steps"),
)
