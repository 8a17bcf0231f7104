"""Every k-th step: does learning from a path get exponentially harder in how far apart the steps are that it shows?"""

from unamortized.evaluation import generalization, strides
from unamortized.evaluation.evaluate import Evaluation
from unamortized.learning.runs import TrainSpec
from unamortized.models.transformer import ModelSpec
from unamortized.studies.claims import Claim, Control, Range
from unamortized.studies.growth import THRESHOLD, aic_advantage, growth_rate, needed_over_table
from unamortized.studies.statistics import level, over_steps
from unamortized.studies.study import Cell, Preset, Study

N_STEPS = 16  # of every question, so that each of these strides divides it; k = 16 states the last belief alone
AMORTIZED = "amortized"  # states none: the neighbour of k = 16
CONDITIONS = ("cot", "cot_every_2", "cot_every_4", "cot_every_8", "cot_every_16", AMORTIZED)
FIXED_LENGTH = (f"steps.train=[{N_STEPS}, {N_STEPS}]", f"steps.test=[{N_STEPS}]")
WORLD = f"fixed_{N_STEPS}"
WORLDS = {  # by task: a group of six elements and two symbols, and three states that slip and are forgotten
    "group_word_s3": FIXED_LENGTH,
    "noisy_permutation": (
        *FIXED_LENGTH,
        *("process.states=3", "process.symbols=3", "process.slip=0.05", "codebook.resolution=12"),
    ),
}
GROUP, NOISY = ((f"{task}@{WORLD}",) for task in WORLDS)  # as claims name them

# Rotary positions, as k observations have to be fetched apart for one stride, and no test is longer than training.
MODEL = ModelSpec(positions="rotary")
# The same number of steps for every N, so that a small N is seen again and again; the last weights are measured.
TRAIN = TrainSpec(steps=600, batch_size=64, lengths_per_batch=1, checkpoint_every=600)
BRIEF = TRAIN.model_copy(update={"steps": 12, "batch_size": 32, "warmup_steps": 4})
SIZES = (20, 100, 500, 2500, 12500)
LARGEST = f"n{SIZES[-1]}"


def cells(conditions: tuple[str, ...], sizes: tuple[int, ...], seeds: int, train: TrainSpec) -> tuple[Cell, ...]:
    """Every world with every number of training questions; the conditions of a seed share these questions."""
    return tuple(
        Cell(
            task,
            conditions,
            seeds,
            train.model_copy(update={"questions": size}),
            MODEL,
            overrides=overrides,
            world=WORLD,
            variant=f"n{size}",
        )
        for task, overrides in WORLDS.items()
        for size in sizes
    )


def evaluations(problems: int) -> tuple[Evaluation, ...]:
    """What is measured, with how many problems."""
    return (
        Evaluation("update_tables", strides.update_tables, strides.UpdateTables(), of="task"),
        Evaluation("by_length", generalization.by_length, generalization.ByLength(problems)),
        Evaluation("strides", strides.by_step, strides.Strides(problems)),
    )


PRESETS = {
    "smoke": Preset(cells(("cot", "cot_every_8", AMORTIZED), (20, 100), 2, BRIEF), evaluations(64)),
    "quick": Preset(cells(("cot", "cot_every_4", "cot_every_16"), (20, 500, 12500), 2, TRAIN), evaluations(512)),
    "full": Preset(cells(CONDITIONS, SIZES, 3, TRAIN), evaluations(512)),
}

CLAIMS = (
    Claim(
        name="needs_grow_with_the_stride_in_a_group",
        says="In S3, the questions needed grow by at least 20 % with each step of the stride (rate of log N* ≥ .18).",
        measure=growth_rate("exponential", "per step"),
        holds=Range(low=0.18),
        control=Control(
            "stating every step is learned: at k = 1 the largest N is within the threshold",
            level("answer_kl", f"cot@{LARGEST}", "nats"),
            Range(high=THRESHOLD),
        ),
        tasks=GROUP,
    ),
    Claim(
        name="that_growth_is_exponential_rather_than_polynomial",
        says="In S3, exponential growth of N* in k is likelier than polynomial growth: AIC lower by at least 2.",
        measure=aic_advantage("exponential", "polynomial"),
        holds=Range(low=2.0),
        control=Control(
            "there is growth: exponential beats flat by as much", aic_advantage("exponential", "flat"), Range(low=2.0)
        ),
        tasks=GROUP,
    ),
    Claim(
        name="a_group_is_learned_as_a_table",
        says="In S3 at k = 4, at least half as many questions are needed as show every update once.",
        measure=needed_over_table(4),
        holds=Range(low=0.5),
        control=Control(
            "and no more than ten times as many, so that the table is what counts", needed_over_table(4), Range(high=10)
        ),
        tasks=GROUP,
    ),
    Claim(
        name="needs_hardly_grow_where_the_past_is_forgotten",
        says="With noisy permutations, N* grows by at most 10 % with each step of the stride (rate ≤ .095).",
        measure=growth_rate("exponential", "per step"),
        holds=Range(high=0.095),
        control=Control(
            "no stride is out of reach: even without a trace the largest N is within the threshold",
            level("answer_kl", f"{AMORTIZED}@{LARGEST}", "nats"),
            Range(high=THRESHOLD),
        ),
        tasks=NOISY,
    ),
    Claim(
        name="a_forgetting_world_is_composed_inside",
        says="With noisy permutations at k = 16, at most a thousandth of the questions that show every update suffice.",
        measure=needed_over_table(16),
        holds=Range(high=0.001),
        control=Control(
            "not because tables are always far too large: at k = 1 at least a tenth is needed",
            needed_over_table(1),
            Range(low=0.1),
        ),
        tasks=NOISY,
    ),
    Claim(
        name="a_learned_stride_is_right_at_every_step",
        says="In S3 with the most questions, strides of four steps are right from the model's own code in at least "
        "95 % of cases, the worst step shown.",
        measure=over_steps("stride_step_right", f"cot_every_4@{LARGEST}", "fraction", step=(1, N_STEPS), take="min"),
        holds=Range(low=0.95),
        control=Control(
            "as single steps are",
            over_steps("stride_step_right", f"cot@{LARGEST}", "fraction", step=(1, N_STEPS), take="min"),
            Range(low=0.95),
        ),
        tasks=GROUP,
    ),
)

STRIDE = Study(
    name="stride",
    question="If the path is only seen every k-th step, does learning it get exponentially harder in k?",
    presets=PRESETS,
    claims=CLAIMS,
    figures=("stride_learning", "stride_growth", "stride_cost"),
)
