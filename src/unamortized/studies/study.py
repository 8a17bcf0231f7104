"""What a study is: a question, a grid of runs for each preset, evaluations, claims and figures."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from pydantic import BaseModel, ConfigDict

from unamortized.evaluation.evaluate import Evaluation
from unamortized.learning.runs import RunSpec, TrainSpec, plan_run
from unamortized.models.transformer import ModelSpec
from unamortized.studies.claims import Claim
from unamortized.worlds.field_errors import validate
from unamortized.worlds.tasks import Task, load_task
from unamortized.worlds.yaml_source import Source, SpecError, apply_overrides

PRESET = "the preset"  # as messages call what overrides of the learning change


@dataclass(frozen=True)
class Cell:
    """A task with the conditions that are trained on it."""

    task: str
    conditions: tuple[str, ...]
    seeds: int
    train: TrainSpec = field(default_factory=TrainSpec)
    model: ModelSpec = field(default_factory=ModelSpec)


@dataclass(frozen=True)
class Preset:
    """How much of a study is done: the runs, and how thoroughly they are measured."""

    cells: tuple[Cell, ...]
    evaluations: tuple[Evaluation, ...]

    def cell(self, task: str) -> Cell:
        """The cell of a task; a task that the study does not know is treated as its first one."""
        known = {cell.task: cell for cell in self.cells}
        return known.get(task, replace(self.cells[0], task=task))


@dataclass(frozen=True)
class Study:
    """What a figure needs, declared in one place."""

    name: str
    question: str
    presets: dict[str, Preset]
    claims: tuple[Claim, ...]
    figures: tuple[str, ...]  # names in ``figures.FIGURES``

    def preset(self, name: str) -> Preset:
        """The preset of that name.

        Raises:
            ValueError: if there is none.
        """
        if name not in self.presets:
            raise ValueError(f"{self.name} has no preset named '{name}'; there are {', '.join(self.presets)}")
        return self.presets[name]


class Learning(BaseModel):
    """What overrides of a run may change: ``model.*`` and ``train.*``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: ModelSpec
    train: TrainSpec


def split_overrides(overrides: Sequence[str]) -> tuple[list[str], list[str]]:
    """Overrides of the learning (``model.*``, ``train.*``), and those of the task."""
    learning = [text for text in overrides if text.startswith(("model.", "train."))]
    return learning, [text for text in overrides if text not in learning]


def plan(
    preset: Preset,
    tasks: Sequence[str] = (),
    conditions: Sequence[str] = (),
    seeds: Sequence[int] = (),
    overrides: Sequence[str] = (),
) -> list[RunSpec]:
    """The runs of a preset, or of the parts of it that are named.

    Args:
        preset: of a study.
        tasks: names or files of tasks; none: the preset's own.
        conditions: none: those of each task's cell.
        seeds: none: as many as the cell says, from 0.
        overrides: dotted, for the task, ``model.*`` or ``train.*``.

    Raises:
        SpecError: with everything that is wrong with the task files and overrides.
        ValueError: if two different tasks have the same name.
    """
    for_learning, for_task = split_overrides(overrides)
    names = tasks or [cell.task for cell in preset.cells]
    *loaded, _ = _all_right(
        *(partial(load_task, name, for_task) for name in names), partial(_learning, preset.cells[0], for_learning)
    )
    tasks_by_name: dict[str, Task] = {}
    for task in loaded:
        if tasks_by_name.setdefault(task.name, task) != task:
            raise ValueError(f"two different tasks are named '{task.name}'; give one another 'name:' in its file")
    specs = []
    for task in tasks_by_name.values():
        cell = preset.cell(task.name)
        learning = _learning(cell, for_learning)
        specs += [
            plan_run(task, condition, seed, learning.model, learning.train)
            for condition in conditions or cell.conditions
            for seed in seeds or range(cell.seeds)
        ]
    return specs


def _learning(cell: Cell, overrides: Sequence[str]) -> Learning:
    defaults = {"model": cell.model.model_dump(), "train": cell.train.model_dump()}
    return validate(Learning, apply_overrides(Source(PRESET, defaults), overrides))


def _all_right(*parts: Callable[[], Any]) -> list[Any]:
    """What each part gives, or one error with all that is wrong in any of them."""
    given, errors = [], []
    for part in parts:
        try:
            given.append(part())
        except SpecError as error:
            errors.append(error)
    if errors:
        names = dict.fromkeys(error.name for error in errors if error.name != PRESET)
        faults = dict.fromkeys(fault for error in errors for fault in error.faults)
        raise SpecError(" and ".join(names) or PRESET, faults)
    return given
