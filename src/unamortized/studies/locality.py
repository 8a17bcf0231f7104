"""The study of locality, after Prystawski et al. (2023): do steps help because experience is local?

Each seed has a net of its own, and the net is the unit. Differences are shares of the marginal's error, which is all
that can be known of a pair in its net.
"""

from functools import partial
from typing import Any

from unamortized.evaluation import locality
from unamortized.evaluation.evaluate import Evaluation
from unamortized.learning.specification import TrainSpec
from unamortized.studies.claims import Claim, Control
from unamortized.studies.figures.locality import FIGURES
from unamortized.studies.quantities import Expression, Quantity
from unamortized.studies.study import Cell, Preset, Study

LOCAL, WRONG, FULL, MARGINAL = "local_windows", "wrong_local_windows", "full_windows", "marginal"
DIRECT, SCAFFOLDED, FREE, NEGATIVE_SCAFFOLD = "direct", "scaffolded", "free", "negative_scaffold"  # variants


def evaluations(samples: int) -> tuple[Evaluation, ...]:
    """Return the evaluations, with n samples an answer."""
    return (
        Evaluation("locality_baselines", locality.locality_baselines, locality.Locality(samples), of="task"),
        Evaluation("locality", locality.locality, locality.Locality(samples)),
    )


def cells(seeds: int, **train: Any) -> tuple[Cell, ...]:
    """Return the cell of the three kinds of windows."""
    spec = TrainSpec(batch_size=128, **train)
    return (Cell("local_chain", (LOCAL, WRONG, FULL), seeds, spec),)


PRESETS = {
    "smoke": Preset(cells(2, steps=12, warmup_steps=4), evaluations(2)),
    "quick": Preset(cells(3, steps=300), evaluations(10)),
    "full": Preset(cells(12, steps=1000), evaluations(10)),
}

error = partial(Quantity("conditional_mse"), split="composition", step=None)  # held-out pairs, distances pooled


def saved(condition: str, variant: str) -> Expression:
    """Return how far an estimator's error lies below that of direct answers, as a share of the marginal's."""
    return (error(condition, variant=DIRECT) - error(condition, variant=variant)).share_of(error(MARGINAL))


def learned(condition: str, split: str) -> Expression:
    """Return the error of direct answers as a share of the marginal's."""
    return error(condition, variant=DIRECT, split=split).share_of(error(MARGINAL, split=split))


CLAIMS = (
    Claim(
        "steps_help_where_experience_is_local",
        "After local windows, walking the path between two variables never seen together lowers the error by at least "
        "0.05 of the marginal's below that of direct answers.",
        saved(LOCAL, SCAFFOLDED) >= 0.05,
        Control(
            "writing more does not explain it: as many variables from elsewhere lower it by at most 0.05",
            saved(LOCAL, NEGATIVE_SCAFFOLD) <= 0.05,
        ),
    ),
    Claim(
        "models_choose_helpful_steps",
        "It is also lower by at least 0.05 of the marginal's if the model chooses the variables to write by itself.",
        saved(LOCAL, FREE) >= 0.05,
        Control(
            "it has learned: on pairs seen together, direct answers have at most half of the marginal's error",
            learned(LOCAL, "in_distribution") <= 0.5,
        ),
    ),
    Claim(
        "steps_need_the_right_locality",
        "The same walk has an error larger by at least 0.2 of the marginal's if windows were local in another net.",
        (error(WRONG, variant=SCAFFOLDED) - error(LOCAL, variant=SCAFFOLDED)).share_of(error(MARGINAL)) >= 0.2,
        Control(
            "that model has learned: on pairs seen together, direct answers have less than the marginal's error",
            learned(WRONG, "in_distribution") <= 1.0,
        ),
    ),
    Claim(
        "steps_do_not_help_where_all_is_seen",
        "Walking the path lowers the error of a model that saw the whole net at once by at most 0.05 of the "
        "marginal's.",
        saved(FULL, SCAFFOLDED) <= 0.05,
        Control(
            "it has learned: its direct answers have at most half of the marginal's error",
            learned(FULL, "composition") <= 0.5,
        ),
    ),
    Claim(
        "local_steps_are_as_good_as_seeing_all",
        "Walking the path after local windows has an error at most 0.05 of the marginal's above that of direct answers "
        "after seeing the whole net.",
        (error(LOCAL, variant=SCAFFOLDED) - error(FULL, variant=DIRECT)).share_of(error(MARGINAL)) <= 0.05,
        Control("the questions are not trivial: the marginal's error is at least 0.03", error(MARGINAL) >= 0.03),
    ),
)

LOCALITY = Study("locality", "Does thinking step by step help because experience is local?", PRESETS, CLAIMS, FIGURES)
