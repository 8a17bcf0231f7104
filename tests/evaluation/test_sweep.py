"""The sweep reads what a layer holds; chunks are pooled as if read at once, and one is held at a time."""

from dataclasses import replace

import numpy as np
import pytest

from tests.evaluation.found_rows import value
from tests.evaluation.oracle import as_if, oracle_run, slow_task
from unamortized.evaluation.generalization import test_problems as problems_of_tests
from unamortized.evaluation.probes import EVERYTHING, Probes, along_training, by_layer, sweep
from unamortized.evaluation.probes.activations import SITES, activations_at, read_activations, respond_with_activations
from unamortized.evaluation.probes.fitting import fit_by_layer, fit_probes
from unamortized.evaluation.probes.ridge import r2
from unamortized.evaluation.probes.targets import TARGETS
from unamortized.evaluation.protocol import snapshots
from unamortized.learning.runs import load_run, new_model
from unamortized.learning.specification import TrainSpec
from unamortized.learning.training import train_run
from unamortized.worlds.splits import draw

FEW = Probes(64, steps=(2,))
ALL = Probes(256, fitted=512, steps=(2, 8), beside=(*EVERYTHING, "belief_1_back", "belief_4_back"))


@pytest.fixture(scope="module")
def rows():
    return by_layer(oracle_run(slow_task(), "cot"), ALL)


def test_everything_has_a_row_of_its_own(rows):
    keys = [(row["control"], row["site"], row["layer"], row["step"]) for row in rows]
    assert len(set(keys)) == len(keys)
    assert {(row["metric"], row["condition"]) for row in rows} == {("probe_r2", "cot")}
    targets = {"belief_1_back", "belief_4_back", *TARGETS}
    untrained = {f"untrained+{name}" for name in targets}
    controls = {row["control"] for row in rows}
    assert controls == {"", *EVERYTHING, *targets, *untrained} - {"own_output"}  # an oracle has none
    assert np.isfinite([row["value"] for row in rows]).all()


def test_a_held_belief_and_what_is_linear_in_it_are_read_and_controls_are_not(rows):
    for site in SITES:
        found = {
            control: value(rows, "probe_r2", control=control, site=site, layer="1")
            for control in ("", "next_symbol", "belief_4_back", "control_task", "shuffled_belief", "wrong_process")
        }
        assert found[""] > 0.99
        assert found["next_symbol"] > 0.99  # linear in the belief
        assert found["belief_4_back"] < 0.9
        assert found["control_task"] < 0.5
        assert found["shuffled_belief"] < 0.05
        assert found["wrong_process"] < 0.98


def test_baselines_have_no_layer(rows):
    assert {row["layer"] for row in rows if row["control"] == "random_relu"} == {""}
    assert 0.9 < value(rows, "probe_r2", control="last_statement", site="about_to_state") < 1


def test_r2_is_that_of_all_activations_at_once():
    run = oracle_run(slow_task(), "amortized")
    run = replace(run, model=new_model(run.spec).eval())
    rows = by_layer(run, replace(ALL, problems=300, fitted=600, beside=("next_symbol",), steps=(3,)))
    fitted_on, scored_on = draw(run.task, "validation", 8, 600, 0, "probes"), problems_of_tests(run.task, 8, 300, 0)
    a, b = (read_activations(run, each)["question"] for each in (fitted_on, scored_on))
    where = {"site": "question", "layer": "1"}
    readings = fit_by_layer(a)["1"].probe.read(b.features["1"])
    assert value(rows, "probe_r2", **where) == pytest.approx(r2(b.beliefs, readings), abs=1e-6)
    a_next, b_next = (each.beliefs[:, 1:] @ each.process.emissions for each in (fitted_on, scored_on))
    readings = fit_by_layer(a, a_next)["1"].probe.read(b.features["1"])
    assert value(rows, "probe_r2", control="next_symbol", **where) == pytest.approx(r2(b_next, readings), abs=1e-6)
    readings = fit_by_layer(a, place=2)["1"].probe.read(b.features["1"][:, 2])
    assert value(rows, "probe_r2", step=3, **where) == pytest.approx(r2(b.beliefs[:, 2], readings), abs=1e-6)


