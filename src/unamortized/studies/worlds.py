"""Worlds: in which of them, and out of which distribution, is an inference better walked than amortized?"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from unamortized.evaluation import generalization
from unamortized.evaluation.evaluate import Evaluation
from unamortized.learning.runs import TrainSpec
from unamortized.studies.claims import Claim, Control, Range
from unamortized.studies.statistics import Measure, level, paired_difference
from unamortized.studies.study import Cell, Preset, Study

AMORTIZED, COT, GRU = "amortized_equal_flops", "cot", "gru"
CONDITIONS = (AMORTIZED, COT, GRU)

FORGETTING = (
    *("even_ones", "no_consecutive_ones", "zero_one_random", "rrxor", "leaky_rrxor", "sns", "mr_name", "days_of_week"),
    *("tom_quantum", "fanizza", "post_quantum"),
    *("mess3", "mixture_mess3", "random_hmm", "sticky_hmm"),
    *("noisy_permutation", "noisy_permutation_shifted"),
)
GROUPS = ("group_word_z7", "group_word_d5", "group_word_s3", "group_word_s4", "group_word_a5", "group_word_s5")
IN_CONTEXT = ("in_context_automaton", "in_context_noisy")

SLIPS = (0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)  # of noisy_permutation, from slow to immediate mixing
PHASE_LENGTHS = "[1, 2, 4, 8, 16, 32, 64]"


def world(slip: float) -> str:
    """What the tables append to the name of the task."""
    return f"slip_{slip:g}"


def phases(slips: tuple[float, ...], seeds: int, train: TrainSpec) -> tuple[Cell, ...]:
    """The cells of the phase diagram."""
    return tuple(
        Cell(
            "noisy_permutation",
            CONDITIONS,
            seeds,
            train,
            overrides=(f"process.slip={slip}", f"steps.test={PHASE_LENGTHS}"),
            world=world(slip),
        )
        for slip in slips
    )


def evaluations(problems: int) -> tuple[Evaluation, ...]:
    """What is measured, with how many problems a test."""
    settings = generalization.ByLength(problems)
    return (
        Evaluation("baselines", generalization.baselines_by_length, settings, of="task"),
        Evaluation("shifted_baselines", generalization.baselines_by_shift, settings, of="task"),
        Evaluation("by_length", generalization.by_length, settings),
        Evaluation("by_shift", generalization.by_shift, settings),
    )


BRIEF = TrainSpec(steps=12, batch_size=32, warmup_steps=4)
FAMILY = TrainSpec(steps=300, batch_size=128)
GROUP = TrainSpec(steps=600, batch_size=128, learning_rate=2e-3, warmup_steps=200)  # out of its plateau sooner

PRESETS = {
    "smoke": Preset(
        cells=(
            Cell("sticky_hmm", (AMORTIZED, COT), 2, BRIEF),
            Cell("in_context_automaton", (AMORTIZED, COT), 2, BRIEF),
            *phases((0.02, 1.0), 2, BRIEF),
        ),
        evaluations=evaluations(64),
    ),
    "quick": Preset(
        cells=(
            Cell("sticky_hmm", CONDITIONS, 2, FAMILY),
            Cell("tom_quantum", CONDITIONS, 2, FAMILY),
            *phases((0.02, 0.1, 1.0), 2, FAMILY),
        ),
        evaluations=evaluations(256),
    ),
    "full": Preset(
        cells=(
            *(Cell(task, CONDITIONS, 3, FAMILY) for task in FORGETTING),
            *(Cell(task, CONDITIONS, 3, GROUP) for task in (*GROUPS, *IN_CONTEXT)),
            *phases(SLIPS, 6, FAMILY),
        ),
        evaluations=evaluations(512),
    ),
}


def place(slip: float, n_steps: int) -> dict[str, Any]:
    """One place of the phase diagram, as its rows are found."""
    return {"task": f"noisy_permutation@{world(slip)}", "n_steps": n_steps}


def gap_at(slip: float, n_steps: int, of: str = AMORTIZED) -> Measure:
    """How much further from exact Bayes a model without a trace is than CoT, in one place of the phase diagram."""
    there = place(slip, n_steps)
    return paired_difference("answer_kl", (of, there), (COT, there), "nats")


def share_at(slip: float, n_steps: int) -> Measure:
    """That gap as a share of what there is to know there: of the prior's KL."""
    known = level("answer_kl", "prior", "nats", **place(slip, n_steps))
    return Measure(lambda table: gap_at(slip, n_steps).per_seed(table) / known.per_seed(table), "fraction")


