"""Geometry recovers known dimensions and angles, and compares runs of the same seed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.evaluation.found_rows import value
from tests.evaluation.oracle import as_if, oracle_run, slow_task
from unamortized.evaluation import belief_geometry, geometry
from unamortized.evaluation.belief_geometry import belief_geometry as tabulate
from unamortized.evaluation.belief_geometry import first_of_each_history
from unamortized.evaluation.evaluate import Evaluation
from unamortized.evaluation.examples import EXAMPLE_COLUMNS
from unamortized.evaluation.geometry import across_lengths, between_conditions, dimensions
from unamortized.evaluation.probes.activations import SITES, Activations
from unamortized.evaluation.protocol import SampleSize
from unamortized.learning.runs import plan_run, run_folder, sibling
from unamortized.learning.specification import TrainSpec
from unamortized.models.transformer import ModelSpec
from unamortized.worlds.splits import draw

FEW = SampleSize(problems=256)


def test_a_stream_that_is_the_belief_has_its_dimensions_and_nothing_else():
    rows = dimensions(oracle_run(slow_task(), "cot"), FEW)
    for site in SITES:
        assert 1 < value(rows, "effective_dimension", control="exact_belief", site=site) <= 2
        assert 1 < value(rows, "effective_dimension", site=site, layer="1") <= 2 + 1e-9
        assert value(rows, "effective_dimension", site=site, layer="0") == 0.0
        assert value(rows, "belief_variance", site=site, layer="1") == pytest.approx(1, abs=1e-6)
        left = value(rows, "belief_variance", control="random_subspace", site=site, layer="1")
        assert left == pytest.approx(0, abs=1e-6)  # where all is belief, nothing else can match it
    assert {row["layer"] for row in rows} == {"", "0", "1"}


def test_a_stream_that_is_the_same_map_at_every_length_is_read_beyond_training():
    rows = across_lengths(oracle_run(slow_task(), "cot"), FEW)
    lengths = {row["n_steps"] for row in rows}
    assert lengths == {16}  # of those tested, the one beyond training
    assert {row["split"] for row in rows} == {"length"}
    for site in SITES:
        own, refitted = (value(rows, "probe_r2", control=control, site=site, layer="1") for control in ("", "refitted"))
        assert own > 0.99
        assert refitted == pytest.approx(own, abs=0.01)
        assert value(rows, "subspace_angle", site=site, layer="1") < 1


def test_beyond_training_only_steps_beyond_it_are_read(monkeypatch):
    seen = []

    def noted(features, beliefs, steps):
        seen.append(steps)
        return Activations(features, beliefs, steps)

    monkeypatch.setattr(geometry, "Activations", noted)
    across_lengths(oracle_run(slow_task(), "amortized"), FEW)
    kinds = {tuple(steps.tolist()) for steps in seen}
    assert kinds == {tuple(range(1, 9)), (8,), tuple(range(9, 17)), (16,)}


def test_belief_geometry_holds_exact_and_probed_beliefs_of_the_same_problems_and_steps(monkeypatch):
    run = oracle_run(slow_task(), "amortized")
    assert tabulate(run, FEW).empty  # it predicts no symbols
    run = as_if(run, condition="next_token")
    monkeypatch.setattr(belief_geometry, "POINTS", 160)
    table = tabulate(run, FEW)
    assert tuple(table.columns) == EXAMPLE_COLUMNS
    assert set(table["site"]) == {"question"}
    kinds = [("exact", ""), ("probed", "1"), ("probed", "all")]
    assert set(zip(table["source"], table["layer"], strict=True)) == {*kinds}
    keys = ["problem", "step", "state"]
    exact, probed, _ = (
        table[(table["source"] == source) & (table["layer"] == layer)].set_index(keys)["value"]
        for source, layer in kinds
    )
    both = exact.to_frame("exact").join(probed.rename("probed"), how="inner")
    assert len(both) > 0.95 * len(exact) > 0.9 * 160 * 3
    assert np.abs(both["exact"] - both["probed"]).max() < 0.05
    assert len(exact.groupby(["problem", "step"])) == 160
    assert set(table["step"]) == set(range(1, 9))
    np.testing.assert_array_equal(table["value"], table["value"].round(4))


def test_each_history_is_shown_once():
    task = slow_task()
    problems = draw(task, "test", 8, 200, 0)
    shown = first_of_each_history(problems, 10**6)
    histories = {(t, tuple(row[:t])) for row in problems.observations.tolist() for t in range(1, 9)}
    assert shown.sum() == len(histories)
    of_shown = {(t + 1, tuple(problems.observations[b, : t + 1].tolist())) for b, t in np.argwhere(shown)}
    assert of_shown == histories
    few = first_of_each_history(problems, 50)
    assert few.sum() == 50
    assert (few <= shown).all()


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
    monkeypatch.setattr(geometry, "load_run", lambda folder, **_: loaded.append(folder) or other)
    rows = between_conditions(replace(own, folder=tmp_path / "runs" / "x"), FEW)
    assert {row["control"] for row in rows} == {"amortized", "amortized_refit", "amortized_random_subspace"}
    assert loaded == [sibling(own.spec, "amortized", tmp_path)]
    where = {"control": "amortized", "site": "question", "layer": "1"}
    assert value(rows, "subspace_angle", **where) < 1  # oracles hold beliefs alike, whatever they write
    other.model.map = np.random.default_rng(9).standard_normal(other.model.map.shape)
    again = between_conditions(replace(own, folder=tmp_path / "runs" / "x"), FEW)
    assert value(again, "subspace_angle", **where) > 30
