"""Geometry tells dimensions and angles of what is known, and compares only what is there to be compared."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.evaluation.oracle import oracle_run, slow_task
from unamortized.evaluation import geometry
from unamortized.evaluation.belief_geometry import BeliefGeometry, clouds
from unamortized.evaluation.evaluate import Evaluation
from unamortized.evaluation.geometry import Geometry, across_lengths, between_conditions, dimensions
from unamortized.evaluation.probes import Read
from unamortized.learning.runs import TrainSpec, plan_run, run_folder, sibling
from unamortized.models.transformer import ModelSpec

FEW = Geometry(problems=256)


def values(rows, metric: str, condition: str, layer: str = "1") -> list[float]:
    wanted = (metric, condition, layer)
    return [row["value"] for row in rows if (row["metric"], row["condition"], row["layer"]) == wanted]


def test_a_stream_that_is_the_belief_has_its_dimensions_and_nothing_else():
    rows = dimensions(oracle_run(slow_task(), "cot"), FEW)
    (beliefs,) = [
        row["value"]
        for row in rows
        if row["condition"] == "cot/exact_belief" and row["metric"] == "effective_dimension"
    ]
    assert 1 < beliefs <= 2
    (held,) = values(rows, "effective_dimension", "cot")
    assert 1 < held <= 2 + 1e-9
    (share,) = values(rows, "belief_variance", "cot")
    assert share == pytest.approx(1, abs=1e-6)
    assert values(rows, "effective_dimension", "cot", "0") == [0.0]
    assert {row["metric"] for row in rows} == {
        f"{site}{name}" for site in ("", "question_") for name in ("effective_dimension", "belief_variance")
    }
    (left,) = values(rows, "belief_variance", "cot/random_subspace")
    assert left == pytest.approx(0, abs=1e-6)  # where all is belief, nothing else can match it


def test_a_stream_that_is_the_same_map_at_every_length_is_read_beyond_training():
    rows = across_lengths(oracle_run(slow_task(), "cot"), FEW)
    lengths = {row["n_steps"] for row in rows}
    assert lengths == {16}  # of those tested, the one beyond training
    assert {row["split"] for row in rows} == {"length"}
    for prefix in ("", "question_"):
        (own,), (refitted,) = (values(rows, f"{prefix}probe_r2", name) for name in ("cot", "cot/refitted"))
        assert own > 0.99
        assert refitted == pytest.approx(own, abs=0.01)
        (angle,) = values(rows, f"{prefix}subspace_angle", "cot")
        assert angle < 1


def test_beyond_training_only_steps_beyond_it_are_looked_at(monkeypatch):
    seen = []

    def noted(features, beliefs, steps):
        seen.append(steps)
        return Read(features, beliefs, steps)

    monkeypatch.setattr(geometry, "Read", noted)
    across_lengths(oracle_run(slow_task(), "amortized"), FEW)
    kinds = {tuple(steps.tolist()) for steps in seen}
    assert kinds == {tuple(range(1, 9)), (8,), tuple(range(9, 17)), (16,)}


def test_clouds_hold_exact_and_probed_beliefs_of_the_same_problems_and_steps():
    run = oracle_run(slow_task(), "amortized")
    assert clouds(run, BeliefGeometry()).empty  # which predicts no symbols
    run = replace(run, spec=run.spec.model_copy(update={"condition": "next_token"}))
    table = clouds(run, BeliefGeometry(problems=256, points=160))
    assert set(table["source"]) == {"cloud exact", "cloud layer 1", "cloud layer all"}
    keys = ["problem", "step", "state"]
    exact, probed = (
        table[table["source"] == source].set_index(keys)["value"] for source in ("cloud exact", "cloud layer 1")
    )
    both = exact.to_frame("exact").join(probed.rename("probed"), how="inner")
    assert len(both) > 0.95 * len(exact) > 0.9 * 160 * 3
    assert np.abs(both["exact"] - both["probed"]).max() < 0.05
    assert set(table["step"]) == set(range(1, 9))
    assert set(table["problem"]) == set(range(20))


def test_the_sibling_of_a_run_differs_in_its_condition_alone():
    spec = plan_run(slow_task(), "cot", 3, ModelSpec(layers=3), TrainSpec(steps=7, batch_size=8))
    expected = plan_run(slow_task(), "amortized", 3, ModelSpec(layers=3), TrainSpec(steps=7, batch_size=8))
    assert sibling(spec, "amortized", Path("results")) == run_folder(expected, Path("results"))


def test_runs_are_compared_only_with_others_of_the_same_study(tmp_path):
    evaluation = Evaluation("between", between_conditions, FEW, against="amortized")
    specs = {name: plan_run(slow_task(), name, 0, ModelSpec(), TrainSpec(steps=1)) for name in ("cot", "amortized")}
    folders = {name: run_folder(spec, tmp_path) for name, spec in specs.items()}
    assert evaluation.compares(specs["cot"], tmp_path, folders.values())
    assert not evaluation.compares(specs["cot"], tmp_path, [folders["cot"]])
    assert not evaluation.compares(specs["amortized"], tmp_path, folders.values())  # itself
    assert not replace(evaluation, against=None).compares(specs["cot"], tmp_path, folders.values())


def test_a_model_is_compared_with_the_other_conditions_of_the_same_weights(tmp_path, monkeypatch):
    own, other = oracle_run(slow_task(), "cot"), oracle_run(slow_task(), "amortized")
    loaded = []
    monkeypatch.setattr(geometry, "load_run", lambda folder: loaded.append(folder) or other)
    found = {
        row["condition"]: row["value"]
        for row in between_conditions(replace(own, folder=tmp_path / "runs" / "x"), FEW)
        if row["metric"] == "question_subspace_angle" and row["layer"] == "1"
    }
    assert set(found) == {"cot/amortized", "cot/amortized_refit", "cot/amortized_random_subspace"}
    assert loaded == [sibling(own.spec, "amortized", tmp_path)]
    assert found["cot/amortized"] < 1  # oracles hold beliefs alike, whatever they write
    other.model.map = np.random.default_rng(9).standard_normal(other.model.map.shape)
    again = between_conditions(replace(own, folder=tmp_path / "runs" / "x"), FEW)
    (angle,) = values(again, "question_subspace_angle", "cot/amortized")
    assert angle > 30
