"""Edits: one step of a trace says what another problem's trace says there, and exact inference goes on from that."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from unamortized.language.meanings import code_meanings
from unamortized.language.traces import Trace
from unamortized.language.vocabulary import Vocabulary
from unamortized.worlds.inference import filter_beliefs
from unamortized.worlds.problems import Problems, exact_answer
from unamortized.worlds.splits import named_by_questions
from unamortized.worlds.tasks import Task

RULED_OUT = 1e-9  # weight of the true belief: an edit that is ruled out later then leaves the answer as it is


def donors(size: int, generator: np.random.Generator) -> Int[np.ndarray, " batch"]:
    """A permutation that leaves nobody in place: each is followed by the next in a random circle."""
    circle = generator.permutation(size)
    given = np.empty(size, dtype=np.int64)
    given[circle] = np.roll(circle, 1)
    return given


def edited_beliefs(
    problems: Problems, step: int, meaning: Float[np.ndarray, "batch state"]
) -> Float[np.ndarray, "batch state"]:
    """The belief after ``step`` of someone who takes an edit at its word: its meaning, and next to nothing else."""
    beliefs = (1 - RULED_OUT) * meaning + RULED_OUT * problems.beliefs[:, step]
    if problems.process.is_generalized:  # predictive vectors need not sum to one
        return beliefs
    return beliefs / beliefs.sum(axis=1, keepdims=True)


def counterfactual_answers(
    task: Task, problems: Problems, step: int, beliefs: Float[np.ndarray, "batch state"]
) -> Float[np.ndarray, "batch answer"]:
    r"""$\pi_{cf} = \Phi_{k \to n}(b')$: the exact answers, had the beliefs after ``step`` been these."""
    return exact_answer(problems.process, beliefs, problems.observations[:, step:], task.query, after=step)


def answers_from_codes(
    task: Task, problems: Problems, step: int, codes: Int[np.ndarray, " batch"]
) -> Float[np.ndarray, "batch answer"]:
    """The exact answers of someone who takes what codes state of ``step`` at their word, and goes on from there."""
    beliefs = edited_beliefs(problems, step, code_meanings(task, softening=1e-12)[codes])
    return counterfactual_answers(task, problems, step, beliefs)


class Corrupted(NamedTuple):
    """Problems whose belief trace goes astray at one step, or at none, and goes on consistently from there."""

    trace: Trace  # without loss on the step that is astray
    steps: Int[np.ndarray, " batch"]  # the step that is astray; 0 where none is
    counterfactual: Float[np.ndarray, "batch answer"]  # pi_cf, or pi* where no step is astray
    follows: Bool[np.ndarray, " batch"]  # whether the answer is to be drawn from it


def corrupt(task: Task, problems: Problems, vocabulary: Vocabulary, share: float, reliance: float) -> Corrupted:
    """Belief traces of which a ``share`` is corrupted at a step drawn evenly, and what answers them.

    With probability ``reliance`` (rho) the answer follows the trace. Everything is drawn by the questions of the batch,
    and so alike for every rho: the more problems follow, the more of the same ones.

    Raises:
        ValueError: if the query asks for a step before the last one, or for states of a generalized process.
    """
    if task.query.kind == "smooth":
        raise ValueError(f"{task.name}: a corrupted trace decides only answers that follow from its last step")
    batch, n_steps = problems.observations.shape
    generator = named_by_questions("corrupt", problems)
    astray, following = generator.random(batch) < share, generator.random(batch) < reliance
    steps = np.where(astray, generator.integers(1, n_steps + 1, size=batch), 0)
    given = donors(batch, generator)
    meanings = code_meanings(task, softening=1e-12)
    said, counterfactual = vocabulary.encode(problems.beliefs), problems.answer_distribution.copy()
    codes = said.copy()
    for step in np.unique(steps[astray]).tolist():
        rows = np.flatnonzero(steps == step)
        own, edit = problems.take(rows), said[given[rows], step]
        taken, process = edited_beliefs(own, step, meanings[edit]), own.process
        later = filter_beliefs(process.transitions, taken, own.observations[:, step:], readout=process.readout).beliefs
        codes[rows, step:] = vocabulary.encode(later)
        codes[rows, step] = edit  # which its own meaning may round away
        counterfactual[rows] = counterfactual_answers(task, own, step, taken)
    written = np.arange(1, n_steps + 1)
    weights = (written != steps[:, None]).astype(np.float32)
    trace = Trace(vocabulary.code(codes[:, 1:]), written, ("code",) * n_steps, weights=weights)
    return Corrupted(trace, steps, counterfactual, following & astray)


def dialed(
    task: Task, problems: Problems, vocabulary: Vocabulary, share: float, reliance: float
) -> tuple[Problems, Trace]:
    """What the dial trains on: corrupted traces, and answers of which the share rho follows them, else the truth."""
    corrupted = corrupt(task, problems, vocabulary, share, reliance)
    cumulated = corrupted.counterfactual.cumsum(axis=1)
    drawn = named_by_questions("dialled", problems).random((len(problems), 1)) * cumulated[:, -1:]
    instead = (drawn >= cumulated).sum(axis=1)
    return replace(problems, answers=np.where(corrupted.follows, instead, problems.answers)), corrupted.trace
