"""Runs: the specification of everything that determines their weights, and the folders that hold them.

A folder is named by the hash of the specification. Each file is written whole or not at all, and ``run.json`` says
``finished`` only when the weights are there, so that a finished run is never trained again.
"""

import json
import os
import platform
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import safetensors
import safetensors.torch
import torch
from filelock import FileLock
from pydantic import AfterValidator, Field, model_validator

from unamortized.configuration.schema import Count, Index, Spec
from unamortized.labels import full, place
from unamortized.language.layout import Examples
from unamortized.language.vocabulary import Vocabulary
from unamortized.learning.conditions import Condition, TraceCondition, check_fits, resolve_condition
from unamortized.models.architectures import LanguageModel, Model, build_model
from unamortized.models.transformer import ModelSpec
from unamortized.worlds.net_tasks import NetTask
from unamortized.worlds.problems import Problems
from unamortized.worlds.randomness import digest, stream_seed
from unamortized.worlds.tasks import Task, with_process

RUN_FORMAT = 1  # raise when the same specification would train to different weights than before
LATER_FIELDS = {  # added after format 1: a default is left out of the hash, so that older runs keep their folders
    "model": ("architecture",),
    "train": ("snapshots",),
}


class TrainSpec(Spec):
    """How a run is trained, for how long, and on how many questions."""

    steps: Count = 1000
    batch_size: Count = 256
    lengths_per_batch: Count = 4
    learning_rate: Annotated[float, Field(gt=0, lt=1)] = 4e-3
    final_learning_rate: Annotated[float, Field(ge=0, le=1)] = 0.02  # as a share of the peak
    warmup_steps: Count = 100
    weight_decay: Annotated[float, Field(ge=0, lt=1)] = 0.01
    gradient_clip: Annotated[float, Field(gt=0)] = 1.0
    questions: Count | None = None  # size of the corpus; None: endless fresh ones
    checkpoint_every: Count = 200
    snapshots: bool = False  # also keep the weights after 1, 2, 4, 8, ... steps

    @model_validator(mode="after")
    def _lengths_share_the_batch(self) -> "TrainSpec":
        if self.batch_size % self.lengths_per_batch:
            raise ValueError(
                f"batch_size {self.batch_size} must be a multiple of lengths_per_batch {self.lengths_per_batch}"
            )
        return self


class RunSpec(Spec):
    """Everything that determines a run's weights."""

    task: Task | NetTask
    condition: Annotated[str, AfterValidator(lambda name: resolve_condition(name).name)]
    seed: Index = 0
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


# ── folders ──────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Run:
    """A finished run: its specification and the trained model."""

    spec: RunSpec
    model: LanguageModel
    folder: Path

    @property
    def task(self) -> Task:
        """The task; a ValueError if it has a net, which ``spec.task`` returns."""
        return with_process(self.spec.task)

    @property
    def condition(self) -> TraceCondition:
        """The condition; a ValueError if it trains on windows of a net."""
        condition = resolve_condition(self.spec.condition)
        if not isinstance(condition, TraceCondition):
            raise ValueError(
                f"run.condition must train on traces (got {condition.name}, which trains on windows of a net)"
            )
        return condition

    @property
    def vocabulary(self) -> Vocabulary:
        return self.condition.vocabulary(self.task)

    def render(self, problems: Problems) -> Examples:
        """Render problems as the columns that this run trained on."""
        return self.condition.renderer(self.task, self.spec.model)(problems)


