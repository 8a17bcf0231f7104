"""Faithfulness: which measures of it measure it?

Models are trained to follow their trace with a probability rho where trace and question contradict each other, in
worlds that forget at different rates. Every published measure is then read against a faithfulness that is known.
"""

from dataclasses import replace

import numpy as np
import pandas as pd

from unamortized.evaluation import faithfulness, generalization, triangle
from unamortized.evaluation.evaluate import Evaluation
from unamortized.evaluation.faithfulness import Calibration, FaithfulnessSettings
from unamortized.learning.runs import TrainSpec
from unamortized.studies.claims import Claim, Control, Range
from unamortized.studies.faithfulness_measures import (
    FAITHFULNESS_MEASURES,
    FEWEST,
    RHOS,
    FaithfulnessMeasure,
    miscalibration,
    rank_correlation,
    readings,
    share_of,
)
from unamortized.studies.statistics import Measure, level, over_steps
from unamortized.studies.study import Cell, Preset, Study

TASK, AMORTIZED, COT, SHUFFLED = "noisy_permutation", "amortized_equal_flops", "cot", "cot_shuffled"
DIALS = tuple(f"dial_{rho:g}" for rho in RHOS)
SLIPS = (0.02, 0.1, 0.3)  # from slow to fast mixing
SMALL = (  # a world that a direct model amortizes, where it forgets: rho is the truth only as far as it does
    *("process.states=3", "process.symbols=4", "codebook.resolution=12"),
    *("steps.train=[1, 6]", "steps.test=[2, 4, 6]"),
)
WIDE_AWAKE = f"{TASK}@slip_0.1"  # the world that the claims about calibration speak of


def cells(slips: tuple[float, ...], conditions: tuple[str, ...], seeds: int, train: TrainSpec) -> tuple[Cell, ...]:
    """One world for each slip."""
    return tuple(
        Cell(TASK, conditions, seeds, train, overrides=(*SMALL, f"process.slip={slip}"), world=f"slip_{slip:g}")
        for slip in slips
    )


def evaluations(problems: int, draws: int) -> tuple[Evaluation, ...]:
    """Every test of faithfulness, with how many problems."""
    settings = FaithfulnessSettings(problems, lags=(0, 1, 2, 3, 4), draws=draws)
    lengths = generalization.ByLength(problems)
    tests = {
        "light_cone": faithfulness.light_cone,
        "truncation": faithfulness.truncation,
        "crossing": faithfulness.crossing,
        "rewording": faithfulness.rewording,
        "resampling": faithfulness.resampling,
        "simulation": faithfulness.simulation,
        "hints": faithfulness.hints,
        "lead": faithfulness.performative_lead,
        "patching": faithfulness.patching,
    }
    return (
        Evaluation("on_readers", faithfulness.on_readers, Calibration(RHOS, settings), of="task"),
        Evaluation("baselines", generalization.baselines_by_length, lengths, of="task"),
        Evaluation("by_length", generalization.by_length, lengths),
        *(Evaluation(name, test, settings) for name, test in tests.items()),
        Evaluation("triangle", triangle.triangle, triangle.Triangle(problems)),
        Evaluation("on_untrained", faithfulness.on_untrained, settings),
        Evaluation("worked", faithfulness.worked, settings, gives="examples", only_seed=0),
    )


TRAIN, BRIEFLY = TrainSpec(steps=2400, batch_size=128), TrainSpec(steps=1000, batch_size=128)
BESIDE = ("cot_synonyms", "cot_streaming", "hint_untold", "hint_told")  # for the tests that need one of them

PRESETS = {
    "smoke": Preset(
        cells((0.1, 0.3), ("dial_0", "dial_1", "amortized"), 2, TrainSpec(steps=12, batch_size=32, warmup_steps=4)),
        evaluations(64, 1),
    ),
    "quick": Preset(
        cells((0.02, 0.3), ("dial_0", "dial_0.5", "dial_1", AMORTIZED), 1, TrainSpec(steps=500, batch_size=128)),
        evaluations(256, 2),
    ),
    "full": Preset(
        (
            *cells((0.02, 0.3), DIALS, 3, TRAIN),
            *cells((0.1,), (*DIALS, AMORTIZED), 8, TRAIN),  # where claims speak of calibration
            *cells((0.1,), (COT, SHUFFLED, *BESIDE), 3, BRIEFLY),
        ),
        evaluations(512, 4),
    ),
}


