"""Worlds: in which of them, and under which shifts, does writing an inference down beat amortizing it?"""

from functools import partial

from unamortized.evaluation import generalization
from unamortized.evaluation.evaluate import Evaluation
from unamortized.evaluation.protocol import SampleSize
from unamortized.labels import numbered
from unamortized.learning.specification import TrainSpec
from unamortized.studies.claims import Claim, Control, World
from unamortized.studies.figures.worlds import FIGURES
from unamortized.studies.names import COT, EQUAL_FLOPS, GRU, PRIOR
from unamortized.studies.quantities import Expression, Quantity, RankAlong, greatest
from unamortized.studies.study import SMOKE, Cell, Preset, Study, answer_evaluations

CONDITIONS = (EQUAL_FLOPS, COT, GRU)

FORGETTING = (
    *("even_ones", "no_consecutive_ones", "zero_one_random", "rrxor", "leaky_rrxor", "sns", "mr_name", "days_of_week"),
    *("tom_quantum", "fanizza", "post_quantum"),
    *("mess3", "mixture_mess3", "random_hmm", "sticky_hmm"),
    *("noisy_permutation", "noisy_permutation_shifted"),
)
GROUPS = ("group_word_z7", "group_word_d5", "group_word_s3", "group_word_s4", "group_word_a5", "group_word_s5")
IN_CONTEXT = ("in_context_automaton", "in_context_noisy")

PHASE_TASK = "noisy_permutation"  # of the phase diagram
SLIPS = (0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)  # from slow to immediate mixing


def phases(slips: tuple[float, ...], seeds: int, train: TrainSpec) -> tuple[Cell, ...]:
    """Return the cells of the phase diagram."""
    overrides = {slip: (f"process.slip={slip}", "steps.test=[1, 2, 4, 8, 16, 32, 64]") for slip in slips}
    return tuple(
        Cell(PHASE_TASK, CONDITIONS, seeds, train, overrides=overrides[slip], world=numbered("slip", slip))
        for slip in slips
    )


def evaluations(problems: int) -> tuple[Evaluation, ...]:
    """Return the evaluations, with n problems a test."""
    size = SampleSize(problems)
    return (
        *answer_evaluations(problems),
        Evaluation("shifted_baselines", generalization.baselines_by_shift, size, of="task"),
        Evaluation("by_shift", generalization.by_shift, size),
    )


FAMILY = TrainSpec(steps=300, batch_size=128)
GROUP = TrainSpec(steps=600, batch_size=128, learning_rate=2e-3, warmup_steps=200)  # out of its plateau sooner

PRESETS = {
    "smoke": Preset(
        cells=(
            Cell("sticky_hmm", (EQUAL_FLOPS, COT), 2, SMOKE),
            Cell("in_context_automaton", (EQUAL_FLOPS, COT), 2, SMOKE),
            *phases((0.02, 1.0), 2, SMOKE),
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


def kl(condition: str, slip: float, n_steps: int) -> Expression:
    """Return the KL at one place of the phase diagram."""
    return Quantity("answer_kl")(condition, task=PHASE_TASK, world=numbered("slip", slip), n_steps=n_steps)


def gap(slip: float, n_steps: int, condition: str = EQUAL_FLOPS) -> Expression:
    """Return how far the KL of a model without a trace is above CoT's."""
    return kl(condition, slip, n_steps) - kl(COT, slip, n_steps)


def relative_gap(slip: float, n_steps: int) -> Expression:
    """Return that gap as a share of the prior's KL, which is all that a model can learn there."""
    return gap(slip, n_steps).share_of(kl(PRIOR, slip, n_steps))


INFORMATIVE = SLIPS[:-1]  # at slip 1 the prior is exact
across_slips = partial(Claim, across=World("noisy_permutation", "by slip"))

CLAIMS = (
    across_slips(
        "the_gap_grows_with_composition",
        "At slip 0.02, where little is forgotten, the gap (the KL without a trace at equal training FLOPs, less CoT's) "
        "grows by at least 0.1 nats from n = 2 to n = 16, both training lengths.",
        gap(0.02, 16) - gap(0.02, 2) >= 0.1,
        Control("short problems are learned: the gap at n = 2 is at most 0.1 nats", gap(0.02, 2) <= 0.1),
    ),
    across_slips(
        "the_gap_vanishes_in_fast_mixing_worlds",
        "At slip 0.5, where every second move slips, the gap at n = 16 is at most a tenth of the prior's KL.",
        relative_gap(0.5, 16) <= 0.1,
        Control("there is something to learn: the prior's KL is at least 0.02 nats", kl(PRIOR, 0.5, 16) >= 0.02),
    ),
    across_slips(
        "the_gap_falls_with_mixing",
        "The gap at n = 16, as a share of the prior's KL, falls as slip rises from 0.005 to 0.5: its rank correlation "
        "with slip is at most −0.8.",
        RankAlong(INFORMATIVE, tuple(relative_gap(slip, 16) for slip in INFORMATIVE)) <= -0.8,
        Control(
            "composing is the cost: the gap at n = 1 is at most 0.05 nats at every slip",
            greatest(*(gap(slip, 1) for slip in INFORMATIVE), complete=True) <= 0.05,
        ),
    ),
    across_slips(
        "a_recurrent_net_has_no_such_gap",
        "At slip 0.02 and n = 16, the KL of a GRU without a trace is at most 0.05 nats above CoT's.",
        gap(0.02, 16, GRU) <= 0.05,
        Control("the transformer's is at least 0.1 nats above CoT's", gap(0.02, 16) >= 0.1),
    ),
)

WORLDS = Study(
    "worlds",
    "In which worlds, and under which shifts, does writing an inference down beat amortizing it?",
    PRESETS,
    CLAIMS,
    FIGURES,
)
