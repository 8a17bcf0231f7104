"""Loggers: a run is the same with and without one."""

import pytest
import torch

from tests.learning.short_runs import short_spec
from unamortized.learning.runs import load_run
from unamortized.learning.training import check_logger, train_run

pytest.importorskip("tensorboard")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of TensorBoard's own imports
def test_tensorboard_gets_the_rows_of_the_training_curve_and_changes_no_weight(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    spec = short_spec(steps=4)
    logged, plain = (train_run(spec, tmp_path / name, logger=name) for name in ("tensorboard", ""))
    for name, weight in load_run(plain).model.state_dict().items():
        assert torch.equal(weight, load_run(logged).model.state_dict()[name])
    events = EventAccumulator(str(logged / "tensorboard"))
    events.Reload()
    curve = [line.split(",") for line in (logged / "training.csv").read_text().splitlines()]
    losses = [(int(row[0]), float(row[1])) for row in curve[1:]]
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [
        (step, pytest.approx(loss, rel=1e-4)) for step, loss in losses
    ]
    assert not (plain / "tensorboard").exists()


def test_a_logger_that_there_is_not_is_refused_with_what_there_is():
    check_logger("tensorboard")
    check_logger("")
    with pytest.raises(ValueError, match="logger must be tensorboard \\(got 'wandb'\\)"):
        check_logger("wandb")
