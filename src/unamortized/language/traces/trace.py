"""What a trace is: tokens, the block that each lies in, and the step that each is about."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from unamortized.language.vocabulary import Vocabulary, task_vocabulary
from unamortized.worlds.problems import Problems
from unamortized.worlds.tasks import Task

STATING = ("code", "state")  # blocks whose tokens state a belief or a latent; others only fetch an observation


Order = Literal["question, trace, answer", "question, answer, trace", "question with trace, answer"]


class Trace(NamedTuple):
    """What is written beside the answer, alike in length for all problems of a batch."""

    tokens: Int[np.ndarray, "batch written"]
    steps: Int[np.ndarray, " written"]  # the step t that each token is about
    blocks: tuple[str, ...]  # the vocabulary block that each token lies in
    indices: Int[np.ndarray, "batch step"] | None = None  # tokens that the question shows before each observation
    hint: Int[np.ndarray, " batch"] | None = None  # a token that ends the question
    order: Order = "question, trace, answer"
    weights: Float[np.ndarray, "batch written"] | None = None  # of the loss; none: one for each token

    @property
    def stating(self) -> Int[np.ndarray, " stated"]:
        """Places of the tokens that state a belief or a latent."""
        return np.flatnonzero([block in STATING for block in self.blocks])

    def take(self, rows: slice) -> "Trace":
        """The traces of some problems of the batch."""
        parts = {name: getattr(self, name) for name in ("tokens", "indices", "hint", "weights")}
        return self._replace(**{name: None if part is None else part[rows] for name, part in parts.items()})

    def first(self, n_tokens: int | None) -> "Trace":
        """The trace cut off after so many tokens."""
        return self._replace(
            tokens=self.tokens[:, :n_tokens],
            steps=self.steps[:n_tokens],
            blocks=self.blocks[:n_tokens],
            weights=None if self.weights is None else self.weights[:, :n_tokens],
        )


@dataclass(frozen=True)
class TraceKind:
    """How problems are rendered as traces, and what is known of these before there is a problem."""

    render: Callable[[Problems, Vocabulary], Trace]
    sampled: bool = False  # whether a model is to sample its trace (a draw) rather than take the likeliest
    indexed: bool = False  # whether it needs the vocabulary's index tokens
    n_filler: int = 0  # how many filler tokens it needs
    n_synonyms: int = 1  # how many tokens for each code
    hints: bool = False  # whether it needs tokens for hints

    def vocabulary(self, task: Task, n_indices: int) -> Vocabulary:
        """The task's vocabulary with what this trace needs beside; so many indices, if it needs any."""
        return task_vocabulary(task, n_indices if self.indexed else 0, self.n_filler, self.n_synonyms, self.hints)

    def __call__(self, problems: Problems, vocabulary: Vocabulary) -> Trace:
        return self.render(problems, vocabulary)
