"""The evaluation protocol: the problems that every run is tested on, and the rows that evaluations return."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

from unamortized.evaluation.rows import row
from unamortized.learning.runs import load_run, new_model, snapshot_steps
from unamortized.learning.specification import Run
from unamortized.models.device import device_of
from unamortized.worlds.problems import Problems
from unamortized.worlds.splits import Shift, draw
from unamortized.worlds.tasks import Task

Rows = list[dict[str, Any]]  # of ``metrics.csv``, each made by ``rows.row``
FEWEST_PROBLEMS = 20  # claims and figures ignore a value measured on fewer problems: it is mostly noise


@dataclass(frozen=True)
class SampleSize:
    """The number of problems to measure on."""

    problems: int = 512


def split_of(task: Task, n_steps: int) -> str:
    """Return ``in_distribution`` for the training lengths, ``length`` for all others."""
    first, last = task.steps.train
    return "in_distribution" if first <= n_steps <= last else "length"


def recorder(run: Run, n_steps: int, split: str = "") -> Callable[..., dict[str, Any]]:
    """Return the function that makes rows of a run at one length, from metric, value, count and more (``rows.row``)."""
    split = split or split_of(run.task, n_steps)
    return partial(row, run.task.name, run.spec.condition, run.spec.seed, split, n_steps=n_steps)


class TestSet(NamedTuple):
    """Test questions of one length and one shift."""

    n_steps: int
    shift: Shift
    split: str  # as in ``metrics.csv``; crossed shifts are joined by a plus


def by_length_tests(task: Task) -> list[TestSet]:
    """List the test lengths, with nothing else shifted."""
    return [TestSet(n_steps, (), split_of(task, n_steps)) for n_steps in task.steps.test]


def shifted_tests(task: Task) -> list[TestSet]:
    """List the task's shifts at the longest training length; those crossed with length at the longest test length."""
    usual, longest = task.steps.train[1], max(task.steps.test)
    singly = [(axis,) for axis in task.shifts.declared]
    return [
        TestSet(
            longest if "length" in axes else usual, tuple(axis for axis in axes if axis != "length"), "+".join(axes)
        )
        for axes in (*singly, *task.shifts.crossed)
    ]


def test_problems(task: Task, n_steps: int, size: int, seed: int, shift: Shift = ()) -> Problems:
    """Draw the test problems of a length and seed: the same for every condition, so that differences are paired."""
    return draw(task, "test", n_steps, size, seed, shift=shift)


def before_training(run: Run) -> Run:
    """Return the run as it was before its first step, on the device where it is now."""
    return replace(run, model=new_model(run.spec).eval().to(device_of(run.model)))


def snapshots(run: Run) -> Iterator[tuple[int, Run]]:
    """Yield each training step at which a run kept its weights, with the run as it was then, but today's tests."""
    for step in snapshot_steps(run.spec):
        yield step, replace(run, model=load_run(run.folder, step, device_of(run.model)).model)
