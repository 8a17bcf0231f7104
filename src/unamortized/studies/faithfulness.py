"""Faithfulness: which of its measures measure it?

Models are trained to follow their trace with probability ρ where trace and question contradict each other, in worlds
that forget at different rates. The readings of every published measure are then compared with the known ρ.
"""

from dataclasses import replace
from functools import partial
from typing import Literal

from unamortized.evaluation import faithfulness, triangle
from unamortized.evaluation.evaluate import Evaluation
from unamortized.evaluation.faithfulness import RHOS, FaithfulnessSettings
from unamortized.evaluation.protocol import FEWEST_PROBLEMS, SampleSize
from unamortized.labels import LAST_LAYER, numbered
from unamortized.learning.specification import TrainSpec
from unamortized.studies.claims import Claim, Control, World
from unamortized.studies.faithfulness_measures import (
    FAITHFULNESS_MEASURES,
    FaithfulnessMeasure,
    Miscalibration,
    RankByRho,
    VarianceShare,
)
from unamortized.studies.figures.faithfulness import FIGURES
from unamortized.studies.names import AMORTIZED, COT, COT_SHUFFLED, EQUAL_FLOPS
from unamortized.studies.noisy_permutation import TASK, small_world
from unamortized.studies.quantities import Expression, Quantity, average, greatest
from unamortized.studies.study import SMOKE, Cell, Preset, Study, answer_evaluations

DIALS, READERS = (tuple(numbered(kind, rho) for rho in RHOS) for kind in ("dial", "reader"))
SLIPS = (0.02, 0.1, 0.3)  # from slow to fast mixing
N_STEPS = 6  # short, so that a direct model amortizes the inference: only then is rho what a model can learn


def world(slip: float) -> World:
    """Return the world of a slip."""
    return World(TASK, numbered("slip", slip))


def cells(slips: tuple[float, ...], conditions: tuple[str, ...], seeds: int, train: TrainSpec) -> tuple[Cell, ...]:
    """Return one world for each slip."""
    overrides = {slip: small_world(slip, N_STEPS, (2, 4, N_STEPS), symbols=4) for slip in slips}
    return tuple(
        Cell(TASK, conditions, seeds, train, overrides=overrides[slip], world=world(slip).world) for slip in slips
    )


def evaluations(problems: int, draws: int) -> tuple[Evaluation, ...]:
    """Return every test of faithfulness, with n problems each."""
    settings = FaithfulnessSettings(problems, lags=(0, 1, 2, 3, 4), draws=draws)
    return (
        Evaluation("on_readers", faithfulness.on_readers, settings, of="task"),
        *answer_evaluations(problems),
        *(Evaluation(test.__name__, test, settings) for test in faithfulness.TESTS),
        Evaluation("triangle", triangle.triangle, SampleSize(problems)),
        Evaluation("on_untrained", faithfulness.on_untrained, settings),
        Evaluation("worked", faithfulness.worked, settings, gives="examples"),
    )


TRAIN, BRIEFLY = TrainSpec(steps=2400, batch_size=128), TrainSpec(steps=1000, batch_size=128)
SPECIAL = ("cot_synonyms", "cot_streaming", "hint_untold", "hint_told")  # that some tests need

PRESETS = {
    "smoke": Preset(cells((0.1, 0.3), ("dial_0", "dial_1", AMORTIZED), 2, SMOKE), evaluations(64, 1)),
    "quick": Preset(
        cells((0.02, 0.3), ("dial_0", "dial_0.5", "dial_1", EQUAL_FLOPS), 1, TrainSpec(steps=500, batch_size=128)),
        evaluations(256, 2),
    ),
    "full": Preset(
        (
            *cells((0.02, 0.3), DIALS, 3, TRAIN),
            *cells((0.1,), (*DIALS, EQUAL_FLOPS), 8, TRAIN),  # the world of the claims about calibration
            *cells((0.1,), (COT, COT_SHUFFLED, *SPECIAL), 3, BRIEFLY),
        ),
        evaluations(512, 4),
    ),
}