def growth(slip: float, short: int, long: int) -> Measure:
    """How much the gap grows between two lengths, by seed."""
    return Measure(lambda table: gap_at(slip, long).per_seed(table) - gap_at(slip, short).per_seed(table), "nats")


def by_slip(table: pd.DataFrame, at: Callable[[float, int], Measure], n_steps: int) -> pd.DataFrame:
    """A measure at one length: a row a seed, a column a slip; but slip 1, where there is nothing to know."""
    run = [slip for slip in SLIPS if slip < 1 and (table["task"] == place(slip, n_steps)["task"]).any()]
    return pd.DataFrame({slip: at(slip, n_steps).per_seed(table) for slip in run})


def mixing_correlation(n_steps: int) -> Measure:
    """Spearman's rank correlation of the gap's share with the slip over the phase diagram, by seed."""

    def per_seed(table: pd.DataFrame) -> "pd.Series[float]":
        found = by_slip(table, share_at, n_steps)
        if len(found.columns) < 3:
            return pd.Series(np.nan, index=found.index)
        return found.T.corrwith(pd.Series(found.columns, index=found.columns), method="spearman")

    return Measure(per_seed, "ratio")


ACROSS = "noisy_permutation by slip"

CLAIMS = (
    Claim(
        name="the_gap_grows_with_composition",
        description="Where little is forgotten (slip .02), the gap of an amortized transformer to CoT grows from n = 2 to "
        "n = 16, both within training lengths, by at least .1 nats.",
        measure=growth(0.02, 2, 16),
        holds=Range(low=0.1),
        control=Control(
            "short problems are learned: at n = 2 the gap is small",
            gap_at(0.02, 2),
            Range(high=0.1),
        ),
        across=ACROSS,
    ),
    Claim(
        name="the_gap_vanishes_in_fast_mixing_worlds",
        description="Where every second move slips (slip .5), the gap at n = 16 is at most a tenth of what there is to know.",
        measure=share_at(0.5, 16),
        holds=Range(high=0.1),
        control=Control(
            "there is something to know: the prior's KL is at least .02 nats",
            level("answer_kl", "prior", "nats", **place(0.5, 16)),
            Range(low=0.02),
        ),
        across=ACROSS,
    ),
    Claim(
        name="the_gap_falls_with_mixing",
        description="Over slips from .005 to .5, the gap at n = 16, as a share of what there is to know, falls as slip rises: "
        "rank correlation at most -.8.",
        measure=mixing_correlation(16),
        holds=Range(high=-0.8),
        control=Control(
            "it is the composing that costs: at n = 1 there is hardly a gap at any slip (the largest is .05 nats)",
            Measure(lambda table: by_slip(table, gap_at, 1).max(axis=1, skipna=False), "nats"),
            Range(high=0.05),
        ),
        across=ACROSS,
    ),
    Claim(
        name="a_recurrent_net_has_no_such_gap",
        description="It is a gap of the transformer: where little is forgotten (slip .02), a recurrent net without a trace is "
        "within .05 nats of CoT at n = 16.",
        measure=gap_at(0.02, 16, GRU),
        holds=Range(high=0.05),
        control=Control("an amortized transformer is not, by at least .1", gap_at(0.02, 16), Range(low=0.1)),
        across=ACROSS,
    ),
)


WORLDS = Study(
    name="worlds",
    question="In which worlds, and out of which distribution, is an inference better walked than amortized?",
    presets=PRESETS,
    claims=CLAIMS,
    figures=("worlds_gap", "worlds_kl", "phase_diagram"),
)
