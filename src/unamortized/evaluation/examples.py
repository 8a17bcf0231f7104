"""Single problems told in full: what was observed, exact, stated and probed beliefs, and the answers.

A second table beside the metrics, so that pictures of single problems and of belief geometry too are drawn
from a file that anyone can read, and never from a model.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from unamortized.evaluation.protocol import test_problems
from unamortized.evaluation.triangle import belief_reader, stated_beliefs
from unamortized.learning.runs import Run

NEGLIGIBLE = 1e-6  # beliefs smaller than this are left out; a state that is not listed has none
EXAMPLE_COLUMNS = (
    *("task", "world", "condition", "variant", "control", "seed", "n_steps", "problem", "step", "site", "layer"),
    *("source", "state", "value", "run"),
)


@dataclass(frozen=True)
class Told:
    """How much is kept."""

    problems: int = 4
    simplex_problems: int = 120  # for tasks of three states, whose beliefs can be seen on a triangle
    probe_problems: int = 512


def told(run: Run, settings: Told) -> pd.DataFrame:
    """A few test problems of the longest training length as rows: source, step, state and value.

    Sources: ``observation`` and ``latent`` (value is the symbol or state), ``exact``, ``stated``, ``probed``
    (value is the belief in ``state``), ``exact_answer`` and ``answer``.
    """
    task, seed = run.task, run.spec.seed
    n_steps = task.steps.train[1]
    three = run.vocabulary.n_states == 3
    problems = test_problems(task, n_steps, settings.simplex_problems if three else settings.problems, seed)
    response, steps, probed = belief_reader(run, settings.probe_problems, 1.0)(problems)
    beliefs = {"exact": (np.arange(n_steps + 1), problems.beliefs), "probed": (steps, probed)}
    if run.condition.trace != "none":
        beliefs["stated"] = (response.trace_steps, stated_beliefs(run, response))
    last = np.array([n_steps])
    beliefs["exact_answer"] = (last, problems.answer_distribution[:, None])
    beliefs["answer"] = (last, response.answers[:, None])
    beliefs["observation"] = (np.arange(1, n_steps + 1), problems.observations[:, :, None])
    beliefs["latent"] = (np.arange(n_steps + 1), problems.latents[:, :, None])
    return as_examples(run, n_steps, beliefs)


def as_examples(run: Run, n_steps: int, told: dict[str, tuple[np.ndarray, np.ndarray]]) -> pd.DataFrame:
    """Rows of what sources say: for each source its steps (step,) and values (batch, step, state)."""
    table = pd.concat([_belief_rows(source, *said) for source, said in told.items()], ignore_index=True)
    table = table[(table["value"].abs() >= NEGLIGIBLE) | table["source"].isin(("observation", "latent"))]
    named = table.assign(task=run.task.name, condition=run.spec.condition, seed=run.spec.seed, n_steps=n_steps)
    named = named.assign(**dict.fromkeys(("world", "variant", "control", "site", "layer", "run"), ""))
    return named[list(EXAMPLE_COLUMNS)]


def _belief_rows(source: str, steps: np.ndarray, values: np.ndarray) -> pd.DataFrame:
    batch, n_steps, n_states = values.shape
    index = np.indices(values.shape).reshape(3, -1)
    return pd.DataFrame(
        {
            "problem": index[0],
            "step": steps[index[1]],
            "source": source,
            "state": index[2],
            "value": values.reshape(batch * n_steps * n_states).astype(float),
        }
    )
