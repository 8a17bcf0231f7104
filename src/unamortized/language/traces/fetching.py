"""Traces that fetch before they state: each code follows a token that says which observation it takes in.

What a fetched token shows is the pointer, by itself: a model that loses count writes the wrong one, and is then
seen to have lost count, not to have updated wrongly.
"""

import numpy as np
from jaxtyping import Int

from unamortized.language.traces.exact import every_k
from unamortized.language.traces.trace import Trace
from unamortized.language.vocabulary import Vocabulary
from unamortized.worlds.problems import Problems
from unamortized.worlds.splits import content_hash


def copied(problems: Problems, vocabulary: Vocabulary) -> Trace:
    """``x_1 c_1 x_2 c_2 ..``: each observation once more, then the code of the exact belief after it."""
    return _alternating(vocabulary.observation(problems.observations), "observation", problems, vocabulary)


def indexed(problems: Problems, vocabulary: Vocabulary) -> Trace:
    """``i_1 c_1 i_2 c_2 ..`` after a question ``i_1 x_1 i_2 x_2 ..``: the name of each observation, then the code.

    Names are consecutive numbers that begin anywhere among those there are, so that short questions too teach
    the names that a long one needs. Where they begin depends on what the question says, and on nothing else.

    Raises:
        ValueError: if there are fewer numbers than observations.
    """
    beginnings = vocabulary.n_indices - problems.n_steps + 1
    if beginnings < 1:
        raise ValueError(
            f"{problems.n_steps} observations cannot be told apart by {vocabulary.n_indices} index tokens; test "
            "shorter questions, or raise steps.train, which sets how many there are"
        )
    # the lower half of the hash decides the split of a short question, and must not decide its numbers as well
    begins = (content_hash(problems) >> np.uint64(32)) % np.uint64(beginnings)
    numbers = begins.astype(np.int64)[:, None] + np.arange(problems.n_steps)
    indices = vocabulary.index(numbers)
    return _alternating(indices, "index", problems, vocabulary)._replace(indices=indices)


def _alternating(
    fetched: Int[np.ndarray, "batch step"], block: str, problems: Problems, vocabulary: Vocabulary
) -> Trace:
    """What is fetched at each step, and the code of the exact belief then, in turn."""
    codes = every_k(problems, vocabulary, stride=1)
    tokens = np.stack([fetched, codes.tokens], axis=2).reshape(len(problems), -1)
    return Trace(tokens, np.repeat(codes.steps, 2), (block, "code") * problems.n_steps)
