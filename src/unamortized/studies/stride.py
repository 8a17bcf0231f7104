"""Strides: if a path shows only every k-th step, does learning it get exponentially harder in k?"""

from functools import partial

from unamortized.evaluation import k_step_updates
from unamortized.evaluation.evaluate import Evaluation
from unamortized.evaluation.protocol import SampleSize
from unamortized.learning.specification import TrainSpec
from unamortized.models.transformer import ModelSpec
from unamortized.studies.claims import Claim, Control, World
from unamortized.studies.figures.stride import FIGURES
from unamortized.studies.growth import THRESHOLD, AicAdvantage, GrowthRate, NeededOverTable
from unamortized.studies.names import AMORTIZED, COT, GRU
from unamortized.studies.noisy_permutation import small_world
from unamortized.studies.quantities import Quantity
from unamortized.studies.study import Cell, Preset, Study, answer_evaluations

N_STEPS = 16  # of every question, so that each stride divides it; k = 16 states the last belief alone
STRIDES = (COT, "cot_every_2", "cot_every_4", "cot_every_8", "cot_every_16")
SIZES = (20, 100, 500, 2500, 12500)
LARGEST = f"n{SIZES[-1]}"
WORLD = f"fixed_{N_STEPS}"
FIXED_LENGTH = (f"steps.train=[{N_STEPS}, {N_STEPS}]", f"steps.test=[{N_STEPS}]")
OVERRIDES = {
    "group_word_s3": FIXED_LENGTH,  # the order of its two symbols counts
    "group_word_z7": FIXED_LENGTH,  # only how often each of its two symbols came counts
    "noisy_permutation": (*small_world(0.05, N_STEPS, (N_STEPS,)), *FIXED_LENGTH),  # the past is forgotten
}
S3, Z7, NOISY = ((World(task, WORLD),) for task in OVERRIDES)


def cells(task: str, conditions: tuple[str, ...], sizes: tuple[int, ...], seeds: int, steps: int) -> tuple[Cell, ...]:
    """Return a cell for each number N of training questions, which the conditions of a seed share.

    Training takes equally many steps at every N, so that a small N is seen again and again.
    """
    train = TrainSpec(steps=steps, batch_size=64, lengths_per_batch=1, checkpoint_every=steps)
    trains = {size: train.model_copy(update={"questions": size}) for size in sizes}
    model = ModelSpec(positions="rotary")  # one stride has to fetch k observations, and no test is longer than training
    return tuple(
        Cell(task, conditions, seeds, trains[size], model, OVERRIDES[task], WORLD, variant=f"n{size}") for size in sizes
    )


def evaluations(problems: int) -> tuple[Evaluation, ...]:
    """Return the evaluations, with n problems each."""
    return (
        Evaluation("update_tables", k_step_updates.update_tables, SampleSize(4096), of="task"),
        *answer_evaluations(problems),
        Evaluation("strides", k_step_updates.by_step, SampleSize(problems)),
    )


FEW_STRIDES, FEW_SIZES = (COT, "cot_every_4", "cot_every_16"), (20, 500, 12500)

PRESETS = {
    "smoke": Preset(cells("group_word_s3", (COT, "cot_every_8", AMORTIZED), (20, 100), 2, 12), evaluations(64)),
    "quick": Preset(
        (
            *cells("group_word_s3", FEW_STRIDES, FEW_SIZES, 2, 600),
            *cells("noisy_permutation", FEW_STRIDES, FEW_SIZES, 2, 300),
        ),
        evaluations(512),
    ),
    "full": Preset(
        (
            *cells("group_word_s3", (*STRIDES, GRU), SIZES, 3, 600),
            *cells("group_word_z7", (*STRIDES, AMORTIZED, GRU), SIZES, 3, 400),
            *cells("noisy_permutation", (*STRIDES, AMORTIZED, GRU), SIZES[1:], 3, 300),
        ),
        evaluations(512),
    ),
}

kl, right_strides = Quantity("answer_kl"), Quantity("stride_step_right")

on_s3 = partial(Claim, worlds=S3)

CLAIMS = (  # N*: the training questions that bring the KL down to 0.1 nats
    on_s3(
        "needs_grow_with_the_stride_where_order_counts",
        "In S3 the number of training questions N* that a KL of 0.1 nats needs grows by at least 20 % with each step "
        "of the stride k (rate of log N* at least 0.18), with equally many training steps at every k.",
        GrowthRate("exponential") >= 0.18,
        Control(
            "CoT that states every step is learned: with the most questions its KL is at most 0.1 nats",
            kl(COT, variant=LARGEST) <= THRESHOLD,
        ),
    ),
    on_s3(
        "that_growth_is_exponential_rather_than_polynomial",
        "In S3 exponential growth of N* in k fits better than polynomial growth: its AIC is at least 2 lower.",
        AicAdvantage("exponential", "polynomial") >= 2.0,
        Control(
            "N* grows: the AIC of exponential growth is at least 2 below that of no growth",
            AicAdvantage("exponential", "flat") >= 2.0,
        ),
    ),
    on_s3(
        "where_order_counts_strides_are_learned_as_a_table",
        "In S3 at k = 4, N* is at least half the number of questions that show every update once.",
        NeededOverTable(4) >= 0.5,
        Control("the size of the table matters: N* is at most ten times that number", NeededOverTable(4) <= 10),
    ),
    Claim(
        "where_order_does_not_count_growth_is_polynomial",
        "In Z7, where counting symbols suffices, polynomial growth of N* in k fits better than exponential growth: its "
        "AIC is at least 2 lower.",
        AicAdvantage("polynomial", "exponential") >= 2.0,
        Control(
            "N* grows: the AIC of polynomial growth is at least 2 below that of no growth",
            AicAdvantage("polynomial", "flat") >= 2.0,
        ),
        Z7,
    ),
    Claim(
        "needs_grow_no_faster_than_the_stride_where_the_past_is_forgotten",
        "With noisy permutations N* grows at most in proportion to k (power at most 1): the number of stated beliefs "
        "needed does not grow, as a question states n / k of them.",
        GrowthRate("polynomial") <= 1.0,
        Control(
            "every stride is within reach: with the most questions the KL without a trace is at most 0.1 nats",
            kl(AMORTIZED, variant=LARGEST) <= THRESHOLD,
        ),
        NOISY,
    ),
    Claim(
        "strides_need_no_table",
        "At k = 16, N* is at most a thousandth of the questions that show every update once: the model learns no table "
        "of updates, because it composes steps inside or because few steps matter.",
        NeededOverTable(16) <= 0.001,
        Control(
            "tables are not always far too large: at k = 1, N* is at least a tenth of that number",
            NeededOverTable(1) >= 0.1,
        ),
        (*Z7, *NOISY),
    ),
    on_s3(
        "a_learned_stride_is_right_at_every_step",
        "In S3, with the most training questions, CoT with k = 4 makes at least 95 % of its strides right from its own "
        "last code, at every step (the lowest share is shown).",
        right_strides("cot_every_4", variant=LARGEST).over_steps(1, N_STEPS, "min") >= 0.95,
        Control("so does CoT with k = 1", right_strides(COT, variant=LARGEST).over_steps(1, N_STEPS, "min") >= 0.95),
    ),
)

STRIDE = Study(
    "stride",
    "If a path shows only every k-th step, does learning it get exponentially harder in k?",
    PRESETS,
    CLAIMS,
    FIGURES,
)
