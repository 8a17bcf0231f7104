"""What a trace is: tokens, the block that each lies in, and the step that each is about."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from unamortized.language.vocabulary import Vocabulary
from unamortized.worlds.problems import Problems

STATING = ("code", "state")  # blocks whose tokens state a belief or a latent; others only fetch an observation


class Trace(NamedTuple):
    """The tokens between question and answer, alike in length for all problems of a batch."""

    tokens: Int[np.ndarray, "batch written"]
    steps: Int[np.ndarray, " written"]  # the step t that each token is about
    blocks: tuple[str, ...]  # the vocabulary block that each token lies in
    indices: Int[np.ndarray, "batch step"] | None = None  # tokens that the question shows before each observation

    @property
    def stating(self) -> Int[np.ndarray, " stated"]:
        """Places of the tokens that state a belief or a latent."""
        return np.flatnonzero([block in STATING for block in self.blocks])

    def first(self, n_tokens: int | None) -> "Trace":
        """The trace cut off after so many tokens."""
        return self._replace(
            tokens=self.tokens[:, :n_tokens], steps=self.steps[:n_tokens], blocks=self.blocks[:n_tokens]
        )


@dataclass(frozen=True)
class TraceKind:
    """How problems are rendered as traces, and what is known of these before there is a problem."""

    render: Callable[[Problems, Vocabulary], Trace]
    sampled: bool = False  # whether a model is to sample its trace (a draw) rather than take the likeliest
    indexed: bool = False  # whether it needs the vocabulary's index tokens

    def __call__(self, problems: Problems, vocabulary: Vocabulary) -> Trace:
        return self.render(problems, vocabulary)
