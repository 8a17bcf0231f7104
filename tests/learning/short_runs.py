"""Runs of a few steps: planned, cut off by a power failure, and compared to the last byte."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.small_nets import small_net_task
from tests.small_tasks import small_task
from unamortized.learning.conditions import resolve_condition
from unamortized.learning.runs import plan_run
from unamortized.learning.specification import RunSpec, TrainSpec
from unamortized.learning.training import Learner, train_run
from unamortized.models.transformer import ModelSpec

SMALL = ModelSpec(layers=1, width=16)
TRAINING = {"steps": 5, "batch_size": 8, "lengths_per_batch": 2, "warmup_steps": 2, "checkpoint_every": 2}


def short_spec(condition: str = "cot", options: dict[str, Any] | None = None, **changes: Any) -> RunSpec:
    """Plan a run of five steps with a checkpoint after every second; changes are of the specification or training.

    A condition that needs a net gets one.
    """
    of_spec = {name: changes.pop(name) for name in ("task", "seed", "model") if name in changes}
    needs_net = resolve_condition(condition).unsupported(small_task()) != ""
    task = of_spec.get("task", small_net_task() if needs_net else small_task())
    train = TrainSpec.model_validate(TRAINING | changes)
    return plan_run(task, condition, of_spec.get("seed", 0), of_spec.get("model", SMALL), train, options)


@contextmanager
def power_cut_at(spec: RunSpec, step: int) -> Iterator[None]:
    """Let the power fail when this run begins a step, counted from 0; the runs that it learns from go on."""
    take_step = Learner.training_step

    def failing(learner: Learner, number: int, batch_index: int) -> Any:
        if learner.spec == spec and number == step:
            raise OSError("power cut")
        return take_step(learner, number, batch_index)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Learner, "training_step", failing)
        yield


def train_until_power_cut(spec: RunSpec, step: int, root: Path) -> None:
    """Train a run until the power fails when it begins a step."""
    with power_cut_at(spec, step), pytest.raises(OSError, match="power cut"):
        train_run(spec, root)


def curve(folder: Path) -> pd.DataFrame:
    """Return the training curve without the column that no two runs share."""
    return pd.read_csv(folder / "training.csv").drop(columns="seconds")


def assert_same_run(one: Path, other: Path) -> None:
    """Check that two folders hold the same weights, and the same curve but for the time that it took."""
    assert one != other
    assert (one / "model.safetensors").read_bytes() == (other / "model.safetensors").read_bytes()
    pd.testing.assert_frame_equal(curve(one), curve(other), check_exact=True)
