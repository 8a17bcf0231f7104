"""Examples: single problems with their observations, beliefs and answers, as a second table beside the metrics."""

import numpy as np
import pandas as pd
from jaxtyping import Int, Num

from unamortized.evaluation.protocol import SampleSize, test_problems
from unamortized.evaluation.triangle import belief_reader, stated_beliefs
from unamortized.learning.specification import Run

PROBLEMS, SIMPLEX_PROBLEMS = 1, 120  # the latter for tasks with three states: a triangle can show their beliefs
DECIMALS = 3  # of values; a state with a value of zero is left out
EXAMPLE_COLUMNS = (
    *("task", "world", "condition", "variant", "control", "seed", "n_steps", "problem", "step"),
    *("site", "layer", "source", "state", "value", "run"),
)
EXAMPLE_TEXT = ("world", "variant", "control", "site", "layer", "run")  # empty where they do not apply
COUNTED = ("observation", "latent")  # sources whose value is a symbol or state, and may be zero


def example_problems(run: Run, settings: SampleSize) -> pd.DataFrame:
    """Tabulate test problems of the longest training length, with a probe fitted on ``settings.problems`` others.

    Sources: ``observation`` and ``latent`` (the value is the symbol or state), ``exact``, ``stated`` and ``probed``
    beliefs (the value is the belief in ``state``), ``exact_answer`` and ``answer``.
    """
    task, n_steps = run.task, run.task.steps.train[1]
    size = SIMPLEX_PROBLEMS if run.vocabulary.n_states == 3 else PROBLEMS
    problems = test_problems(task, n_steps, size, run.spec.seed)
    response, steps, probed = belief_reader(run, settings.problems)(problems)
    every_step, last = np.arange(n_steps + 1), np.array([n_steps])
    tables = [
        example_rows(every_step, problems.beliefs, source="exact"),
        example_rows(steps, probed, source="probed"),
        example_rows(last, problems.answer_distribution[:, None], source="exact_answer"),
        example_rows(last, response.answers[:, None], source="answer"),
        example_rows(every_step[1:], problems.observations[:, :, None], source="observation"),
        example_rows(every_step, problems.latents[:, :, None], source="latent"),
    ]
    if not run.language.is_direct:
        tables.append(example_rows(response.trace_steps, stated_beliefs(run, response), source="stated"))
    return example_table(run, n_steps, tables)


def example_rows(
    steps: Int[np.ndarray, " step"], values: Num[np.ndarray, "batch step state"], source: str, **where: str
) -> pd.DataFrame:
    """Make the rows of one source: problem, step, state and rounded value.

    ``steps`` are those of the values' second axis; ``where`` gives ``control``, ``site`` and ``layer`` as they apply.
    """
    problem, place, state = np.indices(values.shape).reshape(3, -1)
    columns = {"problem": problem, "step": steps[place], "state": state, "value": values.reshape(-1).round(DECIMALS)}
    table = pd.DataFrame(columns).assign(**dict.fromkeys(EXAMPLE_TEXT, "") | {"source": source} | where)
    return table if source in COUNTED else table[table["value"] != 0]


def example_table(run: Run, n_steps: int, tables: list[pd.DataFrame]) -> pd.DataFrame:
    """Join rows of sources; world, variant and run are filled in when tables are collected."""
    named = {"task": run.task.name, "condition": run.spec.condition, "seed": run.spec.seed, "n_steps": n_steps}
    table = pd.concat(tables, ignore_index=True).assign(**named).astype({"value": float})
    return table[list(EXAMPLE_COLUMNS)]