def new_model(spec: RunSpec) -> Model:
    """Build the untrained model of a run; conditions with equal seed and architecture share their initial weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_seed("weights", spec.seed))
        return build_model(spec.model, resolve_condition(spec.condition).vocabulary(spec.task).size)


def run_folder(spec: RunSpec, root: Path) -> Path:
    return root / "runs" / spec.digest()


def sibling(spec: RunSpec, condition: str, root: Path) -> Path:
    """Return the folder of the run that was planned like this one, but for another condition."""
    return run_folder(plan_run(spec.task, condition, spec.seed, spec.model, spec.requested_train), root)


def is_finished(folder: Path) -> bool:
    """Whether training is complete."""
    written = all((folder / name).is_file() for name in ("run.json", "model.safetensors"))
    return written and read_record(folder).get("finished", False)


def read_record(folder: Path) -> dict[str, Any]:
    """Read ``run.json``; a ValueError if it is missing or damaged."""
    file = folder / "run.json"
    try:
        record = json.loads(file.read_text())
    except (FileNotFoundError, NotADirectoryError):
        message = f"{folder} is not a run: it has no run.json; name a folder such as results/runs/<hash>"
        raise ValueError(message) from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{file}:{error.lineno}: not valid JSON; delete {folder} to train it again") from None
    if not isinstance(record, dict) or "spec" not in record:
        raise ValueError(f"{file}: not the record of a run; delete {folder} to train it again")
    return record


@contextmanager
def written_whole(file: Path) -> Iterator[Path]:
    """Give a path to write to, which becomes ``file`` at the end: the file appears whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_name(f".{file.name}.{os.getpid()}")
    yield unfinished
    unfinished.replace(file)


def write_text(file: Path, text: str) -> None:
    write_bytes(file, text.encode())


def write_bytes(file: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    with written_whole(file) as unfinished:
        unfinished.write_bytes(content)


def write_record(spec: RunSpec, folder: Path, **facts: Any) -> None:
    """Write ``run.json``: specification, provenance, and further facts."""
    made_by = {"seed": spec.seed, "versions": versions(), "git_commit": git_commit()}
    record = {"spec": spec.model_dump(mode="json"), **made_by, **facts}
    write_text(folder / "run.json", json.dumps(record, indent=1) + "\n")


def save_model(spec: RunSpec, model: Model, folder: Path, step: int | None = None) -> None:
    """Write the final weights, or a snapshot of a step, with the specification in their metadata."""
    with written_whole(weights_file(folder, step)) as unfinished:
        safetensors.torch.save_model(model, str(unfinished), metadata={"spec": spec.model_dump_json()})


def weights_file(folder: Path, step: int | None = None) -> Path:
    """Return the file of the final weights, or of a snapshot."""
    return folder / "model.safetensors" if step is None else folder / "snapshots" / f"{step}.safetensors"


def snapshot_steps(spec: RunSpec) -> list[int]:
    """Return the steps 1, 2, 4, 8, ... after which a run keeps its weights; none without ``train.snapshots``."""
    return [1 << power for power in range(spec.train.steps.bit_length())] if spec.train.snapshots else []


def load_run(path: str | Path, step: int | None = None) -> Run:
    """Load a finished run from its folder, with its final weights or those of the snapshot after a training step.

    Raises:
        ValueError: if the folder has no finished run, or no such snapshot.
    """
    folder = Path(path)
    if not read_record(folder).get("finished", False):
        raise ValueError(f"{folder} is not fully trained; repeat the command that started it to resume")
    if step is not None and not weights_file(folder, step).is_file():
        raise ValueError(f"{folder} has no snapshot of step {step}; train.snapshots=true keeps steps 1, 2, 4, 8, ...")
    weights = str(weights_file(folder, step))
    try:
        with safetensors.safe_open(weights, framework="pt") as file:
            spec = RunSpec.model_validate_json(file.metadata()["spec"])
        model = new_model(spec)
        safetensors.torch.load_model(model, weights)
    except (OSError, safetensors.SafetensorError) as error:
        raise ValueError(f"{weights}: cannot be read ({error}); delete {folder} to train it again") from None
    return Run(spec, model.eval(), folder)


@contextmanager
def exclusively(folder: Path) -> Iterator[None]:
    """Lock a folder against other processes; a second one waits."""
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        yield


@cache
def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that determine the numbers."""
    packages = ("unamortized", "torch", "lightning", "numpy", "numba")
    return {"python": platform.python_version()} | {name: version(name) for name in packages}


@cache
def git_commit() -> str | None:
    """Return the commit of the running code, with ``-dirty`` if files differ from it; None outside a checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
