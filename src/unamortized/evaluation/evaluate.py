"""Evaluations as jobs: what is measured on a run (or a task), kept in its folder, and never measured twice.

What was measured is kept under a hash of the settings and of the source code that measures, so that a
changed metric is measured anew while the trained weights stay.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from unamortized.evaluation.metrics import to_csv, to_table
from unamortized.learning.runs import Run, exclusively, load_run, read_record, write_text
from unamortized.worlds.randomness import digest, source_version
from unamortized.worlds.tasks import Task

# hashed when it is imported, as the code that measures is: an edit during a run must not pass for what ran
MEASURED_BY = source_version("worlds", "language", "models", "learning", "evaluation")


@dataclass(frozen=True)
class Evaluation:
    """A function from a run, or from a task and a seed, to rows; with how much of it to do."""

    name: str
    function: Callable[..., Any]  # (run, settings) or (task, seed, settings) -> rows, or a table of examples
    settings: Any  # a frozen dataclass
    of: Literal["run", "task"] = "run"
    gives: Literal["metrics", "examples"] = "metrics"
    only_seed: int | None = None
    lengths: tuple[int, ...] | None = None  # tested instead of those that the run was trained under

    def applies(self, seed: int) -> bool:
        """Whether this is measured for a seed."""
        return self.only_seed is None or self.only_seed == seed

    def at(self, task: Task) -> "Evaluation":
        """The same at a task's test lengths: a run is not trained again for others, but measured again."""
        return replace(self, lengths=task.steps.test)

    def measure(self, run: Run) -> Any:
        """What the function gives for a run."""
        if self.lengths is not None:
            steps = run.task.steps.model_copy(update={"test": self.lengths})
            task = run.task.model_copy(update={"steps": steps})
            run = replace(run, spec=run.spec.model_copy(update={"task": task}))
        return self.function(run, self.settings)

    def file(self, folder: Path) -> Path:
        """Where the result is kept."""
        key = digest(self.name, asdict(self.settings), self.lengths, MEASURED_BY)
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
        write_text(folder / "metrics.csv", collect([(folder, evaluations)], "metrics"))


def evaluate_task(task: Task, seed: int, root: Path, evaluations: Sequence[Evaluation]) -> Path:
    """Measure what is missing on a task, for which no model is needed; returns its folder."""
    folder = task_folder(task, seed, root)
    with exclusively(folder):
        for evaluation in evaluations:
            if not evaluation.file(folder).exists():
                _keep(evaluation, folder, evaluation.function(task, seed, evaluation.settings))
        write_text(folder / "metrics.csv", collect([(folder, evaluations)], "metrics"))
    return folder


def task_folder(task: Task, seed: int, root: Path) -> Path:
    """Where what is measured on a task and seed is kept."""
    return root / "baselines" / digest(task.canonical(), seed)


def _keep(evaluation: Evaluation, folder: Path, result: Any) -> None:
    table = result if isinstance(result, pd.DataFrame) else to_table(result)
    write_text(evaluation.file(folder), to_csv(table))


def collect(measured: Sequence[tuple[Path, Sequence[Evaluation]]], gives: str) -> str:
    """The kept results of folders, one after the other, as one table of text.

    Text, not numbers, is passed on, so that what was measured is repeated byte for byte.
    """
    header, lines = "", []
    for folder, evaluations in measured:
        for evaluation in evaluations:
            if evaluation.gives == gives:
                file = evaluation.file(folder)
                if not file.exists():
                    raise ValueError(f"{file} is missing: the code changed while it ran; run the same command again")
                header, _, body = file.read_text().partition("\n")
                lines.append(body)
    return header + "\n" + "".join(lines)
