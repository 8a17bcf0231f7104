"""Optimizers: Muon takes the matrices of the blocks and AdamW the rest; both follow one schedule, also when resumed."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.optim import AdamW, Muon

from tests.learning.short_runs import SMALL, short_spec
from unamortized.learning.conditions import resolve_condition
from unamortized.learning.optimizers import Together, build_optimizer
from unamortized.learning.runs import set_up
from unamortized.learning.specification import TrainSpec
from unamortized.learning.training import Learner, learning_rate_factor
from unamortized.models.architectures import Model, build_model
from unamortized.models.transformer import ModelSpec

SHAPES = {
    "transformer": ModelSpec(layers=2, width=16),
    "learned_positions": ModelSpec(layers=2, width=16, positions="learned", coupled=False, max_positions=20),
    "gru": ModelSpec(architecture="gru", layers=2, width=16),
}
MATRICES = {
    "transformer": {
        f"blocks.{layer}.{name}.weight"
        for layer in range(2)
        for name in ("attention.qkv", "attention.out", "expand", "contract")
    },
    "gru": {f"layers.{layer}.weight_{name}_l0" for layer in range(2) for name in ("ih", "hh")},
}
MATRICES["learned_positions"] = MATRICES["transformer"]


def model_of(shape: ModelSpec) -> Model:
    torch.manual_seed(0)
    return build_model(shape, 11)


def names_of(model: Model, group: dict) -> list[str]:
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return [names[id(parameter)] for parameter in group["params"]]


def give_gradients(model: Model, seed: int) -> None:
    """Give every parameter a random gradient, the same each time."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)


# ── who trains what ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("shape", SHAPES)
def test_muon_takes_the_matrices_of_the_blocks_and_adamw_everything_else(shape):
    model = model_of(SHAPES[shape])
    optimizer = build_optimizer(model, TrainSpec(muon_learning_rate=0.02, learning_rate=0.003, weight_decay=0.1))
    assert isinstance(optimizer, Together)
    assert [type(part) for part in optimizer.parts] == [Muon, AdamW]
    matrices, rest = optimizer.param_groups
    assert set(names_of(model, matrices)) == MATRICES[shape]
    assert sorted(names_of(model, matrices) + names_of(model, rest)) == sorted(dict(model.named_parameters()))
    assert {"embed.weight", "unembed.weight", "norm.weight", "norm.bias"} <= set(names_of(model, rest))
    assert ("positional.weight" in names_of(model, rest)) == (shape == "learned_positions")
    assert (matrices["lr"], rest["lr"]) == (0.02, 0.003)
    assert matrices["weight_decay"] == rest["weight_decay"] == 0.1


@pytest.mark.parametrize("shape", SHAPES)
def test_adamw_alone_trains_everything(shape):
    model = model_of(SHAPES[shape])
    optimizer = build_optimizer(model, TrainSpec(optimizer="adamw", learning_rate=0.003))
    assert type(optimizer) is AdamW
    (group,) = optimizer.param_groups
    assert sorted(names_of(model, group)) == sorted(dict(model.named_parameters()))
    assert group["lr"] == 0.003


def test_a_step_changes_every_parameter_and_clearing_leaves_no_gradient():
    for optimizer_name in ("muon", "adamw"):
        model = model_of(SMALL)
        before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
        optimizer = build_optimizer(model, TrainSpec(optimizer=optimizer_name))
        give_gradients(model, 0)
        optimizer.step()
        assert all(not torch.equal(before[name], parameter) for name, parameter in model.named_parameters())
        optimizer.zero_grad()
        assert all(parameter.grad is None for parameter in model.parameters())


def test_a_closure_is_called_before_any_part_steps():
    model = model_of(SMALL)
    optimizer, before = build_optimizer(model, TrainSpec()), model.unembed.weight.detach().clone()

    def closure() -> float:
        assert torch.equal(model.unembed.weight, before)
        give_gradients(model, 0)
        return 2.5

    assert optimizer.step(closure) == 2.5
    assert not torch.equal(model.unembed.weight, before)


# ── the size and direction of a step ─────────────────────────────────────────────────────────────


