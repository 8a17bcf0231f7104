"""Learning from windows: draws, costs, training, and the tasks that it fits."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.small_nets import small_net_task
from tests.small_tasks import small_task
from unamortized.language.batches import Batch, to_batch
from unamortized.language.windows import lay_out_windows, net_vocabulary
from unamortized.learning.conditions import CONDITIONS, check_fits, resolve_condition
from unamortized.learning.conditions.windows import WINDOWS
from unamortized.learning.runs import flops_per_question, load_run, new_model, plan_run, run_digest, set_up
from unamortized.learning.specification import RunSpec, Step, TrainSpec, weighted_cross_entropy
from unamortized.learning.training import train_run
from unamortized.models.flops import training_flops
from unamortized.models.transformer import ModelSpec
from unamortized.worlds.net_tasks import NetTask
from unamortized.worlds.windows import draw_windows

NAMES = {"local_windows": "local", "wrong_local_windows": "wrong", "full_windows": "full"}
SMALL = ModelSpec(layers=1, width=16)
TRAIN = TrainSpec(steps=3, batch_size=16, warmup_steps=1, checkpoint_every=2)


def batches_of(name: str, task: NetTask, seed: int, size: int, step: int) -> list[Batch]:
    spec = plan_run(task, name, seed, SMALL, TRAIN.model_copy(update={"batch_size": size}))
    return resolve_condition(name).batches(set_up(spec, Path(), {}))(Step(step), new_model(spec))


@pytest.mark.parametrize("name", NAMES)
def test_a_condition_is_found_by_name_and_trains_the_requested_model(name):
    condition = resolve_condition(name)
    assert condition in WINDOWS
    assert condition.name == name
    assert condition.description
    assert condition.architecture(SMALL) is SMALL


@pytest.mark.parametrize("name", NAMES)
def test_batches_depend_on_step_and_seed_alone(name):
    draws = {(seed, step): batches_of(name, small_net_task(), seed, 32, step) for seed in (0, 1) for step in (0, 1)}
    again = batches_of(name, small_net_task(), 1, 32, 1)
    assert all(torch.equal(a.tokens, b.tokens) for a, b in zip(draws[1, 1], again, strict=True))
    texts = {key: b"".join(group.tokens.numpy().tobytes() for group in groups) for key, groups in draws.items()}
    assert len(set(texts.values())) == 4
    assert all(sum(len(group.tokens) for group in groups) == 32 for groups in draws.values())


@pytest.mark.parametrize(("name", "kind"), NAMES.items())
def test_the_batches_of_a_step_have_the_windows_of_that_step(name, kind):
    task = small_net_task()
    for step in range(3):
        drawn = draw_windows(task, kind, 8, 0, step)
        for batch, group in zip(batches_of(name, task, 0, 8, step), drawn, strict=True):
            expected = to_batch(lay_out_windows(group, net_vocabulary(task)))
            assert all(map(torch.equal, batch[:4], expected[:4]))
            assert batch.block is None


@pytest.mark.parametrize("name", NAMES)
def test_the_cost_of_a_window_is_the_mean_over_window_sizes(name):
    task = small_net_task(held_out_pairs=1)
    cost, size = flops_per_question(plan_run(task, name, 0, SMALL, TRAIN)), net_vocabulary(task).size
    sizes = [group.tokens.shape[1] - 2 for group in batches_of(name, task, 0, 2000, 0) for _ in group.tokens]
    # the model reads <bos>, the question and all assignments but the last, and learns each assignment
    assert cost == pytest.approx(np.mean([training_flops(SMALL, size, n + 1, n) for n in sizes]), rel=0.05)


def test_a_condition_that_does_not_fit_the_task_is_an_error_that_lists_those_that_do():
    net, process = small_net_task(), small_task()
    for condition in CONDITIONS.values():
        of_nets = condition in WINDOWS
        check_fits(condition, net if of_nets else process)
        message = (
            f"condition '{condition.name}' cannot learn small.*: it needs a .*, and the task has a .*; choose from "
        )
        with pytest.raises(ValueError, match=message):
            check_fits(condition, process if of_nets else net)
    message = (
        "cannot learn small_net: it needs a process, and the task has a net; choose from local_windows, wrong_local"
    )
    with pytest.raises(ValueError, match=message):
        plan_run(net, "cot", 0, SMALL, TRAIN)
    message = "cannot learn small: it needs a net, and the task has a process; choose from amortized, "
    with pytest.raises(ValueError, match=message):
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
    assert run_digest(spec.model_copy(update={"task": other})) == run_digest(spec)
    farther = small_net_task(steps={"train": [1, 3], "test": [2, 3]})
    assert run_digest(spec.model_copy(update={"task": farther})) != run_digest(spec)
    assert run_digest(spec.model_copy(update={"condition": "full_windows"})) != run_digest(spec)


def test_windows_cannot_come_from_a_corpus(tmp_path):
    spec = plan_run(small_net_task(), "local_windows", 0, SMALL, TRAIN.model_copy(update={"questions": 100}))
    with pytest.raises(ValueError, match="always draws fresh windows; leave out train.questions"):
        train_run(spec, tmp_path)


def test_training_lowers_the_loss(tmp_path):
    task, losses = small_net_task(), []
    held = batches_of("full_windows", task, 0, 256, 10_000)
    for steps in (1, 60):
        train = TrainSpec(steps=steps, batch_size=64, warmup_steps=5, learning_rate=1e-2)
        run = load_run(train_run(plan_run(task, "full_windows", 0, SMALL, train), tmp_path))
        with torch.no_grad():
            losses.append(float(weighted_cross_entropy(run.model, held)))
    assert losses[1] < losses[0] - 0.3
