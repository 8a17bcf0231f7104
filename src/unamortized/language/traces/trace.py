"""A trace: tokens, with the vocabulary block and the step of each."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from unamortized.language.vocabulary import Vocabulary, task_vocabulary
from unamortized.worlds.problems import Problems
from unamortized.worlds.tasks import Task

STATING = ("code", "state")  # blocks whose tokens state a belief or a latent state

Order = Literal["question, trace, answer", "question, answer, trace", "question with trace, answer"]


class Trace(NamedTuple):
    """Tokens written in addition to the answer, equally many for all problems of a batch."""

    tokens: Int[np.ndarray, "batch written"]
    steps: Int[np.ndarray, " written"]  # the step t that each token is about
    blocks: tuple[str, ...]  # the vocabulary block of each token
    indices: Int[np.ndarray, "batch step"] | None = None  # tokens that the question shows before each observation
    hint: Int[np.ndarray, " batch"] | None = None  # the token that ends the question, a hint or a code
    order: Order = "question, trace, answer"
    weights: Float[np.ndarray, "batch written"] | None = None  # of the loss; None: 1 for each token

    @property
    def stating(self) -> Int[np.ndarray, " stated"]:
        """Indices of the tokens that state a belief or a latent state."""
        return np.flatnonzero([block in STATING for block in self.blocks])

    def take(self, rows: slice) -> "Trace":
        """Select the traces of some problems of the batch."""
        parts = {name: getattr(self, name) for name in ("tokens", "indices", "hint", "weights")}
        return self._replace(**{name: None if part is None else part[rows] for name, part in parts.items()})

    def first(self, n_tokens: int | None) -> "Trace":
        """Keep the first ``n_tokens`` tokens."""
        return self._replace(
            tokens=self.tokens[:, :n_tokens],
            steps=self.steps[:n_tokens],
            blocks=self.blocks[:n_tokens],
            weights=None if self.weights is None else self.weights[:, :n_tokens],
        )


@dataclass(frozen=True)
class TraceKind:
    """A way of rendering problems as traces, with the tokens that it needs."""

    render: Callable[[Problems, Vocabulary], Trace]
    sampled: bool = False  # whether a model samples its trace, rather than writing the likeliest token
    indexed: bool = False  # whether it needs the vocabulary's index tokens
    n_filler: int = 0  # number of filler tokens
    n_synonyms: int = 1  # number of tokens for each code
    hinted: bool = False  # whether the question ends with a hint at the answer

    def vocabulary(self, task: Task, n_indices: int) -> Vocabulary:
        """Build the task's vocabulary with the tokens of this trace; ``n_indices`` counts only if it is indexed."""
        return task_vocabulary(task, n_indices if self.indexed else 0, self.n_filler, self.n_synonyms, self.hinted)

    def __call__(self, problems: Problems, vocabulary: Vocabulary) -> Trace:
        return self.render(problems, vocabulary)
