"""Training batches: a function of the step alone, so that a run resumes with the batches that it would have had.

A step mixes a few lengths, each drawn from its own stratum of the training range. Problems of one length stay
together, so that nothing is padded.
"""

from collections.abc import Callable, Iterator
from itertools import count
from typing import NamedTuple

import lightning
import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from unamortized.language.corpus import Corpus
from unamortized.language.layout import Examples
from unamortized.worlds.problems import Problems
from unamortized.worlds.randomness import stream
from unamortized.worlds.splits import draw
from unamortized.worlds.tasks import Task

ExamplesOf = Callable[[int], list[Examples]]  # the examples of a training step, a group for each length


class Batch(NamedTuple):
    """Examples of one length as tensors."""

    tokens: Int[Tensor, "batch column"]
    positions: Int[Tensor, "1 column"]
    weights: Float[Tensor, "*#batch column"]

    @property
    def select(self) -> Bool[Tensor, "batch predicted"]:
        """Columns where the model's output is trained: before each token that has a weight."""
        return (self.weights[..., 1:] > 0).expand(len(self.tokens), -1)


def to_batch(examples: Examples) -> Batch:
    """Convert columns to the tensors that a model takes."""
    tokens, positions, weights = map(torch.from_numpy, (examples.tokens, examples.positions, examples.weights))
    return Batch(tokens, positions[None], weights)


def stratified_lengths(first: int, last: int, strata: int, generator: np.random.Generator) -> list[int]:
    """Draw a length from each of ``strata`` equal parts of first..last; overall, all lengths are equally likely."""
    span = last - first + 1
    offsets = (np.arange(strata) + generator.random(strata)) * span / strata
    return [first + int(offset) for offset in offsets]


def lengths_of_step(task: Task, strata: int, seed: int, step: int) -> list[int]:
    """Draw the lengths that a training step mixes."""
    return stratified_lengths(*task.steps.train, strata, stream("lengths", task.fingerprint(), seed, step))


def fresh_problems(task: Task, batch_size: int, strata: int, seed: int, step: int) -> list[Problems]:
    """Draw new problems for a training step, a group for each length."""
    lengths = lengths_of_step(task, strata, seed, step)
    share = batch_size // len(lengths)
    return [draw(task, "train", n, share, seed, step, part) for part, n in enumerate(lengths)]


def corpus_problems(corpus: Corpus, batch_size: int, strata: int, seed: int, step: int) -> list[Problems]:
    """Draw problems for a training step from a corpus, with replacement, a group for each length."""
    lengths = lengths_of_step(corpus.task, strata, seed, step)
    generator = stream("rows", corpus.task.fingerprint(), seed, step)
    share = batch_size // len(lengths)
    return [corpus.read(generator.choice(corpus.rows[n], size=share)) for n in lengths]


class Batches(IterableDataset[list[Batch]]):
    """Endless training batches from a step on."""

    def __init__(self, examples: ExamplesOf, first_step: int = 0) -> None:
        self.examples, self.first_step = examples, first_step

    def __iter__(self) -> Iterator[list[Batch]]:
        return ([to_batch(group) for group in self.examples(step)] for step in count(self.first_step))


class TrainingData(lightning.LightningDataModule):
    """Training batches of a run; a resumed run continues with the batch after its last step."""

    def __init__(self, examples: ExamplesOf) -> None:
        super().__init__()
        self.examples = examples

    def train_dataloader(self) -> DataLoader:
        first_step = self.trainer.global_step if self.trainer else 0
        return DataLoader(Batches(self.examples, first_step), batch_size=None, num_workers=0)
