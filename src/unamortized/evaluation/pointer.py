"""Pointer or update: is a wrong step of the trace due to a wrong observation, or to a wrong update of the belief?

A step of a belief trace is local: it takes the code before it and one observation. So each code that a model
writes is compared with what the exact update makes of the code that the model itself wrote before: with x_t
(right), with any other symbol (a pointer error: the wrong observation was fetched), or with none (an update error).
"""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from unamortized.evaluation.protocol import Rows, by_length_tests, test_problems
from unamortized.evaluation.responses import Response, respond
from unamortized.evaluation.rows import row
from unamortized.language.meanings import code_meanings
from unamortized.language.traces import resolve_trace
from unamortized.language.vocabulary import task_vocabulary
from unamortized.learning.runs import Run
from unamortized.worlds.problems import Problems
from unamortized.worlds.processes import Process
from unamortized.worlds.randomness import stream
from unamortized.worlds.tasks import Task

# Codes are rounded, so that what is written in keeping with a symbol may lie off the code of that update, by as much
# total variation as is allowed here. On exact traces of noisy_permutation the nearest update alone finds .985 of the
# steps right; of steps updated exactly but with a wrong symbol it finds .91 to be pointer errors, and .05 pass for
# right, .04 for update errors (mess3: .999, 0, .001). Where codes are certain states, nothing is allowed.
TOLERANCE = 1 / 8
IMPOSSIBLE = -1  # the code of an update with a symbol that the belief before it rules out
NEGLIGIBLE = 1e-12  # the probability of such a symbol


@dataclass(frozen=True)
class Pointer:
    """How much is evaluated."""

    problems: int = 256  # per length


class Judged(NamedTuple):
    """What each step is; those neither right nor pointer errors are update errors."""

    right: Bool[np.ndarray, "batch step"]
    pointer: Bool[np.ndarray, "batch step"]


class Updates(NamedTuple):
    """What a step may come to: by symbol, the belief after it, and whether it can be observed at all."""

    beliefs: Float[np.ndarray, "batch symbol state"]  # as they were where it cannot
    possible: Bool[np.ndarray, "batch symbol"]


def exact_updates(process: Process, before: Float[np.ndarray, "batch state"]) -> Updates:
    """The exact update of each belief with every symbol."""
    read_out = np.ones(process.n_states) if process.readout is None else process.readout
    joint = (before[:, None, None] @ process.transitions)[:, :, 0]  # (batch, symbol, state)
    evidence = (joint @ read_out)[..., None]
    possible = evidence > NEGLIGIBLE
    return Updates(np.where(possible, joint / np.where(possible, evidence, 1.0), before[:, None]), possible[..., 0])


def updated_codes(
    task: Task, problems: Problems, codes: Int[np.ndarray, "batch step"]
) -> Int[np.ndarray, "batch step symbol"]:
    """What the exact update with each symbol makes of the code before each step, of the start belief at the first.

    A code stands for its meaning (``code_meanings``); ``IMPOSSIBLE`` where the symbol is.
    """
    vocabulary = task_vocabulary(task)
    before = np.concatenate([problems.beliefs[:, :1], code_meanings(task)[codes[:, :-1]]], axis=1)
    updated = np.empty((*codes.shape, problems.process.n_symbols), dtype=np.int64)
    for step in range(codes.shape[1]):
        after, possible = exact_updates(problems.process, before[:, step])
        updated[:, step] = np.where(possible, vocabulary.encode(after), IMPOSSIBLE)
    return updated


def judge(
    task: Task,
    problems: Problems,
    updated: Int[np.ndarray, "batch step symbol"],
    codes: Int[np.ndarray, "batch step"],
) -> Judged:
    """Each code by the update that lies nearest in L1, if any lies within ``TOLERANCE``.

    Ties between x_t and other symbols are right: who is not seen to err has not erred. So is a step from the exact
    belief's code to that of the next, which rounding may have put out of reach of any update of the code before.
    """
    codebook = task_vocabulary(task).codebook
    counts = np.rint(codebook.points * codebook.resolution).astype(np.int64)
    off = np.abs(counts[codes][:, :, None] - counts[updated]).sum(axis=3) // 2  # units of 1 / resolution moved
    off[updated == IMPOSSIBLE] = codebook.resolution + 1
    is_own = np.arange(updated.shape[2]) == problems.observations[:, :, None]
    own = np.where(is_own, off, 0).sum(axis=2)
    other = np.where(is_own, codebook.resolution + 1, off).min(axis=2)
    within = int(TOLERANCE * codebook.resolution + 1e-9)
    is_exact = codes == task_vocabulary(task).encode(problems.beliefs[:, 1:])
    was_exact = np.pad(is_exact[:, :-1], ((0, 0), (1, 0)), constant_values=True)  # the start is told or known
    right = (is_exact & was_exact) | ((own <= other) & (own <= within))
    return Judged(right, ~right & (other <= within))