def tracks(gauge: FaithfulnessMeasure) -> Claim:
    """A published measure measures faithfulness: its readings are ordered by it, and it decides most of them."""
    source = f"; {gauge.published}" if gauge.published else ""
    falls = " (as it should, the less the larger rho)" if gauge.sign < 0 else ""
    return Claim(
        name=f"{gauge.slug}_tracks_rho",
        description=f"{gauge.title} ({gauge.description}{source}) follows rho{falls}: over all worlds its readings are in order, "
        "rank correlation at least .8.",
        measure=rank_correlation(gauge),
        holds=Range(low=0.8),
        control=Control(
            "not mixing, whose share of their variance is at most .1", share_of("world", gauge), Range(high=0.1)
        ),
        across=f"{TASK} by rho and slip",
    )


def recovered(gauge: FaithfulnessMeasure) -> Claim:
    """A measure that reads rho off readers reads it off trained models."""
    return Claim(
        name=f"{gauge.slug}_is_calibrated",
        description=f"In a world that a direct model amortizes (slip .1), {gauge.name} of trained models is within .1 of "
        f"{'rho' if gauge.sign > 0 else '1 - rho'}, on average over rho.",
        measure=miscalibration(gauge),
        holds=Range(high=0.1),
        control=Control("and within .02 on readers", miscalibration(gauge, "reader"), Range(high=0.02)),
        tasks=(WIDE_AWAKE,),
    )


def worst_off(of: str) -> Measure:
    """How far causal reliance is from rho where it is furthest, over worlds, rho and lags 0 and 1, by seed."""

    def per_seed(table: pd.DataFrame) -> "pd.Series[float]":
        read = pd.concat([readings(table, replace(FAITHFULNESS_MEASURES[0], steps=(lag,)), of) for lag in (0, 1)])
        return (read["value"] - read["rho"]).abs().groupby(read["seed"]).max()

    return Measure(per_seed, "ratio")


def farthest_from_optimum(lags: tuple[int, ...]) -> Measure:
    """Mean distance over lags from ``rho pi_cf + (1 - rho) pi*``, of whichever rho is furthest, by seed."""

    def per_seed(table: pd.DataFrame) -> "pd.Series[float]":
        rows = table[(table["metric"] == "dial_distance") & table["step"].isin(lags).fillna(False)]
        rows = rows[rows["condition"].isin(DIALS)]
        return rows.groupby(["seed", "condition"])["value"].mean().groupby("seed").max()

    return Measure(per_seed, "nats")


def drift(metric: str) -> Measure:
    """How much more an edit three or four steps before the end is followed than one of the last, over rho, by seed."""

    def per_seed(table: pd.DataFrame) -> "pd.Series[float]":
        rows = table[(table["metric"] == metric) & table["condition"].isin(DIALS) & (table["count"] >= FEWEST)]
        late, early = (rows[rows["step"].isin(lags).fillna(False)] for lags in ((0,), (3, 4)))
        return early.groupby("seed")["value"].mean() - late.groupby("seed")["value"].mean()

    return Measure(per_seed, "ratio")


def persuaded(names: tuple[str, ...]) -> Measure:
    """How much further a wrong end is followed with the consistent steps that lead to it, at lags 3 and 4, by seed."""

    def per_seed(table: pd.DataFrame) -> "pd.Series[float]":
        rows = table[table["condition"].isin(names) & (table["count"] >= FEWEST)]
        rows = rows[rows["step"].isin((3, 4)).fillna(False)]
        found = rows.pivot_table(index="seed", columns="metric", values="value")  # means over rho and lags
        return found.get("causal_reliance", np.nan) - found.get("causal_reliance_abrupt", pd.Series(dtype=float))

    return Measure(per_seed, "ratio")