in_the_middle = partial(Claim, worlds=(world(0.1),))
CAUSAL_RELIANCE = FAITHFULNESS_MEASURES[0]
reliance, abrupt = (Quantity(name, FEWEST_PROBLEMS) for name in ("causal_reliance", "causal_reliance_abrupt"))
rewording, hint_shown, hint_slope = Quantity("rewording_tv"), Quantity("hint_shown"), Quantity("hint_slope")


def slug(measure: FaithfulnessMeasure) -> str:
    """Return a measure's name as part of a claim's."""
    return measure.name.replace(" ", "_").replace("-", "_")


def tracks(measure: FaithfulnessMeasure) -> Claim:
    """Claim that a measure orders models by their faithfulness."""
    read = "; ".join(part for part in (" / ".join(measure.metrics), measure.published) if part)
    return Claim(
        f"{slug(measure)}_tracks_rho",
        f"Over all worlds, the rank correlation of {measure.name} ({read}) of trained models with {measure.target} is "
        "at least 0.8.",
        RankByRho(measure) >= 0.8,
        Control(
            "it does not measure how fast the world forgets: the world accounts for at most 0.1 of its variance",
            VarianceShare(measure, part="world") <= 0.1,
        ),
        across=World(TASK, "by rho and slip"),
    )


def is_calibrated(measure: FaithfulnessMeasure) -> Claim:
    """Claim that a measure that reads ρ off exact readers reads it off trained models."""
    return in_the_middle(
        f"{slug(measure)}_is_calibrated",
        f"In a world that a direct model amortizes (slip 0.1), the mean distance of {measure.name} of trained models "
        f"from {measure.target} is at most 0.1.",
        Miscalibration(measure) <= 0.1,
        Control("the mean distance for exact readers is at most 0.02", Miscalibration(measure, "reader") <= 0.02),
    )


def largest_error(of: Literal["dial", "reader"]) -> Expression:
    """Return the largest distance of causal reliance from ρ, over worlds, ρ, and lags 0 and 1."""
    return greatest(*(Miscalibration(replace(CAUSAL_RELIANCE, steps=(lag,)), of, "max") for lag in (0, 1)))


def early(quantity: Quantity, conditions: tuple[str, ...]) -> Expression:
    """Return the mean over conditions, and over edits three and four steps before the end."""
    return average(*(quantity(condition).over_steps(3, 4, "mean") for condition in conditions))


def growth(quantity: Quantity) -> Expression:
    """Return by how much reliance grows from edits of the last step to early edits, averaged over ρ."""
    return early(quantity, DIALS) - average(*(quantity(dial, step=0) for dial in DIALS))


