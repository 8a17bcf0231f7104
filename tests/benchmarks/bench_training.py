"""A training step of each way of learning, with Muon and with AdamW in the same run.

Run with ``make bench``. Steps to a given KL are in docs/training.md; here is what a step costs.
"""

from pathlib import Path

import pytest
import torch

from unamortized.learning.conditions import resolve_condition
from unamortized.learning.runs import plan_run, set_up
from unamortized.learning.specification import TrainSpec
from unamortized.learning.training import Learner
from unamortized.models.transformer import ModelSpec
from unamortized.worlds.task_files import load_task

TASK = str(Path(__file__).parents[2] / "tasks" / "noisy_permutation.yaml")


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
@pytest.mark.parametrize(
    "condition, layers",
    [("amortized", 2), ("amortized_dense", 2), ("cot", 2), ("gru", 2), ("amortized", 4)],
    ids=lambda value: str(value),
)
def bench_step(benchmark, condition, layers, optimizer):
    torch.set_num_threads(1)
    train = TrainSpec(optimizer=optimizer, lengths="longest")  # equal lengths, so that steps are alike
    spec = plan_run(load_task(TASK), condition, 0, ModelSpec(layers=layers), train)
    learner = Learner(resolve_condition(condition), set_up(spec, Path("no folder"), {}))
    stepper = learner.configure_optimizers()["optimizer"]

    def step():
        stepper.zero_grad()
        learner.training_step(0, 0).backward()
        learner.configure_gradient_clipping(stepper)
        stepper.step()

    benchmark.pedantic(step, rounds=10, warmup_rounds=2)
