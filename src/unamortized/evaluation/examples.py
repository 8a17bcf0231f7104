"""Examples: single problems with their observations, beliefs and answers, as rows.

A second table beside the metrics, so that pictures of single problems and of belief geometry are drawn from a file that
anyone can read, and never from a model.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Int, Num

from unamortized.evaluation.protocol import test_problems
from unamortized.evaluation.triangle import belief_reader, stated_beliefs
from unamortized.learning.runs import Run

DECIMALS = 3  # of values; a state with a value of zero is left out
EXAMPLE_COLUMNS = (
    *("task", "world", "condition", "variant", "control", "seed", "n_steps", "problem", "step"),
    *("site", "layer", "source", "state", "value", "run"),
)
EXAMPLE_TEXT = ("world", "variant", "control", "site", "layer", "run")  # empty where they do not apply
COUNTED = ("observation", "latent")  # sources whose value is a symbol or state, and may be zero


@dataclass(frozen=True)
class ExampleProblems:
    """How many problems."""

    problems: int = 1
    simplex_problems: int = 120  # of tasks with three states, whose beliefs a triangle can show
    probe_problems: int = 512  # to fit the probe on


def example_problems(run: Run, settings: ExampleProblems) -> pd.DataFrame:
    """Tabulate test problems of the longest training length.

    Sources: ``observation`` and ``latent`` (the value is the symbol or state), ``exact``, ``stated`` and ``probed``
    beliefs (the value is the belief in ``state``), ``exact_answer`` and ``answer``.
    """
    task, n_steps = run.task, run.task.steps.train[1]
    size = settings.simplex_problems if run.vocabulary.n_states == 3 else settings.problems
    problems = test_problems(task, n_steps, size, run.spec.seed)
    response, steps, probed = belief_reader(run, settings.probe_problems)(problems)
    every_step, last = np.arange(n_steps + 1), np.array([n_steps])
    tables = [
        example_rows(every_step, problems.beliefs, source="exact"),
        example_rows(steps, probed, source="probed"),
        example_rows(last, problems.answer_distribution[:, None], source="exact_answer"),
        example_rows(last, response.answers[:, None], source="answer"),
        example_rows(every_step[1:], problems.observations[:, :, None], source="observation"),
        example_rows(every_step, problems.latents[:, :, None], source="latent"),
    ]
    if run.condition.trace != "none":
        tables.append(example_rows(response.trace_steps, stated_beliefs(run, response), source="stated"))
    return example_table(run, n_steps, tables)


def example_rows(
    steps: Int[np.ndarray, " step"], values: Num[np.ndarray, "batch step state"], source: str, **where: str
) -> pd.DataFrame:
    """Make the rows of one source: problem, step, state and rounded value.

    Args:
        steps: the steps of the second axis.
        values: the values.
        source: name of the source.
        where: ``control``, ``site`` and ``layer`` as they apply.
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
