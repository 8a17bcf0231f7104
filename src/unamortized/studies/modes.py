"""Modes: which traces does a model use, and which are decoration?

Nothing in training punishes a model for ignoring its trace, so whether it reads what it writes is its own choice: for
traces of different content and order, and, for the belief trace, over training time, depth and length.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import pandas as pd

from unamortized.evaluation.evaluate import Evaluation
from unamortized.evaluation.faithfulness import FaithfulnessSettings, along_training, crossing, light_cone, truncation
from unamortized.labels import joined, numbered, numbers
from unamortized.learning.specification import TrainSpec
from unamortized.models.transformer import ModelSpec
from unamortized.studies.claims import Claim, Control, World
from unamortized.studies.figures.modes import FIGURES
from unamortized.studies.names import AMORTIZED, COT, COT_SHUFFLED, PRIOR
from unamortized.studies.noisy_permutation import TASK, small_world
from unamortized.studies.quantities import Expression, Quantity, SeedStatistic
from unamortized.studies.study import Cell, Preset, Study, answer_evaluations

READABLE = (COT, "cot_state", "cot_every_2", "cot_reversed")  # traces from which the answer can be read
EMPTY = (COT_SHUFFLED, "cot_posthoc", "cot_filler")  # and those from which it cannot
TRACES = (*READABLE, *EMPTY)
LAYERS, LENGTHS = (1, 2, 4), (4, 8, 16)  # all traces are trained with 2 layers and 8 steps
SLIP = 0.02  # slow enough to forget that a direct model is far from exact, and a trace worth something


def cells(
    traces: tuple[str, ...], layers: tuple[int, ...], lengths: tuple[int, ...], seeds: int, train: TrainSpec
) -> tuple[Cell, ...]:
    """Return every trace at two layers and eight steps, and the belief trace at the other depths and lengths."""

    def cell(conditions: tuple[str, ...], n_layers: int = 2, n_steps: int = 8) -> Cell:
        overrides = small_world(SLIP, n_steps, (2, n_steps // 2, n_steps))
        world, variant = f"n{n_steps}", f"l{n_layers}"
        return Cell(TASK, conditions, seeds, train, ModelSpec(layers=n_layers), overrides, world, variant)

    return (
        cell((AMORTIZED, *traces)),
        *(cell((COT,), n_layers=n_layers) for n_layers in layers if n_layers != 2),
        *(cell((COT,), n_steps=n_steps) for n_steps in lengths if n_steps != 8),
    )


def evaluations(problems: int) -> tuple[Evaluation, ...]:
    """Return the evaluations, with n problems each."""
    settings = FaithfulnessSettings(problems, lags=(0, 1, 2, 4))
    return (
        *answer_evaluations(problems),
        *(Evaluation(test.__name__, test, settings) for test in (light_cone, truncation, crossing)),
        Evaluation("along_training", along_training, FaithfulnessSettings(problems // 2, lags=(0, 1, 2))),
    )


def snapshotting(steps: int, **fields: Any) -> TrainSpec:
    """Return a training that keeps snapshots of the weights."""
    return TrainSpec(steps=steps, checkpoint_every=steps, snapshots=True, **fields)


PRESETS = {
    "smoke": Preset(
        cells((COT, "cot_filler"), (1, 2), (4, 8), 2, snapshotting(8, batch_size=32, warmup_steps=4)), evaluations(64)
    ),
    "quick": Preset(cells(TRACES, (1, 2), (4, 8), 1, snapshotting(512, batch_size=128)), evaluations(256)),
    "full": Preset(cells(TRACES, LAYERS, LENGTHS, 3, snapshotting(1024, batch_size=128)), evaluations(512)),
}
WORLD, VARIANT = World(TASK, "n8"), "l2"  # of every trace
of_every_trace = partial(Claim, worlds=(WORLD,))
kl, effect, reliance = Quantity("answer_kl"), Quantity("indirect_effect"), Quantity("causal_reliance")


def mean_reliance(condition: str, variant: str = VARIANT, world: str = WORLD.world, control: str = "") -> Expression:
    """Return causal reliance averaged over lags 0 to 2."""
    return reliance(condition, variant=variant, control=control, world=world).over_steps(0, 2, "mean")


def is_used(condition: str) -> Claim:
    """Claim that a model reads a trace that can be read."""
    return of_every_trace(
        f"{condition}_is_used",
        f"With another question's trace, the answer of {condition} moves at least half of the way to that question's "
        "answer.",
        effect(condition, variant=VARIANT) >= 0.5,
        Control(
            "it does not follow just anything that is written: a model trained on other problems' traces moves by at "
            "most 0.1",
            effect(COT_SHUFFLED, variant=VARIANT).between(-0.1, 0.1),
        ),
    )


def gain(condition: str) -> Expression:
    """Return how much closer to exact Bayes a condition's answers are than answers without a trace."""
    return kl(AMORTIZED, variant=VARIANT, n_steps=8) - kl(condition, variant=VARIANT, n_steps=8)


