"""Training: what trains how fast, so that defaults are chosen by measurement and no model is compared half-trained.

Each run has its own annealing. Muon and AdamW are compared at equal steps, mixed lengths with the longest alone, soft
labels with drawn ones, and lengths that grow with lengths that do not.
"""

from functools import partial
from typing import Any

from unamortized.labels import joined
from unamortized.learning.specification import TrainSpec
from unamortized.models.transformer import ModelSpec
from unamortized.studies.claims import Claim, Control, World
from unamortized.studies.figures.training import FIGURES
from unamortized.studies.names import AMORTIZED, COT, DENSE, DRAWN, GRU, after, deep
from unamortized.studies.quantities import Expression, Quantity, prior_share
from unamortized.studies.study import Cell, Preset, Study, answer_evaluations

NOISY, S5, S3 = "noisy_permutation", "group_word_s5", "group_word_s3"
MUON, ADAMW = "muon", "adamw"
ADAMW_RATE = 4e-3  # as in all runs before there was Muon; neither rate was tuned to this study
GROUP_RATE = 3e-3  # of growing lengths on S3, where the loss has no noise to average over
LONGEST, MIXED, GROWING = "longest", "mixed", "growing"


def cell(task: str, condition: str, seeds: int, steps: int, optimizer: str = MUON, **changes: Any) -> Cell:
    """Return the runs of one condition; ``changes`` are of the training or, ``layers``, of the model.

    The variant names optimizer, lengths where they are not the condition's own, layers, and steps.
    """
    layers, lengths = changes.pop("layers", 2), changes.get("lengths", "")
    rate = {"learning_rate": ADAMW_RATE} if optimizer == ADAMW else {}
    train = TrainSpec.model_validate({"steps": steps, "optimizer": optimizer} | rate | changes)
    variant = joined(optimizer, lengths, deep(layers) if layers != 2 else "", after(steps))
    return Cell(task, (condition,), seeds, train, ModelSpec(layers=layers), variant=variant)


def both(task: str, condition: str, seeds: int, *steps: int, **changes: Any) -> tuple[Cell, ...]:
    """Return the runs of one condition with each optimizer, for each number of steps."""
    return tuple(cell(task, condition, seeds, n, name, **changes) for name in (MUON, ADAMW) for n in steps)


SLOWLY: dict[str, Any] = {"learning_rate": GROUP_RATE, "muon_learning_rate": GROUP_RATE}
PRESETS = {
    "smoke": Preset(
        (
            *both(NOISY, AMORTIZED, 2, 6, batch_size=32, warmup_steps=4),
            cell(NOISY, DENSE, 2, 6, batch_size=32, warmup_steps=4, lengths=MIXED),
            cell(S3, AMORTIZED, 2, 6, batch_size=32, warmup_steps=4, lengths=GROWING),
        ),
        answer_evaluations(64),
    ),
    "quick": Preset(
        (*both(NOISY, AMORTIZED, 2, 150, 300), *both(NOISY, COT, 2, 150), cell(NOISY, DENSE, 2, 150)),
        answer_evaluations(512),
    ),
    "full": Preset(
        (
            *both(NOISY, AMORTIZED, 3, 300, 1200),
            *both(NOISY, AMORTIZED, 3, 1200, layers=4),
            *both(NOISY, DENSE, 3, 300),
            cell(NOISY, DENSE, 3, 300, lengths=MIXED),
            cell(NOISY, DRAWN, 3, 300),
            *both(NOISY, COT, 3, 300),
            cell(NOISY, COT, 3, 300, lengths=LONGEST),
            *both(NOISY, GRU, 3, 1200),
            *both(S5, AMORTIZED, 3, 1200),
            cell(S3, AMORTIZED, 3, 2400, **SLOWLY),
            cell(S3, AMORTIZED, 3, 2400, lengths=GROWING, **SLOWLY),
        ),
        answer_evaluations(512),
    ),
}

right = Quantity("map_agreement")
NOISY_WORLD, S5_WORLD, S3_WORLD = ((World(task),) for task in (NOISY, S5, S3))


def share(condition: str, n_steps: int, *variant: str) -> Expression:
    """Return the KL of a way of training as a share of the prior's."""
    return prior_share(condition, n_steps, joined(*variant))


on_noisy = partial(Claim, worlds=NOISY_WORLD)
CLAIMS = (
    on_noisy(
        "muon_trains_faster_without_a_trace",
        "After 1,200 steps without a trace, Muon's KL at n = 16 (rate .01) is at least 0.03 (as a share of the "
        "prior's) below AdamW's (rate .004).",
        share(AMORTIZED, 16, ADAMW, after(1200)) - share(AMORTIZED, 16, MUON, after(1200)) >= 0.03,
        Control(
            "AdamW learns: its KL falls by at least 0.03 from 300 to 1,200 steps",
            share(AMORTIZED, 16, ADAMW, after(300)) - share(AMORTIZED, 16, ADAMW, after(1200)) >= 0.03,
        ),
    ),
    Claim(
        "muon_trains_s5_faster",
        "On S5 after 1,200 steps without a trace, Muon is right in at least 0.2 more of the questions at n = 8 than "
        "AdamW.",
        right(AMORTIZED, n_steps=8, variant=joined(MUON, after(1200)))
        - right(AMORTIZED, n_steps=8, variant=joined(ADAMW, after(1200)))
        >= 0.2,
        Control(
            "AdamW learns short questions: it is right in at least 0.5 at n = 4",
            right(AMORTIZED, n_steps=4, variant=joined(ADAMW, after(1200))) >= 0.5,
        ),
        S5_WORLD,
    ),
    on_noisy(
        "a_long_question_teaches_the_short_ones",
        "Dense supervision on the longest questions alone has a KL at n = 4 no more than 0.03 (as a share of the "
        "prior's) above that on mixed lengths.",
        share(DENSE, 4, MUON, after(300)) - share(DENSE, 4, MUON, MIXED, after(300)) <= 0.03,
        Control(
            "nor is it worse on the longest questions: at n = 16 by at most 0.03",
            share(DENSE, 16, MUON, after(300)) - share(DENSE, 16, MUON, MIXED, after(300)) <= 0.03,
        ),
    ),
    on_noisy(
        "cot_needs_mixed_lengths",
        "CoT trained on the longest questions alone has a KL at n = 4 that is at least 0.1 (as a share of the prior's) "
        "above that on mixed lengths.",
        share(COT, 4, MUON, LONGEST, after(300)) - share(COT, 4, MUON, after(300)) >= 0.1,
        Control(
            "it has learned the longest: its KL at n = 16 is at most 0.15",
            share(COT, 16, MUON, LONGEST, after(300)) <= 0.15,
        ),
    ),
    Claim(
        "growing_lengths_teach_s3",
        "On S3 without a trace, growing lengths lower the KL at n = 8 by at least 0.3 (as a share of the prior's) "
        "below that of mixed lengths at equal steps.",
        share(AMORTIZED, 8, MUON, after(2400)) - share(AMORTIZED, 8, MUON, GROWING, after(2400)) >= 0.3,
        Control(
            "growing lengths have taught n = 4: the KL is at most 0.05",
            share(AMORTIZED, 4, MUON, GROWING, after(2400)) <= 0.05,
        ),
        S3_WORLD,
    ),
)

TRAINING = Study(
    "training",
    "What trains how fast, and on what should a model train so that none is compared half-trained?",
    PRESETS,
    CLAIMS,
    FIGURES,
)
