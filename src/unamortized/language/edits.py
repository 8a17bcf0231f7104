"""Edits: one step of a trace takes what another problem's trace states there, and exact inference continues from it."""

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

RULED_OUT = 1e-9  # weight of the true belief: where later observations rule the edit out, the answer stays the true one


def donors(size: int, generator: np.random.Generator) -> Int[np.ndarray, " batch"]:
    """Draw a random cyclic derangement: for each problem, another one."""
    cycle = generator.permutation(size)
    given = np.empty(size, dtype=np.int64)
    given[cycle] = np.roll(cycle, 1)
    return given


def edited_beliefs(
    problems: Problems, step: int, meaning: Float[np.ndarray, "batch state"]
) -> Float[np.ndarray, "batch state"]:
    """Return the beliefs after ``step`` of a reader that trusts an edit: its meaning, mixed with a bit of the truth."""
    beliefs = (1 - RULED_OUT) * meaning + RULED_OUT * problems.beliefs[:, step]
    if problems.process.is_generalized:  # predictive vectors need not sum to one
        return beliefs
    return beliefs / beliefs.sum(axis=1, keepdims=True)


def counterfactual_answers(
    task: Task, problems: Problems, step: int, beliefs: Float[np.ndarray, "batch state"]
) -> Float[np.ndarray, "batch answer"]:
    r"""$\pi_{cf} = \Phi_{k \to n}(b')$: the exact answers, had these been the beliefs after ``step``."""
    return exact_answer(problems.process, beliefs, problems.observations[:, step:], task.query, after=step)


def answers_from_codes(
    task: Task, problems: Problems, step: int, codes: Int[np.ndarray, " batch"]
) -> Float[np.ndarray, "batch answer"]:
    """Return the exact answers of a reader that trusts what the codes state of ``step`` and infers on from there."""
    beliefs = edited_beliefs(problems, step, code_meanings(task, softening=1e-12)[codes])
    return counterfactual_answers(task, problems, step, beliefs)


class Corrupted(NamedTuple):
    """Belief traces with at most one wrong step, from which the later steps follow."""

    trace: Trace  # its loss leaves out the wrong step
    steps: Int[np.ndarray, " batch"]  # the wrong step; 0 where there is none
    counterfactual: Float[np.ndarray, "batch answer"]  # pi_cf, or pi* where no step is wrong
    follows: Bool[np.ndarray, " batch"]  # whether the answer is to be drawn from the counterfactual


def corrupt(task: Task, problems: Problems, vocabulary: Vocabulary, share: float, reliance: float) -> Corrupted:
    """Corrupt a ``share`` of belief traces, each at a uniformly drawn step.

    With probability ``reliance`` (rho) the answer follows a corrupted trace. The questions of the batch key all draws,
    so that every rho has the same wrong steps, and a higher rho only adds answers that follow.

    Raises:
        ValueError: if the query asks for a step before the last one, or for states of a generalized process.
    """
    if task.query.kind == "smooth":
        raise ValueError(f"{task.name}: corrupted traces need a query about the last step (got '{task.query}')")
    batch, n_steps = problems.observations.shape
    generator = named_by_questions("corrupt", problems)
    wrong, following = generator.random(batch) < share, generator.random(batch) < reliance
    steps = np.where(wrong, generator.integers(1, n_steps + 1, size=batch), 0)
    given = donors(batch, generator)
    meanings = code_meanings(task, softening=1e-12)
    exact, counterfactual = vocabulary.encode(problems.beliefs), problems.answer_distribution.copy()
    codes = exact.copy()
    for step in np.unique(steps[wrong]).tolist():
        rows = np.flatnonzero(steps == step)
        own, edit = problems.take(rows), exact[given[rows], step]
        edited, process = edited_beliefs(own, step, meanings[edit]), own.process
        later = filter_beliefs(process.transitions, edited, own.observations[:, step:], readout=process.readout).beliefs
        codes[rows, step:] = vocabulary.encode(later)
        codes[rows, step] = edit  # encoding its meaning may give another code
        counterfactual[rows] = counterfactual_answers(task, own, step, edited)
    written = np.arange(1, n_steps + 1)
    weights = (written != steps[:, None]).astype(np.float32)
    trace = Trace(vocabulary.code(codes[:, 1:]), written, ("code",) * n_steps, weights=weights)
    return Corrupted(trace, steps, counterfactual, following & wrong)


def draw_answers(problems: Problems, corrupted: Corrupted) -> Problems:
    """Draw the answers that follow a corrupted trace from its counterfactual, and keep the others."""
    cumulative = corrupted.counterfactual.cumsum(axis=1)
    uniforms = named_by_questions("dialled", problems).random((len(problems), 1)) * cumulative[:, -1:]
    drawn = (uniforms >= cumulative).sum(axis=1)
    return replace(problems, answers=np.where(corrupted.follows, drawn, problems.answers))
