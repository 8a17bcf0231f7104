"""K-step updates: is each written code the exact update of the code that the model wrote before it?

A trace that states every k-th step composes k observations between two codes. Comparing each code with the exact update
of the model's own previous code tells wrong updates from inherited errors.
"""

from functools import partial

import numpy as np
from jaxtyping import Int

from unamortized.evaluation.baselines import updated
from unamortized.evaluation.protocol import Rows, SampleSize, by_length_tests, recorder, test_problems
from unamortized.evaluation.rows import row
from unamortized.language.edits import edited_beliefs
from unamortized.language.meanings import code_meanings
from unamortized.language.vocabulary import task_vocabulary
from unamortized.learning.rollouts import respond
from unamortized.learning.specification import Run
from unamortized.worlds.problems import Problems
from unamortized.worlds.splits import draw
from unamortized.worlds.tasks import Task

STRIDES = (1, 2, 4, 8, 16)  # of update tables


def k_step_targets(
    run: Run, problems: Problems, codes: Int[np.ndarray, "batch stated"], steps: Int[np.ndarray, " stated"]
) -> Int[np.ndarray, "batch stated"]:
    """Return the code of the exact update from each stated code to the next stated step; first from the start belief.

    A code stands for its meaning (``code_meanings``). If later observations rule that out, the exact belief is updated.
    ``steps`` are those that the codes state, ascending.
    """
    meanings, targets = code_meanings(run.task, softening=1e-12), np.empty_like(codes)
    before, last = problems.beliefs[:, 0], 0
    for place, step in enumerate(steps.tolist()):
        targets[:, place] = run.vocabulary.encode(updated(problems, before, last, step))
        before, last = edited_beliefs(problems, step, meanings[codes[:, place]]), step
    return targets


def by_step(run: Run, settings: SampleSize) -> Rows:
    """Measure the shares of right updates and of exact codes, by stated step and test length, for belief traces.

    The control ``exact_trace`` judges the codes of the exact beliefs; rounding alone keeps them from being updates of
    each other.
    """
    if run.language.kind.sampled:
        return []
    task, rows = run.task, Rows()
    for test in by_length_tests(task):
        problems = test_problems(task, test.n_steps, settings.problems, run.spec.seed)
        response = respond(run, problems)
        steps, codes = response.trace_steps, response.stated
        if not len(steps):
            continue
        exact = run.vocabulary.encode(problems.beliefs[:, steps])
        right = {
            ("stride_step_right", ""): codes == k_step_targets(run, problems, codes, steps),
            ("stride_step_right", "exact_trace"): exact == k_step_targets(run, problems, exact, steps),
            ("trace_agreement", ""): codes == exact,
        }
        rows += [
            recorder(run, test.n_steps)(metric, share, len(problems), control=control, step=step)
            for (metric, control), by_problem in right.items()
            for step, share in zip(steps.tolist(), by_problem.mean(axis=0), strict=True)
        ]
    return rows


def update_tables(task: Task, seed: int, settings: SampleSize) -> Rows:
    r"""Estimate how many questions show every update of each stride (``step`` is k): what memorizing a table needs.

    There are $U = V^k C$ updates, for C codes that a stride may start from, and a question shows n / k of them. Drawing
    equally likely coupons collects all U after U (log U + .577) draws on average; unequal ones take longer. The last
    code needs a table of its own for the answer, with one line per question; at short strides that table needs more
    questions, and counts.
    """
    n_steps, vocabulary = task.steps.train[1], task_vocabulary(task)
    codes = vocabulary.encode(draw(task, "validation", n_steps, settings.problems, "update_tables").beliefs)
    for_answers = collected(np.log(len(np.unique(codes[:, -1]))))
    rows = Rows()
    for stride in STRIDES:
        if n_steps % stride:
            continue
        log_updates = stride * np.log(vocabulary.n_symbols) + np.log(len(np.unique(codes[:, 0:n_steps:stride])))
        questions = max(collected(log_updates) * stride / n_steps, for_answers)
        record = partial(row, task.name, "update_table", seed, "in_distribution", "table_questions")
        rows.append(record(questions, settings.problems, n_steps=n_steps, step=stride))
    return rows


def collected(log_kinds: float) -> float:
    """Return the mean number of draws until each of equally likely kinds was drawn, to two terms in their number."""
    return float(np.exp(log_kinds) * (log_kinds + np.euler_gamma))
