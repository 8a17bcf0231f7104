"""Locality: p(X_i | X_j) of pairs that were never seen together, asked at once or by way of other variables.

The estimators of Prystawski et al. (2023). Each names the target and shows the one known variable; then the
target's distribution is read at once (``direct``), or averaged over samples of what the model writes before
it: the variables on the path between the two (``scaffolded``), as many that lie elsewhere
(``negative_scaffold``), or whichever it chooses, until it comes to the target by itself (``free``).
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from unamortized.evaluation.protocol import Rows
from unamortized.evaluation.rows import row
from unamortized.language.layout import NOWHERE
from unamortized.language.windows import NetVocabulary
from unamortized.learning.runs import Run
from unamortized.models.architectures import LanguageModel
from unamortized.worlds.net_tasks import NetTask
from unamortized.worlds.nets import BayesNet, conditional, draw_values, joint
from unamortized.worlds.randomness import stream, stream_seed

Answers = Float[np.ndarray, "question value"]
ESTIMATORS = ("direct", "scaffolded", "free", "negative_scaffold")


@dataclass(frozen=True)
class Locality:
    """How thoroughly the estimators sample."""

    samples: int = 10  # averaged for each question, as in Prystawski et al.


class PairQuestions(NamedTuple):
    """What is asked of a net: p(target | known = value), with the exact answer."""

    target: Int[np.ndarray, " question"]
    known: Int[np.ndarray, " question"]
    value: Int[np.ndarray, " question"]
    distance: Int[np.ndarray, " question"]
    exact: Answers

    def take(self, rows: Int[np.ndarray, " rows"]) -> "PairQuestions":
        """The questions in these rows."""
        return PairQuestions(*(column[rows] for column in self))


def questions(net: BayesNet, pairs: Int[np.ndarray, "pair 2"]) -> PairQuestions:
    """Each pair asked both ways round and for each value of the known variable that is possible."""
    asked = [
        (target, known, value)
        for one, other in pairs.tolist()
        for target, known in ((one, other), (other, one))
        for value in np.flatnonzero(conditional(net, known, {})).tolist()
    ]
    target, known, value = np.array(asked).T
    exact = np.array([conditional(net, i, {j: v}) for i, j, v in asked])
    return PairQuestions(target, known, value, net.distances[target, known], exact)


def locality(run: Run, settings: Locality) -> Rows:
    """Squared error of each estimator on held-out pairs and on pairs that were seen together, in all and by distance.

    Rows stand under ``<condition>/<estimator>``; a row without a step pools all distances.
    """
    task, seed = run.spec.task, run.spec.seed
    if not isinstance(task, NetTask):
        raise ValueError(f"{task.name} has no net: locality is measured on tasks that have one")
    net, rows = task.build(seed), []
    for split, asked in _splits(task, seed).items():
        sampler = torch.Generator().manual_seed(stream_seed("locality", task.fingerprint(), seed, split))
        generator = stream("negative scaffold", task.fingerprint(), seed, split)
        for name, (answers, thoughts) in estimates(run.model, net, asked, settings.samples, sampler, generator).items():
            condition = f"{run.spec.condition}/{name}"
            rows += errors(task, condition, seed, split, asked, answers)
            if name == "free":
                rows.append(row(task.name, condition, seed, split, "thoughts_written", thoughts, len(answers)))
    return rows


def locality_baselines(task: NetTask, seed: int, settings: Locality) -> Rows:
    """The same errors of what needs no model: the marginal, and the scaffold walked with exact conditionals."""
    net, rows = task.build(seed), []
    for split, asked in _splits(task, seed).items():
        generator = stream("exact scaffold", task.fingerprint(), seed, split)
        marginal = np.array([conditional(net, target, {}) for target in asked.target.tolist()])
        rows += errors(task, "marginal", seed, split, asked, marginal)
        walked = exact_scaffold(net, asked, settings.samples, generator)
        rows += errors(task, "exact_scaffolded", seed, split, asked, walked)
    return rows


def _splits(task: NetTask, seed: int) -> dict[str, PairQuestions]:
    net, pairs = task.build(seed), task.pairs(seed)
    return {"composition": questions(net, pairs.held_out), "in_distribution": questions(net, pairs.seen)}


def errors(task: NetTask, condition: str, seed: int, split: str, asked: PairQuestions, answers: Answers) -> Rows:
    """Mean squared error over questions and values, in all and at each test distance that is asked about."""
    error = ((answers - asked.exact) ** 2).mean(axis=1)
    record = partial(row, task.name, condition, seed, split, "conditional_mse")
    rows = [record(float(error.mean()), len(error))]
    for distance in task.steps.test:
        if (there := asked.distance == distance).any():
            rows.append(record(float(error[there].mean()), int(there.sum()), step=distance))
    return rows


class EstimatedAnswers(NamedTuple):
    """An estimator's answers, each a mean over samples, and how many variables it wrote for one, on average."""

    answers: Answers
    thoughts: float


