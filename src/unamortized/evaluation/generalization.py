"""Generalization: the answer against the exact posterior, by number of steps and under each shift of the task."""

from functools import partial

import numpy as np

from unamortized.evaluation.baselines import baselines
from unamortized.evaluation.distances import answer_metrics
from unamortized.evaluation.protocol import (
    Rows,
    SampleSize,
    TestSet,
    by_length_tests,
    recorder,
    shifted_tests,
    test_problems,
)
from unamortized.evaluation.rows import row
from unamortized.labels import numbered
from unamortized.learning.rollouts import exact_answers, respond
from unamortized.learning.specification import Run
from unamortized.models.flops import generation_flops
from unamortized.worlds.problems import Problems
from unamortized.worlds.splits import content_hash, draw, shares_questions
from unamortized.worlds.tasks import Task

AVERAGED = (4, 16)  # numbers of sampled traces to average over


def by_length(run: Run, settings: SampleSize) -> Rows:
    """Measure a run's answers at each test length, after its own free-running trace.

    If the run samples its trace, the variants ``mean_<k>`` average the answers over k traces.
    """
    return [row for test in by_length_tests(run.task) for row in _answered(run, test, settings)]


def by_shift(run: Run, settings: SampleSize) -> Rows:
    """Measure the same under each shift that the task declares."""
    return [row for test in shifted_tests(run.task) for row in _answered(run, test, settings)]


def _answered(run: Run, test: TestSet, settings: SampleSize) -> Rows:
    task, seed, rows = run.task, run.spec.seed, Rows()
    problems = test_problems(task, test.n_steps, settings.problems, seed, test.shift)
    kind = run.language.kind
    n_traces = {"": 1} | ({numbered("mean", k): k for k in AVERAGED} if kind.sampled else {})  # by variant
    responses = [respond(run, problems, draw=draw) for draw in range(max(n_traces.values()))]
    cost = generation_flops(run.spec.model, run.vocabulary.size, run.render(problems).written.tolist())
    record = recorder(run, test.n_steps, test.split)
    for variant, k in n_traces.items():
        answer = np.mean([response.answers for response in responses[:k]], axis=0)
        measured = answer_metrics(exact_answers(run, problems), answer) | {"answer_flops": k * cost}
        rows += [record(metric, value, len(problems), variant=variant) for metric, value in measured.items()]
    steps = responses[0].trace_steps
    if len(steps) and not kind.sampled and not kind.hinted:  # the last code may take in a hint
        right = run.vocabulary.encode(problems.beliefs[:, steps]) == responses[0].stated
        rows.append(record("trace_agreement", right.mean(), right.size))
    return rows


def baselines_by_length(task: Task, seed: int, settings: SampleSize) -> Rows:
    """Measure each baseline on the same problems, and the share of repeated questions."""
    return [row for test in by_length_tests(task) for row in _baselines(task, seed, test, settings)]


def baselines_by_shift(task: Task, seed: int, settings: SampleSize) -> Rows:
    """Measure the same under each shift that the task declares."""
    return [row for test in shifted_tests(task) for row in _baselines(task, seed, test, settings)]


def _baselines(task: Task, seed: int, test: TestSet, settings: SampleSize) -> Rows:
    problems = test_problems(task, test.n_steps, settings.problems, seed, test.shift)
    record = partial(row, task.name, seed=seed, split=test.split, count=len(problems), n_steps=test.n_steps)
    rows = Rows()
    for name, answer in baselines(task, seed, test.shift).items():
        measured = answer_metrics(problems.answer_distribution, answer(task, problems))
        if name == "codebook_floor":
            measured["codebook_floor"] = measured["answer_kl"]
        rows += [record(name, metric=metric, value=value) for metric, value in measured.items()]
    rows.append(record("test_questions", metric="duplicate_rate", value=duplicate_rate(task, problems)))
    return rows


def duplicate_rate(task: Task, problems: Problems, sample: int = 4096) -> float:
    """Return the share of test questions that begin one of ``sample`` training questions of at least their length.

    Zero by construction, unless a length has so few questions that splits share them. Then every test question
    counts, since endless training meets them all.

    Raises:
        RuntimeError: if splits that are disjoint by construction share a question.
    """
    if shares_questions(task, problems.n_steps):
        return 1.0
    longer = draw(task, "train", max(problems.n_steps, task.steps.train[1]), sample, "duplicates")
    if np.isin(content_hash(problems), content_hash(longer, problems.n_steps)).any():
        raise RuntimeError(f"{task.name}: a test question of {problems.n_steps} steps begins a training question")
    return 0.0
