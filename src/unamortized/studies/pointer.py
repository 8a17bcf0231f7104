"""The pointer: how much of CoT's reach beyond the lengths of training is given by the layout?

A step of the trace has to fetch its observation before it can update. Coupled position ids hand it over, as a
look-up of an equal id; under plain ids the model has to find it by itself, at every length. Position schemes are
crossed with ids, and both with the amortized model and CoT. Copied and indexed traces, which show what is fetched,
are told under alibi alone; the amortized model, which fetches nothing, is not asked indexed questions.
Without positions ids reach no model, so that coupled and plain are one.
"""

from collections.abc import Sequence

import pandas as pd

from unamortized.evaluation import generalization, pointer
from unamortized.evaluation.evaluate import Evaluation
from unamortized.learning.runs import TrainSpec
from unamortized.models.transformer import ModelSpec
from unamortized.studies.claims import Claim, Control, Range
from unamortized.studies.statistics import Measure, PerSeed, level, paired_difference, select
from unamortized.studies.study import Cell, Preset, Study

AMORTIZED, COT, COPIED, INDEXED, GRU = "amortized", "cot", "cot_copied", "cot_indexed", "gru"
NOISY = "noisy_permutation"
DRAWN_FROM = 256  # randomized ids are drawn from so many: enough for plain ids at n = 64, few enough to learn

MODELS = {  # by variant
    "alibi_coupled": ModelSpec(),
    "alibi_plain": ModelSpec(coupled=False),
    "rotary_coupled": ModelSpec(positions="rotary"),
    "rotary_plain": ModelSpec(positions="rotary", coupled=False),
    "none": ModelSpec(positions="none"),
    "learned_coupled": ModelSpec(positions="learned"),
    "learned_plain": ModelSpec(positions="learned", coupled=False),
    "randomized_coupled": ModelSpec(positions="randomized", max_positions=DRAWN_FROM),
    "randomized_plain": ModelSpec(positions="randomized", max_positions=DRAWN_FROM, coupled=False),
}
NOT_COUPLED = tuple(variant for variant, model in MODELS.items() if not model.coupled or model.positions == "none")


def cells(conditions: dict[str, tuple[str, ...]], seeds: int, train: TrainSpec) -> tuple[Cell, ...]:
    """A cell for each variant, with its conditions."""
    return tuple(
        Cell(NOISY, trained, seeds, train, MODELS[variant], variant=variant) for variant, trained in conditions.items()
    )


def evaluations(problems: int) -> tuple[Evaluation, ...]:
    """What is measured on each run, with how many problems a length."""
    lengths = generalization.ByLength(problems)
    return (
        Evaluation("baselines", generalization.baselines_by_length, lengths, of="task"),
        Evaluation("by_length", generalization.by_length, lengths),
        Evaluation("pointer", pointer.pointer, pointer.Pointer(problems)),
    )


OWN = "alibi_coupled"  # the layout of the other studies
BOTH, FETCHING = (AMORTIZED, COT), (AMORTIZED, COT, COPIED, INDEXED)

PRESETS = {
    "smoke": Preset(
        cells({"alibi_coupled": BOTH, "alibi_plain": FETCHING}, 2, TrainSpec(steps=12, batch_size=32, warmup_steps=4)),
        evaluations(32),
    ),
    "quick": Preset(  # steps as in `compare`, which so shares the runs of its own layout
        cells(
            {"alibi_coupled": BOTH, "alibi_plain": (AMORTIZED, COT, COPIED), "rotary_plain": (COT,)},
            2,
            TrainSpec(steps=450),
        ),
        evaluations(256),
    ),
    "full": Preset(
        cells(
            {
                OWN: (*FETCHING, GRU),  # which counts by itself, so that one layout is enough
                **{name: FETCHING if name == "alibi_plain" else BOTH for name in MODELS if name != OWN},
            },
            3,
            TrainSpec(steps=400),
        ),
        evaluations(256),
    ),
}


def lowest_kl(condition: str, variants: Sequence[str], n_steps: int) -> PerSeed:
    """KL of a condition under whichever variant does best at this length, chosen seed by seed on the tests themselves.

    A choice that favors the condition: nobody who asks new questions could make it.
    """

    def per_seed(table: pd.DataFrame) -> "pd.Series[float]":
        found = [select(table, "answer_kl", f"{condition}@{variant}", n_steps=n_steps) for variant in variants]
        return pd.concat(found, axis=1).min(axis=1)

    return per_seed


def best_amortized_minus(other: PerSeed) -> Measure:
    """How much further from exact Bayes the amortized model is at n = 64, under its own best variant."""
    best = lowest_kl(AMORTIZED, tuple(MODELS), 64)
    return Measure(lambda table: best(table) - other(table), "nats")


