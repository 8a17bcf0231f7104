"""Probe baselines: features that need no learning, or hold no belief, from which a belief might be read as well.

A probe of the residual stream tells something of the network only where it beats these.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Float, Int

from unamortized.evaluation.probes.activations import FINAL_NORM
from unamortized.labels import ABOUT_TO_STATE
from unamortized.language.meanings import code_meanings
from unamortized.learning.rollouts import Response
from unamortized.learning.specification import Run
from unamortized.worlds.inference import filter_beliefs
from unamortized.worlds.problems import Problems
from unamortized.worlds.randomness import stream

WINDOW = 10  # observations in the window
RANDOM_FEATURES = 512


@dataclass(frozen=True)
class BaselineInput:
    """The inputs from which a baseline computes its features."""

    run: Run
    problems: Problems
    response: Response  # of ``respond_with_activations``, with its final norm
    site: str
    steps: Int[np.ndarray, " step"]


BaselineFeatures = Float[np.ndarray, "batch step width"]


def window(given: BaselineInput) -> BaselineFeatures:
    """Return the last ten observations at each step, one-hot; the first option stands for none yet."""
    padded = np.pad(given.problems.observations + 1, ((0, 0), (WINDOW, 0)))
    windows = np.stack([padded[:, step : step + WINDOW] for step in given.steps], axis=1)
    return np.eye(given.run.vocabulary.n_symbols + 1)[windows].reshape(*windows.shape[:2], -1)


def exact_window(given: BaselineInput, size: int) -> BaselineFeatures:
    """Return the exact belief from the start and the last ``size`` observations: no function of them holds more.

    The steps before the window move the start belief as they would on average, without their observations.
    """
    problems, process = given.problems, given.problems.process
    before = [problems.start_beliefs]
    for _ in range(problems.n_steps):
        before.append((before[-1][:, None] @ process.state_transitions)[:, 0])
    beliefs = []
    for step in given.steps.tolist():
        first = max(0, step - size)
        seen = problems.observations[:, first:step]
        beliefs.append(filter_beliefs(process.transitions, before[first], seen, readout=process.readout).beliefs[:, -1])
    return np.stack(beliefs, axis=1)


def random_relu(given: BaselineInput) -> BaselineFeatures:
    """Return 512 random features of the last ten observations, $max(0, G x + b)$: what any wide layer holds of them."""
    recent = window(given)
    generator = stream("random_relu", recent.shape[-1])
    weights = generator.standard_normal((recent.shape[-1], RANDOM_FEATURES)) / np.sqrt(WINDOW)
    return np.maximum(recent @ weights + generator.standard_normal(RANDOM_FEATURES), 0.0)


def own_output(given: BaselineInput) -> BaselineFeatures | None:
    """Return the model's distribution over the next token: does the stream hold more than it is about to say?"""
    unembed = getattr(given.run.model, "unembed", None)
    if unembed is None or FINAL_NORM not in given.response.taps:
        return None
    last = given.response.taps[FINAL_NORM][:, given.response.columns[given.site]]
    logits = last.astype(np.float64) @ unembed.weight.detach().cpu().double().numpy().T
    likely = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return likely / likely.sum(axis=-1, keepdims=True)


def last_statement(given: BaselineInput) -> BaselineFeatures | None:
    """Return the products of the last stated belief's entries with the next observation's.

    The next belief is linear in them, up to a common factor. None in the question, and where the trace does not state
    every belief.
    """
    run, problems, response = given.run, given.problems, given.response
    every_step = np.array_equal(response.trace_steps, np.arange(1, problems.n_steps + 1))
    if given.site != ABOUT_TO_STATE or not every_step or run.language.trace == "state":
        return None
    before = code_meanings(run.task)[response.stated[:, :-1]]
    before = np.concatenate([problems.start_beliefs[:, None], before], axis=1)
    observed = np.eye(run.vocabulary.n_symbols)[problems.observations]
    return (before[..., :, None] * observed[..., None, :]).reshape(*observed.shape[:2], -1)


PROBE_BASELINES = {  # by the name that the column ``control`` gives them
    f"window_{WINDOW}": window,
    **{f"window_{size}_exact": partial(exact_window, size=size) for size in (4, WINDOW)},
    "random_relu": random_relu,
    "own_output": own_output,
    "last_statement": last_statement,
}
