"""Runs: the folders that hold them, their records and their weights.

A folder is named by the hash of the specification. Each file is written whole or not at all, and ``run.json`` says
``finished`` only when the weights are there, so that a finished run is never trained again.
"""

import json
import os
import platform
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from filelock import FileLock

from unamortized.configuration.document import Document
from unamortized.configuration.field_errors import validate
from unamortized.learning.conditions import check_fits, resolve_condition
from unamortized.learning.specification import AnyTask, Parents, Run, RunSpec, Setup, TrainSpec, fresh_weights
from unamortized.models.architectures import LanguageModel, Model
from unamortized.models.transformer import ModelSpec
from unamortized.worlds.randomness import digest
from unamortized.worlds.tasks import Task

RUN_FORMAT = 2  # raise when the same specification would train to different weights than before
OPTIONS = "the condition's options"  # as messages call them


def plan_run(
    task: AnyTask,
    condition: str,
    seed: int,
    model: ModelSpec,
    train: TrainSpec,
    options: Mapping[str, Any] | None = None,
) -> RunSpec:
    """Specify a run: its condition may replace the architecture, and fills in its options.

    Raises:
        SpecError: if the condition has no such options.
        ValueError: if there is no such condition, or it cannot learn the task.
    """
    resolved = resolve_condition(condition)
    check_fits(resolved, task)
    chosen = validate(resolved.options, Document(OPTIONS, dict(options or {})))
    return RunSpec(
        task=task,
        condition=condition,
        seed=seed,
        model=resolved.architecture(model),
        train=train,
        options=chosen.model_dump(exclude_none=True),
    )


def run_digest(spec: RunSpec) -> str:
    """Hash of the fields that affect the weights, and of the runs learned from; the name of the run's folder."""
    fields = spec.model_dump(mode="json")
    del fields["train"]["checkpoint_every"], fields["task"]["steps"]["test"]
    if spec.train.lengths != "growing":
        del fields["train"]["grow_below"]
    if spec.train.optimizer != "muon":
        del fields["train"]["muon_learning_rate"]
    withheld = spec.task.shifts.withheld if isinstance(spec.task, Task) else ()
    for axis in {"crossed", "parameters"} - set(withheld):  # these shifts affect only the tests
        fields["task"].get("shifts", {}).pop(axis, None)
    if not fields["task"].get("shifts", True):
        del fields["task"]["shifts"]
    return digest(RUN_FORMAT, fields, {role: run_digest(parent) for role, parent in parents_of(spec).items()})


def parents_of(spec: RunSpec) -> dict[str, RunSpec]:
    """Return the runs that a run learns from, by role."""
    return resolve_condition(spec.condition).parents(spec)


def with_parents(spec: RunSpec) -> list[RunSpec]:
    """List a run after all runs that it learns from, directly or not, parents first."""
    found = [each for parent in parents_of(spec).values() for each in with_parents(parent)]
    return [*found, spec]


def training_steps(spec: RunSpec) -> int:
    """Return the number of steps that a run trains: its condition may do more than were asked for."""
    return resolve_condition(spec.condition).steps(spec)


def flops_per_question(spec: RunSpec) -> float:
    """Return the FLOPs of training on one question, on average."""
    condition = resolve_condition(spec.condition)
    return condition.flops(condition.language(spec.task, spec.model), spec)


def run_flops(spec: RunSpec) -> float:
    """Return the FLOPs of training a run, without those of its parents."""
    return flops_per_question(spec) * training_steps(spec) * spec.train.batch_size


def set_up(spec: RunSpec, root: Path, parents: Parents) -> Setup:
    """Return what a run's condition prepares its batches from; a ValueError if it trains another kind of model."""
    condition = resolve_condition(spec.condition)
    if condition.architecture(spec.model) != spec.model:
        raise ValueError(
            f"condition '{spec.condition}' trains another model than the run's {spec.model.architecture}; "
            "plan_run sets it"
        )
    return Setup(spec, condition.language(spec.task, spec.model), parents, root / "corpora")


# ── folders ──────────────────────────────────────────────────────────────────────────────────────


def assemble(spec: RunSpec, model: LanguageModel, folder: Path) -> Run:
    """Make a run from its parts, with the language of its condition."""
    return Run(spec, model, folder, set_up(spec, Path(), {}).language)


def new_model(spec: RunSpec) -> Model:
    """Build the model of a run as it was before any training, its own or that of its parents."""
    return fresh_weights(set_up(spec, Path(), {}))


def run_folder(spec: RunSpec, root: Path) -> Path:
    return root / "runs" / run_digest(spec)


def sibling(spec: RunSpec, condition: str, root: Path) -> Path:
    """Return the folder of the run that was planned like this one, but for another condition."""
    return run_folder(plan_run(spec.task, condition, spec.seed, spec.model, spec.train), root)


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
    made_by = {"seed": spec.seed, "format": RUN_FORMAT, "versions": versions(), "git_commit": git_commit()}
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
    return [1 << power for power in range(training_steps(spec).bit_length())] if spec.train.snapshots else []


def load_run(path: str | Path, step: int | None = None, device: torch.device | str = "cpu") -> Run:
    """Load a finished run onto a device, with its final weights or those of the snapshot after a training step.

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
    except RuntimeError:  # sizes that do not fit
        raise ValueError(f"{folder} was made in another run format than {RUN_FORMAT}; train it again") from None
    except (OSError, safetensors.SafetensorError) as error:
        raise ValueError(f"{weights}: cannot be read ({error}); delete {folder} to train it again") from None
    return assemble(spec, model.eval().to(device), folder)


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
