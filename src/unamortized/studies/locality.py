"""The study of locality, after Prystawski et al. (2023): do steps help because experience is local?"""

from typing import Any

from unamortized.evaluation import locality
from unamortized.evaluation.evaluate import Evaluation
from unamortized.learning.runs import TrainSpec
from unamortized.studies.claims import Claim, Control, Range
from unamortized.studies.statistics import Measure, Which, level, paired_difference
from unamortized.studies.study import Cell, Preset, Study

LOCAL, WRONG, FULL = "local_windows", "wrong_local_windows", "full_windows"
UNIT = "probability²"
HELD_OUT = {"split": "composition", "step": None}  # all distances pooled
SEEN = {"split": "in_distribution", "step": None}


def evaluations(samples: int) -> tuple[Evaluation, ...]:
    """What is measured on each run, with how many samples an answer."""
    settings = locality.Locality(samples)
    return (
        Evaluation("locality_baselines", locality.locality_baselines, settings, of="task"),
        Evaluation("locality", locality.locality, settings),
    )


def cells(seeds: int, **train: Any) -> tuple[Cell, ...]:
    """The three ways of seeing the net, each seed a net of its own."""
    spec = TrainSpec(batch_size=128, learning_rate=3e-3, **train)
    return (Cell("local_chain", (LOCAL, WRONG, FULL), seeds, spec),)


PRESETS = {
    "smoke": Preset(cells(2, steps=12, warmup_steps=4), evaluations(2)),
    "quick": Preset(cells(3, steps=1000), evaluations(10)),
    "full": Preset(cells(6, steps=2000), evaluations(10)),
}


def worse(condition: str, estimator: str, than: str, where: dict[str, str | None] = HELD_OUT) -> Measure:
    """How much larger one estimator's error is than another's, in the same runs."""
    minuend: Which = (f"{condition}/{estimator}", where)
    return paired_difference("conditional_mse", minuend, (f"{condition}/{than}", where), UNIT)


CLAIMS = (
    Claim(
        name="steps_help_where_experience_is_local",
        description="Of pairs never seen together, a model that saw local windows knows more by walking the path between "
        "them than at once.",
        measure=worse(LOCAL, "direct", "scaffolded"),
        holds=Range(low=0.0),
        control=Control(
            "not because it says more: as many variables from elsewhere are no help",
            worse(LOCAL, "negative_scaffold", "scaffolded"),
            Range(low=0.0),
        ),
    ),
    Claim(
        name="models_choose_helpful_steps",
        description="It also knows more where it chooses by itself which variables to write first.",
        measure=worse(LOCAL, "direct", "free"),
        holds=Range(low=0.0),
        control=Control(
            "it needs to for want of experience: of pairs seen together, answers at once are closer than those of "
            "pairs that were not",
            paired_difference("conditional_mse", (f"{LOCAL}/direct", HELD_OUT), (f"{LOCAL}/direct", SEEN), UNIT),
            Range(low=0.0),
        ),
    ),
    Claim(
        name="steps_need_the_right_locality",
        description="Where windows are local in another net, the error of the same walk is larger by at least 0.02.",
        measure=paired_difference(
            "conditional_mse", (f"{WRONG}/scaffolded", HELD_OUT), (f"{LOCAL}/scaffolded", HELD_OUT), UNIT
        ),
        holds=Range(low=0.02),
        control=Control(
            "not because it learned nothing: of pairs seen together, at once it is closer than the marginal",
            paired_difference("conditional_mse", ("marginal", SEEN), (f"{WRONG}/direct", SEEN), UNIT),
            Range(low=0.0),
        ),
    ),
    Claim(
        name="steps_do_not_help_where_all_is_seen",
        description="A model that saw the whole net at once gains at most 0.01 by walking the path.",
        measure=worse(FULL, "direct", "scaffolded"),
        holds=Range(high=0.01),
        control=Control(
            "not because it learned nothing: at once it is closer than the marginal",
            paired_difference("conditional_mse", ("marginal", HELD_OUT), (f"{FULL}/direct", HELD_OUT), UNIT),
            Range(low=0.0),
        ),
    ),
    Claim(
        name="local_steps_are_as_good_as_seeing_all",
        description="Walking the path after local windows is at least as close as answering at once after seeing "
        "the whole net.",
        measure=paired_difference(
            "conditional_mse", (f"{FULL}/direct", HELD_OUT), (f"{LOCAL}/scaffolded", HELD_OUT), UNIT
        ),
        holds=Range(low=0.0),
        control=Control(
            "the questions are not trivial: the marginal's error is at least 0.03",
            level("conditional_mse", "marginal", UNIT, **HELD_OUT),
            Range(low=0.03),
        ),
    ),
)

LOCALITY = Study(
    name="locality",
    question="Does thinking step by step help because experience is local?",
    presets=PRESETS,
    claims=CLAIMS,
    figures=("locality_mse",),
)
