"""The vocabulary: one for all conditions of a task, so that its models have the same shape.

Token ids form blocks: the three marks, observations, belief codes, latent states and answers. Blocks for the rules of a
problem's own table, for indices of observations, filler and hints are there only where a trace or task needs them.
"""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

from unamortized.language.codebook import Codebook
from unamortized.worlds.tasks import Task

BOS, THINK, ANSWER = 0, 1, 2  # the marks that open the question, the trace and the answer
MARKS = ("<bos>", "<think>", "<answer>")
HINT_STRENGTHS = (1.0, 2.0, 4.0)  # log-likelihood ratio of the hinted answer against any other, in nats


@dataclass(frozen=True)
class Vocabulary:
    """Sizes of the blocks of token ids; ``codebook`` gives the belief codes."""

    n_symbols: int
    n_states: int
    n_answers: int
    codebook: Codebook
    n_rules: int = 0
    n_indices: int = 0
    n_filler: int = 0
    n_hints: int = 0
    n_synonyms: int = 1  # tokens that state the same code
    # maps predictive vectors to the next-symbol distributions that codes stand for; None: codes stand for beliefs
    coded: Float[np.ndarray, "state symbol"] | None = field(default=None, compare=False, repr=False)

    def encode(
        self, beliefs: Float[np.ndarray, "*batch state"], dither: Float[np.ndarray, "*batch"] | None = None
    ) -> Int[np.ndarray, "*batch"]:
        """Encode each belief or, for a generalized process, its prediction; ``dither`` gives uniform draws."""
        if self.coded is not None:
            predicted = np.maximum(beliefs @ self.coded, 0.0)
            beliefs = predicted / predicted.sum(axis=-1, keepdims=True)
        return self.codebook.encode(beliefs) if dither is None else self.codebook.encode_dithered(beliefs, dither)

    def observation(self, symbol: Int[np.ndarray, "*batch"]) -> Int[np.ndarray, "*batch"]:
        return symbol + self.blocks["observation"].start

    def code(self, code: Int[np.ndarray, "*batch"], synonym: Int[np.ndarray, "*batch"] | int = 0) -> np.ndarray:
        """Token of a belief code, or another that states the same; (*batch,)."""
        return code + synonym * self.codebook.size + self.blocks["code"].start

    def state(self, state: Int[np.ndarray, "*batch"]) -> Int[np.ndarray, "*batch"]:
        """Token of a latent state, in a ``state`` trace or at the start of the question."""
        return state + self.blocks["state"].start

    def answer(self, answer: Int[np.ndarray, "*batch"]) -> Int[np.ndarray, "*batch"]:
        return answer + self.blocks["answer"].start

    def rule(self, rule: Int[np.ndarray, "*batch"]) -> Int[np.ndarray, "*batch"]:
        return rule + self.blocks["rule"].start

    def index(self, index: Int[np.ndarray, "*batch"]) -> Int[np.ndarray, "*batch"]:
        return index + self.blocks["index"].start

    def hint(self, answer: Int[np.ndarray, "*batch"], level: Int[np.ndarray, "*batch"]) -> Int[np.ndarray, "*batch"]:
        """Token of a hint at an answer, with the strength ``HINT_STRENGTHS[level]``."""
        return answer * len(HINT_STRENGTHS) + level + self.blocks["hint"].start

    @cached_property
    def blocks(self) -> dict[str, slice]:
        sizes = {
            "mark": len(MARKS),
            "observation": self.n_symbols,
            "code": self.codebook.size * self.n_synonyms,
            "state": self.n_states,
            "answer": self.n_answers,
            "rule": self.n_rules,
            "index": self.n_indices,
            "filler": self.n_filler,
            "hint": self.n_hints,
        }
        stops = np.cumsum(list(sizes.values())).tolist()
        return {name: slice(stop - size, stop) for (name, size), stop in zip(sizes.items(), stops, strict=True)}

    @property
    def size(self) -> int:
        return self.blocks["hint"].stop

    def kind(self, token: int) -> tuple[str, int]:
        """Return the block of a token, and its index in the block."""
        for name, block in self.blocks.items():
            if block.start <= token < block.stop:
                return name, token - block.start
        raise ValueError(f"token must be in 0..{self.size - 1} (got {token})")


def task_vocabulary(
    task: Task, n_indices: int = 0, n_filler: int = 0, n_synonyms: int = 1, hinted: bool = False
) -> Vocabulary:
    """Build the vocabulary of a task, with the further tokens that a trace needs."""
    process = task.build()
    n_answers = process.n_symbols if task.query.kind == "predict" else process.n_states
    n_coded = process.n_symbols if process.is_generalized else process.n_states
    return Vocabulary(
        n_symbols=process.n_symbols,
        n_states=process.n_states,
        n_answers=n_answers,
        codebook=Codebook(n_coded, task.codebook.resolution),
        n_rules=process.n_symbols * process.n_states**2 if process.sampler else 0,
        n_indices=n_indices,
        n_filler=n_filler,
        n_hints=n_answers * len(HINT_STRENGTHS) if hinted else 0,
        n_synonyms=n_synonyms,
        coded=process.emissions if process.is_generalized else None,
    )
