"""The headline study: the same questions, amortized and step by step, against exact Bayes."""

from typing import Any

from unamortized.evaluation import faithfulness, probes, triangle
from unamortized.evaluation.evaluate import Evaluation
from unamortized.evaluation.protocol import SampleSize
from unamortized.learning.specification import TrainSpec
from unamortized.models.transformer import ModelSpec
from unamortized.studies.claims import World
from unamortized.studies.figures.compare import FIGURES
from unamortized.studies.names import AMORTIZED, COT, DENSE, DRAWN, GRU, after, deep
from unamortized.studies.study import HALF_SMOKE, SMOKE, Cell, Preset, Study, answer_evaluations, examples_evaluation

NOISY, S5, S3 = (World("noisy_permutation"),), (World("group_word_s5"),), (World("group_word_s3"),)
FOUR_LAYERS = deep(4)
EQUAL_STEPS = after(1200)  # the budget at which labels and writing are compared


def cell(task: str, condition: str, seeds: int, steps: int, variant: str = "", **changes: Any) -> Cell:
    """Return the runs of one condition on worlds of their own; ``changes`` are of training, ``layers`` of the model."""
    model = ModelSpec(layers=changes.pop("layers", 2))
    train = TrainSpec(steps=steps, **changes)
    return Cell(task, (condition,), seeds, train, model, variant=variant, own_worlds=True)


def budgets(task: str, condition: str, seeds: int, longest: int, *shorter: int) -> tuple[Cell, ...]:
    """Return the runs of one condition for each number of steps; those of the longest training have no variant."""
    return (cell(task, condition, seeds, longest), *(cell(task, condition, seeds, n, after(n)) for n in shorter))


def evaluations(problems: int, probe_steps: tuple[int, ...], lags: tuple[int, ...]) -> tuple[Evaluation, ...]:
    """Return the evaluations, with n problems each."""
    return (
        *answer_evaluations(problems),
        Evaluation("light_cone", faithfulness.light_cone, faithfulness.FaithfulnessSettings(problems, lags)),
        Evaluation("probes", probes.by_layer, probes.Probes(problems, steps=probe_steps)),
        Evaluation("triangle", triangle.triangle, SampleSize(problems)),
        examples_evaluation(problems),
    )


PRESETS = {
    "smoke": Preset(
        cells=(
            Cell("noisy_permutation", (AMORTIZED, DENSE, COT, GRU), seeds=2, train=SMOKE, own_worlds=True),
            Cell("noisy_permutation", (AMORTIZED, DENSE), 2, HALF_SMOKE, variant=after(6), own_worlds=True),
        ),
        evaluations=evaluations(64, probe_steps=(16,), lags=(0, 4, 8)),
    ),
    "quick": Preset(
        cells=(
            cell("noisy_permutation", AMORTIZED, 3, 300),
            cell("noisy_permutation", DENSE, 3, 300),
            cell("noisy_permutation", COT, 3, 150),
            cell("noisy_permutation", GRU, 3, 300),
            cell("group_word_s5", AMORTIZED, 1, 600),
            cell("group_word_s5", DENSE, 1, 300),
            cell("group_word_s5", COT, 1, 200),
            cell("group_word_s5", GRU, 1, 300),
            cell("mess3", AMORTIZED, 1, 150),
            cell("mess3", COT, 1, 100),
        ),
        evaluations=evaluations(512, probe_steps=(16,), lags=(0, 1, 2, 4, 8, 12)),
    ),
    "full": Preset(
        cells=(
            *budgets("noisy_permutation", AMORTIZED, 6, 4800, 1200, 300),
            *budgets("noisy_permutation", DENSE, 6, 4800, 1200, 300),
            cell("noisy_permutation", DRAWN, 6, 1200, EQUAL_STEPS),
            *budgets("noisy_permutation", COT, 6, 1200, 300),
            cell("noisy_permutation", GRU, 6, 1200),
            *(cell("noisy_permutation", each, 6, 1200, FOUR_LAYERS, layers=4) for each in (AMORTIZED, DENSE, COT)),
            cell("group_word_s5", AMORTIZED, 6, 4800),
            *(cell("group_word_s5", each, 6, 1200) for each in (DENSE, GRU)),
            cell("group_word_s5", COT, 6, 300),
            cell("mess3", AMORTIZED, 6, 300),
            cell("mess3", DENSE, 6, 300),
            cell("mess3", COT, 6, 150),
        ),
        evaluations=evaluations(512, probe_steps=(1, 2, 4, 8, 12, 16), lags=(0, 1, 2, 3, 4, 5, 6, 7, 8, 12)),
    ),
}
CLAIMS = ()

COMPARE = Study(
    "compare",
    "Does writing an inference down generalize where a learned shortcut does not, and is what is written believed?",
    PRESETS,
    CLAIMS,
    FIGURES,
)