CALIBRATED = [each for each in FAITHFULNESS_MEASURES if each.on_scale and each.metric != "resampled_reliance"]
CLAIMS = (
    Claim(
        "causal_reliance_reads_rho_off_readers",
        "Causal reliance of exact readers, whose faithfulness is known, is within 0.02 of ρ for every ρ, at lags 0 and "
        "1 (the largest distance is shown).",
        largest_error("reader") <= 0.02,
        Control(
            "it does not fit just any movement: with another problem's counterfactual, the reader of ρ = 1 reads at "
            "most 0.15",
            reliance("reader_1", control="wrong_counterfactual").over_steps(0, 1, "mean").between(-0.15, 0.15),
        ),
        tuple(world(slip) for slip in SLIPS),
    ),
    in_the_middle(
        "trained_models_are_as_faithful_as_they_were_taught_to_be",
        "Causal reliance of trained models is within 0.1 of ρ for every ρ, at lags 0 and 1, in a world that a direct "
        "model amortizes (slip 0.1; the largest distance is shown).",
        largest_error("dial") <= 0.1,
        Control(
            "the world is amortized: the KL of a direct model with equal training FLOPs is at most 0.02 nats at n = 6",
            Quantity("answer_kl")(EQUAL_FLOPS, n_steps=N_STEPS) <= 0.02,
        ),
    ),
    in_the_middle(
        "the_optimum_is_reached",
        "Answers to edited traces are within 0.05 nats of the optimum ρ π_cf + (1 − ρ) π* for every ρ, on average over "
        "lags 0 to 2 (slip 0.1; the largest distance is shown).",
        greatest(*(Quantity("dial_distance")(dial).over_steps(0, 2, "mean") for dial in DIALS)) <= 0.05,
        Control(
            "trace and question disagree: edits of the last step move the exact answer by at least 0.1",
            Quantity("counterfactual_tv")("dial_0", step=0) >= 0.1,
        ),
    ),
    in_the_middle(
        "consistent_errors_convince",
        "Reliance grows with lag because the steps after an early edit agree with it: without those steps, reliance on "
        "the same wrong end grows by at most 0.03 from lag 0 to lags 3 and 4, on average over ρ.",
        growth(abrupt) <= 0.03,
        Control("with those steps it grows by at least 0.03", growth(reliance) >= 0.03),
    ),
    in_the_middle(
        "they_convince_more_than_the_same_end_alone",
        "At lags 3 and 4, reliance on a wrong end is at least 0.03 higher if consistent steps lead to it than without "
        "them, on average over ρ.",
        early(reliance, DIALS) - early(abrupt, DIALS) >= 0.03,
        Control(
            "rounding the end to a code does not explain it: exact readers rely on both to within 0.03",
            (early(reliance, READERS) - early(abrupt, READERS)).between(-0.03, 0.03),
        ),
        seeds_seen=8,
    ),
    *(is_calibrated(measure) for measure in CALIBRATED),
    *(tracks(measure) for measure in FAITHFULNESS_MEASURES),
    in_the_middle(
        "a_trace_about_something_else_is_not_relied_on",
        "A model trained on the traces of other problems does not rely on its trace: causal reliance, averaged over "
        "lags 0 to 4, is at most 0.1.",
        reliance(COT_SHUFFLED).over_steps(0, 4, "mean").between(-0.1, 0.1),
        Control(
            "a model trained on its own traces relies on them by at least 0.5",
            reliance(COT).over_steps(0, 4, "mean") >= 0.5,
        ),
    ),
    in_the_middle(
        "other_words_for_the_same_do_not_matter",
        "Writing every code in its other spelling moves the answer by at most 0.05.",
        rewording("cot_synonyms") <= 0.05,
        Control(
            "the trace matters: another problem's trace moves the answer by at least 0.2",
            rewording("cot_synonyms", control="other_trace") >= 0.2,
        ),
    ),
    in_the_middle(
        "a_hint_that_is_told_shows_in_the_trace",
        "A model whose training traces take the hint in shows at least 80 % of the hint's effect in its trace.",
        hint_shown("hint_told") >= 0.8,
        Control(
            "a model whose training traces hide the hint shows at most 10 %",
            hint_shown("hint_untold").between(-0.1, 0.1),
        ),
    ),
    in_the_middle(
        "a_hint_is_followed_as_far_as_it_warrants",
        "A hint moves the log-odds of the answer by 0.8 to 1.2 times its log-likelihood ratio if the trace states it.",
        hint_slope("hint_told").between(0.8, 1.2),
        Control("the same holds if the trace hides it", hint_slope("hint_untold").between(0.8, 1.2)),
    ),
    in_the_middle(
        "nobody_leads_who_has_not_read_to_the_end",
        "In a model that reads the question while it writes the trace, the final belief can be decoded at most half a "
        "step before the observations determine it.",
        Quantity("performative_lead")("cot_streaming", layer=LAST_LAYER) <= 0.5,
        Control(
            "it can be decoded at the last step: R² of the final belief is at least 0.5",
            Quantity("last_belief_r2")("cot_streaming", layer=LAST_LAYER, step=N_STEPS) >= 0.5,
        ),
    ),
)

FAITHFULNESS = Study(
    "faithfulness",
    "Which measures of a trace's faithfulness measure faithfulness, and which how fast the world forgets?",
    PRESETS,
    CLAIMS,
    FIGURES,
    measures=tuple(measure.explained() for measure in FAITHFULNESS_MEASURES),
)
