"""Small runs for tests of training, and how to tell whether two ended alike."""

from pathlib import Path

import torch

from tests.small_tasks import small_task
from unamortized.learning.conditions import resolve_condition
from unamortized.learning.runs import load_run
from unamortized.learning.specification import RunSpec, TrainSpec
from unamortized.models.transformer import ModelSpec

TRAINING = {"batch_size": 16, "lengths_per_batch": 2, "warmup_steps": 4, "learning_rate": 1e-2}


def small_spec(condition: str = "cot", seed: int = 0, **training) -> RunSpec:
    train = TrainSpec.model_validate(TRAINING | {"steps": 12} | training)
    model = resolve_condition(condition).architecture(ModelSpec(layers=1, width=16))
    return RunSpec(task=small_task(), condition=condition, seed=seed, model=model, train=train)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_run(folder).model.state_dict()


def assert_same_weights(one: Path, other: Path) -> None:
    first, second = weights(one), weights(other)
    assert list(first) == list(second)
    assert all(torch.equal(first[name], second[name]) for name in first)
