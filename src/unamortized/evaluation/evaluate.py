"""Evaluations: functions that measure a run or a task; results are kept in its folder and never measured twice.

A result is kept under a hash of the settings and of the evaluation's source code (its module and all that it imports).
"""

from collections.abc import Callable, Container, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pandas as pd

from unamortized.evaluation.rows import to_csv, to_table
from unamortized.labels import joined
from unamortized.learning.runs import assemble, exclusively, load_run, read_record, sibling, write_text
from unamortized.learning.specification import Run, RunSpec
from unamortized.models.device import resolve_device
from unamortized.worlds.net_tasks import NetTask
from unamortized.worlds.randomness import digest
from unamortized.worlds.source_code import read_sources, source_version
from unamortized.worlds.tasks import Task

SOURCES = read_sources()  # read at import, like the code itself: a later edit must not count as the code that ran


@cache
def measured_by(module: str) -> str:
    """Return the version of an evaluation's code; cached because every run requests it."""
    return source_version(SOURCES, module)


class Measured(NamedTuple):
    """The evaluations measured in a folder, and the columns that a study's tables fill in for them."""

    folder: Path
    evaluations: Sequence["Evaluation"]
    world: str = ""
    variant: str = ""
    run: str = ""  # hash of the run; empty for a task


@dataclass(frozen=True)
class Evaluation:
    """A function from a run, or from a task and a seed, to rows, and its settings."""

    name: str
    function: Callable[..., Any]  # (run, settings) or (task, seed, settings) -> rows, or a table of examples
    settings: Any  # a frozen dataclass
    of: Literal["run", "task"] = "run"
    gives: Literal["metrics", "examples"] = "metrics"
    against: str | None = None  # condition of the finished sibling run that this compares with
    task: Task | NetTask | None = None  # replaces the run's own task, whose tests may differ

    def applies(self, seed: int) -> bool:
        """Whether this measures runs of a seed: tables of examples show the first seed alone."""
        return self.gives == "metrics" or seed == 0

    def compares(self, spec: RunSpec, root: Path, folders: Container[Path]) -> bool:
        """Whether this compares a run with a sibling whose folder is among these."""
        return self.against not in (None, spec.condition) and sibling(spec, str(self.against), root) in folders

    def at(self, task: Task | NetTask) -> "Evaluation":
        """Return this evaluation with the tests of a task; other tests need no further training."""
        return replace(self, task=task)

    def measure(self, run: Run) -> Any:
        """Measure a run."""
        if self.task is not None:
            run = assemble(run.spec.model_copy(update={"task": self.task}), run.model, run.folder)
        return self.function(run, self.settings)

    def file(self, folder: Path) -> Path:
        """Return the file of the result in a run's or task's folder."""
        task = self.task.canonical() if self.task else None
        tests = task and [task["steps"]["test"], task.get("shifts")]
        key = digest(self.name, asdict(self.settings), tests, measured_by(self.function.__module__))
        return folder / "evaluations" / f"{self.name}-{key}.csv"


def evaluate_run(
    folder: Path, evaluations: Sequence[Evaluation], report: Callable[[str], None], device: str = "cpu"
) -> None:
    """Measure the missing evaluations of a finished run, and rewrite its ``metrics.csv``.

    Raises:
        ValueError: if the folder has no finished run.
    """
    run: Run | None = None
    read_record(folder)  # raises before anything is written to a folder without a run
    with exclusively(folder):
        for evaluation in evaluations:
            if not evaluation.file(folder).exists():
                run = run or load_run(folder, device=resolve_device(device))
                report(evaluation.name)
                _keep(evaluation, folder, evaluation.measure(run))
        write_text(folder / "metrics.csv", collect([Measured(folder, evaluations, run=folder.name)], "metrics"))


def evaluate_task(task: Task | NetTask, seed: int, root: Path, evaluations: Sequence[Evaluation]) -> Path:
    """Measure the missing evaluations of a task, which need no model; return its folder."""
    folder = task_folder(task, seed, root)
    with exclusively(folder):
        for evaluation in evaluations:
            if not evaluation.file(folder).exists():
                _keep(evaluation, folder, evaluation.function(task, seed, evaluation.settings))
        write_text(folder / "metrics.csv", collect([Measured(folder, evaluations)], "metrics"))
    return folder


def task_folder(task: Task | NetTask, seed: int, root: Path) -> Path:
    """Return the folder for results on a task and seed."""
    return root / "baselines" / digest(task.canonical(), seed)


def _keep(evaluation: Evaluation, folder: Path, result: Any) -> None:
    table = result if isinstance(result, pd.DataFrame) else to_table(result)
    write_text(evaluation.file(folder), to_csv(table))


def collect(measured: Sequence[Measured], gives: Literal["metrics", "examples"]) -> str:
    """Concatenate kept results into the text of one table, byte for byte; fill in world, variant and run.

    Raises:
        ValueError: if a result is missing.
    """
    tables = [
        _labeled(evaluation.file(each.folder), each)
        for each in measured
        for evaluation in each.evaluations
        if evaluation.gives == gives
    ]
    return pd.concat(tables).to_csv(index=False, lineterminator="\n") if tables else ""


def _labeled(file: Path, measured: Measured) -> pd.DataFrame:
    """Read a kept result and fill in world, run and variant; the variant of the rows themselves comes last."""
    if not file.exists():
        raise ValueError(f"{file} is missing because the code changed during the run; repeat the command")
    table = pd.read_csv(file, dtype=str, keep_default_na=False)
    variants = [joined(measured.variant, own) for own in table["variant"]]
    return table.assign(world=measured.world, variant=variants, run=measured.run)
