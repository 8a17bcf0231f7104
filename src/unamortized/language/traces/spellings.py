"""Belief traces in varying tokens, drawn by streams that the questions of the batch key."""

import numpy as np

from unamortized.language.traces.exact import every_k
from unamortized.language.traces.trace import Trace
from unamortized.language.vocabulary import Vocabulary
from unamortized.worlds.problems import Problems
from unamortized.worlds.splits import named_by_questions


def dithered(problems: Problems, vocabulary: Vocabulary) -> Trace:
    """Codes drawn near the exact beliefs, with these as their mean, so that rounding is unbiased."""
    steps = np.arange(1, problems.n_steps + 1)
    uniforms = named_by_questions("dither", problems).random((len(problems), len(steps)))
    codes = vocabulary.encode(problems.beliefs[:, steps], uniforms)
    return Trace(vocabulary.code(codes), steps, ("code",) * len(steps))


def synonyms(problems: Problems, vocabulary: Vocabulary) -> Trace:
    """For the code of each exact belief, one of its synonyms at random; the choice carries no information."""
    trace = every_k(problems, vocabulary, stride=1)
    which = named_by_questions("synonyms", problems).integers(vocabulary.n_synonyms, size=trace.tokens.shape)
    return trace._replace(tokens=vocabulary.code(trace.tokens - vocabulary.blocks["code"].start, which))
