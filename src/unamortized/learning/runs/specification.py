"""Specifications: everything that determines the weights of a run."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from unamortized.labels import full, place
from unamortized.learning.conditions import check_fits, resolve_condition
from unamortized.models.transformer import ModelSpec
from unamortized.worlds.net_tasks import NetTask
from unamortized.worlds.randomness import digest
from unamortized.worlds.tasks import Task

RUN_FORMAT = 1  # raise when the same specification would train to other weights than before
LATER_FIELDS = {  # that RUN_FORMAT began without: at their default they name nothing new, so runs keep their folders
    "model": ("architecture",),
    "train": ("snapshots",),
}


class TrainSpec(BaseModel):
    """How long and on what a run trains."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: Annotated[int, Field(ge=1, strict=True)] = 1000
    batch_size: Annotated[int, Field(ge=1, strict=True)] = 256
    lengths_per_batch: Annotated[int, Field(ge=1, strict=True)] = 4
    learning_rate: Annotated[float, Field(gt=0, lt=1)] = 4e-3
    final_learning_rate: Annotated[float, Field(ge=0, le=1)] = 0.02  # as a share of the peak
    warmup_steps: Annotated[int, Field(ge=1, strict=True)] = 100
    weight_decay: Annotated[float, Field(ge=0, lt=1)] = 0.01
    gradient_clip: Annotated[float, Field(gt=0)] = 1.0
    questions: Annotated[int, Field(ge=1, strict=True)] | None = None  # none: endless and fresh
    checkpoint_every: Annotated[int, Field(ge=1, strict=True)] = 200
    snapshots: bool = False  # keep the weights after 1, 2, 4, 8, .. steps, too

    @model_validator(mode="after")
    def _lengths_share_the_batch(self) -> "TrainSpec":
        if self.batch_size % self.lengths_per_batch:
            raise ValueError(
                f"batch_size {self.batch_size} must be a multiple of lengths_per_batch {self.lengths_per_batch}"
            )
        return self


def _known_condition(name: str) -> str:
    return resolve_condition(name).name


class RunSpec(BaseModel):
    """Everything that determines a run's weights."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: Task | NetTask
    condition: Annotated[str, AfterValidator(_known_condition)]
    seed: Annotated[int, Field(ge=0, strict=True)] = 0
    model: ModelSpec = ModelSpec()
    train: TrainSpec = TrainSpec()
    # labels in a study's tables; they neither affect the weights nor belong to the record
    world: Annotated[str, Field(exclude=True)] = ""
    variant: Annotated[str, Field(exclude=True)] = ""

    @model_validator(mode="after")
    def _condition_has_its_architecture(self) -> "RunSpec":
        wanted = resolve_condition(self.condition).architecture
        if wanted is not None and self.model.architecture != wanted:
            raise ValueError(f"condition '{self.condition}' needs model.architecture={wanted}, as plan_run sets it")
        return self

    def digest(self) -> str:
        """Names the run's folder: a hash of all of this but what does not change the weights."""
        spec = self.model_dump(mode="json")
        del spec["train"]["checkpoint_every"], spec["task"]["steps"]["test"]
        for part, names in LATER_FIELDS.items():
            for name in names:
                if spec[part][name] == type(getattr(self, part)).model_fields[name].default:
                    del spec[part][name]
        withheld = self.task.shifts.withheld if isinstance(self.task, Task) else ()
        for axis in {"crossed", "parameters"} - set(withheld):  # which only tests look at
            spec["task"].get("shifts", {}).pop(axis, None)
        if not spec["task"].get("shifts", True):
            del spec["task"]["shifts"]
        return digest(RUN_FORMAT, spec)

    @property
    def title(self) -> str:
        """For progress lines."""
        return f"{place(self.task.name, self.world)} {full(self.condition, self.variant)} seed {self.seed}"


def plan_run(task: Task | NetTask, condition: str, seed: int, model: ModelSpec, train: TrainSpec) -> RunSpec:
    """The specification of a run; a condition with a FLOPs budget gets the steps that spend it.

    Raises:
        ValueError: if the condition is no way of learning the task.
    """
    wanted = resolve_condition(condition)
    check_fits(wanted, task)
    given, model = model, wanted.shape(model)
    if wanted.equal_flops is not None:
        other = resolve_condition(wanted.equal_flops)
        paid = other.training_flops_per_question(task, other.shape(given))
        ratio = paid / wanted.training_flops_per_question(task, model)
        train = train.model_copy(update={"steps": round(train.steps * ratio)})
    return RunSpec(task=task, condition=condition, seed=seed, model=model, train=train)
