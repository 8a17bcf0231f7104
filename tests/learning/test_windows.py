"""Learning from windows: draws, costs, training, and the tasks that it fits."""

import numpy as np
import pytest
import torch

from tests.small_nets import small_net_task
from tests.small_tasks import small_task
from unamortized.language.batches import TrainingData
from unamortized.learning.conditions import CONDITIONS, WindowCondition, check_fits, resolve_condition
from unamortized.learning.runs import load_run, plan_run
from unamortized.learning.specification import RunSpec, TrainSpec
from unamortized.learning.training import batch_loss, train_run
from unamortized.models.flops import training_flops
from unamortized.models.transformer import ModelSpec

NAMES = {"local_windows": "local", "wrong_local_windows": "wrong", "full_windows": "full"}
SMALL = ModelSpec(layers=1, width=16)
TRAIN = TrainSpec(steps=3, batch_size=16, warmup_steps=1, checkpoint_every=2)


@pytest.mark.parametrize(("name", "kind"), NAMES.items())
def test_a_condition_is_found_by_name_and_has_its_windows(name, kind):
    condition = resolve_condition(name)
    assert isinstance(condition, WindowCondition)
    assert (condition.name, condition.windows) == (name, kind)
    assert condition.description
    assert condition.shape(SMALL) is SMALL


@pytest.mark.parametrize("name", NAMES)
def test_examples_depend_on_step_and_seed_alone(name):
    condition, task = resolve_condition(name), small_net_task()
    assert isinstance(condition, WindowCondition)
    draws = {(seed, step): condition.examples(task, seed, 32, step) for seed in (0, 1) for step in (0, 1)}
    again = condition.examples(task, 1, 32, 1)
    assert all(np.array_equal(a.tokens, b.tokens) for a, b in zip(draws[1, 1], again, strict=True))
    texts = {key: b"".join(group.tokens.tobytes() for group in groups) for key, groups in draws.items()}
    assert len(set(texts.values())) == 4
    assert all(sum(len(group.tokens) for group in groups) == 32 for groups in draws.values())


def test_the_batches_of_a_step_have_the_examples_of_that_step():
    condition, task = resolve_condition("local_windows"), small_net_task()
    assert isinstance(condition, WindowCondition)
    batches = iter(TrainingData(lambda step: condition.examples(task, 0, 8, step)).train_dataloader())
    for step in range(3):
        expected = condition.examples(task, 0, 8, step)
        for batch, examples in zip(next(batches), expected, strict=True):
            np.testing.assert_array_equal(batch.tokens.numpy(), examples.tokens)


@pytest.mark.parametrize("name", NAMES)
def test_the_cost_of_a_window_is_the_mean_over_window_sizes(name):
    condition, task = resolve_condition(name), small_net_task(held_out_pairs=1)
    cost = condition.training_flops_per_question(task, SMALL)
    size = condition.vocabulary(task).size
    sizes = [group.tokens.shape[1] - 1 for group in condition.examples(task, 0, 2000, 0) for _ in group.tokens]
    assert cost == pytest.approx(np.mean([training_flops(SMALL, size, n, n) for n in sizes]), rel=0.05)


def test_a_condition_that_does_not_fit_the_task_is_an_error_that_lists_those_that_do():
    net, process = small_net_task(), small_task()
    for condition in CONDITIONS.values():
        of_nets = isinstance(condition, WindowCondition)
        check_fits(condition, net if of_nets else process)
        with pytest.raises(ValueError, match=f"condition '{condition.name}' needs a task with .*; choose from "):
            check_fits(condition, process if of_nets else net)
    with pytest.raises(ValueError, match="small_net has a net; choose from local_windows, wrong_local_windows"):
        plan_run(net, "cot", 0, SMALL, TRAIN)
    with pytest.raises(ValueError, match="small has a process; choose from amortized, "):
        plan_run(process, "local_windows", 0, SMALL, TRAIN)


def test_a_run_on_a_net_is_trained_and_loaded(tmp_path):
    spec = plan_run(small_net_task(), "local_windows", 3, SMALL, TRAIN)
    folder = train_run(spec, tmp_path)
    run = load_run(folder)
    assert run.spec == spec
    with pytest.raises(ValueError, match="small_net has a net instead of a process"):
        _ = run.task
    trained = dict(run.model.named_parameters())
    again = dict(load_run(train_run(spec, tmp_path / "other")).model.named_parameters())
    assert all(torch.equal(trained[name], again[name]) for name in trained)


def test_tested_distances_do_not_affect_the_digest_but_training_distances_and_windows_do():
    spec = RunSpec(task=small_net_task(), condition="local_windows", model=SMALL, train=TRAIN)
    other = small_net_task(steps={"train": [1, 2], "test": [5]})
    assert spec.model_copy(update={"task": other}).digest() == spec.digest()
    farther = small_net_task(steps={"train": [1, 3], "test": [2, 3]})
    assert spec.model_copy(update={"task": farther}).digest() != spec.digest()
    assert spec.model_copy(update={"condition": "full_windows"}).digest() != spec.digest()


def test_windows_cannot_come_from_a_corpus(tmp_path):
    spec = plan_run(small_net_task(), "local_windows", 0, SMALL, TRAIN.model_copy(update={"questions": 100}))
    with pytest.raises(ValueError, match="always draws fresh windows; leave out train.questions"):
        train_run(spec, tmp_path)


def test_training_lowers_the_loss(tmp_path):
    task, condition = small_net_task(), resolve_condition("full_windows")
    assert isinstance(condition, WindowCondition)
    held = list(next(iter(TrainingData(lambda step: condition.examples(task, 0, 256, 10_000)).train_dataloader())))
    losses = []
    for steps in (1, 60):
        train = TrainSpec(steps=steps, batch_size=64, warmup_steps=5, learning_rate=1e-2)
        run = load_run(train_run(plan_run(task, "full_windows", 0, SMALL, train), tmp_path))
        with torch.no_grad():
            losses.append(float(batch_loss(run.model, held)))
    assert losses[1] < losses[0] - 0.3
