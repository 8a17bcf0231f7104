"""Generalization: the answer against the exact posterior, by number of steps and under each shift of the task."""

from dataclasses import dataclass
from functools import partial

import numpy as np

from unamortized.evaluation.baselines import baselines
from unamortized.evaluation.distances import answer_metrics
from unamortized.evaluation.protocol import Rows, TestSet, by_length_tests, shifted_tests, test_problems
from unamortized.evaluation.responses import exact_answers, respond
from unamortized.evaluation.rows import row
from unamortized.language.traces import resolve_trace
from unamortized.learning.runs import Run
from unamortized.models.flops import generation_flops
from unamortized.worlds.problems import Problems
from unamortized.worlds.splits import content_hash, draw, shares_questions
from unamortized.worlds.tasks import Task


@dataclass(frozen=True)
class ByLength:
    """How much is evaluated."""

    problems: int = 512  # per length
    averaged: tuple[int, ...] = (4, 16)  # numbers of sampled traces that are averaged


def by_length(run: Run, settings: ByLength) -> Rows:
    """Answer metrics of a run at each test length, after its own free-running trace.

    A run that samples its trace is also scored with its answers averaged over k traces, under the condition
    ``<condition>_mean_<k>``.
    """
    return [row for test in by_length_tests(run.task) for row in _answered(run, test, settings)]


def by_shift(run: Run, settings: ByLength) -> Rows:
    """The same under each shift that the task declares."""
    return [row for test in shifted_tests(run.task) for row in _answered(run, test, settings)]


def _answered(run: Run, test: TestSet, settings: ByLength) -> Rows:
    task, seed, rows = run.task, run.spec.seed, []
    problems = test_problems(task, test.n_steps, settings.problems, seed, test.shift)
    kind = resolve_trace(run.condition.trace)
    numbers = {run.spec.condition: 1}  # of traces that are averaged
    if kind.sampled:
        numbers |= {f"{run.spec.condition}_mean_{k}": k for k in settings.averaged}
    responses = [respond(run, problems, draw=number) for number in range(max(numbers.values()))]
    cost = generation_flops(run.spec.model, run.vocabulary.size, run.render(problems).written.tolist())
    record = partial(row, task.name, seed=seed, split=test.split, n_steps=test.n_steps)
    for condition, k in numbers.items():
        answer = np.mean([response.answers for response in responses[:k]], axis=0)
        measured = answer_metrics(exact_answers(run, problems), answer) | {"answer_flops": k * cost}
        rows += [
            record(condition, metric=metric, value=value, count=len(problems)) for metric, value in measured.items()
        ]
    steps = responses[0].trace_steps
    if len(steps) and not kind.sampled and not kind.hinted:  # a hint may be told in the last step
        right = run.vocabulary.encode(problems.beliefs[:, steps]) == responses[0].stated
        rows.append(record(run.spec.condition, metric="trace_agreement", value=right.mean(), count=right.size))
    return rows


def baselines_by_length(task: Task, seed: int, settings: ByLength) -> Rows:
    """The same metrics for each baseline, on the same problems, and the share of repeated questions."""
    return [row for test in by_length_tests(task) for row in _baselines(task, seed, test, settings)]


def baselines_by_shift(task: Task, seed: int, settings: ByLength) -> Rows:
    """The same under each shift that the task declares."""
    return [row for test in shifted_tests(task) for row in _baselines(task, seed, test, settings)]


def _baselines(task: Task, seed: int, test: TestSet, settings: ByLength) -> Rows:
    problems = test_problems(task, test.n_steps, settings.problems, seed, test.shift)
    record = partial(row, task.name, seed=seed, split=test.split, count=len(problems), n_steps=test.n_steps)
    rows: Rows = []
    for name, answer in baselines(task, seed, test.shift).items():
        measured = answer_metrics(problems.answer_distribution, answer(task, problems))
        if name == "codebook_floor":
            measured["codebook_floor"] = measured["answer_kl"]
        rows += [record(name, metric=metric, value=value) for metric, value in measured.items()]
    duplicates = duplicate_rate(task, problems)
    rows.append(record("test_questions", metric="duplicate_rate", value=duplicates))
    return rows


def duplicate_rate(task: Task, problems: Problems, sample: int = 4096) -> float:
    """Share of test questions that begin one of ``sample`` training questions, at least as long as they are.

    Zero by construction unless a length has so few questions that splits have to share them; then every
    test question counts, as endless training meets them all.

    Raises:
        RuntimeError: if splits that are disjoint by construction share a question all the same.
    """
    if shares_questions(task, problems.n_steps):
        return 1.0
    longer = draw(task, "train", max(problems.n_steps, task.steps.train[1]), sample, "duplicates")
    if np.isin(content_hash(problems), content_hash(longer, problems.n_steps)).any():
        raise RuntimeError(f"{task.name}: a test question of {problems.n_steps} steps begins a training question")
    return 0.0
