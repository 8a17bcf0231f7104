"""Evaluations as jobs: what is measured on a run (or a task), kept in its folder, and never measured twice.

What was measured is kept under a hash of the settings and of the source code that measures (the evaluation's
module and all that it imports), so that a changed metric is measured anew while the trained weights stay.
"""

from collections.abc import Callable, Container, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pandas as pd

from unamortized.evaluation.rows import to_csv, to_table
from unamortized.labels import joined
from unamortized.learning.runs import (
    Run,
    RunSpec,
    exclusively,
    load_run,
    read_record,
    sibling,
    write_text,
)
from unamortized.worlds.net_tasks import NetTask
from unamortized.worlds.randomness import digest
from unamortized.worlds.source_code import read_sources, source_version
from unamortized.worlds.tasks import Task

# read when this is imported, as the code that measures is: an edit during a run must not pass for what ran
SOURCES = read_sources()


@cache
def measured_by(module: str) -> str:
    """The version of an evaluation's code; asked for each run again and again."""
    return source_version(SOURCES, module)


class Measured(NamedTuple):
    """A folder, what was measured there, and the labels that a study's tables give to its rows."""

    folder: Path
    evaluations: Sequence["Evaluation"]
    world: str = ""
    variant: str = ""
    run: str = ""  # the run's hash; empty for a task


@dataclass(frozen=True)
class Evaluation:
    """A function from a run, or from a task and a seed, to rows; with how much of it to do."""

    name: str
    function: Callable[..., Any]  # (run, settings) or (task, seed, settings) -> rows, or a table of examples
    settings: Any  # a frozen dataclass
    of: Literal["run", "task"] = "run"
    gives: Literal["metrics", "examples"] = "metrics"
    only_seed: int | None = None
    against: str | None = None  # a condition, whose run that differs in nothing else has to be finished before
    task: Task | NetTask | None = None  # tested instead of the one that the run was trained under: its tests may differ

    def applies(self, seed: int) -> bool:
        """Whether this is measured for a seed."""
        return self.only_seed is None or self.only_seed == seed

    def compares(self, spec: RunSpec, root: Path, folders: Container[Path]) -> bool:
        """Whether another run for this one to be compared with is among those in these folders."""
        if self.against is None or spec.condition == self.against:
            return False
        return sibling(spec, self.against, root) in folders

    def at(self, task: Task | NetTask) -> "Evaluation":
        """The same with a task's tests: a run is not trained again for others, but measured again."""
        return replace(self, task=task)

    def measure(self, run: Run) -> Any:
        """What the function gives for a run."""
        if self.task is not None:
            run = replace(run, spec=run.spec.model_copy(update={"task": self.task}))
        return self.function(run, self.settings)

    def file(self, folder: Path) -> Path:
        """Where the result is kept."""
        spec = self.task.canonical() if self.task else None
        tests = spec and [spec["steps"]["test"], spec.get("shifts")]
        by = measured_by(self.function.__module__)
        key = digest(self.name, asdict(self.settings), tests, by)
        return folder / "evaluations" / f"{self.name}-{key}.csv"


def evaluate_run(folder: Path, evaluations: Sequence[Evaluation], report: Callable[[str], None]) -> None:
    """Measure what is missing on a finished run, and write its ``metrics.csv`` anew.

    Raises:
        ValueError: if the folder holds no finished run.
    """
    run: Run | None = None
    read_record(folder)  # a folder that holds no run is left as it is
    with exclusively(folder):
        for evaluation in evaluations:
            if not evaluation.file(folder).exists():
                run = run or load_run(folder)
                report(evaluation.name)
                _keep(evaluation, folder, evaluation.measure(run))
        write_text(folder / "metrics.csv", collect([Measured(folder, evaluations, run=folder.name)], "metrics"))


def evaluate_task(task: Task | NetTask, seed: int, root: Path, evaluations: Sequence[Evaluation]) -> Path:
    """Measure what is missing on a task, for which no model is needed; returns its folder."""
    folder = task_folder(task, seed, root)
    with exclusively(folder):
        for evaluation in evaluations:
            if not evaluation.file(folder).exists():
                _keep(evaluation, folder, evaluation.function(task, seed, evaluation.settings))
        write_text(folder / "metrics.csv", collect([Measured(folder, evaluations)], "metrics"))
    return folder


def task_folder(task: Task | NetTask, seed: int, root: Path) -> Path:
    """Where what is measured on a task and seed is kept."""
    return root / "baselines" / digest(task.canonical(), seed)


def _keep(evaluation: Evaluation, folder: Path, result: Any) -> None:
    table = result if isinstance(result, pd.DataFrame) else to_table(result)
    write_text(evaluation.file(folder), to_csv(table))


def collect(measured: Sequence[Measured], gives: Literal["metrics", "examples"]) -> str:
    """The kept results of folders, one after the other, as one table of text.

    Values are passed on as text, so that they are repeated byte for byte; world, variant and run are filled in.

    Raises:
        ValueError: if a result is missing.
    """
    tables = [
        _labeled(_read_kept(evaluation, each.folder), each)
        for each in measured
        for evaluation in each.evaluations
        if evaluation.gives == gives
    ]
    return pd.concat(tables).to_csv(index=False, lineterminator="\n") if tables else ""


def _read_kept(evaluation: Evaluation, folder: Path) -> pd.DataFrame:
    file = evaluation.file(folder)
    if not file.exists():
        raise ValueError(f"{file} is missing: the code changed while it ran; run the same command again")
    return pd.read_csv(file, dtype=str, keep_default_na=False)


def _labeled(table: pd.DataFrame, measured: Measured) -> pd.DataFrame:
    """A table with its world, its variant before that of the rows themselves, and the run that it was measured on."""
    variants = [joined(measured.variant, own) for own in table["variant"]]
    return table.assign(world=measured.world, variant=variants, run=measured.run)
