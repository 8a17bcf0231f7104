"""Belief geometry: the belief after each of many histories, exact and as probes of each layer read it, for pictures."""

import numpy as np
import pandas as pd
from jaxtyping import Bool

from unamortized.evaluation.examples import EXAMPLE_COLUMNS, example_rows, example_table
from unamortized.evaluation.probes.activations import read_activations
from unamortized.evaluation.probes.fitting import belief_probes
from unamortized.evaluation.protocol import SampleSize, test_problems
from unamortized.labels import QUESTION
from unamortized.learning.specification import Run
from unamortized.worlds.problems import Problems
from unamortized.worlds.splits import content_hash

EMBEDDING = "0"  # holds one symbol, and so no more points than there are symbols
POINTS = 4096  # pairs of a problem and a step, at most
REPEATED = 4  # problems drawn, for each that is needed if no history occurs twice


def belief_geometry(run: Run, settings: SampleSize) -> pd.DataFrame:
    """Tabulate exact beliefs at the observations of test problems, and those that a probe of each layer reads.

    Only for models that predict the next symbol. Sources: ``exact``, and ``probed`` with a layer. Problems and steps
    are those of distinct histories; the problems are not those of ``examples.example_problems``.
    """
    if not run.language.predicts_question:
        return pd.DataFrame(columns=list(EXAMPLE_COLUMNS))
    n_steps = run.task.steps.train[1]
    probes = belief_probes(run, settings.problems, "clouds", QUESTION)
    size = max(1, REPEATED * POINTS // n_steps)
    problems = test_problems(run.task, n_steps, size, run.spec.seed)
    seen = read_activations(run, problems)[QUESTION]
    shown = first_of_each_history(problems, POINTS)
    values = {("exact", ""): seen.beliefs}
    for layer, features in seen.features.items():
        if layer != EMBEDDING:
            values["probed", layer] = probes[layer].probe.read(features)
    tables = []
    for (source, layer), each in values.items():
        table = example_rows(seen.steps, each, source, site=QUESTION, layer=layer)
        tables.append(table[shown[table["problem"], table["step"] - 1]])
    return example_table(run, n_steps, tables)


def first_of_each_history(problems: Problems, most: int) -> Bool[np.ndarray, "batch step"]:
    """Select the first problem with each history of observations, up to a number of points in all."""
    hashes = np.stack([content_hash(problems, step) for step in range(1, problems.n_steps + 1)], axis=1)
    shown = np.zeros(hashes.shape, dtype=bool)
    for step, column in enumerate(hashes.T):
        shown[np.unique(column, return_index=True)[1], step] = True
    return shown & (shown.cumsum().reshape(shown.shape) <= most)