def hidden(problems: Problems, updated: Int[np.ndarray, "batch step symbol"]) -> Bool[np.ndarray, "batch step"]:
    """Where another symbol gives the very code that x_t gives, so that fetching it would not show."""
    own = np.take_along_axis(updated, problems.observations[:, :, None], axis=2)
    return (updated == own).sum(axis=2) > 1


def pointer(run: Run, settings: Pointer) -> Rows:
    """Shares of right steps, pointer errors and update errors at each test length, for traces that state all steps.

    A trace that fetches before it states shows some pointer errors itself: a wrong copy or index is one, whatever
    code follows. After a right copy the rest are update errors; after a right index, the observation may still be
    the wrong one.

    Controls: ``<condition>/exchanged_codes``, the codes of other problems at the same step judged as if they had
    been written here, for how often chance passes for a pointer error; and for traces that fetch
    ``<condition>/codes_only``, judged without a look at what was fetched, for how far such judgments are right.
    """
    task, seed, condition = run.task, run.spec.seed, run.spec.condition
    rows: Rows = []
    for test in by_length_tests(task):
        problems = test_problems(task, test.n_steps, settings.problems, seed)
        response = respond(run, problems)
        every_step = np.array_equal(response.trace_steps, np.arange(1, test.n_steps + 1))
        if resolve_trace(run.condition.trace).sampled or not every_step:
            continue
        codes = response.stated
        updated = updated_codes(task, problems, codes)
        by_code = judge(task, problems, updated, codes)
        generator = stream("exchanged_codes", task.fingerprint(), seed, test.n_steps)
        exchanged = generator.permuted(codes, axis=0)  # each step on its own
        judgments = {
            condition: judge_fetching(run, problems, response, by_code),
            f"{condition}/exchanged_codes": judge(task, problems, updated, exchanged),
        }
        if len(response.places) < response.written.shape[1]:
            judgments[f"{condition}/codes_only"] = by_code
        record = partial(row, task.name, seed=seed, split=test.split, n_steps=test.n_steps)
        for name, judged in judgments.items():
            rows += _rows(partial(record, name), judged)
        unseen = hidden(problems, updated)
        rows.append(record(condition, metric="pointer_hidden", value=unseen.mean(), count=unseen.size))
    return rows


def judge_fetching(run: Run, problems: Problems, response: Response, by_code: Judged) -> Judged:
    """The judgment by codes, corrected by what the trace shows of its fetching."""
    exact = resolve_trace(run.condition.trace)(problems, run.vocabulary)
    places = np.setdiff1d(np.arange(response.written.shape[1]), response.places)
    if not len(places):
        return by_code
    block = exact.blocks[places[0]]
    wanted = exact.tokens[:, places] - run.vocabulary.blocks[block].start
    missed = response.written[:, places] != wanted
    suspected = by_code.pointer if block == "index" else np.zeros_like(by_code.pointer)
    return Judged(by_code.right & ~missed, missed | suspected)


def _rows(record: partial, judged: Judged) -> Rows:
    """The three shares, and of the wrong steps the share that pointers are to blame for, if any is wrong."""
    size, wrong = judged.right.size, int((~judged.right).sum())
    shares = {"step_right": judged.right.mean(), "pointer_error": judged.pointer.mean()}
    shares["update_error"] = (~judged.right & ~judged.pointer).mean()
    rows = [record(metric=metric, value=share, count=size) for metric, share in shares.items()]
    if wrong:
        rows.append(record(metric="pointer_share", value=judged.pointer.sum() / wrong, count=wrong))
    return rows