def is_decoration(condition: str) -> Claim:
    """Claim that a trace from which the answer cannot be read does nothing for the answer."""
    return of_every_trace(
        f"{condition}_is_decoration",
        f"{condition} gains at most a quarter of what cot gains over no trace, in KL at n = 8.",
        gain(condition).share_of(gain(COT)) <= 0.25,
        Control("there is something to gain: cot gains at least 0.03 nats", gain(COT) >= 0.03),
    )


def snapshots(table: pd.DataFrame, condition: str) -> pd.DataFrame:
    """Return the causal reliance of a condition's snapshots at lags 0 to 2, with the training step ``after``."""
    steps = {name: int(numbers(name).get("after", 0)) for name in table["variant"].unique()}
    own = [name for name, step in steps.items() if step and name == joined(VARIANT, numbered("after", step))]
    rows = table[(table["metric"] == "causal_reliance") & (table["condition"] == condition) & (table["control"] == "")]
    rows = rows[rows["variant"].isin(own) & rows["step"].between(0, 2).fillna(False)]
    return rows.assign(after=rows["variant"].map(steps))


@dataclass(frozen=True)
class UnlearnedReliance(SeedStatistic):
    """How far mean reliance after the last snapshot is below its highest after any."""

    condition: str

    def rows(self, table: pd.DataFrame) -> pd.DataFrame:
        return snapshots(table, self.condition)

    def of_seed(self, points: pd.DataFrame) -> float:
        along = points.groupby("after")["value"].mean()
        return along.max() - along.iloc[-1]


LEARNED = Control(
    "it has learned to answer: at n = 8 its KL is at most half of the prior's",
    kl(COT, variant=VARIANT, world=WORLD.world, n_steps=8).share_of(kl(PRIOR, world=WORLD.world, n_steps=8)) <= 0.5,
)

CLAIMS = (
    *(is_used(condition) for condition in READABLE),
    *(is_decoration(condition) for condition in EMPTY),
    of_every_trace(
        "what_comes_first_is_read",
        "The answer of cot_reversed, whose trace begins with the last belief, follows an edit of that first code: "
        "causal reliance at lag 0 is at least 0.5.",
        reliance("cot_reversed", variant=VARIANT, step=0) >= 0.5,
        Control(
            "it does not follow the later codes: reliance on earlier steps (lags 1 and 2) is at most 0.1",
            reliance("cot_reversed", variant=VARIANT).over_steps(1, 2, "mean").between(-0.1, 0.1),
        ),
    ),
    of_every_trace(
        "reliance_is_the_first_choice",
        "CoT relies on its exact trace although nothing in training punishes ignoring it: causal reliance, averaged "
        "over lags 0 to 2, is at least 0.8.",
        mean_reliance(COT) >= 0.8,
        Control(
            "it does not fit just any movement: with another problem's counterfactual it reads at most 0.15",
            mean_reliance(COT, control="wrong_counterfactual").between(-0.15, 0.15),
        ),
    ),
    of_every_trace(
        "reliance_is_not_unlearned",
        "CoT's reliance, averaged over lags 0 to 2, ends training at most 0.1 below its highest value.",
        UnlearnedReliance(COT) <= 0.1,
        Control("there is something to lose: it ends at 0.5 or more", mean_reliance(COT) >= 0.5),
    ),
    Claim(
        "deeper_models_rely_less",
        "CoT with four layers relies on its exact trace at least 0.05 less than CoT with one layer.",
        mean_reliance(COT, "l1") - mean_reliance(COT, "l4") >= 0.05,
        LEARNED,
        across=World(TASK, "by depth"),
    ),
    Claim(
        "longer_questions_are_relied_on_more",
        "CoT trained on up to 16 steps relies on its trace at least 0.05 more than CoT trained on up to 4.",
        mean_reliance(COT, world="n16") - mean_reliance(COT, world="n4") >= 0.05,
        LEARNED,
        across=World(TASK, "by length"),
    ),
)

MODES = Study("modes", "Which traces are used, and which are decoration?", PRESETS, CLAIMS, FIGURES)
