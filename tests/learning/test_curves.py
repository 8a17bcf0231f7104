"""Training curves: each row is the mean loss since the last one, and what the step of the row did."""

from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from tests.learning.short_runs import SMALL, TRAINING, curve, short_spec, train_until_power_cut
from unamortized.learning import curves
from unamortized.learning.curves import COLUMNS
from unamortized.learning.runs import run_folder, training_steps
from unamortized.learning.specification import RunSpec
from unamortized.learning.training import Learner, learning_rate_factor, train_run


@pytest.fixture
def recorded(monkeypatch) -> dict[str, list[float]]:
    """The loss of each step that is taken, and the norm of its gradient, computed apart from training."""
    found: dict[str, list[float]] = {"loss": [], "gradient_norm": []}
    take_step = Learner.training_step

    def recording(learner: Learner, number: int, batch_index: int) -> Any:
        loss = take_step(learner, number, batch_index)
        gradients = torch.autograd.grad(loss, list(learner.model.parameters()), retain_graph=True)
        found["loss"].append(loss.item())
        found["gradient_norm"].append(float(np.sqrt(sum((each.double() ** 2).sum().item() for each in gradients))))
        return loss

    monkeypatch.setattr(Learner, "training_step", recording)
    return found


def written(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "training.csv")


@pytest.mark.parametrize(
    ("points", "steps", "rows"), [(200, 5, [1, 2, 3, 4, 5]), (3, 8, [2, 4, 6, 8]), (2, 7, [3, 6, 7])]
)
def test_a_row_has_the_mean_loss_since_the_last_row_and_the_last_row_is_the_last_step(
    tmp_path, monkeypatch, recorded, points, steps, rows
):
    monkeypatch.setattr(curves, "POINTS", points)
    table = written(train_run(short_spec(steps=steps), tmp_path))
    assert table.columns.tolist() == list(COLUMNS)
    assert table["step"].tolist() == rows
    assert len(recorded["loss"]) == steps
    means = [np.mean(recorded["loss"][start:stop]) for start, stop in pairwise([0, *rows])]
    np.testing.assert_allclose(table["loss"], means, rtol=1e-5)
    assert np.ptp(means) > 0.01


@pytest.mark.parametrize("clip", [1e-3, 1e3])
def test_the_gradient_norm_is_that_before_clipping(tmp_path, recorded, clip):
    table = written(train_run(short_spec(gradient_clip=clip), tmp_path))
    np.testing.assert_allclose(table["gradient_norm"], recorded["gradient_norm"], rtol=1e-4)
    assert (table["gradient_norm"] > 0.01).all()


def rates(spec: RunSpec, peak: float) -> list[float]:
    steps = training_steps(spec)
    return [peak * learning_rate_factor(step, spec.train, steps) for step in range(steps)]


def test_the_rates_of_a_row_are_those_of_its_step(tmp_path):
    both = short_spec(learning_rate=3e-3, muon_learning_rate=2e-2)
    table = written(train_run(both, tmp_path))
    np.testing.assert_allclose(table["learning_rate"], rates(both, 3e-3), rtol=1e-5)
    np.testing.assert_allclose(table["muon_learning_rate"], rates(both, 2e-2), rtol=1e-5)
    one = short_spec(optimizer="adamw", learning_rate=3e-3)
    table = written(train_run(one, tmp_path))
    np.testing.assert_allclose(table["learning_rate"], rates(one, 3e-3), rtol=1e-5)
    assert table["muon_learning_rate"].isna().all()


def test_only_growing_lengths_have_a_longest_one(tmp_path):
    assert written(train_run(short_spec(), tmp_path))["longest"].isna().all()
    assert written(train_run(short_spec(lengths="growing", grow_below=1e-3), tmp_path))["longest"].tolist() == [3] * 5


def test_a_condition_that_trains_for_longer_has_all_its_steps(tmp_path):
    spec = short_spec("amortized_equal_flops")
    assert written(train_run(spec, tmp_path))["step"].iloc[-1] == training_steps(spec) > TRAINING["steps"]


# ── interruptions ────────────────────────────────────────────────────────────────────────────────


def test_rows_between_checkpoints_survive_an_interruption(tmp_path, monkeypatch):
    monkeypatch.setattr(curves, "POINTS", 2)  # a row after every third step, a checkpoint after every second
    spec = short_spec(steps=7)
    whole = train_run(spec, tmp_path / "whole")
    for step in range(7):
        train_until_power_cut(spec, step, tmp_path / "cut")
        assert not (run_folder(spec, tmp_path / "cut") / "training.csv").exists()
    pd.testing.assert_frame_equal(curve(train_run(spec, tmp_path / "cut")), curve(whole), check_exact=True)


def test_seconds_count_training_only_however_long_a_run_prepared_or_lay_idle(tmp_path, monkeypatch):
    clock = SimpleNamespace(now=0.0, monotonic=lambda: clock.now)
    take_step, prepare = Learner.training_step, Learner.configure_optimizers

    def timed(learner: Learner, number: int, batch_index: int) -> Any:
        clock.now += 2
        return take_step(learner, number, batch_index)

    def prepared(learner: Learner) -> Any:
        clock.now += 1000
        return prepare(learner)

    monkeypatch.setattr(curves, "time", clock)
    monkeypatch.setattr(Learner, "training_step", timed)
    monkeypatch.setattr(Learner, "configure_optimizers", prepared)
    spec = short_spec(steps=5)
    assert written(train_run(spec, tmp_path / "whole"))["seconds"].tolist() == [2, 4, 6, 8, 10]
    for step in (1, 3):
        train_until_power_cut(spec, step, tmp_path / "cut")
        clock.now += 100_000
    assert written(train_run(spec, tmp_path / "cut"))["seconds"].tolist() == [2, 4, 6, 8, 10]


def test_curves_do_not_affect_the_weights(tmp_path, monkeypatch):
    weights = []
    for points in (200, 2):
        monkeypatch.setattr(curves, "POINTS", points)
        folder = train_run(short_spec(model=SMALL), tmp_path / str(points))
        weights.append((folder / "model.safetensors").read_bytes())
    assert weights[0] == weights[1]
