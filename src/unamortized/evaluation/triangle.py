"""The triangle: the exact belief, the belief that a trace states, and the belief that is probed inside."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from unamortized.evaluation.distances import kl
from unamortized.evaluation.probes import apply, as_belief, as_distribution, fit, listen, read
from unamortized.evaluation.protocol import Rows, split_of, test_problems
from unamortized.evaluation.responses import Response
from unamortized.evaluation.rows import row
from unamortized.language.meanings import code_meanings
from unamortized.language.traces import resolve_trace
from unamortized.learning.runs import Run
from unamortized.worlds.problems import Problems
from unamortized.worlds.splits import draw


@dataclass(frozen=True)
class Triangle:
    """How much is evaluated."""

    problems: int = 512
    ridge: float = 1.0


def best_site(run: Run) -> str:
    """Where a belief of every step may be read: before it is stated or, without a trace, in the question."""
    return "question" if run.condition.trace == "none" else "about_to_state"


class Probed(NamedTuple):
    """A run's response to problems, and the belief that is probed inside at each step of its best site."""

    response: Response
    steps: Int[np.ndarray, " step"]
    probed: Float[np.ndarray, "batch step option"]


def belief_reader(run: Run, problems: int, ridge: float) -> Callable[[Problems], Probed]:
    """A probe on the last layer, fitted at the longest training length: from problems to what it reads."""
    n_steps, seed, site = run.task.steps.train[1], run.spec.seed, best_site(run)
    fitted_on = draw(run.task, "validation", n_steps, problems, seed, "probes")
    fitting = read(run, fitted_on, listen(run, fitted_on), site)
    last = str(run.spec.model.layers)
    probe = fit(fitting.features[last], fitting.beliefs, ridge)

    def reader(asked: Problems) -> Probed:
        response = listen(run, asked)
        seen = read(run, asked, response, site)
        return Probed(response, seen.steps, as_belief(as_distribution(run, apply(probe, seen.features[last]))))

    return reader


def triangle(run: Run, settings: Triangle) -> Rows:
    """Stated, probed and exact belief, pairwise by KL, at each step of the longest training length and beyond.

    The probe is fitted at the longest training length; at greater lengths it is the same probe.
    """
    if resolve_trace(run.condition.trace).hinted:  # what is exact here is so without a hint
        return []
    task, seed = run.task, run.spec.seed
    longest = task.steps.train[1]
    lengths = sorted({longest, *[n for n in task.steps.test if n > longest][:2]})
    reader = belief_reader(run, settings.problems, settings.ridge)
    rows: Rows = []
    for n_steps in lengths:
        problems = test_problems(task, n_steps, settings.problems, seed)
        response, steps, probed = reader(problems)
        exact = as_distribution(run, problems.beliefs[:, steps])
        pairs = {"probed_kl": kl(exact, probed)}
        if len(response.trace_steps) and run.condition.trace != "state":  # a drawn state is no belief
            stated = stated_beliefs(run, response)
            pairs |= {"stated_kl": kl(exact, stated), "stated_probed_kl": kl(stated, probed)}
        record = partial(row, task.name, run.spec.condition, seed, split_of(task, n_steps), n_steps=n_steps)
        rows += [
            record(metric, value, len(problems), step=int(step))
            for metric, values in pairs.items()
            for step, value in zip(steps, values.mean(axis=0), strict=True)
        ]
    return rows


def stated_beliefs(run: Run, response: Response) -> Float[np.ndarray, "batch step option"]:
    """The beliefs that the trace of a run's response states."""
    codes = run.condition.trace != "state"
    return as_distribution(
        run, (code_meanings(run.task) if codes else np.eye(run.vocabulary.n_states))[response.stated]
    )
