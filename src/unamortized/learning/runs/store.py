"""Runs: a specification, the folder named by its hash, and what a finished run gives back.

A run's folder is filled step by step and each file appears whole or not at all; ``run.json`` says
``finished`` only when everything is there, so that a finished run is never trained again.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from filelock import FileLock

from unamortized.language.layout import Examples
from unamortized.language.vocabulary import Vocabulary
from unamortized.learning.conditions import TraceCondition, resolve_condition
from unamortized.learning.runs.provenance import git_commit, versions
from unamortized.learning.runs.specification import RunSpec, plan_run
from unamortized.models.architectures import LanguageModel, Model, build_model
from unamortized.worlds.problems import Problems
from unamortized.worlds.randomness import stream_seed
from unamortized.worlds.tasks import Task, with_process


@dataclass(frozen=True)
class Run:
    """A finished run: what it was asked to be, and the trained model."""

    spec: RunSpec
    model: LanguageModel
    folder: Path

    @property
    def task(self) -> Task:
        """The task it was trained on, with a process.

        Raises:
            ValueError: if it has a net; ``spec.task`` is that task.
        """
        return with_process(self.spec.task)

    @property
    def condition(self) -> TraceCondition:
        """The way it was trained, from traces.

        Raises:
            ValueError: if it was trained from something else.
        """
        condition = resolve_condition(self.spec.condition)
        if not isinstance(condition, TraceCondition):
            raise ValueError(f"{self.spec.condition} is learned from windows of a net, without traces")
        return condition

    @property
    def vocabulary(self) -> Vocabulary:
        """The task's vocabulary, as this condition uses it."""
        return self.condition.vocabulary(self.task)

    def render(self, problems: Problems) -> Examples:
        """Problems as columns, as this run was trained on them."""
        return self.condition.renderer(self.task, self.spec.model)(problems)


def new_model(spec: RunSpec) -> Model:
    """The untrained model of a run; all conditions of a seed and an architecture start from the same weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_seed("weights", spec.seed))
        return build_model(spec.model, resolve_condition(spec.condition).vocabulary(spec.task).size)


def run_folder(spec: RunSpec, root: Path) -> Path:
    """Where a run lives below the results folder."""
    return root / "runs" / spec.digest()


def sibling(spec: RunSpec, condition: str, root: Path) -> Path:
    """Folder of the run that was planned like this one, but for another condition."""
    return run_folder(plan_run(spec.task, condition, spec.seed, spec.model, spec.requested_train), root)


def is_finished(folder: Path) -> bool:
    """Whether a run was trained to its end."""
    written = all((folder / name).is_file() for name in ("run.json", "model.safetensors"))
    return written and read_record(folder).get("finished", False)


def read_record(folder: Path) -> dict[str, Any]:
    """What ``run.json`` says.

    Raises:
        ValueError: if there is none, or it cannot be read.
    """
    file = folder / "run.json"
    try:
        record = json.loads(file.read_text())
    except (FileNotFoundError, NotADirectoryError):
        raise ValueError(f"{folder} is no run: it holds no run.json; a run is results/runs/<hash>") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{file}:{error.lineno}: not valid JSON; delete {folder} to train it anew") from None
    if not isinstance(record, dict) or "spec" not in record:
        raise ValueError(f"{file}: holds no run's record; delete {folder} to train it anew")
    return record


def write_text(file: Path, text: str) -> None:
    """Write a file whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_name(f".{file.name}.{os.getpid()}")
    unfinished.write_text(text)
    unfinished.replace(file)


def write_record(spec: RunSpec, folder: Path, **facts: Any) -> None:
    """Write ``run.json``: the specification, what ran it, and further facts."""
    record = {
        "spec": spec.model_dump(mode="json"),
        "seed": spec.seed,
        "versions": versions(),
        "git_commit": git_commit(),
        **facts,
    }
    write_text(folder / "run.json", json.dumps(record, indent=1) + "\n")


def save_model(spec: RunSpec, model: Model, folder: Path, step: int | None = None) -> None:
    """Write the weights, those of the end or of a step on the way, with the specification in their metadata."""
    file = weights_file(folder, step)
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_name(f".{file.name}.{os.getpid()}")
    safetensors.torch.save_model(model, str(unfinished), metadata={"spec": spec.model_dump_json()})
    unfinished.replace(file)


def weights_file(folder: Path, step: int | None = None) -> Path:
    """Where the weights of the end are, or those of a snapshot."""
    return folder / "model.safetensors" if step is None else folder / "snapshots" / f"{step}.safetensors"


def snapshot_steps(spec: RunSpec) -> list[int]:
    """The steps 1, 2, 4, 8, .. after which a run keeps its weights, if it is asked to."""
    return [1 << power for power in range(spec.train.steps.bit_length())] if spec.train.snapshots else []


def load_run(path: str | Path, step: int | None = None) -> Run:
    """A finished run from its folder: model, task and specification.

    Args:
        path: the folder.
        step: as it was after this step of training, of which a snapshot was kept; as it is in the end if not given.

    Raises:
        ValueError: if the folder holds no finished run, or no such snapshot.
    """
    folder = Path(path)
    if not read_record(folder).get("finished", False):
        raise ValueError(f"{folder} is not trained to its end; the same command that began it resumes it")
    if step is not None and not weights_file(folder, step).is_file():
        raise ValueError(
            f"{folder} holds no snapshot of step {step}; with train.snapshots=true, 1, 2, 4, 8, .. are kept"
        )
    weights = str(weights_file(folder, step))
    try:
        with safetensors.safe_open(weights, framework="pt") as file:
            spec = RunSpec.model_validate_json(file.metadata()["spec"])
        model = new_model(spec)
        safetensors.torch.load_model(model, weights)
    except (OSError, safetensors.SafetensorError) as error:
        raise ValueError(f"{weights}: cannot be read ({error}); delete {folder} to train it anew") from None
    return Run(spec, model.eval(), folder)


@contextmanager
def exclusively(folder: Path) -> Iterator[None]:
    """Hold a folder against other processes; a second one waits."""
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        yield
