"""What else a belief could be read from: features that no learning was needed for, or none of a belief.

A probe of the residual stream says something about the network only as far as it does better than these.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from unamortized.evaluation.probes.sites import LAST
from unamortized.evaluation.responses import Response
from unamortized.language.meanings import code_meanings
from unamortized.learning.runs import Run
from unamortized.worlds.problems import Problems
from unamortized.worlds.randomness import stream

WINDOW = 10  # observations that the window control sees
RANDOM = 512  # random features of them


@dataclass(frozen=True)
class Heard:
    """What a rival may look at."""

    run: Run
    problems: Problems
    response: Response  # of ``listen``, with its output
    site: str
    steps: Int[np.ndarray, " step"]


Features = Float[np.ndarray, "batch step width"]


def recent_observations(problems: Problems, n_symbols: int, steps: np.ndarray) -> Features:
    """One-hot of the last ten observations at each step, nothing before the first."""
    padded = np.pad(problems.observations + 1, ((0, 0), (WINDOW, 0)))
    windows = np.stack([padded[:, step : step + WINDOW] for step in steps], axis=1)
    return np.eye(n_symbols + 1)[windows].reshape(*windows.shape[:2], -1)


def window(heard: Heard) -> Features:
    """The last ten observations."""
    return recent_observations(heard.problems, heard.run.vocabulary.n_symbols, heard.steps)


def random_relu(heard: Heard) -> Features:
    """512 random features of the last ten observations, $max(0, G x + b)$: what any wide layer would do with them."""
    seen = window(heard)
    generator = stream("random_relu", seen.shape[-1])
    weights = generator.standard_normal((seen.shape[-1], RANDOM)) / np.sqrt(WINDOW)
    return np.maximum(seen @ weights + generator.standard_normal(RANDOM), 0.0)


def own_output(heard: Heard) -> Features | None:
    """The model's own distribution over what comes next: is there more inside than what is about to be said?"""
    unembed = getattr(heard.run.model, "unembed", None)
    if unembed is None or LAST not in heard.response.taps:
        return None
    last = heard.response.taps[LAST][:, heard.response.columns[heard.site]]
    logits = last.astype(np.float64) @ unembed.weight.detach().double().numpy().T
    likely = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return likely / likely.sum(axis=-1, keepdims=True)


def last_statement(heard: Heard) -> Features | None:
    """The belief that was stated last times the observation that comes next, each pair of their entries.

    All that a step of the trace needs and none of what it computes, up to a common factor. Nothing where a trace does
    not state every belief, or in the question.
    """
    run, problems, response = heard.run, heard.problems, heard.response
    says_all = np.array_equal(response.trace_steps, np.arange(1, problems.n_steps + 1))
    if heard.site != "about_to_state" or not says_all or run.condition.trace == "state":
        return None
    before = code_meanings(run.task)[response.stated[:, :-1]]
    before = np.concatenate([problems.start_beliefs[:, None], before], axis=1)
    observed = np.eye(run.vocabulary.n_symbols)[problems.observations]
    return (before[..., :, None] * observed[..., None, :]).reshape(*observed.shape[:2], -1)


RIVALS = {  # by what is appended to a condition's name
    f"window_{WINDOW}": window,
    "random_relu": random_relu,
    "own_output": own_output,
    "last_statement": last_statement,
}