@pytest.mark.parametrize("condition", ["amortized", "next_token", "cot", "cot_streaming"])
@pytest.mark.parametrize("start", ["fixed", "known", "belief"])
def test_activations_are_aligned_with_beliefs_with_and_without_a_start_token(start, condition):
    """A known library's generator returns beliefs one token late where no token starts the sequence."""
    run = oracle_run(slow_task(start=start), "amortized")
    run = as_if(run, condition=condition)
    run = replace(run, model=new_model(run.spec).eval())
    problems = draw(run.task, "test", 8, 64, 0)
    response = respond_with_activations(run, problems)
    columns, rendered = response.columns["question"], run.render(problems)
    assert columns[0] == 1 + (start != "fixed") + (condition == "cot_streaming")
    shown = rendered.tokens[:, columns]
    np.testing.assert_array_equal(shown, run.vocabulary.observation(problems.observations))  # x_t at step t's column
    np.testing.assert_array_equal(activations_at(run, problems, response, "question").beliefs, problems.beliefs[:, 1:])
    stating = activations_at(run, problems, response, "about_to_state")
    np.testing.assert_array_equal(stating.beliefs, problems.beliefs[:, stating.steps])
    stated = rendered.tokens[:, response.columns["about_to_state"] + 1]  # what the next token states, or answers
    if condition.startswith("cot"):
        np.testing.assert_array_equal(stated, run.vocabulary.code(run.vocabulary.encode(stating.beliefs)))
    else:
        np.testing.assert_array_equal(stated[:, 0], run.vocabulary.answer(problems.answers))


@pytest.mark.parametrize("start", ["fixed", "known"])
def test_a_probe_of_the_embedding_reads_what_the_symbol_just_read_says_not_the_one_before(start):
    run = oracle_run(slow_task(start=start), "amortized")
    run = replace(run, model=new_model(run.spec).eval())
    problems = draw(run.task, "test", 8, 2000, 0)
    seen = read_activations(run, problems)["question"]
    symbols = np.eye(run.vocabulary.n_symbols)[problems.observations]
    for shift, there in ((0, 0.99), (1, None)):
        target = symbols[:, : 8 - shift] if shift else symbols
        features = seen.features["0"][:, shift:]
        score = r2(target, fit_probes([("", features, target)])[""].probe.read(features))
        assert score > 0.99 if there else score < 0.2


def test_activations_of_one_chunk_are_held_at_a_time(monkeypatch):
    sizes = []
    monkeypatch.setattr(sweep, "LARGEST", 64)
    monkeypatch.setattr(
        sweep,
        "respond_with_activations",
        lambda run, each, *rest, **how: sizes.append(len(each)) or respond_with_activations(run, each, *rest, **how),
    )
    by_layer(oracle_run(slow_task(), "cot"), Probes(200, fitted=300, beside=()))
    assert max(sizes) == 64
    assert sum(sizes) == 500
    assert sizes[:4] == [8, 8, 16, 32]


def test_an_unknown_name_beside_is_an_error_before_anything_is_measured():
    with pytest.raises(ValueError, match="no target named 'untraned'"):
        Probes(beside=("untraned",))


@pytest.fixture(scope="module")
def run_with_snapshots(tmp_path_factory):
    spec = oracle_run(slow_task(), "amortized").spec.model_copy(
        update={"train": TrainSpec(steps=4, batch_size=8, warmup_steps=2, snapshots=True)}
    )
    return load_run(train_run(spec, tmp_path_factory.mktemp("runs")))


def test_along_training_probes_the_weights_of_each_snapshot(run_with_snapshots):
    rows = along_training(run_with_snapshots, FEW)
    assert {row["variant"] for row in rows} == {"after_1", "after_2", "after_4"}
    assert {(row["condition"], row["control"], row["step"]) for row in rows} == {("amortized", "", None)}
    last = by_layer(load_run(run_with_snapshots.folder, 4), Probes(64, beside=()))
    where = {"site": "question", "layer": "1"}
    assert value(rows, "probe_r2", variant="after_4", **where) == value(last, "probe_r2", **where)


def test_along_training_measures_the_task_of_the_run_that_is_passed_in(run_with_snapshots, monkeypatch):
    measured = []
    monkeypatch.setattr(sweep, "by_layer", lambda run, settings: measured.append(run.task.steps.test) or [])
    longer = slow_task(steps={"train": [2, 8], "test": [5, 9]})
    along_training(as_if(run_with_snapshots, task=longer), FEW)
    assert measured == [(5, 9)] * 3


def test_snapshots_are_tested_on_the_task_of_the_run_that_is_measured(run_with_snapshots):
    longer = slow_task(steps={"train": [2, 8], "test": [5, 9]})
    run = as_if(run_with_snapshots, task=longer)
    found = dict(snapshots(run))
    assert set(found) == {1, 2, 4}
    for step, then in found.items():
        assert then.task.steps.test == (5, 9)
        assert then.folder == run.folder
        kept = load_run(run.folder, step).model.state_dict()
        assert all((kept[name] == weights).all() for name, weights in then.model.state_dict().items())
