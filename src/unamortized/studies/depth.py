"""Depth: how many steps a model composes without writing any, by the number of its layers.

Models of one to six layers learn to answer short questions. S5 needs depth that grows with the length of the question
(Barrington 1989), S3 is solvable, and noisy permutations have beliefs rather than elements. A shortcut of depth log n
composes windows of twice the length in each layer (Liu et al. 2023; Hu et al. 2024); walking the path takes a layer a
step. One layer with CoT stands beside them.
"""

from dataclasses import dataclass
from functools import partial

import pandas as pd

from unamortized.evaluation.composition import composition
from unamortized.evaluation.evaluate import Evaluation
from unamortized.evaluation.protocol import SampleSize
from unamortized.labels import ABOUT_TO_STATE, LAST_LAYER, QUESTION, layer_number
from unamortized.learning.specification import TrainSpec
from unamortized.models.transformer import ModelSpec
from unamortized.studies.claims import Claim, Control, World
from unamortized.studies.figures.depth import FIGURES
from unamortized.studies.names import AMORTIZED, COT, PRIOR, WINDOW
from unamortized.studies.quantities import BySeed, Expression, Quantity, greatest
from unamortized.studies.study import Cell, Preset, Study, answer_evaluations

LAYERS = (1, 2, 3, 6)
TRAINED = 8  # observations in the longest training question: three doublings
LENGTHS = (*range(1, TRAINED + 1), 12, 16, 32)
RATES = {"group_word_s5": 2e-3, "group_word_s3": 1e-3, "noisy_permutation": 2e-3}
STEPS = {"group_word_s5": 6000, "group_word_s3": 4000, "noisy_permutation": 1000}  # deep models leave their plateaus
COT_STEPS = 600
WORLD = f"n{TRAINED}"
S5, S3, NOISY = ((World(task, WORLD),) for task in STEPS)


def cell(task: str, condition: str, layers: int, seeds: int, steps: int, warmup: int = 200) -> Cell:
    """Return the cell of one model on a task's short questions."""
    train = TrainSpec(
        steps=steps, batch_size=128, checkpoint_every=steps, learning_rate=RATES[task], warmup_steps=warmup
    )
    overrides = (f"steps.train=[1, {TRAINED}]", f"steps.test={list(LENGTHS)}")
    return Cell(task, (condition,), seeds, train, ModelSpec(layers=layers), overrides, WORLD, f"l{layers}")


def evaluations(problems: int, fitted: int) -> tuple[Evaluation, ...]:
    """Return the evaluations: answers on n problems, probes fitted and scored on others."""
    return *answer_evaluations(problems), Evaluation("composition", composition, SampleSize(fitted))


PRESETS = {
    "smoke": Preset(
        (
            *(cell("group_word_s3", AMORTIZED, layers, 2, steps=8, warmup=4) for layers in (1, 2)),
            cell("group_word_s3", COT, 1, 2, steps=8, warmup=4),
        ),
        evaluations(64, fitted=64),
    ),
    "quick": Preset(
        (
            *(cell("group_word_s5", AMORTIZED, layers, 1, steps=1500) for layers in (1, 2, 3)),
            cell("group_word_s5", COT, 1, 1, COT_STEPS),
        ),
        evaluations(256, fitted=512),
    ),
    "full": Preset(
        (
            *(cell(task, AMORTIZED, layers, 3, steps) for task, steps in STEPS.items() for layers in LAYERS),
            *(cell(task, COT, 1, 3, steps) for task, steps in STEPS.items()),
        ),
        evaluations(512, fitted=1024),
    ),
}


def composed_rows(metrics: pd.DataFrame, layers: int) -> pd.DataFrame:
    """Return the numbers of steps that a model without a trace composes: of the question's end, and of the path."""
    own = (metrics["condition"] == AMORTIZED) & (metrics["variant"] == f"l{layers}") & (metrics["control"] == "")
    return metrics[own & metrics["metric"].isin(("composed_steps", "path_steps"))]


def steps_by_layer(metrics: pd.DataFrame, layers: int) -> pd.DataFrame:
    """Return the most steps composed by a layer or before it, by seed (index) and layer (columns, from 0)."""
    rows = composed_rows(metrics, layers)
    rows = rows.assign(layer=rows["layer"].map(layer_number).astype(int), value=rows["value"].astype(float))
    return rows.pivot_table(index="seed", columns="layer", values="value", aggfunc="max").cummax(axis=1)


@dataclass(frozen=True)
class SlowestDoubling(Expression):
    r"""The smallest $s_l / \min(2^l, n)$ over layers, with $s_l$ the most steps composed by layer l at any token."""

    layers: int

    def values(self, table: pd.DataFrame) -> BySeed:
        steps = steps_by_layer(table, self.layers).drop(columns=0, errors="ignore")
        return steps.div([min(2 ** int(layer), TRAINED) for layer in steps.columns.tolist()]).min(axis=1)

    def rows(self, table: pd.DataFrame) -> pd.DataFrame:
        return composed_rows(table, self.layers)


kl, right = Quantity("answer_kl"), Quantity("map_agreement")
direct_kl, direct_right = (partial(quantity, AMORTIZED, n_steps=TRAINED) for quantity in (kl, right))
path_r2 = partial(Quantity("path_r2"), AMORTIZED, variant="l3", site=ABOUT_TO_STATE, layer=LAST_LAYER)
longest_path = greatest(
    *(Quantity("path_steps")(AMORTIZED, variant="l3", site=QUESTION, layer=str(layer)) for layer in range(4))
)


