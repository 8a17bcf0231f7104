"""What a trace is: tokens, and the step that each of them states."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int


class Trace(NamedTuple):
    """The tokens between question and answer, alike in length for all problems of a batch."""

    tokens: Int[np.ndarray, "batch written"]
    steps: Int[np.ndarray, " written"]  # the step t whose belief or latent each token states
    block: str  # the vocabulary block that the tokens lie in
    sampled: bool = False  # whether a model is to sample its trace (a draw) rather than take the likeliest
