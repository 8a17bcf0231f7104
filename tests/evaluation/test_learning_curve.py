"""The learning curve tabulates the training loss, densely at first and sparsely later, and what training cost."""

import pandas as pd
import pytest

from tests.learning.short_runs import short_spec
from unamortized.evaluation.learning_curve import CurveSettings, learning_curve
from unamortized.evaluation.rows import to_table
from unamortized.learning import curves
from unamortized.learning.runs import load_run, read_record, training_steps
from unamortized.learning.specification import Run
from unamortized.learning.training import train_run

SPEC = short_spec(steps=20, seed=3)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Run:
    return load_run(train_run(SPEC, tmp_path_factory.mktemp("trained")))


def tabulated(run: Run, every: float = 1.5):
    """The rows of losses of a run, and the curve that they come from."""
    return losses(run, every), pd.read_csv(run.folder / "training.csv")


def losses(run: Run, every: float = 1.5):
    """All rows but the last, which is the cost."""
    return learning_curve(run, CurveSettings(every))[:-1]


def test_the_last_row_is_the_cost_of_training(trained):
    cost = learning_curve(trained, CurveSettings())[-1]
    assert (cost["metric"], cost["step"], cost["count"], cost["unit"]) == ("training_flops", None, 20 * 8, "FLOPs")
    assert cost["value"] == read_record(trained.folder)["cost"]["training_flops"]


def test_rows_are_the_losses_at_steps_in_geometric_sequence_and_at_the_last(trained):
    rows, curve = tabulated(trained)
    steps = [1, 2, 3, 5, 7, 11, 17, 20]  # 1.5 to the powers 0, 1, 2, ... without their fractions
    assert [row["step"] for row in rows] == steps
    recorded = dict(zip(curve["step"], curve["loss"], strict=True))
    assert [row["value"] for row in rows] == [recorded[step] for step in steps]
    assert len({row["value"] for row in rows}) == len(steps)


def test_a_row_says_what_it_is_of(trained):
    rows, _ = tabulated(trained)
    table = to_table(rows)
    shared = {"task": "small", "condition": "cot", "seed": 3, "split": "train", "metric": "training_loss"}
    for column, value in {**shared, "count": 8, "unit": "nats"}.items():
        assert table[column].unique().tolist() == [value]
    assert table[["n_steps"]].isna().all().all()
    for column in ("world", "variant", "control", "site", "layer", "run"):
        assert table[column].unique().tolist() == [""]


@pytest.mark.parametrize(("every", "steps"), [(2.0, [1, 2, 4, 8, 16, 20]), (10.0, [1, 10, 20]), (100.0, [1, 20])])
def test_the_ratio_of_the_sequence_is_a_setting(trained, every, steps):
    rows, _ = tabulated(trained, every)
    assert [row["step"] for row in rows] == steps


def test_where_a_curve_is_sparse_the_next_row_stands_for_a_step(tmp_path, monkeypatch):
    monkeypatch.setattr(curves, "POINTS", 3)
    rows, curve = tabulated(load_run(train_run(SPEC, tmp_path)))
    assert curve["step"].tolist() == [6, 12, 18, 20]
    assert [row["step"] for row in rows] == [6, 12, 18, 20]  # each once
    assert [row["value"] for row in rows] == curve["loss"].tolist()


def test_a_condition_that_trains_for_longer_is_tabulated_to_its_end(tmp_path):
    spec = short_spec("amortized_equal_flops", steps=4)
    run = load_run(train_run(spec, tmp_path))
    assert losses(run)[-1]["step"] == training_steps(spec) > 4


def test_a_run_on_a_net_has_a_curve_too(tmp_path):
    run = load_run(train_run(short_spec("local_windows"), tmp_path))
    assert [(row["task"], row["step"]) for row in losses(run)] == [("small_net", step) for step in (1, 2, 3, 5)]