def share_of_prior(variant: str, n_steps: int = TRAINED) -> Expression:
    """Return the KL without a trace as a share of the prior's."""
    return direct_kl(variant=variant, n_steps=n_steps).share_of(kl(PRIOR, n_steps=n_steps))


HALF, TWICE, FOUR_TIMES = TRAINED // 2, 2 * TRAINED, 4 * TRAINED
GROUPS = (("s5", "S5", S5), ("s3", "S3", S3))

CLAIMS = (
    Claim(
        "s5_needs_depth",
        "On S5 at n = 8, six layers without a trace answer at least 0.3 more of the questions right than one layer.",
        direct_right(variant="l6") - direct_right(variant="l1") >= 0.3,
        Control(
            "width and training suffice: one layer with CoT is right in at least 95 % of questions",
            right(COT, variant="l1", n_steps=TRAINED) >= 0.95,
        ),
        S5,
    ),
    Claim(
        "slow_beliefs_need_depth",
        "With noisy permutations at n = 8, the KL of one layer without a trace is at least twice that of six layers.",
        direct_kl(variant="l1") / direct_kl(variant="l6") >= 2.0,
        Control(
            "width and training suffice: the KL of one layer with CoT is at most 0.1 nats",
            kl(COT, variant="l1", n_steps=TRAINED) <= 0.1,
        ),
        NOISY,
    ),
    Claim(
        "log_depth_suffices_for_s5",
        "On S5 at n = 8, three layers without a trace, one for each doubling, answer at most 0.05 fewer of the "
        "questions right than six layers.",
        direct_right(variant="l6") - direct_right(variant="l3") <= 0.05,
        Control(
            "not every depth suffices: two layers answer at least 0.1 fewer of the questions right than three",
            direct_right(variant="l3") - direct_right(variant="l2") >= 0.1,
        ),
        S5,
    ),
    Claim(
        "two_layers_suffice_for_s3",
        "On S3, a solvable group, two layers without a trace answer at most 0.05 fewer of the questions right than six "
        "layers at n = 8.",
        direct_right(variant="l6") - direct_right(variant="l2") <= 0.05,
        Control(
            "two layers are right in at least 90 % of questions (training has shown every one of them)",
            direct_right(variant="l2") >= 0.9,
        ),
        S3,
    ),
    *(
        Claim(
            f"{name}_steps_double_with_layers",
            f"On {title}, the l-th of three layers without a trace has composed at least 2^l steps (the smallest share "
            "of that number is shown).",
            SlowestDoubling(3) >= 1.0,
            Control(
                "it has to compose all eight steps: it is right in at least 90 % of questions at n = 8",
                direct_right(variant="l3") >= 0.9,
            ),
            worlds,
        )
        for name, title, worlds in GROUPS
    ),
    *(
        Claim(
            f"{name}_shortcut_breaks_out_of_length",
            f"On {title} at n = 16, six layers without a trace, enough for six doublings, are right in at most half of "
            "the questions.",
            direct_right(variant="l6", n_steps=TWICE) <= 0.5,
            Control(
                "they have learned to compose: they are right in at least 90 % of questions at n = 8",
                direct_right(variant="l6") >= 0.9,
            ),
            worlds,
        )
        for name, title, worlds in GROUPS
    ),
    Claim(
        "slow_beliefs_break_out_of_length",
        "With noisy permutations at n = 16, the KL of six layers without a trace is at least half of the prior's.",
        share_of_prior("l6", TWICE) >= 0.5,
        Control("at n = 8 it is at most a quarter of the prior's", share_of_prior("l6") <= 0.25),
        NOISY,
    ),
    *(
        Claim(
            f"one_layer_walks_{name}_at_any_length",
            f"On {title}, one layer with CoT is right in at least 95 % of questions at n = 32, four times the training "
            "length.",
            right(COT, variant="l1", n_steps=FOUR_TIMES) >= 0.95,
            Control(
                "the last eight observations do not suffice: exact inference from them is right in at most half",
                right(WINDOW, n_steps=FOUR_TIMES) <= 0.5,
            ),
            worlds,
        )
        for name, title, worlds in GROUPS
    ),
    Claim(
        "one_layer_walks_slow_beliefs_at_any_length",
        "With noisy permutations, the KL of one layer with CoT is at most 0.1 nats at n = 32, four times the training "
        "length.",
        kl(COT, variant="l1", n_steps=FOUR_TIMES) <= 0.1,
        Control(
            "the last eight observations do not suffice: the KL of exact inference from them is at least 0.1 nats",
            kl(WINDOW, n_steps=FOUR_TIMES) >= 0.1,
        ),
        NOISY,
    ),
    Claim(
        "the_path_is_walked_inside",
        "Some layer of three without a trace holds the belief of each step at its observation, for at least four "
        "steps, half of the training length.",
        longest_path >= HALF,
        Control(
            "there is a path to walk: the KL at n = 8 is at most a quarter of the prior's", share_of_prior("l3") <= 0.25
        ),
    ),
    Claim(
        "the_path_is_forgotten_at_the_answer",
        "At the position of the answer, the last of three layers without a trace has lost the belief half-way along "
        "the path: its R² is at most 0.3.",
        path_r2(step=HALF) <= 0.3,
        Control("it holds the belief at the end: its R² is at least 0.5", path_r2(step=TRAINED) >= 0.5),
    ),
)

DEPTH = Study(
    "depth",
    "Does a model without a trace compose steps layer by layer, and does it find a shortcut of depth log n?",
    PRESETS,
    CLAIMS,
    FIGURES,
)