def estimates(
    model: LanguageModel,
    net: BayesNet,
    asked: PairQuestions,
    samples: int,
    sampler: torch.Generator,
    generator: np.random.Generator,
) -> dict[str, EstimatedAnswers]:
    """Every estimator's answers to the same questions; ``generator`` chooses the negative scaffolds."""
    vocabulary = NetVocabulary(net.n_variables, net.n_values)
    ends = list(zip(asked.target.tolist(), asked.known.tolist(), strict=True))
    paths = [net.path(known, target) for target, known in ends]
    elsewhere = [_elsewhere(net, {*pair, *path}, len(path), generator) for pair, path in zip(ends, paths, strict=True)]
    repeated = asked.take(np.repeat(np.arange(len(asked.target)), samples))

    def averaged(drawn: Float[np.ndarray, "draw value"]) -> Answers:
        return drawn.reshape(len(asked.target), samples, -1).mean(axis=1)

    def by(between: list[tuple[int, ...]]) -> EstimatedAnswers:
        each = [variables for variables in between for _ in range(samples)]
        answers = averaged(by_way_of(model, vocabulary, repeated, each, sampler))
        return EstimatedAnswers(answers, float(np.mean([len(variables) for variables in between])))

    free = freely(model, vocabulary, repeated, sampler)
    return {
        "direct": EstimatedAnswers(by_way_of(model, vocabulary, asked, [()] * len(asked.target), sampler), 0.0),
        "scaffolded": by(paths),
        "free": EstimatedAnswers(averaged(free.answers), float(free.thoughts.mean())),
        "negative_scaffold": by(elsewhere),
    }


def _elsewhere(net: BayesNet, way: set[int], size: int, generator: np.random.Generator) -> tuple[int, ...]:
    """So many variables that are not on the way; all there are where that is too few."""
    off = sorted({*range(net.n_variables)} - way)
    return tuple(generator.permutation(off)[:size].tolist())


class Writer:
    """A model in the middle of a batch of questions: it reads what was written, and says what comes next."""

    def __init__(self, model: LanguageModel, vocabulary: NetVocabulary, asked: PairQuestions, capacity: int) -> None:
        self.model, self.vocabulary, self.asked = model, vocabulary, asked
        self.cache: Any = model.new_cache(capacity)
        self.logits = self._read(
            np.stack([vocabulary.ask(asked.target), vocabulary.assignment(asked.known, asked.value)], axis=1)
        )

    @torch.no_grad()
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


def by_way_of(
    model: LanguageModel,
    vocabulary: NetVocabulary,
    asked: PairQuestions,
    between: list[tuple[int, ...]],
    sampler: torch.Generator,
) -> Answers:
    """The target's distribution after one draw of each variable in between, in that order; without any, at once."""
    answers = np.empty((len(asked.target), vocabulary.n_values))
    lengths = np.array([len(variables) for variables in between])
    for length in np.unique(lengths):
        rows = np.flatnonzero(lengths == length)
        own = asked.take(rows)
        writer = Writer(model, vocabulary, own, capacity=2 + int(length))
        for place in range(length):
            writer.write(np.array([between[r][place] for r in rows]), sampler)
        answers[rows] = writer.values(own.target).numpy()
    return answers


class Freely(NamedTuple):
    """What a model answers after it wrote what it chose."""

    answers: Answers
    thoughts: Int[np.ndarray, " question"]  # variables written before the target


def freely(model: LanguageModel, vocabulary: NetVocabulary, asked: PairQuestions, sampler: torch.Generator) -> Freely:
    """The target's distribution where the model comes to it by itself.

    A model that has not after as many draws as there are variables is asked for the target all the same.
    """
    most = vocabulary.n_variables
    writer = Writer(model, vocabulary, asked, capacity=2 + most)
    answers = writer.values(asked.target).numpy()
    thoughts, thinking = np.zeros(len(answers), dtype=int), np.ones(len(answers), dtype=bool)
    for _ in range(most):
        thinking = thinking & (writer.write_any(sampler) != asked.target)
        if not thinking.any():
            break
        thoughts += thinking
        answers[thinking] = writer.values(asked.target).numpy()[thinking]
    return Freely(answers, thoughts)


def exact_scaffold(net: BayesNet, asked: PairQuestions, samples: int, generator: np.random.Generator) -> Answers:
    """The path walked with exact conditionals of neighbors: the error that is left is that of few samples."""

    def given(here: int, values: Int[np.ndarray, " sample"], there: int) -> Float[np.ndarray, "sample value"]:
        both = joint(net, (here, there))[values]
        return both / both.sum(axis=1, keepdims=True)

    answers = np.empty_like(asked.exact)
    for place, (target, known, value) in enumerate(zip(asked.target, asked.known, asked.value, strict=True)):
        here, values = int(known), np.full(samples, value)
        for there in net.path(here, int(target)):
            here, values = there, draw_values(given(here, values, there), generator)
        answers[place] = given(here, values, int(target)).mean(axis=0)
    return answers
