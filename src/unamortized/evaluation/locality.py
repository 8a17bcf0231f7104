"""Locality: p(X_i | X_j) of pairs that were never seen together, asked at once or by way of other variables.

The estimators of Prystawski et al. (2023). Each names the target and shows the one known variable; then the
target's distribution is read at once (``direct``), or averaged over samples of what the model writes before
it: the variables on the path between the two (``scaffolded``), as many that lie elsewhere
(``negative_scaffold``), or whichever it chooses, until it comes to the target by itself (``free``).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unamortized.evaluation.metrics import row
from unamortized.language.layout import NOWHERE
from unamortized.language.windows import NetVocabulary, net_vocabulary
from unamortized.learning.runs import Run
from unamortized.models.transformer import Cache, Transformer
from unamortized.worlds.net_tasks import NetTask
from unamortized.worlds.nets import BayesNet, conditional
from unamortized.worlds.randomness import stream, stream_seed

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Locality:
    """How thoroughly the estimators sample."""

    samples: int = 10  # averaged for each question


class Questions(NamedTuple):
    """What is asked of a net: p(target | known = value), with the exact answer."""

    target: Int[np.ndarray, " question"]
    known: Int[np.ndarray, " question"]
    value: Int[np.ndarray, " question"]
    distance: Int[np.ndarray, " question"]
    exact: Float[np.ndarray, "question value"]

    def repeated(self, times: int) -> "Questions":
        """Each question as often as it is sampled."""
        return Questions(*(np.repeat(column, times, axis=0) for column in self))


def questions(net: BayesNet, pairs: Int[np.ndarray, "pair 2"]) -> Questions:
    """Each pair asked both ways round and for each value of the known variable that is possible."""
    asked = [
        (target, known, value)
        for one, other in pairs.tolist()
        for target, known in ((one, other), (other, one))
        for value in np.flatnonzero(conditional(net, known, {}) > 0).tolist()
    ]
    target, known, value = np.array(asked).T
    exact = np.array([conditional(net, i, {j: v}) for i, j, v in asked])
    return Questions(target, known, value, net.distances[target, known], exact)


class Writer:
    """A model in the middle of a batch of questions: it reads what was written, and says what comes next."""

    def __init__(self, model: Transformer, vocabulary: NetVocabulary, asked: Questions, capacity: int) -> None:
        self.model, self.vocabulary, self.asked = model, vocabulary, asked
        self.cache = Cache(model.spec.layers, capacity=capacity)
        self.logits = self._read(
            np.stack([vocabulary.ask(asked.target), vocabulary.assignment(asked.known, asked.value)], axis=1)
        )

    def _read(self, tokens: Int[np.ndarray, "question chunk"]) -> Float[Tensor, "question token"]:
        select = torch.zeros(tokens.shape, dtype=torch.bool)
        select[:, -1] = True
        positions = torch.full((1, tokens.shape[1]), NOWHERE)
        return self.model(torch.from_numpy(tokens), positions, cache=self.cache, select=select).logits

    def values(self, variable: Int[np.ndarray, " question"]) -> Float[Tensor, "question value"]:
        """Distribution of a variable's value, if it is that variable which comes next."""
        places = np.arange(self.vocabulary.n_values)
        tokens = self.vocabulary.assignment(variable[:, None], places)
        return self.logits.gather(1, torch.from_numpy(tokens)).double().softmax(dim=1)

    def write(self, variable: Int[np.ndarray, " question"], sampler: torch.Generator) -> None:
        """Draw this variable's value and go on from there."""
        value = torch.multinomial(self.values(variable), 1, generator=sampler).numpy()
        self.logits = self._read(self.vocabulary.assignment(variable[:, None], value))

    def write_any(self, sampler: torch.Generator) -> Int[np.ndarray, " question"]:
        """Draw a variable and its value together and go on from there; returns the variable."""
        block = self.vocabulary.blocks["assignment"]
        drawn = torch.multinomial(self.logits[:, block].softmax(dim=1), 1, generator=sampler).numpy()
        self.logits = self._read(drawn + block.start)
        return drawn[:, 0] // self.vocabulary.n_values


Answers = Float[np.ndarray, "question value"]


def direct(model: Transformer, vocabulary: NetVocabulary, asked: Questions) -> Answers:
    """The target's distribution right after the known variable."""
    return Writer(model, vocabulary, asked, capacity=2).values(asked.target).numpy()


def by_way_of(
    model: Transformer,
    vocabulary: NetVocabulary,
    asked: Questions,
    between: list[tuple[int, ...]],
    sampler: torch.Generator,
) -> Answers:
    """The target's distribution after one draw of each variable in between, in that order."""
    answers = np.empty((len(asked.target), vocabulary.n_values))
    lengths = np.array([len(variables) for variables in between])
    for length in np.unique(lengths):
        rows = np.flatnonzero(lengths == length)
        own = Questions(*(column[rows] for column in asked))
        writer = Writer(model, vocabulary, own, capacity=2 + int(length))
        for place in range(length):
            writer.write(np.array([between[r][place] for r in rows]), sampler)
        answers[rows] = writer.values(own.target).numpy()
    return answers


class Freely(NamedTuple):
    """What a model answers after it wrote what it chose."""

    answers: Answers
    thoughts: Int[np.ndarray, " question"]  # variables written before the target


def freely(model: Transformer, vocabulary: NetVocabulary, asked: Questions, sampler: torch.Generator) -> Freely:
    """The target's distribution where the model comes to it by itself, after as many draws as there are variables."""
    most = vocabulary.n_variables
    writer = Writer(model, vocabulary, asked, capacity=2 + most)
    answers, thoughts = np.empty((len(asked.target), vocabulary.n_values)), np.zeros(len(asked.target), dtype=int)
    thinking: Bool[np.ndarray, " question"] = np.ones(len(asked.target), dtype=bool)
    for _ in range(most):
        answers[thinking] = writer.values(asked.target).numpy()[thinking]
        thinking = thinking & (writer.write_any(sampler) != asked.target)
        thoughts += thinking
        if not thinking.any():
            return Freely(answers, thoughts)
    answers[thinking] = writer.values(asked.target).numpy()[thinking]
    return Freely(answers, thoughts)
