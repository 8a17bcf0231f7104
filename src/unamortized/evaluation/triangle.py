"""The triangle: the exact belief, the belief that the trace states, and the belief that a probe reads inside."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from unamortized.evaluation.distances import kl
from unamortized.evaluation.probes.activations import activations_at, respond_with_activations
from unamortized.evaluation.probes.fitting import belief_probes
from unamortized.evaluation.protocol import Rows, SampleSize, recorder, test_problems
from unamortized.labels import ABOUT_TO_STATE, QUESTION
from unamortized.language.meanings import code_meanings
from unamortized.learning.rollouts import Response
from unamortized.learning.specification import Run
from unamortized.worlds.problems import Problems

BEYOND = 4  # how many times the training length is measured, too, if it is tested


class ProbedResponse(NamedTuple):
    """A run's response, and the belief that a probe reads at each step of a site."""

    response: Response
    steps: Int[np.ndarray, " step"]
    probed: Float[np.ndarray, "batch step option"]


def best_site(run: Run) -> str:
    """Return the site where a probe can read every step: before the trace states it, or in the question."""
    return QUESTION if run.language.is_direct else ABOUT_TO_STATE


def belief_reader(run: Run, size: int) -> Callable[[Problems], ProbedResponse]:
    """Fit a probe on the last layer at the longest training length; return the function that applies it to problems."""
    site, last = best_site(run), str(run.spec.model.layers)
    probe = belief_probes(run, size, "probes", site)[last].probe

    def reader(problems: Problems) -> ProbedResponse:
        response = respond_with_activations(run, problems)
        seen = activations_at(run, problems, response, site)
        readings = probe.read(seen.features[last])
        return ProbedResponse(response, seen.steps, as_belief(as_distribution(run, readings)))

    return reader


def triangle(run: Run, settings: SampleSize) -> Rows:
    """Compare stated, probed and exact belief, pairwise by KL, at each step of the longest training length and beyond.

    The probe is fitted at the longest training length, and is the same at four times that. Runs whose trace states no
    belief are skipped, and hinted questions, as the exact beliefs ignore hints.
    """
    kind = run.language.kind
    if kind.hinted or run.language.trace in ("none", "state"):
        return []
    task, trained = run.task, run.task.steps.train[1]
    reader = belief_reader(run, settings.problems)
    rows: Rows = []
    for n_steps in sorted({trained, *({BEYOND * trained} & set(task.steps.test))}):
        problems = test_problems(task, n_steps, settings.problems, run.spec.seed)
        response, steps, probed = reader(problems)
        if not len(response.trace_steps):
            continue
        exact, stated = as_distribution(run, problems.beliefs[:, steps]), stated_beliefs(run, response)
        pairs = {"probed_kl": kl(exact, probed), "stated_kl": kl(exact, stated), "stated_probed_kl": kl(stated, probed)}
        record = recorder(run, n_steps)
        rows += [
            record(metric, value, len(problems), step=int(step))
            for metric, values in pairs.items()
            for step, value in zip(steps, values.mean(axis=0), strict=True)
        ]
    return rows


def stated_beliefs(run: Run, response: Response) -> Float[np.ndarray, "batch step option"]:
    """Return the beliefs that a trace states; a sampled state is one-hot."""
    states_codes = run.language.trace != "state"
    meanings = code_meanings(run.task) if states_codes else np.eye(run.vocabulary.n_states)
    return as_distribution(run, meanings[response.stated])


def to_simplex(points: Float[np.ndarray, "*batch state"]) -> Float[np.ndarray, "*batch state"]:
    """Project points to the nearest point of the simplex (Duchi et al. 2008)."""
    descending = -np.sort(-points, axis=-1)
    ranks = np.arange(1, points.shape[-1] + 1)
    shift = (descending.cumsum(axis=-1) - 1) / ranks
    support = (descending > shift).sum(axis=-1, keepdims=True)
    return np.maximum(points - np.take_along_axis(shift, support - 1, axis=-1), 0)


def as_distribution(run: Run, beliefs: Float[np.ndarray, "*batch state"]) -> Float[np.ndarray, "*batch option"]:
    """Return beliefs unchanged; for a generalized process, the next symbol's distribution by each predictive vector."""
    coded = run.vocabulary.coded
    return beliefs if coded is None else beliefs @ coded


def as_belief(readings: Float[np.ndarray, "*batch state"]) -> Float[np.ndarray, "*batch state"]:
    """Turn readings into beliefs without zeros: project them to the simplex, and spread 1 % evenly."""
    return 0.99 * to_simplex(readings) + 0.01 / readings.shape[-1]
