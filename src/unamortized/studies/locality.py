"""The study of locality, after Prystawski et al. (2023): do steps help because experience is local?"""

from functools import partial
from typing import Any

from unamortized.evaluation import locality
from unamortized.evaluation.evaluate import Evaluation
from unamortized.learning.specification import TrainSpec
from unamortized.studies.claims import Claim, Control
from unamortized.studies.figures.locality import FIGURES
from unamortized.studies.quantities import Quantity
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
    """Return the cell of the three kinds of windows; each seed has a net of its own."""
    spec = TrainSpec(batch_size=128, learning_rate=3e-3, **train)
    return (Cell("local_chain", (LOCAL, WRONG, FULL), seeds, spec),)


PRESETS = {
    "smoke": Preset(cells(2, steps=12, warmup_steps=4), evaluations(2)),
    "quick": Preset(cells(3, steps=1000), evaluations(10)),
    "full": Preset(cells(6, steps=2000), evaluations(10)),
}

error = partial(Quantity("conditional_mse"), split="composition", step=None)  # held-out pairs, distances pooled
seen_error = partial(error, split="in_distribution")

CLAIMS = (
    Claim(
        "steps_help_where_experience_is_local",
        "A model that saw local windows has a smaller error on pairs never seen together when it walks the path "
        "between them than when it answers directly.",
        error(LOCAL, variant=DIRECT) - error(LOCAL, variant=SCAFFOLDED) >= 0.0,
        Control(
            "writing more does not explain it: the error is larger with equally many variables from elsewhere",
            error(LOCAL, variant=NEGATIVE_SCAFFOLD) - error(LOCAL, variant=SCAFFOLDED) >= 0.0,
        ),
    ),
    Claim(
        "models_choose_helpful_steps",
        "Its error is also smaller than that of direct answers when it chooses the variables to write by itself.",
        error(LOCAL, variant=DIRECT) - error(LOCAL, variant=FREE) >= 0.0,
        Control(
            "it lacks experience: its direct answers have a larger error on pairs never seen together than on pairs "
            "seen together",
            error(LOCAL, variant=DIRECT) - seen_error(LOCAL, variant=DIRECT) >= 0.0,
        ),
    ),
    Claim(
        "steps_need_the_right_locality",
        "The error of the same walk is at least 0.02 larger for a model whose windows are local in another net.",
        error(WRONG, variant=SCAFFOLDED) - error(LOCAL, variant=SCAFFOLDED) >= 0.02,
        Control(
            "it has learned: its direct answers on pairs seen together have a smaller error than the marginal",
            seen_error(MARGINAL) - seen_error(WRONG, variant=DIRECT) >= 0.0,
        ),
    ),
    Claim(
        "steps_do_not_help_where_all_is_seen",
        "Walking the path lowers the error of a model that saw the whole net at once by at most 0.01.",
        error(FULL, variant=DIRECT) - error(FULL, variant=SCAFFOLDED) <= 0.01,
        Control(
            "it has learned: its direct answers have a smaller error than the marginal",
            error(MARGINAL) - error(FULL, variant=DIRECT) >= 0.0,
        ),
    ),
    Claim(
        "local_steps_are_as_good_as_seeing_all",
        "The error of walking the path after local windows is at most that of direct answers after seeing the whole "
        "net.",
        error(FULL, variant=DIRECT) - error(LOCAL, variant=SCAFFOLDED) >= 0.0,
        Control("the questions are not trivial: the marginal's error is at least 0.03", error(MARGINAL) >= 0.03),
    ),
)

LOCALITY = Study("locality", "Does thinking step by step help because experience is local?", PRESETS, CLAIMS, FIGURES)
