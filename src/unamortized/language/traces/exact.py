"""Traces that state the exact inference: beliefs at some steps, or a sampled latent path."""

import numpy as np

from unamortized.language.traces.trace import Trace
from unamortized.language.vocabulary import Vocabulary
from unamortized.worlds.problems import Problems


def every_k(problems: Problems, vocabulary: Vocabulary, stride: int | None) -> Trace:
    """The codes of the exact beliefs after steps k, 2k, ...; a ``stride`` of None gives an empty trace."""
    steps = np.arange(stride, problems.n_steps + 1, stride) if stride else np.zeros(0, dtype=np.int64)
    codes = vocabulary.encode(problems.beliefs[:, steps])
    return Trace(vocabulary.code(codes), steps, ("code",) * len(steps))


def state(problems: Problems, vocabulary: Vocabulary) -> Trace:
    """The true latent path s_1 .. s_n, which is a draw from the exact joint posterior of the question.

    Where the query asks for the last state, the answer is s_n of that same draw.

    Raises:
        ValueError: if the process is generalized: it has no latent states.
    """
    if problems.process.is_generalized:
        raise ValueError("a state trace needs latent states, and a generalized process has none; use a belief trace")
    steps = np.arange(1, problems.n_steps + 1)
    return Trace(vocabulary.state(problems.latents[:, 1:]), steps, ("state",) * problems.n_steps)
