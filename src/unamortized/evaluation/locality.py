"""Locality: p(X_i | X_j) for pairs that training never shows together, asked directly or by way of other variables.

The estimators of Prystawski et al. (2023). Each names the target and shows the one known variable. ``direct`` reads
the target's distribution at once; the others average it over samples of the variables that the model writes before it:
those on the path between the two (``scaffolded``), as many that lie elsewhere (``negative_scaffold``), or those that
the model chooses until it reaches the target (``free``).
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
from unamortized.language.vocabulary import BOS
from unamortized.language.windows import NetVocabulary
from unamortized.learning.specification import Run
from unamortized.models.architectures import LanguageModel
from unamortized.worlds.net_tasks import NetTask
from unamortized.worlds.nets import BayesNet, conditional, draw_values, joint
from unamortized.worlds.randomness import stream, stream_seed

Answers = Float[np.ndarray, "question value"]


@dataclass(frozen=True)
class Locality:
    """How thoroughly the estimators sample."""

    samples: int = 10  # averaged per question, as in Prystawski et al.


class PairQuestions(NamedTuple):
    """Questions p(target | known = value) about a net, with exact answers."""

    target: Int[np.ndarray, " question"]
    known: Int[np.ndarray, " question"]
    value: Int[np.ndarray, " question"]
    distance: Int[np.ndarray, " question"]
    exact: Answers

    def take(self, rows: Int[np.ndarray, " rows"]) -> "PairQuestions":
        """Select questions."""
        return PairQuestions(*(column[rows] for column in self))


def pair_questions(net: BayesNet, pairs: Int[np.ndarray, "pair 2"]) -> PairQuestions:
    """Ask about each pair in both directions, for each possible value of the known variable."""
    cases = [
        (target, known, value)
        for one, other in pairs.tolist()
        for target, known in ((one, other), (other, one))
        for value in np.flatnonzero(conditional(net, known, {})).tolist()
    ]
    target, known, value = np.array(cases).T
    exact = np.array([conditional(net, i, {j: v}) for i, j, v in cases])
    return PairQuestions(target, known, value, net.distances[target, known], exact)


def locality(run: Run, settings: Locality) -> Rows:
    """Measure the squared error of each estimator (``variant``) on held-out and seen pairs, by distance and pooled."""
    task, seed = run.spec.task, run.spec.seed
    if not isinstance(task, NetTask):
        raise ValueError(f"locality needs a task with a Bayes net (got {task.name}, a process); pass a net task")
    net, rows = task.build(seed), Rows()
    for split, questions in _splits(task, seed).items():
        sampler = torch.Generator().manual_seed(stream_seed("locality", task.fingerprint(), seed, split))
        generator = stream("negative scaffold", task.fingerprint(), seed, split)
        for name, answers in estimates(run.model, net, questions, settings.samples, sampler, generator).items():
            record = partial(row, task.name, run.spec.condition, seed, split, variant=name)
            rows += errors(record, task, questions, answers)
    return rows


def locality_baselines(task: NetTask, seed: int, settings: Locality) -> Rows:
    """Measure the marginal, and the scaffold walked with exact conditionals; neither needs a model."""
    net, rows = task.build(seed), Rows()
    for split, questions in _splits(task, seed).items():
        generator = stream("exact scaffold", task.fingerprint(), seed, split)
        marginal = np.array([conditional(net, target, {}) for target in questions.target.tolist()])
        walked = exact_scaffold(net, questions, settings.samples, generator)
        for name, answers in (("marginal", marginal), ("exact_scaffolded", walked)):
            rows += errors(partial(row, task.name, name, seed, split), task, questions, answers)
    return rows


def _splits(task: NetTask, seed: int) -> dict[str, PairQuestions]:
    net, pairs = task.build(seed), task.pairs(seed)
    return {"composition": pair_questions(net, pairs.held_out), "in_distribution": pair_questions(net, pairs.seen)}


def errors(record: partial, task: NetTask, questions: PairQuestions, answers: Answers) -> Rows:
    """Average the squared error over questions and values: over all distances, and at each test distance."""
    error = ((answers - questions.exact) ** 2).mean(axis=1)
    rows = [record("conditional_mse", error.mean(), len(error))]
    for distance in task.steps.test:
        if (there := questions.distance == distance).any():
            rows.append(record("conditional_mse", error[there].mean(), int(there.sum()), step=distance))
    return rows


def estimates(
    model: LanguageModel,
    net: BayesNet,
    questions: PairQuestions,
    samples: int,
    sampler: torch.Generator,
    generator: np.random.Generator,
) -> dict[str, Answers]:
    """Answer the same questions with every estimator; ``generator`` chooses the negative scaffolds."""
    vocabulary, others = NetVocabulary(net.n_variables, net.n_values), {*range(net.n_variables)}
    ends = list(zip(questions.target.tolist(), questions.known.tolist(), strict=True))
    paths = [net.path(known, target) for target, known in ends]
    elsewhere = [  # as many variables off the path, or all of them if there are fewer
        tuple(generator.permutation(sorted(others - {*pair, *path}))[: len(path)].tolist())
        for pair, path in zip(ends, paths, strict=True)
    ]
    repeated = questions.take(np.repeat(np.arange(len(ends)), samples))

    def averaged(drawn: Float[np.ndarray, "draw value"]) -> Answers:
        return drawn.reshape(len(ends), samples, -1).mean(axis=1)

    def scaffolded(between: list[tuple[int, ...]]) -> Answers:
        each = [variables for variables in between for _ in range(samples)]
        return averaged(by_way_of(model, vocabulary, repeated, each, sampler))

    free = averaged(freely(model, vocabulary, repeated, sampler))  # draws first
    return {
        "direct": by_way_of(model, vocabulary, questions, [()] * len(ends), sampler),
        "scaffolded": scaffolded(paths),
        "free": free,
        "negative_scaffold": scaffolded(elsewhere),
    }


class Writer:
    """A model that has read a batch of questions and what it wrote after them, about to write the next token."""

    def __init__(self, model: LanguageModel, vocabulary: NetVocabulary, questions: PairQuestions, n_more: int) -> None:
        self.model, self.vocabulary = model, vocabulary
        self.cache: Any = model.new_cache(3 + n_more)
        given = vocabulary.assignment(questions.known, questions.value)
        self.logits = self._read(
            np.stack([np.full_like(given, BOS), vocabulary.ask(questions.target), given], axis=1), opens=True
        )

    @torch.no_grad()
    def _read(self, tokens: Int[np.ndarray, "question chunk"], opens: bool = False) -> Float[Tensor, "question token"]:
        select = torch.zeros(tokens.shape, dtype=torch.bool)
        select[:, -1] = True
        positions = torch.full((1, tokens.shape[1]), NOWHERE)
        if opens:
            positions[:, 0] = 0  # of <bos>, as in ``lay_out_windows``
        return self.model(torch.from_numpy(tokens), positions, cache=self.cache, select=select).logits.cpu()

    def values(self, variable: Int[np.ndarray, " question"]) -> Float[Tensor, "question value"]:
        """Return the distribution of a variable's value, given that this variable comes next."""
        places = np.arange(self.vocabulary.n_values)
        tokens = self.vocabulary.assignment(variable[:, None], places)
        return self.logits.gather(1, torch.from_numpy(tokens)).double().softmax(dim=1)

    def write(self, variable: Int[np.ndarray, " question"], sampler: torch.Generator) -> None:
        """Draw this variable's value and write it."""
        value = torch.multinomial(self.values(variable), 1, generator=sampler).numpy()
        self.logits = self._read(self.vocabulary.assignment(variable[:, None], value))

    def write_any(self, sampler: torch.Generator) -> Int[np.ndarray, " question"]:
        """Draw a variable together with its value and write it; return the variable."""
        block = self.vocabulary.blocks["assignment"]
        drawn = torch.multinomial(self.logits[:, block].softmax(dim=1), 1, generator=sampler).numpy()
        self.logits = self._read(drawn + block.start)
        return drawn[:, 0] // self.vocabulary.n_values