def test_a_step_of_muon_is_nearly_orthogonal_and_as_large_as_one_of_adamw():
    """Every singular value of the gradient becomes about one; the root mean square is that of AdamW, 0.2 of the rate.

    Newton-Schulz iteration leaves the singular values between 0.68 and 1.13 of one (Jordan et al. 2024).
    """
    rate, decay = 0.01, 0.1
    model = model_of(SMALL)
    optimizer = build_optimizer(model, TrainSpec(muon_learning_rate=rate, weight_decay=decay))
    give_gradients(model, 3)
    matrices = optimizer.param_groups[0]["params"]
    before = [matrix.detach().double().numpy().copy() for matrix in matrices]
    optimizer.step()
    for old, matrix in zip(before, matrices, strict=True):
        assert matrix.grad is not None
        update = old * (1 - rate * decay) - matrix.detach().double().numpy()
        u, s, vt = np.linalg.svd(matrix.grad.double().numpy(), full_matrices=False)
        scale = 0.2 * rate * np.sqrt(max(old.shape))
        along = u.T @ update @ vt.T / scale  # the update in the gradient's own directions
        assert s.max() / s.min() > 1.5  # the gradient is not orthogonal itself
        assert np.diag(along).min() > 0.6
        assert np.diag(along).max() < 1.2
        assert np.abs(along - np.diag(np.diag(along))).max() < 0.05
        np.testing.assert_allclose(u @ (along * scale) @ vt, update, atol=0.05 * scale)
        assert np.sqrt((update**2).mean()) == pytest.approx(0.2 * rate, rel=0.15)


# ── schedule and checkpoints ─────────────────────────────────────────────────────────────────────


def configured(**training):
    """A learner with its optimizer and its schedule."""
    spec = short_spec(steps=12, warmup_steps=3, learning_rate=3e-3, muon_learning_rate=2e-2, **training)
    learner = Learner(resolve_condition("cot"), set_up(spec, Path(), {}))
    made = learner.configure_optimizers()
    assert made["lr_scheduler"]["interval"] == "step"
    return learner, made["optimizer"], made["lr_scheduler"]["scheduler"]


def advance(learner: Learner, optimizer, schedule, steps: range) -> list[list[float]]:
    """Take steps with random gradients, and return the rates of each."""
    rates = []
    for step in steps:
        rates.append([group["lr"] for group in optimizer.param_groups])
        give_gradients(learner.model, step)
        optimizer.step()
        schedule.step()
    return rates


def scheduled(learner: Learner, peaks: list[float], steps: range) -> np.ndarray:
    return np.array([[peak * learning_rate_factor(step, learner.spec.train, 12) for peak in peaks] for step in steps])


@pytest.mark.parametrize(("optimizer", "peaks"), [("muon", [2e-2, 3e-3]), ("adamw", [3e-3])])
def test_all_rates_follow_the_schedule_and_a_resumed_run_takes_the_same_steps(optimizer, peaks):
    whole = configured(optimizer=optimizer)
    np.testing.assert_allclose(advance(*whole, range(12)), scheduled(whole[0], peaks, range(12)))
    first, second = configured(optimizer=optimizer), configured(optimizer=optimizer)
    advance(*first, range(5))
    for one, other in zip(first, second, strict=True):
        other.load_state_dict(saved_and_read(one.state_dict()))
    np.testing.assert_allclose(advance(*second, range(5, 12)), scheduled(whole[0], peaks, range(5, 12)))
    for one, other in zip(whole[0].model.parameters(), second[0].model.parameters(), strict=True):
        assert torch.equal(one, other)


def saved_and_read(state):
    """The state after a journey to disk, where only plain types may go."""
    return torch.load(io.BytesIO(to_bytes(state)), weights_only=True)


def to_bytes(state) -> bytes:
    file = io.BytesIO()
    torch.save(state, file)
    return file.getvalue()


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_the_state_of_an_optimizer_is_read_back_to_the_last_byte(optimizer):
    first, second = configured(optimizer=optimizer), configured(optimizer=optimizer)
    advance(*first, range(3))
    second[1].load_state_dict(saved_and_read(first[1].state_dict()))
    assert to_bytes(second[1].state_dict()) == to_bytes(first[1].state_dict())
    assert to_bytes(configured(optimizer=optimizer)[1].state_dict()) != to_bytes(first[1].state_dict())
