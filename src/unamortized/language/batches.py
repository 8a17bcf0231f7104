"""Training batches: examples as tensors, and the questions of a training step, a function of the step alone.

A step mixes a few lengths, each drawn from its own stratum of the training range. Problems of one length stay
together, so that nothing is padded.
"""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unamortized.language.corpus import Corpus
from unamortized.language.layout import Examples
from unamortized.worlds.problems import Problems
from unamortized.worlds.randomness import stream
from unamortized.worlds.splits import draw
from unamortized.worlds.tasks import Task


class Batch(NamedTuple):
    """Examples of one length as tensors."""

    tokens: Int[Tensor, "batch column"]
    positions: Int[Tensor, "1 column"]
    weights: Float[Tensor, "*#batch column"]  # of the loss on the target of each column
    targets: Int[Tensor, "batch column"] | Float[Tensor, "batch column option"]  # tokens, or distributions over a block
    block: slice | None = None  # of the tokens that soft targets are about
    least: float = 0.0  # the mean loss, in nats a target, of exact predictions

    @property
    def select(self) -> Bool[Tensor, "batch predicted"]:
        """Columns where the model's output is trained: before each token that has a weight."""
        return (self.weights[..., 1:] > 0).expand(len(self.tokens), -1)


def to_batch(examples: Examples, least: float = 0.0) -> Batch:
    """Convert columns to the tensors that a model takes; the targets are the tokens themselves."""
    tokens, positions, weights = map(torch.from_numpy, (examples.tokens, examples.positions, examples.weights))
    return Batch(tokens, positions[None], weights, tokens, least=least)


def stratified_lengths(first: int, last: int, strata: int, generator: np.random.Generator) -> list[int]:
    """Draw a length from each of ``strata`` equal parts of first..last; overall, all lengths are equally likely."""
    span = last - first + 1
    offsets = (np.arange(strata) + generator.random(strata)) * span / strata
    return [first + int(offset) for offset in offsets]


def lengths_of_step(task: Task, strata: int, seed: int, step: int, longest: int | None = None) -> list[int]:
    """Draw the lengths that a training step mixes, up to the longest training length or an earlier limit."""
    first, last = task.steps.train
    generator = stream("lengths", task.fingerprint(), seed, step)
    return stratified_lengths(first, last if longest is None else longest, strata, generator)


def fresh_problems(
    task: Task, batch_size: int, lengths: list[int], seed: int, step: int, *keys: str | int
) -> list[Problems]:
    """Draw new problems for a training step, a group for each length; ``keys`` give other problems than without."""
    share = batch_size // len(lengths)
    return [draw(task, "train", n, share, seed, *keys, step, part) for part, n in enumerate(lengths)]


def corpus_problems(corpus: Corpus, batch_size: int, lengths: list[int], seed: int, step: int) -> list[Problems]:
    """Draw problems for a training step from a corpus, with replacement, a group for each length."""
    generator = stream("rows", corpus.task.fingerprint(), seed, step)
    share = batch_size // len(lengths)
    return [corpus.read(generator.choice(corpus.rows[n], size=share)) for n in lengths]
