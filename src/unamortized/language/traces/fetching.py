"""Traces that fetch before they state: each code follows a token that names the observation of its update.

The fetched token exposes the pointer: it separates a model that lost count, which fetches the wrong observation, from
one that updates wrongly.
"""

import numpy as np
from jaxtyping import Int

from unamortized.language.traces.exact import every_k
from unamortized.language.traces.trace import Trace
from unamortized.language.vocabulary import Vocabulary
from unamortized.worlds.problems import Problems
from unamortized.worlds.splits import content_hash


def copied(problems: Problems, vocabulary: Vocabulary) -> Trace:
    """``x_1 c_1 x_2 c_2 ..``: a copy of each observation, then the code of the exact belief after it."""
    return _alternating(vocabulary.observation(problems.observations), "observation", problems, vocabulary)


def indexed(problems: Problems, vocabulary: Vocabulary) -> Trace:
    """``i_1 c_1 i_2 c_2 ..`` after a question ``i_1 x_1 i_2 x_2 ..``: the index of each observation, then the code.

    Indices are consecutive and may begin at any number, so that short questions train the indices of long ones. The
    content of the question alone decides where they begin.

    Raises:
        ValueError: if there are fewer index tokens than observations.
    """
    beginnings = vocabulary.n_indices - problems.n_steps + 1
    if beginnings < 1:
        raise ValueError(
            f"{problems.n_steps} observations need as many index tokens (got {vocabulary.n_indices}); test shorter "
            "questions, or raise steps.train, which sets the number of index tokens"
        )
    # the lower half of the hash decides the split of a short question, so the upper half decides its indices
    begins = (content_hash(problems) >> np.uint64(32)) % np.uint64(beginnings)
    numbers = begins.astype(np.int64)[:, None] + np.arange(problems.n_steps)
    indices = vocabulary.index(numbers)
    return _alternating(indices, "index", problems, vocabulary)._replace(indices=indices)


def _alternating(
    fetched: Int[np.ndarray, "batch step"], block: str, problems: Problems, vocabulary: Vocabulary
) -> Trace:
    """Alternate the fetched token of each step and the code of the exact belief after it."""
    codes = every_k(problems, vocabulary, stride=1)
    tokens = np.stack([fetched, codes.tokens], axis=2).reshape(len(problems), -1)
    return Trace(tokens, np.repeat(codes.steps, 2), (block, "code") * problems.n_steps)
