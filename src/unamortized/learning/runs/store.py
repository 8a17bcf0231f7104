"""The store: each run has a folder named by the hash of its specification, and is read back from it.

Each file is written whole or not at all. ``run.json`` says ``finished`` only when the weights are there, so that a
finished run is never trained again.
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
    """A finished run: its specification and the trained model."""

    spec: RunSpec
    model: LanguageModel
    folder: Path

    @property
    def task(self) -> Task:
        """The task, if it has a process.

        Raises:
            ValueError: if the task has a net; ``spec.task`` returns it.
        """
        return with_process(self.spec.task)

    @property
    def condition(self) -> TraceCondition:
        """The condition, if it trains on traces.

        Raises:
            ValueError: if it trains on windows of a net.
        """
        condition = resolve_condition(self.spec.condition)
        if not isinstance(condition, TraceCondition):
            raise ValueError(
                f"run.condition must train on traces (got {condition.name}, which trains on windows of a net)"
            )
        return condition

    @property
    def vocabulary(self) -> Vocabulary:
        """The task's vocabulary under this condition."""
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
    """Return the folder of a run below the results folder."""
    return root / "runs" / spec.digest()


def sibling(spec: RunSpec, condition: str, root: Path) -> Path:
    """Return the folder of the run that was planned like this one, but for another condition."""
    return run_folder(plan_run(spec.task, condition, spec.seed, spec.model, spec.requested_train), root)


def is_finished(folder: Path) -> bool:
    """Whether training is complete."""
    written = all((folder / name).is_file() for name in ("run.json", "model.safetensors"))
    return written and read_record(folder).get("finished", False)


def read_record(folder: Path) -> dict[str, Any]:
    """Read ``run.json``.

    Raises:
        ValueError: if it is missing or damaged.
    """
    file = folder / "run.json"
    try:
        record = json.loads(file.read_text())
    except (FileNotFoundError, NotADirectoryError):
        raise ValueError(
            f"{folder} is not a run: it has no run.json; name a folder such as results/runs/<hash>"
        ) from None
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
    """Write a file whole or not at all."""
    write_bytes(file, text.encode())


def write_bytes(file: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    with written_whole(file) as unfinished:
        unfinished.write_bytes(content)


def write_record(spec: RunSpec, folder: Path, **facts: Any) -> None:
    """Write ``run.json``: specification, provenance, and further facts."""
    record = {
        "spec": spec.model_dump(mode="json"),
        "seed": spec.seed,
        "versions": versions(),
        "git_commit": git_commit(),
        **facts,
    }
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
    """Load a finished run from its folder: model, task and specification.

    Args:
        path: the folder.
        step: training step of the snapshot to load; by default, the final weights.

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
