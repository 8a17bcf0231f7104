"""KStepUpdates: is each written step the exact update of the code that the model itself wrote before?

A trace that states every k-th step asks for k observations to be composed between one code and the next. Whether
that is done right is told from whether errors were handed down: each code is compared with what exact inference
makes of the model's own previous code, and, beside it, with the code of the exact belief.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Int

from unamortized.evaluation.protocol import Rows, by_length_tests, test_problems
from unamortized.evaluation.responses import respond
from unamortized.evaluation.rows import row
from unamortized.language.meanings import code_meanings
from unamortized.language.traces import resolve_trace
from unamortized.language.vocabulary import task_vocabulary
from unamortized.learning.runs import Run
from unamortized.worlds.inference import filter_beliefs
from unamortized.worlds.problems import Problems
from unamortized.worlds.splits import draw
from unamortized.worlds.tasks import Task

RULED_OUT = 1e-9  # weight of the exact belief beside a code's meaning: it decides alone where that is impossible


@dataclass(frozen=True)
class KStepUpdates:
    """How much is evaluated."""

    problems: int = 512  # per length


def stride_targets(
    run: Run, problems: Problems, codes: Int[np.ndarray, "batch stated"], steps: Int[np.ndarray, " stated"]
) -> Int[np.ndarray, "batch stated"]:
    """The code of the exact update, to each stated step, of the code before it; of the start belief to the first.

    A code stands for its meaning (``code_meanings``). Where what follows rules that out, the exact belief is updated.

    Args:
        run: says what codes mean.
        problems: what was asked.
        codes: as they were written, numbers within the block of codes.
        steps: the step that each of them states, ascending.
    """
    meanings, process = code_meanings(run.task, softening=1e-12), problems.process
    targets = np.empty_like(codes)
    for place, (first, stop) in enumerate(zip([0, *steps[:-1].tolist()], steps.tolist(), strict=True)):
        before = problems.beliefs[:, first]
        if place:
            before = (1 - RULED_OUT) * meanings[codes[:, place - 1]] + RULED_OUT * before
        if not process.is_generalized:  # predictive vectors need not sum to one
            before = before / before.sum(axis=1, keepdims=True)
        between = problems.observations[:, first:stop]
        after = filter_beliefs(process.transitions, before, between, readout=process.readout).beliefs[:, -1]
        targets[:, place] = run.vocabulary.encode(after)
    return targets


def by_step(run: Run, settings: KStepUpdates) -> Rows:
    """Shares of right strides and of exact codes at each stated step and test length, for traces of belief codes.

    Control, under ``<condition>/exact_trace``: the codes of the exact beliefs judged in the same way, which rounding
    alone keeps from being updates of each other.
    """
    if resolve_trace(run.condition.trace).sampled:
        return []
    task, seed, condition = run.task, run.spec.seed, run.spec.condition
    rows: Rows = []
    for test in by_length_tests(task):
        problems = test_problems(task, test.n_steps, settings.problems, seed)
        response = respond(run, problems)
        steps, codes = response.trace_steps, response.stated
        if not len(steps):
            continue
        exact = run.vocabulary.encode(problems.beliefs[:, steps])
        shares = {
            (condition, "stride_step_right"): codes == stride_targets(run, problems, codes, steps),
            (f"{condition}/exact_trace", "stride_step_right"): exact == stride_targets(run, problems, exact, steps),
            (condition, "trace_agreement"): codes == exact,
        }
        for (name, metric), right in shares.items():
            record = partial(row, task.name, name, seed, test.split, metric, n_steps=test.n_steps)
            means = right.mean(axis=0)
            rows += [record(means[place], len(problems), step=int(step)) for place, step in enumerate(steps)]
    return rows


@dataclass(frozen=True)
class UpdateTables:
    """Whose size is measured."""

    strides: tuple[int, ...] = (1, 2, 4, 8, 16)
    problems: int = 4096  # that tell which codes there are


def update_tables(task: Task, seed: int, settings: UpdateTables) -> Rows:
    r"""How many questions show every update of each stride (``step`` is k): what memorizing them as a table needs.

    There are $U = V^k C$ updates, of C codes that a stride may start from, and a question shows n / k of them; so many
    coupons, all alike in probability, are collected after U (log U + .577) draws on average, and after more if they are
    not. Then the last code has to be answered, a table of its own of which each question shows one line: at short
    strides that is what takes more questions, and counts.
    """
    n_steps, vocabulary = task.steps.train[1], task_vocabulary(task)
    codes = vocabulary.encode(draw(task, "validation", n_steps, settings.problems, "update_tables").beliefs)
    answered = collected(np.log(len(np.unique(codes[:, -1]))))
    rows: Rows = []
    for stride in settings.strides:
        if n_steps % stride:
            continue
        log_updates = stride * np.log(vocabulary.n_symbols) + np.log(len(np.unique(codes[:, 0:n_steps:stride])))
        questions = max(collected(log_updates) * stride / n_steps, answered)
        record = partial(row, task.name, "update_table", seed, "in_distribution", "table_questions")
        rows.append(record(questions, settings.problems, n_steps=n_steps, step=stride))
    return rows


def collected(log_kinds: float) -> float:
    """Draws on average until each of equally likely kinds was drawn, to the first two terms in their number."""
    return float(np.exp(log_kinds) * (log_kinds + np.euler_gamma))
