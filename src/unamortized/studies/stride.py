"""Every k-th step: does learning from a path get exponentially harder in how far apart the steps are that it shows?"""

from unamortized.evaluation import generalization, k_step_updates
from unamortized.evaluation.evaluate import Evaluation
from unamortized.learning.runs import TrainSpec
from unamortized.models.transformer import ModelSpec
from unamortized.studies.claims import Claim, Control, Range
from unamortized.studies.growth import THRESHOLD, aic_advantage, growth_rate, needed_over_table
from unamortized.studies.statistics import level, over_steps
from unamortized.studies.study import Cell, Preset, Study

N_STEPS = 16  # of every question, so that each of these strides divides it; k = 16 states the last belief alone
STRIDES = ("cot", "cot_every_2", "cot_every_4", "cot_every_8", "cot_every_16")
AMORTIZED = "amortized"  # states none: the neighbor of k = 16
GRU = "gru"
SIZES = (20, 100, 500, 2500, 12500)
LARGEST = f"n{SIZES[-1]}"
WORLD = f"fixed_{N_STEPS}"
FIXED_LENGTH = (f"steps.train=[{N_STEPS}, {N_STEPS}]", f"steps.test=[{N_STEPS}]")
# Two groups with two symbols each: in S3 the order of symbols counts, in Z7 it is enough how often each came. And three
# states that slip, so that the past is forgotten.
NOISY = ("process.states=3", "process.symbols=3", "process.slip=0.05", "codebook.resolution=12")
OVERRIDES = {"group_word_s3": FIXED_LENGTH, "group_word_z7": FIXED_LENGTH, "noisy_permutation": FIXED_LENGTH + NOISY}
IN_S3, IN_Z7, IN_NOISY = (f"{task}@{WORLD}" for task in OVERRIDES)  # as claims name them

# Rotary positions, as k observations have to be fetched apart for one stride, and no test is longer than training.
MODEL = ModelSpec(positions="rotary")
# As many steps for every N of a world, so that a small N is seen again and again; the last weights are measured.
TRAIN = TrainSpec(batch_size=64, lengths_per_batch=1)


def cells(task: str, conditions: tuple[str, ...], sizes: tuple[int, ...], seeds: int, steps: int) -> tuple[Cell, ...]:
    """A world with every number of training questions, which the conditions of a seed share."""
    return tuple(
        Cell(
            task,
            conditions,
            seeds,
            TRAIN.model_copy(update={"steps": steps, "questions": size, "checkpoint_every": steps}),
            MODEL,
            overrides=OVERRIDES[task],
            world=WORLD,
            variant=f"n{size}",
        )
        for size in sizes
    )


def evaluations(problems: int) -> tuple[Evaluation, ...]:
    """What is measured, with how many problems."""
    return (
        Evaluation("update_tables", k_step_updates.update_tables, k_step_updates.UpdateTables(), of="task"),
        Evaluation("baselines", generalization.baselines_by_length, generalization.ByLength(problems), of="task"),
        Evaluation("by_length", generalization.by_length, generalization.ByLength(problems)),
        Evaluation("strides", k_step_updates.by_step, k_step_updates.KStepUpdates(problems)),
    )


FEW_STRIDES, FEW_SIZES = ("cot", "cot_every_4", "cot_every_16"), (20, 500, 12500)

PRESETS = {
    "smoke": Preset(cells("group_word_s3", ("cot", "cot_every_8", AMORTIZED), (20, 100), 2, 12), evaluations(64)),
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

CLAIMS = (
    Claim(
        name="needs_grow_with_the_stride_where_order_counts",
        description="In S3, the questions needed, in as many training steps at every stride, grow by at least 20 % with each "
        "step of the stride (rate of log N* ≥ .18).",
        measure=growth_rate("exponential", "per step"),
        holds=Range(low=0.18),
        control=Control(
            "stating every step is learned: at k = 1 the largest N is within the threshold",
            level("answer_kl", f"cot@{LARGEST}", "nats"),
            Range(high=THRESHOLD),
        ),
        tasks=(IN_S3,),
    ),
    Claim(
        name="that_growth_is_exponential_rather_than_polynomial",
        description="In S3, exponential growth of N* in k is likelier than polynomial growth: AIC lower by at least 2.",
        measure=aic_advantage("exponential", "polynomial"),
        holds=Range(low=2.0),
        control=Control(
            "there is growth: exponential beats flat by as much", aic_advantage("exponential", "flat"), Range(low=2.0)
        ),
        tasks=(IN_S3,),
    ),
    Claim(
        name="where_order_counts_strides_are_learned_as_a_table",
        description="In S3 at k = 4, at least half as many questions are needed as show every update once.",
        measure=needed_over_table(4),
        holds=Range(low=0.5),
        control=Control(
            "and no more than ten times as many, so that the table is what counts", needed_over_table(4), Range(high=10)
        ),
        tasks=(IN_S3,),
    ),
    Claim(
        name="where_order_does_not_count_growth_is_polynomial",
        description="In Z7, where counting suffices, polynomial growth of N* in k is likelier than exponential growth: AIC "
        "lower by at least 2.",
        measure=aic_advantage("polynomial", "exponential"),
        holds=Range(low=2.0),
        control=Control(
            "there is growth: polynomial beats flat by as much", aic_advantage("polynomial", "flat"), Range(low=2.0)
        ),
        tasks=(IN_Z7,),
    ),
    Claim(
        name="needs_grow_no_faster_than_the_stride_where_the_past_is_forgotten",
        description="With noisy permutations, to within .1 nats of exact Bayes, N* grows at most in "
        "proportion to k (power ≤ 1): as many stated beliefs suffice at every stride, of which a question shows n / k.",
        measure=growth_rate("polynomial", "per e-fold"),
        holds=Range(high=1.0),
        control=Control(
            "no stride is out of reach: even without a trace the largest N is within the threshold",
            level("answer_kl", f"{AMORTIZED}@{LARGEST}", "nats"),
            Range(high=THRESHOLD),
        ),
        tasks=(IN_NOISY,),
    ),
    Claim(
        name="strides_need_no_table",
        description="At k = 16 at most a thousandth of the questions that show every update suffice to come within .1 nats: "
        "no table of updates is learned, be it that steps are composed inside or that few of them matter.",
        measure=needed_over_table(16),
        holds=Range(high=0.001),
        control=Control(
            "not because tables are always far too large: at k = 1 at least a tenth is needed",
            needed_over_table(1),
            Range(low=0.1),
        ),
        tasks=(IN_Z7, IN_NOISY),
    ),
    Claim(
        name="a_learned_stride_is_right_at_every_step",
        description="In S3 with the most questions, strides of four steps are right from the model's own code in at least "
        "95 % of cases, the worst step shown.",
        measure=over_steps("stride_step_right", f"cot_every_4@{LARGEST}", "fraction", step=(1, N_STEPS), take="min"),
        holds=Range(low=0.95),
        control=Control(
            "as single steps are",
            over_steps("stride_step_right", f"cot@{LARGEST}", "fraction", step=(1, N_STEPS), take="min"),
            Range(low=0.95),
        ),
        tasks=(IN_S3,),
    ),
)

STRIDE = Study(
    name="stride",
    question="If the path is only seen every k-th step, does learning it get exponentially harder in k?",
    presets=PRESETS,
    claims=CLAIMS,
    figures=("stride_learning", "stride_growth", "stride_cost"),
)
