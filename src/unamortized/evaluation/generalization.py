"""Generalisation: the answer against the exact posterior, by number of steps, in and out of training length."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from unamortized.evaluation.baselines import baselines
from unamortized.evaluation.metrics import answer_metrics, row
from unamortized.evaluation.responses import respond
from unamortized.language.traces import resolve_trace
from unamortized.learning.runs import Run
from unamortized.models.flops import generation_flops
from unamortized.worlds.problems import Problems
from unamortized.worlds.splits import content_hash, draw, shares_questions
from unamortized.worlds.tasks import Task

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class ByLength:
    """How much is evaluated."""

    problems: int = 512  # per length
    averaged: tuple[int, ...] = (4, 16)  # numbers of sampled traces that are averaged


def split_of(task: Task, n_steps: int) -> str:
    """Whether a length is in distribution or the ``length`` split."""
    first, last = task.steps.train
    return "in_distribution" if first <= n_steps <= last else "length"


def test_problems(task: Task, n_steps: int, size: int, seed: int) -> Problems:
    """The test problems of a length and seed: the same for every condition, so that differences are paired."""
    return draw(task, "test", n_steps, size, seed)


def by_length(run: Run, settings: ByLength) -> Rows:
    """Answer metrics of a run at each test length, after its own free-running trace.

    A run that samples its trace is also scored with its answers averaged over k traces, under the condition
    ``<condition>_mean_<k>``.
    """
    task, seed = run.task, run.spec.seed
    rows: Rows = []
    for n_steps in task.steps.test:
        problems = test_problems(task, n_steps, settings.problems, seed)
        exact = resolve_trace(run.condition.trace)(problems, run.vocabulary)
        numbers = {run.spec.condition: 1}  # of traces that are averaged
        if exact.sampled:
            numbers |= {f"{run.spec.condition}_mean_{k}": k for k in settings.averaged}
        responses = [respond(run, problems, draw=number) for number in range(max(numbers.values()))]
        cost = generation_flops(run.spec.model, run.vocabulary.size, run.render(problems).written.tolist())
        split, count = split_of(task, n_steps), len(problems)
        for condition, k in numbers.items():
            record = partial(row, task.name, condition, seed, split, count=count, n_steps=n_steps)
            answer = np.mean([response.answers for response in responses[:k]], axis=0)
            measured = answer_metrics(problems.answer_distribution, answer) | {"answer_flops": k * cost}
            rows += [record(metric, value) for metric, value in measured.items()]
        if len(exact.steps) and not exact.sampled:
            right = exact.tokens - run.vocabulary.blocks[exact.block].start == responses[0].written
            agreement = partial(row, task.name, run.spec.condition, seed, split, "trace_agreement")
            rows.append(agreement(right.mean(), right.size, n_steps=n_steps))
    return rows


def baselines_by_length(task: Task, seed: int, settings: ByLength) -> Rows:
    """The same metrics for each baseline, on the same problems, and the share of repeated questions."""
    rows: Rows = []
    for n_steps in task.steps.test:
        problems = test_problems(task, n_steps, settings.problems, seed)
        split, count = split_of(task, n_steps), len(problems)
        for name, answer in baselines(task, seed).items():
            record = partial(row, task.name, name, seed, split, count=count, n_steps=n_steps)
            measured = answer_metrics(problems.answer_distribution, answer(task, problems))
            if name == "codebook_floor":
                measured["codebook_floor"] = measured["answer_kl"]
            rows += [record(metric, value) for metric, value in measured.items()]
        duplicates = duplicate_rate(task, problems)
        rows.append(row(task.name, "test_questions", seed, split, "duplicate_rate", duplicates, count, n_steps=n_steps))
    return rows


def duplicate_rate(task: Task, problems: Problems, sample: int = 4096) -> float:
    """Share of test questions that begin one of ``sample`` training questions, at least as long as they are.

    Zero by construction unless a length has so few questions that splits have to share them; then every
    test question counts, as endless training meets them all.
    """
    if shares_questions(task, problems.n_steps):
        return 1.0
    longer = draw(task, "train", max(problems.n_steps, task.steps.train[1]), sample, "duplicates")
    return float(np.isin(content_hash(problems), content_hash(longer, problems.n_steps)).mean())
