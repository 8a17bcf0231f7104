"""Traces without information about the problem: controls for the mere number of tokens written."""

import numpy as np

from unamortized.language.traces.exact import every_k
from unamortized.language.traces.trace import Trace
from unamortized.language.vocabulary import Vocabulary
from unamortized.worlds.problems import Problems


def filler(problems: Problems, vocabulary: Vocabulary) -> Trace:
    """One empty token a step, without loss: room for parallel computation, no content (Pfau et al. 2024)."""
    steps = np.arange(1, problems.n_steps + 1)
    shape = (len(problems), problems.n_steps)
    tokens = np.full(shape, vocabulary.blocks["filler"].start)
    return Trace(tokens, steps, ("filler",) * len(steps), weights=np.zeros(shape, dtype=np.float32))


def shuffled(problems: Problems, vocabulary: Vocabulary) -> Trace:
    """The belief trace of the next problem of the batch: equally long and likely, but about another question."""
    trace = every_k(problems, vocabulary, stride=1)
    return trace._replace(tokens=np.roll(trace.tokens, -1, axis=0))
