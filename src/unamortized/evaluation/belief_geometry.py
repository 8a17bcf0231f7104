"""BeliefGeometry: beliefs of many steps and what each layer tells of them, for pictures of the residual stream's geometry."""

from dataclasses import dataclass

import pandas as pd

from unamortized.evaluation.examples import EXAMPLE_COLUMNS, as_examples
from unamortized.evaluation.probes import apply, fit, listen, read
from unamortized.evaluation.protocol import test_problems
from unamortized.learning.runs import Run
from unamortized.worlds.splits import apart, draw

PLACES = 4  # decimals of coordinates
EMBEDDING = "0"  # the layer that holds one symbol, and so no more points than there are symbols


@dataclass(frozen=True)
class BeliefGeometry:
    """How much is kept."""

    problems: int = 512  # to fit on
    points: int = 1024
    ridge: float = 1.0


def clouds(run: Run, settings: BeliefGeometry) -> pd.DataFrame:
    """Exact beliefs at the observations of test problems, and what probes of each layer, and of all, read there.

    Of models that predict the next symbol; nothing of others. The sources are ``cloud exact`` and ``cloud layer 1``,
    .., ``cloud layer all``: their problems are others than those that are told in full.
    """
    if not run.condition.predicts_question:
        return pd.DataFrame(columns=list(EXAMPLE_COLUMNS))
    n_steps, seed = run.task.steps.train[1], run.spec.seed
    fitted_on = apart(run.task, draw(run.task, "validation", n_steps, settings.problems, seed, "clouds"), "validation")
    shown = apart(run.task, test_problems(run.task, n_steps, settings.problems, seed), "test")
    shown = shown.take(slice(max(1, settings.points // n_steps)))
    fitting, seen = (read(run, each, listen(run, each), "question") for each in (fitted_on, shown))
    told = {"cloud exact": (seen.steps, seen.beliefs.round(PLACES))}
    for layer, features in seen.features.items():
        if layer != EMBEDDING:
            probe = fit(fitting.features[layer], fitting.beliefs, settings.ridge)
            told[f"cloud layer {layer}"] = (seen.steps, apply(probe, features).round(PLACES))
    return as_examples(run, n_steps, told)
