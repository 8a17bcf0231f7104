"""Traces that state the exact inference: beliefs at some steps, or a sampled latent path."""

import numpy as np

from unamortized.language.traces.trace import Trace
from unamortized.language.vocabulary import Vocabulary
from unamortized.worlds.problems import Problems


def every_k(problems: Problems, vocabulary: Vocabulary, stride: int | None) -> Trace:
    """The code of the exact belief after steps k, 2k, ...; ``stride`` 1 is every step, None no step."""
    steps = np.arange(stride, problems.n_steps + 1, stride) if stride else np.zeros(0, dtype=np.int64)
    codes = vocabulary.encode(problems.beliefs[:, steps])
    return Trace(vocabulary.code(codes), steps, ("code",) * len(steps))


def state(problems: Problems, vocabulary: Vocabulary) -> Trace:
    """The true latent path s_1 .. s_n, which is a draw from the exact joint posterior of the question.

    Where the query asks for the last state, the answer is that draw's s_n, so that one draw is consistent.

    Raises:
        ValueError: if the process is generalized, and so has no latent states.
    """
    if problems.process.is_generalized:
        raise ValueError("a generalized process has no latent states that a trace could state; use a belief trace")
    steps = np.arange(1, problems.n_steps + 1)
    return Trace(vocabulary.state(problems.latents[:, 1:]), steps, ("state",) * problems.n_steps)