def pointer_claim(variant: str, ids: str) -> Claim:
    """Out of length, wrong steps of CoT under these ids are mostly those of a wrong observation."""
    condition, there = f"{COT}@{variant}", {"n_steps": 64}
    return Claim(
        name=f"errors_are_pointer_errors_under_{variant}",
        description=f"Under {ids}, at least half of CoT's wrong steps at n = 64 are exact updates with a wrong observation.",
        measure=level("pointer_share", condition, "fraction", **there),
        holds=Range(low=0.5),
        control=Control(
            "more than chance makes of codes exchanged among problems, by .1",
            paired_difference("pointer_share", (condition, there), (f"{condition}/exchanged_codes", there), "fraction"),
            Range(low=0.1),
        ),
        tasks=(NOISY,),
    )


COUPLED, PLAIN = f"{COT}@alibi_coupled", f"{COT}@alibi_plain"

CLAIMS = (
    Claim(
        name="cot_beats_the_best_amortized_scheme",
        description="At n = 64 CoT with coupled ids and alibi is closer to exact Bayes than the amortized model under its own "
        "best layout, chosen on the tests, by 0.05 nats.",
        measure=best_amortized_minus(lowest_kl(COT, ("alibi_coupled",), 64)),
        holds=Range(low=0.05),
        control=Control(
            "a memory of eight observations is no explanation: it is worse than CoT",
            paired_difference("answer_kl", ("window_8", {"n_steps": 64}), (COUPLED, {"n_steps": 64}), "nats"),
            Range(low=0.0),
        ),
        tasks=(NOISY,),
    ),
    Claim(
        name="plain_cot_beats_the_best_amortized_scheme",
        description="So it is without coupled ids: at n = 64 CoT under the best layout without them is closer by 0.05 nats.",
        measure=best_amortized_minus(lowest_kl(COT, NOT_COUPLED, 64)),
        holds=Range(low=0.05),
        control=Control(
            "these do not keep CoT from learning: at n = 16, chosen alike, its KL is at most 0.10 nats",
            Measure(lowest_kl(COT, NOT_COUPLED, 16), "nats"),
            Range(high=0.10),
        ),
        tasks=(NOISY,),
    ),
    Claim(
        name="the_layout_gives_the_reach",
        description="With alibi, plain ids cost CoT at least 0.05 nats at n = 64.",
        measure=paired_difference("answer_kl", (PLAIN, {"n_steps": 64}), (COUPLED, {"n_steps": 64}), "nats"),
        holds=Range(low=0.05),
        control=Control(
            "it is reach that they cost: within training length (n = 16) at most 0.05 nats",
            paired_difference("answer_kl", (PLAIN, {"n_steps": 16}), (COUPLED, {"n_steps": 16}), "nats"),
            Range(high=0.05),
        ),
        tasks=(NOISY,),
    ),
    pointer_claim("alibi_plain", "plain ids with alibi"),
    pointer_claim("rotary_plain", "plain ids with rotary positions"),
    Claim(
        name="what_is_copied_wrongly_is_to_blame",
        description="Where each observation is copied first, under plain ids with alibi, at least half of the wrong steps at "
        "n = 64 have a wrong copy.",
        measure=level("pointer_share", f"{COPIED}@alibi_plain", "fraction", n_steps=64),
        holds=Range(low=0.5),
        control=Control(
            "copying is learned: within training length (n = 16) at most .1 of the copies are wrong",
            level("pointer_error", f"{COPIED}@alibi_plain", "fraction", n_steps=16),
            Range(high=0.1),
        ),
        tasks=(NOISY,),
    ),
    Claim(
        name="numbered_observations_are_found_at_any_length",
        description="Where observations are numbered, CoT under plain ids with alibi is within 0.10 nats of exact Bayes at "
        "n = 64.",
        measure=level("answer_kl", f"{INDEXED}@alibi_plain", "nats", n_steps=64),
        holds=Range(high=0.10),
        control=Control(
            "it is the numbers that help: without them it is further away, by 0.05 nats",
            paired_difference(
                "answer_kl", (PLAIN, {"n_steps": 64}), (f"{INDEXED}@alibi_plain", {"n_steps": 64}), "nats"
            ),
            Range(low=0.05),
        ),
        tasks=(NOISY,),
    ),
)

POINTER = Study(
    name="pointer",
    question="How much of CoT's reach beyond the lengths of training is given by the layout?",
    presets=PRESETS,
    claims=CLAIMS,
    figures=("kl_by_scheme", "pointer_errors"),
)
