"""Belief traces in another order: after the answer, backwards, or during the question."""

import numpy as np

from unamortized.language.traces.exact import every_k
from unamortized.language.traces.trace import Trace
from unamortized.language.vocabulary import Vocabulary
from unamortized.worlds.problems import Problems


def posthoc(problems: Problems, vocabulary: Vocabulary) -> Trace:
    """``<answer> a <think> c_1 .. c_n``: a rationalization, which cannot have caused the answer."""
    return every_k(problems, vocabulary, stride=1)._replace(order="question, answer, trace")


def reversed_belief(problems: Problems, vocabulary: Vocabulary) -> Trace:
    """``c_n .. c_1``: the conclusion first, then backwards."""
    trace = every_k(problems, vocabulary, stride=1)
    return trace._replace(tokens=np.ascontiguousarray(trace.tokens[:, ::-1]), steps=trace.steps[::-1].copy())


def streaming(problems: Problems, vocabulary: Vocabulary) -> Trace:
    """``<think> x_1 c_1 .. x_n c_n``: each belief is written before the next observation is read."""
    return every_k(problems, vocabulary, stride=1)._replace(order="question with trace, answer")