def by_way_of(
    model: LanguageModel,
    vocabulary: NetVocabulary,
    questions: PairQuestions,
    between: list[tuple[int, ...]],
    sampler: torch.Generator,
) -> Answers:
    """Return the target's distribution after one draw of each variable in between, in their order."""
    answers = np.empty((len(questions.target), vocabulary.n_values))
    lengths = np.array([len(variables) for variables in between])
    for length in np.unique(lengths):
        rows = np.flatnonzero(lengths == length)
        own = questions.take(rows)
        writer = Writer(model, vocabulary, own, int(length))
        for place in range(length):
            writer.write(np.array([between[r][place] for r in rows]), sampler)
        answers[rows] = writer.values(own.target).numpy()
    return answers


def freely(
    model: LanguageModel, vocabulary: NetVocabulary, questions: PairQuestions, sampler: torch.Generator
) -> Answers:
    """Return the target's distribution where the model chooses to write it, or after one draw per variable."""
    writer = Writer(model, vocabulary, questions, vocabulary.n_variables)
    answers = writer.values(questions.target).numpy()
    thinking = np.ones(len(answers), dtype=bool)
    for _ in range(vocabulary.n_variables):
        thinking = thinking & (writer.write_any(sampler) != questions.target)
        if not thinking.any():
            break
        answers[thinking] = writer.values(questions.target).numpy()[thinking]
    return answers


def exact_scaffold(net: BayesNet, questions: PairQuestions, samples: int, generator: np.random.Generator) -> Answers:
    """Walk the path with exact conditionals of neighbors: only the error of few samples is left."""

    def given(here: int, values: Int[np.ndarray, " sample"], there: int) -> Float[np.ndarray, "sample value"]:
        both = joint(net, (here, there))[values]
        return both / both.sum(axis=1, keepdims=True)

    answers = np.empty_like(questions.exact)
    for place, (target, known, value) in enumerate(
        zip(questions.target, questions.known, questions.value, strict=True)
    ):
        here, values = int(known), np.full(samples, value)
        for there in net.path(here, int(target)):
            here, values = there, draw_values(given(here, values, there), generator)
        answers[place] = given(here, values, int(target)).mean(axis=0)
    return answers
