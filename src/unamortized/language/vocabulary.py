"""One vocabulary for every condition of a task, so that all its models have the same shape.

Token ids lie in blocks: the two marks, observations, belief codes, latent states, answers.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Int

from unamortized.language.codebook import Codebook
from unamortized.worlds.tasks import Task

THINK, ANSWER = 0, 1  # the marks that open the trace and the answer
MARKS = ("<think>", "<answer>")


@dataclass(frozen=True)
class Vocabulary:
    """Sizes of the blocks of token ids; ``codebook`` gives the belief codes."""

    n_symbols: int
    n_states: int
    n_answers: int
    codebook: Codebook

    def observation(self, symbol: Int[np.ndarray, "*batch"]) -> Int[np.ndarray, "*batch"]:
        """Token of an observed symbol."""
        return symbol + self.blocks["observation"].start

    def code(self, code: Int[np.ndarray, "*batch"]) -> Int[np.ndarray, "*batch"]:
        """Token of a belief code."""
        return code + self.blocks["code"].start

    def state(self, state: Int[np.ndarray, "*batch"]) -> Int[np.ndarray, "*batch"]:
        """Token of a latent state, in a ``state`` trace or at the start of the question."""
        return state + self.blocks["state"].start

    def answer(self, answer: Int[np.ndarray, "*batch"]) -> Int[np.ndarray, "*batch"]:
        """Token of an answer."""
        return answer + self.blocks["answer"].start

    @cached_property
    def blocks(self) -> dict[str, slice]:
        """Slice of token ids that each kind of token occupies."""
        sizes = {
            "mark": len(MARKS),
            "observation": self.n_symbols,
            "code": self.codebook.size,
            "state": self.n_states,
            "answer": self.n_answers,
        }
        stops = np.cumsum(list(sizes.values())).tolist()
        return {name: slice(stop - size, stop) for (name, size), stop in zip(sizes.items(), stops, strict=True)}

    @property
    def size(self) -> int:
        """Number of token ids."""
        return self.blocks["answer"].stop

    def kind(self, token: int) -> tuple[str, int]:
        """The block that a token lies in, and its place in it."""
        for name, block in self.blocks.items():
            if block.start <= token < block.stop:
                return name, token - block.start
        raise ValueError(f"token {token} is outside the vocabulary of {self.size} tokens")


def task_vocabulary(task: Task) -> Vocabulary:
    """The vocabulary of a task: its symbols, states, answers and belief codes."""
    process = task.build()
    n_answers = process.n_symbols if task.query.kind == "predict" else process.n_states
    return Vocabulary(
        n_symbols=process.n_symbols,
        n_states=process.n_states,
        n_answers=n_answers,
        codebook=Codebook(process.n_states, task.codebook.resolution),
    )
