"""Pointer or update: did the model write a wrong step because it took a wrong observation, or updated wrongly?

A step takes the code before it and one observation. So each code is compared with the exact updates of the code
before: by x_t (right), by any other symbol (a pointer error: the model fetched that one), or none (an update error).
"""

from functools import partial
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from unamortized.evaluation.protocol import Rows, SampleSize, by_length_tests, recorder, test_problems
from unamortized.language.meanings import code_meanings
from unamortized.language.vocabulary import task_vocabulary
from unamortized.learning.rollouts import Response, respond
from unamortized.learning.specification import Run
from unamortized.worlds.problems import Problems
from unamortized.worlds.processes import Process
from unamortized.worlds.randomness import stream
from unamortized.worlds.tasks import Task

# Total variation. Codes are rounded, so the model's code may lie off that of the update that it made. On exact traces
# of noisy_permutation the nearest update finds .985 of the steps right; of exact updates with a wrong symbol it finds
# .91 to be pointer errors, .05 right and .04 update errors (mess3: .999, 0, .001).
TOLERANCE = 1 / 8
IMPOSSIBLE = -1  # stands for the code of an update with a symbol that the belief before it rules out
NEGLIGIBLE = 1e-12  # a smaller probability of a symbol counts as ruling it out


class Judged(NamedTuple):
    """The judgment of each step; a step that is neither is an update error."""

    right: Bool[np.ndarray, "batch step"]
    pointer: Bool[np.ndarray, "batch step"]


class Updates(NamedTuple):
    """The belief after each symbol, and whether the symbol can be observed."""

    beliefs: Float[np.ndarray, "batch symbol state"]  # unchanged by symbols that cannot
    possible: Bool[np.ndarray, "batch symbol"]


def exact_updates(process: Process, before: Float[np.ndarray, "batch state"]) -> Updates:
    """Update each belief exactly with every symbol."""
    read_out = np.ones(process.n_states) if process.readout is None else process.readout
    joint = (before[:, None, None] @ process.transitions)[:, :, 0]  # (batch, symbol, state)
    evidence = (joint @ read_out)[..., None]
    possible = evidence > NEGLIGIBLE
    return Updates(np.where(possible, joint / np.where(possible, evidence, 1.0), before[:, None]), possible[..., 0])


def updated_codes(
    task: Task, problems: Problems, codes: Int[np.ndarray, "batch step"]
) -> Int[np.ndarray, "batch step symbol"]:
    """Return the code of the exact update with each symbol, from the code before each step; first from the start.

    A code stands for its meaning (``code_meanings``). ``IMPOSSIBLE`` marks impossible symbols.
    """
    vocabulary = task_vocabulary(task)
    before = np.concatenate([problems.beliefs[:, :1], code_meanings(task)[codes[:, :-1]]], axis=1)
    updated = np.empty((*codes.shape, problems.process.n_symbols), dtype=np.int64)
    for step in range(codes.shape[1]):
        after, possible = exact_updates(problems.process, before[:, step])
        updated[:, step] = np.where(possible, vocabulary.encode(after), IMPOSSIBLE)
    return updated


def judge(
    task: Task, problems: Problems, updated: Int[np.ndarray, "batch step symbol"], codes: Int[np.ndarray, "batch step"]
) -> Judged:
    """Judge each code by the update that lies nearest in L1, if any lies within ``TOLERANCE``; ties are right.

    So is a step from the code of the exact belief to that of the next, which rounding may put out of every update's
    reach.
    """
    codebook = task_vocabulary(task).codebook
    counts = np.rint(codebook.points * codebook.resolution).astype(np.int64)
    off = np.abs(counts[codes][:, :, None] - counts[updated]).sum(axis=3) // 2  # in units of 1 / resolution
    off[updated == IMPOSSIBLE] = codebook.resolution + 1
    is_own = np.arange(updated.shape[2]) == problems.observations[:, :, None]
    own = np.where(is_own, off, 0).sum(axis=2)
    other = np.where(is_own, codebook.resolution + 1, off).min(axis=2)
    within = int(TOLERANCE * codebook.resolution + 1e-9)
    is_exact = codes == task_vocabulary(task).encode(problems.beliefs[:, 1:])
    was_exact = np.pad(is_exact[:, :-1], ((0, 0), (1, 0)), constant_values=True)  # the start is known
    right = (is_exact & was_exact) | ((own <= other) & (own <= within))
    return Judged(right, ~right & (other <= within))


def pointer(run: Run, settings: SampleSize) -> Rows:
    """Measure the shares of pointer and update errors at each test length, for traces that state every step.

    Each wrong copy or index is a pointer error. After a right copy all wrong codes are update errors; after a right
    index, the model may still have taken the wrong observation. The control ``exchanged_codes`` shows how often chance
    passes for a pointer error; ``codes_only``, for traces that fetch, how good judgments by codes alone are.
    """
    task, seed, rows = run.task, run.spec.seed, Rows()
    for test in by_length_tests(task):
        problems = test_problems(task, test.n_steps, settings.problems, seed)
        response = respond(run, problems)
        every_step = np.array_equal(response.trace_steps, np.arange(1, test.n_steps + 1))
        if run.language.kind.sampled or not every_step:
            continue
        codes = response.stated
        updated = updated_codes(task, problems, codes)
        by_code = judge(task, problems, updated, codes)
        generator = stream("exchanged_codes", task.fingerprint(), seed, test.n_steps)
        exchanged = generator.permuted(codes, axis=0)  # each step on its own
        judgments = {
            "": judge_fetching(run, problems, response, by_code),
            "exchanged_codes": judge(task, problems, updated, exchanged),
        }
        if len(response.places) < response.written.shape[1]:
            judgments["codes_only"] = by_code
        for control, judged in judgments.items():
            rows += _rows(partial(recorder(run, test.n_steps), control=control), judged)
    return rows


def judge_fetching(run: Run, problems: Problems, response: Response, by_code: Judged) -> Judged:
    """Correct the judgment by codes with the tokens that the trace fetched."""
    exact = run.language.kind(problems, run.vocabulary)
    places = np.setdiff1d(np.arange(response.written.shape[1]), response.places)
    if not len(places):
        return by_code
    block = exact.blocks[places[0]]
    wanted = exact.tokens[:, places] - run.vocabulary.blocks[block].start
    missed = response.written[:, places] != wanted
    suspected = by_code.pointer if block == "index" else np.zeros_like(by_code.pointer)
    return Judged(by_code.right & ~missed, missed | suspected)


def _rows(record: partial, judged: Judged) -> Rows:
    """Record the shares of both errors and, if any step is wrong, the share of pointer errors among the wrong steps."""
    size, wrong = judged.right.size, int((~judged.right).sum())
    rows = [
        record("pointer_error", judged.pointer.mean(), size),
        record("update_error", (~judged.right & ~judged.pointer).mean(), size),
    ]
    return [*rows, record("pointer_share", judged.pointer.sum() / wrong, wrong)] if wrong else rows
