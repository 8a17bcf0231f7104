"""Specifications: everything that determines the weights of a run."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from unamortized.labels import full, place
from unamortized.learning.conditions import Condition, check_fits, resolve_condition
from unamortized.models.transformer import ModelSpec
from unamortized.worlds.net_tasks import NetTask
from unamortized.worlds.randomness import digest
from unamortized.worlds.tasks import Task

RUN_FORMAT = 1  # raise when the same specification would train to different weights than before
LATER_FIELDS = {  # added after format 1: a default is left out of the hash, so that older runs keep their folders
    "model": ("architecture",),
    "train": ("snapshots",),
}


class TrainSpec(BaseModel):
    """How a run is trained, for how long, and on how many questions."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: Annotated[int, Field(ge=1, strict=True)] = 1000
    batch_size: Annotated[int, Field(ge=1, strict=True)] = 256
    lengths_per_batch: Annotated[int, Field(ge=1, strict=True)] = 4
    learning_rate: Annotated[float, Field(gt=0, lt=1)] = 4e-3
    final_learning_rate: Annotated[float, Field(ge=0, le=1)] = 0.02  # as a share of the peak
    warmup_steps: Annotated[int, Field(ge=1, strict=True)] = 100
    weight_decay: Annotated[float, Field(ge=0, lt=1)] = 0.01
    gradient_clip: Annotated[float, Field(gt=0)] = 1.0
    questions: Annotated[int, Field(ge=1, strict=True)] | None = None  # size of the corpus; None: endless fresh ones
    checkpoint_every: Annotated[int, Field(ge=1, strict=True)] = 200
    snapshots: bool = False  # also keep the weights after 1, 2, 4, 8, ... steps

    @model_validator(mode="after")
    def _lengths_share_the_batch(self) -> "TrainSpec":
        if self.batch_size % self.lengths_per_batch:
            raise ValueError(
                f"batch_size {self.batch_size} must be a multiple of lengths_per_batch {self.lengths_per_batch}"
            )
        return self


class RunSpec(BaseModel):
    """Everything that determines a run's weights."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: Task | NetTask
    condition: Annotated[str, AfterValidator(lambda name: resolve_condition(name).name)]
    seed: Annotated[int, Field(ge=0, strict=True)] = 0
    model: ModelSpec = ModelSpec()
    train: TrainSpec = TrainSpec()
    # labels in a study's tables: they do not affect the weights and are not recorded
    world: Annotated[str, Field(exclude=True)] = ""
    variant: Annotated[str, Field(exclude=True)] = ""

    @model_validator(mode="after")
    def _condition_has_its_architecture(self) -> "RunSpec":
        required = resolve_condition(self.condition).architecture
        if required is not None and self.model.architecture != required:
            raise ValueError(f"condition '{self.condition}' needs model.architecture={required}; plan_run sets it")
        return self

    def digest(self) -> str:
        """Hash of the fields that affect the weights; the name of the run's folder."""
        spec = self.model_dump(mode="json")
        del spec["train"]["checkpoint_every"], spec["task"]["steps"]["test"]
        for part, names in LATER_FIELDS.items():
            for name in names:
                if spec[part][name] == type(getattr(self, part)).model_fields[name].default:
                    del spec[part][name]
        withheld = self.task.shifts.withheld if isinstance(self.task, Task) else ()
        for axis in {"crossed", "parameters"} - set(withheld):  # these shifts affect only the tests
            spec["task"].get("shifts", {}).pop(axis, None)
        if not spec["task"].get("shifts", True):
            del spec["task"]["shifts"]
        return digest(RUN_FORMAT, spec)

    @property
    def requested_train(self) -> TrainSpec:
        """The training that ``plan_run`` was given, before it scaled the steps to equal FLOPs.

        Rounding recovers the requested steps exactly, because scaling never lowers their number.
        """
        ratio = _steps_per_requested_step(resolve_condition(self.condition), self.task, self.model)
        return self.train.model_copy(update={"steps": round(self.train.steps / ratio)})

    @property
    def title(self) -> str:
        """Name of the run in progress lines."""
        return f"{place(self.task.name, self.world)} {full(self.condition, self.variant)} seed {self.seed}"


def plan_run(task: Task | NetTask, condition: str, seed: int, model: ModelSpec, train: TrainSpec) -> RunSpec:
    """Specify a run: its condition may replace the architecture, and scale the steps to spend equal FLOPs.

    Raises:
        ValueError: if the condition cannot learn the task.
    """
    resolved = resolve_condition(condition)
    check_fits(resolved, task)
    ratio = _steps_per_requested_step(resolved, task, model)
    train = train.model_copy(update={"steps": round(train.steps * ratio)})
    return RunSpec(task=task, condition=condition, seed=seed, model=resolved.shape(model), train=train)


def _steps_per_requested_step(condition: Condition, task: Task | NetTask, model: ModelSpec) -> float:
    """Steps for each requested step: more than 1 where a cheap condition spends the FLOPs of an expensive one."""
    if condition.equal_flops is None:
        return 1.0
    expensive = resolve_condition(condition.equal_flops)
    flops = [each.training_flops_per_question(task, each.shape(model)) for each in (expensive, condition)]
    if flops[0] < flops[1]:  # several requested numbers of steps would then share a run
        raise ValueError(f"equal_flops of '{condition.name}' must cost at least as much a question, but is cheaper")
    return flops[0] / flops[1]
