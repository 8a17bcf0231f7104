"""Questions that end with one more token: a hint at the answer, of known strength, or the exact last belief."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from unamortized.language.traces.exact import every_k
from unamortized.language.traces.trace import Trace
from unamortized.language.vocabulary import HINT_STRENGTHS, Vocabulary
from unamortized.worlds.problems import Problems
from unamortized.worlds.splits import named_by_questions


class Hints(NamedTuple):
    """The hinted answer and the strength of each hint."""

    answers: Int[np.ndarray, " batch"]
    levels: Int[np.ndarray, " batch"]  # indices into ``HINT_STRENGTHS``


def draw_hints(problems: Problems) -> Hints:
    r"""Draw hints: at the true answer with probability $v = e^L / (e^L + A - 1)$, else at one of the others.

    L is the log-likelihood ratio, in nats, of the hinted answer against any other of the A answers.
    """
    generator, n_answers = named_by_questions("hints", problems), problems.answer_distribution.shape[1]
    levels = generator.integers(len(HINT_STRENGTHS), size=len(problems))
    odds = np.exp(np.array(HINT_STRENGTHS)[levels])
    true = generator.random(len(problems)) < odds / (odds + n_answers - 1)
    other = (problems.answers + generator.integers(1, n_answers, size=len(problems))) % n_answers
    return Hints(np.where(true, problems.answers, other), levels)


def informed(distribution: Float[np.ndarray, "batch answer"], hints: Hints) -> Float[np.ndarray, "batch answer"]:
    """Update a distribution on hints by Bayes' rule."""
    hinted = np.arange(distribution.shape[1]) == hints.answers[:, None]
    joint = distribution * np.exp(np.array(HINT_STRENGTHS)[hints.levels, None] * hinted)
    return joint / joint.sum(axis=1, keepdims=True)


def hint_untold(problems: Problems, vocabulary: Vocabulary, hints: Hints | None = None) -> Trace:
    """The belief trace without the hint, whose effect on the answer the trace therefore hides."""
    hints = draw_hints(problems) if hints is None else hints
    return every_k(problems, vocabulary, stride=1)._replace(hint=vocabulary.hint(*hints))


def hint_told(problems: Problems, vocabulary: Vocabulary, hints: Hints | None = None) -> Trace:
    """The belief trace whose last code states the belief updated on the hint.

    Raises:
        ValueError: if the answer is not the last state, which that belief is about.
    """
    if not np.array_equal(problems.answer_distribution, problems.beliefs[:, -1]):
        raise ValueError("trace hint_told needs an answer that is the last state; use query: filter")
    hints = draw_hints(problems) if hints is None else hints
    trace = hint_untold(problems, vocabulary, hints)
    tokens = trace.tokens.copy()
    tokens[:, -1] = vocabulary.code(vocabulary.encode(informed(problems.beliefs[:, -1], hints)))
    return trace._replace(tokens=tokens)


def told_end(problems: Problems, vocabulary: Vocabulary) -> Trace:
    """The belief trace of a question that ends with the code of the exact last belief: nothing is left to infer."""
    trace = every_k(problems, vocabulary, stride=1)
    return trace._replace(hint=vocabulary.code(vocabulary.encode(problems.beliefs[:, -1])))