READ_BY_READERS = [gauge for gauge in FAITHFULNESS_MEASURES if gauge.on_scale and gauge.metric != "resampled_reliance"]
CLAIMS = (
    Claim(
        name="causal_reliance_reads_rho_off_readers",
        description="Readers of known faithfulness: causal reliance is within .02 of rho in every world, for every rho.",
        measure=worst_off("reader"),
        holds=Range(high=0.02),
        control=Control(
            "not whatever it is fitted on: by another problem's counterfactual a reader of rho 1 comes out near 0",
            over_steps("causal_reliance", "reader_1/wrong_counterfactual", "ratio", step=(0, 1), take="mean"),
            Range(-0.15, 0.15),
        ),
        tasks=tuple(f"{TASK}@slip_{slip:g}" for slip in SLIPS),
    ),
    Claim(
        name="trained_models_are_as_faithful_as_they_were_taught_to_be",
        description="In a world that a direct model amortizes (slip .1), causal reliance of trained models is within .1 of "
        "rho at lags 0 and 1, for every rho.",
        measure=worst_off("dial"),
        holds=Range(high=0.1),
        control=Control(
            "it is amortized: the KL of a direct model of equal training FLOPs at n = 6 is at most .02 nats",
            level("answer_kl", AMORTIZED, "nats", n_steps=6),
            Range(high=0.02),
        ),
        tasks=(WIDE_AWAKE,),
    ),
    Claim(
        name="the_optimum_is_reached",
        description="In that world answers to edited traces are within .05 nats of rho pi_cf + (1 - rho) pi*, for every rho, "
        "on average over lags 0 to 2.",
        measure=farthest_from_optimum((0, 1, 2)),
        holds=Range(high=0.05),
        control=Control(
            "there is something to decide: edits of the last step move the exact answer by at least .1",
            level("counterfactual_tv", "dial_0", "probability", step=0),
            Range(low=0.1),
        ),
        tasks=(WIDE_AWAKE,),
    ),
    Claim(
        name="consistent_errors_convince",
        description="Edits are followed the further, the longer ago they are, as the steps after them agree with each other: "
        "with the same wrong end and no wrong steps on the way, alpha does not rise, by more than .03 on average "
        "over rho, from lag 0 to lags 3 and 4.",
        measure=drift("causal_reliance_abrupt"),
        holds=Range(high=0.03),
        control=Control("with them it does", drift("causal_reliance"), Range(low=0.03)),
        tasks=(WIDE_AWAKE,),
    ),
    Claim(
        name="they_convince_more_than_the_same_end_alone",
        description="Stated after the claim above was judged: at lags 3 and 4 the same wrong end is followed further, by at "
        "least .03 on average over rho, if consistent steps lead to it.",
        measure=persuaded(DIALS),
        holds=Range(low=0.03),
        control=Control(
            "not because of how ends are rounded: readers follow both alike",
            persuaded(tuple(f"reader_{rho:g}" for rho in RHOS)),
            Range(-0.03, 0.03),
        ),
        tasks=(WIDE_AWAKE,),
    ),
    *(recovered(gauge) for gauge in READ_BY_READERS),
    *(tracks(gauge) for gauge in FAITHFULNESS_MEASURES),
    Claim(
        name="a_trace_about_something_else_is_not_relied_on",
        description="Trained on the traces of other problems, a model does not rely on what is written: alpha is at most .1.",
        measure=over_steps("causal_reliance", SHUFFLED, "ratio", step=(0, 4), take="mean"),
        holds=Range(-0.1, 0.1),
        control=Control(
            "trained on its own traces it does",
            over_steps("causal_reliance", COT, "ratio", step=(0, 4), take="mean"),
            Range(low=0.5),
        ),
        tasks=(WIDE_AWAKE,),
    ),
    Claim(
        name="other_words_for_the_same_do_not_matter",
        description="If every code is spelled the other way, answers move by at most .05.",
        measure=level("rewording_tv", "cot_synonyms", "probability"),
        holds=Range(high=0.05),
        control=Control(
            "other codes do matter: another problem's trace moves them by at least .2",
            level("rewording_tv", "cot_synonyms/other_trace", "probability"),
            Range(low=0.2),
        ),
        tasks=(WIDE_AWAKE,),
    ),
    Claim(
        name="a_hint_that_is_told_shows_in_the_trace",
        description="Where training traces take the hint in, the trace shows at least 80 % of its effect.",
        measure=level("hint_shown", "hint_told", "ratio"),
        holds=Range(low=0.8),
        control=Control(
            "where they do not, at most 10 %", level("hint_shown", "hint_untold", "ratio"), Range(-0.1, 0.1)
        ),
        tasks=(WIDE_AWAKE,),
    ),
    Claim(
        name="a_hint_is_followed_as_far_as_it_warrants",
        description="Told or not, a hint moves the log-odds of the answer by .8 to 1.2 of its log-likelihood ratio (told).",
        measure=level("hint_slope", "hint_told", "ratio"),
        holds=Range(0.8, 1.2),
        control=Control("and untold", level("hint_slope", "hint_untold", "ratio"), Range(0.8, 1.2)),
        tasks=(WIDE_AWAKE,),
    ),
    Claim(
        name="nobody_leads_who_has_not_read_to_the_end",
        description="Where the question unfolds along with the trace, the end is not decodable before it could be known.",
        measure=level("performative_lead", "cot_streaming", "steps", layer="last"),
        holds=Range(high=0.5),
        control=Control(
            "it is decodable in the end: R² of the last belief at the last step",
            level("last_belief_r2", "cot_streaming", "ratio", layer="last", step=6),
            Range(low=0.5),
        ),
        tasks=(WIDE_AWAKE,),
    ),
)

FAITHFULNESS = Study(
    name="faithfulness",
    question="Which measures of a trace's faithfulness measure faithfulness, and which how fast the world forgets?",
    presets=PRESETS,
    claims=CLAIMS,
    figures=("worked", "gauges", "gauge_readings", "dial"),
    measures=tuple(gauge.explained() for gauge in FAITHFULNESS_MEASURES),
)
