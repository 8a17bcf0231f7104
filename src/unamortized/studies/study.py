"""Studies: a question, a grid of runs for each preset, evaluations, claims and figures."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict

from unamortized.configuration.document import Document, SpecError
from unamortized.configuration.field_errors import validate
from unamortized.configuration.overrides import apply_overrides
from unamortized.evaluation.evaluate import Evaluation
from unamortized.evaluation.examples import example_problems
from unamortized.evaluation.generalization import baselines_by_length, by_length
from unamortized.evaluation.learning_curve import CurveSettings, learning_curve
from unamortized.evaluation.protocol import SampleSize
from unamortized.labels import numbers
from unamortized.learning.conditions import check_fits, resolve_condition
from unamortized.learning.runs import plan_run
from unamortized.learning.specification import AnyTask, RunSpec, TrainSpec
from unamortized.models.transformer import ModelSpec
from unamortized.studies.claims import Claim
from unamortized.studies.figures.charts import Chart, Picture
from unamortized.worlds.net_tasks import NetTask
from unamortized.worlds.task_files import load_task
from unamortized.worlds.tasks import Task

TASKS = "tasks"  # the folder of the task files that studies know
WORLD_SEED = "process.seed"
NAMED = {"steps": "train.steps", "layers": "model.layers"}  # words of variants, and the fields that they are about
PRESET = "the preset"  # as messages call what overrides of the learning change
SMOKE = TrainSpec(steps=12, batch_size=32, warmup_steps=4)  # too short to learn anything
HALF_SMOKE = TrainSpec(steps=6, batch_size=32, warmup_steps=4)


@dataclass(frozen=True)
class Cell:
    """A task with the conditions that are trained on it; ``world`` and ``variant`` are columns of the tables."""

    task: str
    conditions: tuple[str, ...]
    seeds: int
    train: TrainSpec = field(default_factory=TrainSpec)
    model: ModelSpec = field(default_factory=ModelSpec)
    overrides: tuple[str, ...] = ()  # dotted, of the task
    world: str = ""  # names a change of the task
    variant: str = ""  # names a change of the learning
    options: Mapping[str, Any] = field(default_factory=dict)  # of the condition
    own_worlds: bool = True  # whether the run's seed draws the process, too


@dataclass(frozen=True)
class Preset:
    """How much of a study is done: the runs, and how thoroughly they are measured."""

    cells: tuple[Cell, ...]
    evaluations: tuple[Evaluation, ...]

    def cells_of(self, task: str) -> tuple[Cell, ...]:
        """Return the cells of a task (a name or a file).

        An unknown task is done like the first cell's. A file that is not in ``tasks/`` keeps the world that it names.
        """
        ours = Path(task).parent.name in ("", TASKS)
        known = tuple(
            replace(cell, own_worlds=cell.own_worlds and ours) for cell in self.cells if cell.task == Path(task).stem
        )
        first = self.cells[0]
        like = (cell for cell in self.cells if (cell.task, cell.world, cell.variant) == _place(first))
        made = (replace(cell, overrides=(), world="", variant="", own_worlds=False) for cell in like)
        return tuple(replace(cell, task=task) for cell in known or made)

    def cell_of(self, task: str, condition: str) -> Cell:
        """Return how one condition is trained on a task: as in its own cell without a variant, else as in the first."""
        cells = self.cells_of(task)
        own = [cell for cell in cells if condition in cell.conditions]
        chosen = next((cell for cell in own if not cell.variant), cells[0])
        return replace(chosen, conditions=(condition,), variant="", own_worlds=False)


def _place(cell: Cell) -> tuple[str, str, str]:
    return cell.task, cell.world, cell.variant


def answer_evaluations(problems: int) -> tuple[Evaluation, ...]:
    """Return the evaluations of baselines and of runs by length, with n problems each, and of the losses."""
    size = SampleSize(problems)
    return (
        Evaluation("baselines", baselines_by_length, size, of="task"),
        Evaluation("by_length", by_length, size),
        Evaluation("learning_curve", learning_curve, CurveSettings()),
    )


def examples_evaluation(problems: int) -> Evaluation:
    """Return the evaluation that tabulates single problems, with a probe fitted on n others."""
    return Evaluation("examples", example_problems, SampleSize(problems), gives="examples")


@dataclass(frozen=True)
class Explained:
    """A measure as a report explains it to readers without background."""

    name: str
    asks: str
    published: str  # where, if anywhere
    metrics: tuple[str, ...]  # whose formulas are printed beside


@dataclass(frozen=True)
class Study:
    """A question, and all that answers it."""

    name: str
    question: str
    presets: dict[str, Preset]
    claims: tuple[Claim, ...]
    figures: tuple[Chart | Picture, ...]
    measures: tuple[Explained, ...] = ()  # that a report explains before it shows results

    def preset(self, name: str) -> Preset:
        """Return the preset of that name; a ValueError lists the names."""
        if name not in self.presets:
            raise ValueError(f"study {self.name} has no preset named '{name}'; there are {', '.join(self.presets)}")
        return self.presets[name]


Options = TypeVar("Options", bound=BaseModel)


class Learning(BaseModel, Generic[Options]):
    """The fields that overrides of a run may change: ``model.*``, ``train.*`` and the condition's ``options.*``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: ModelSpec
    train: TrainSpec
    options: Options


