"""The evaluation protocol: which problems every run is tested on, and the rows that come back."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from unamortized.learning.runs import Run, load_run, snapshot_steps
from unamortized.worlds.problems import Problems
from unamortized.worlds.splits import Shift, draw
from unamortized.worlds.tasks import Task

Rows = list[dict[str, Any]]
FEWEST_PROBLEMS = 20  # a reading of fewer is noise


def split_of(task: Task, n_steps: int) -> str:
    """Whether a length is in distribution or the ``length`` split."""
    first, last = task.steps.train
    return "in_distribution" if first <= n_steps <= last else "length"


class TestSet(NamedTuple):
    """Questions that are alike in length and in what of them is shifted."""

    n_steps: int
    shift: Shift
    split: str  # as ``metrics.csv`` calls it; crossed shifts are joined by a plus


def by_length_tests(task: Task) -> list[TestSet]:
    """Each test length, with nothing else shifted."""
    return [TestSet(n_steps, (), split_of(task, n_steps)) for n_steps in task.steps.test]


def shifted_tests(task: Task) -> list[TestSet]:
    """Each shift that the task declares, at the longest training length; crossed with length, at the longest tested."""
    usual, longest = task.steps.train[1], max(task.steps.test)
    singly = [(axis,) for axis in task.shifts.declared]
    return [
        TestSet(
            longest if "length" in axes else usual,
            tuple(axis for axis in axes if axis != "length"),
            "+".join(axes),
        )
        for axes in (*singly, *task.shifts.crossed)
    ]


def test_problems(task: Task, n_steps: int, size: int, seed: int, shift: Shift = ()) -> Problems:
    """The test problems of a length and seed: the same for every condition, so that differences are paired."""
    return draw(task, "test", n_steps, size, seed, shift=shift)


def snapshots(run: Run) -> Iterator[tuple[int, Run]]:
    """Yield each training step at which a run kept its weights, with the run as it was then.

    The specification stays that of ``run``, whose tests may differ from those it was trained under.
    """
    for step in snapshot_steps(run.spec):
        yield step, replace(load_run(run.folder, step), spec=run.spec)
