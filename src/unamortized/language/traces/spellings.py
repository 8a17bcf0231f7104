"""Belief traces that state the same in varying words, by draws that are named by the questions of the batch."""

import numpy as np

from unamortized.language.traces.exact import every_k
from unamortized.language.traces.trace import Trace
from unamortized.language.vocabulary import Vocabulary
from unamortized.worlds.problems import Problems
from unamortized.worlds.splits import named_by_questions


def dithered(problems: Problems, vocabulary: Vocabulary) -> Trace:
    """Codes around the exact beliefs which on average are these beliefs, so that rounding has no preference."""
    steps = np.arange(1, problems.n_steps + 1)
    uniforms = named_by_questions("dither", problems).random((len(problems), len(steps)))
    codes = vocabulary.encode(problems.beliefs[:, steps], uniforms)
    return Trace(vocabulary.code(codes), steps, ("code",) * len(steps))


def synonyms(problems: Problems, vocabulary: Vocabulary) -> Trace:
    """Of the tokens that state the code of each exact belief one at random: which of them it is says nothing."""
    trace = every_k(problems, vocabulary, stride=1)
    which = named_by_questions("synonyms", problems).integers(vocabulary.n_synonyms, size=trace.tokens.shape)
    return trace._replace(tokens=vocabulary.code(trace.tokens - vocabulary.blocks["code"].start, which))