def split_overrides(overrides: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split overrides into those of the learning (``model.*``, ``train.*``, ``options.*``) and those of the task."""
    learning = [text for text in overrides if text.startswith(("model.", "train.", "options."))]
    return learning, [text for text in overrides if text not in learning]


def plan(
    preset: Preset,
    tasks: Sequence[str] = (),
    conditions: Sequence[str] = (),
    seeds: Sequence[int] = (),
    overrides: Sequence[str] = (),
) -> list[RunSpec]:
    """List the runs of a preset, or of those of its tasks (names or files) and seeds that are named.

    Conditions that are named are trained once on each task, whatever the preset varies. Overrides are dotted: of the
    task, ``model.*``, ``train.*`` or ``options.*``. In cells with their own worlds, the run's seed is that of the
    process, unless an override fixes it.

    Raises:
        SpecError: with everything that is wrong with the task files and overrides.
        ValueError: if two different tasks have the same name.
    """
    for_learning, for_task = split_overrides(overrides)
    named_tasks = dict.fromkeys(tasks or (cell.task for cell in preset.cells))
    if conditions:
        cells = [preset.cell_of(task, condition) for task in named_tasks for condition in conditions]
    else:
        cells = [cell for task in named_tasks for cell in preset.cells_of(task)]
    cells = [cell for cell in cells if not _contradicts(cell.variant, for_learning)]
    loaded = _all_right(
        *(partial(load_task, cell.task, [*cell.overrides, *for_task]) for cell in cells),
        *(partial(_learning, cell, for_learning) for cell in cells),
    )
    optional = not conditions and not {cell.task for cell in cells} & {cell.task for cell in preset.cells}
    named: dict[tuple[str, str], AnyTask] = {}
    specs: list[RunSpec] = []
    for cell, shared, learning in zip(cells, loaded, loaded[len(cells) :], strict=False):
        if named.setdefault((shared.name, cell.world), shared) != shared:
            raise ValueError(f"two different tasks are named '{shared.name}'; give one another 'name:' in its file")
        drawn = cell.own_worlds and WORLD_SEED not in map(_field, (*cell.overrides, *for_task))
        for condition in _fitting(cell, shared) if optional else cell.conditions:
            for seed in seeds or range(cell.seeds):
                task = with_own_world(shared, seed) if drawn else shared
                chosen = learning[condition]
                options = chosen.options.model_dump(exclude_none=True)
                spec = plan_run(task, condition, seed, chosen.model, chosen.train, options)
                spec = spec.model_copy(update={"world": cell.world, "variant": cell.variant})
                if spec not in specs:  # a task may be named twice, once by its file
                    specs.append(spec)
    for cell, shared in zip(cells, loaded, strict=False):
        if not any(spec.task.name == shared.name for spec in specs):  # no condition of the study can learn it
            check_fits(resolve_condition(cell.conditions[0]), shared)
    return specs


def _field(override: str) -> str:
    return override.partition("=")[0].strip()


def _contradicts(variant: str, overrides: Sequence[str]) -> bool:
    """Whether an override changes what a variant names: such a cell would be mislabeled, and is left out."""
    changed = set(map(_field, overrides))
    return any(NAMED.get(word) in changed for word in numbers(variant))


def _fitting(cell: Cell, task: AnyTask) -> Sequence[str]:
    """Select the conditions that can learn a task which the study does not know."""
    return [name for name in cell.conditions if not resolve_condition(name).unsupported(task)]


def with_own_world(task: AnyTask, seed: int) -> AnyTask:
    """Return the task with the process that a seed draws; the task itself, if nothing about its process is drawn."""
    if isinstance(task, NetTask) or "seed" not in task.process.parameters:
        return task
    fields = task.canonical()
    fields["process"]["seed"] = seed
    own = Task.model_validate(fields)
    before, after = task.build(), own.build()  # equal where the seed is not used: a group may name its elements
    same = np.array_equal(before.transitions, after.transitions) and np.array_equal(before.initial, after.initial)
    return task if same else own


def _learning(cell: Cell, overrides: Sequence[str]) -> dict[str, Any]:
    """Return what each condition of a cell trains with, a ``Learning`` with its own options."""
    defaults = {"model": cell.model.model_dump(), "train": cell.train.model_dump(), "options": dict(cell.options)}
    document = apply_overrides(Document(PRESET, defaults), overrides)
    schemas = {condition: resolve_condition(condition).options for condition in cell.conditions}
    return {condition: validate(Learning[schema], document) for condition, schema in schemas.items()}


def _all_right(*parts: Callable[[], Any]) -> list[Any]:
    """Call each part; raise one error with all that is wrong in any of them."""
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
