"""The sweep reads what is there, where it is; measures beside R2 are what they are called; little is held at a time."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import entr

from tests.evaluation.oracle import oracle_run, slow_task
from unamortized.evaluation.generalization import test_problems as problems_of_tests
from unamortized.evaluation.probes import EVERYTHING, Probes, along_training, apply, by_layer, fit, listen, read, sweep
from unamortized.evaluation.probes.targets import TARGETS
from unamortized.learning.runs import TrainSpec, load_run, new_model
from unamortized.learning.training import train_run
from unamortized.worlds.splits import draw

ALL = Probes(256, fitted=512, steps=(2, 8), beside=(*EVERYTHING, "belief_1_back", "belief_4_back"), closely=True)


def value(rows, metric, condition, layer="1", step=None):
    where = (metric, condition, layer, step)
    (found,) = [row["value"] for row in rows if (row["metric"], row["condition"], row["layer"], row["step"]) == where]
    return found


@pytest.fixture(scope="module")
def rows():
    return by_layer(oracle_run(slow_task(), "cot"), ALL)


def test_everything_has_a_row_of_its_own(rows):
    keys = [(row["metric"], row["condition"], row["layer"], row["step"]) for row in rows]
    assert len(set(keys)) == len(keys)
    beside = {row["condition"].partition("/")[2] for row in rows}
    targets = {"belief_1_back", "belief_4_back", *TARGETS}
    untrained = {f"untrained/{name}" for name in targets}
    assert beside == {"", *EVERYTHING, *targets, *untrained} - {"own_output"}  # an oracle has none
    nothing = [row for row in rows if not np.isfinite(row["value"])]
    began = {("cot/belief_4_back", 2), ("cot/untrained/belief_4_back", 2)}
    assert {(row["condition"], row["step"]) for row in nothing} == began


def test_what_is_held_is_read_and_what_can_be_told_from_it(rows):
    for site in ("", "question_"):
        assert value(rows, f"{site}probe_r2", "cot") > 0.99
        assert value(rows, f"{site}probe_r2", "cot/next_symbol") > 0.99  # linear in the belief
        assert value(rows, f"{site}probe_r2", "cot/belief_4_back") < 0.9
        assert value(rows, f"{site}probe_r2", "cot/control_task") < 0.5
        assert value(rows, f"{site}probe_r2", "cot/shuffled_belief") < 0.05
        assert value(rows, f"{site}probe_r2", "cot/wrong_process") < 0.98
        own, by_heart = (value(rows, f"{site}probe_r2", name) for name in ("cot", "cot/control_task"))
        assert value(rows, f"{site}probe_selectivity", "cot") == pytest.approx(own - by_heart)


def test_rivals_have_no_layer(rows):
    assert {row["layer"] for row in rows if row["condition"] == "cot/random_relu"} == {None}
    assert 0.9 < value(rows, "probe_r2", "cot/last_statement", None) < 1


def test_the_codelength_of_what_is_held_nears_the_entropy_and_of_nothing_that_of_the_mean(rows):
    run = oracle_run(slow_task(), "cot")
    beliefs = draw(run.task, "validation", 8, 512, 0, "probes").beliefs[:, 1:]
    entropy, mean = float(entr(beliefs).sum(axis=2).mean()), beliefs.reshape(-1, 3).mean(axis=0)
    of_mean = float(-(beliefs * np.log(mean)).sum(axis=2).mean())
    assert entropy < value(rows, "probe_codelength", "cot") < entropy + 0.06
    assert value(rows, "probe_codelength", "cot", "0") == pytest.approx(of_mean, abs=0.03)
    assert value(rows, "probe_codelength", "cot/untrained") > value(rows, "probe_codelength", "cot")


def test_the_first_chunk_is_coded_evenly_and_each_later_one_by_those_before_it():
    run = oracle_run(slow_task(), "cot")
    few = replace(ALL, problems=32, fitted=24, beside=())
    found = value(by_layer(run, few), "question_probe_codelength", "cot")
    problems = draw(run.task, "validation", 8, 24, 0, "probes")
    seen = read(run, problems, listen(run, problems), "question")
    assert [len(each) for each in sweep.portions(problems)] == [8, 8, 8]
    total = 8 * 8 * np.log(3)
    for first, last in ((8, 16), (16, 24)):
        probe = fit(seen.features["1"][:first], seen.beliefs[:first], 1.0)
        said = sweep.as_belief(apply(probe, seen.features["1"][first:last]))
        total -= (seen.beliefs[first:last] * np.log(said)).sum()
    assert found == pytest.approx(total / (24 * 8))


def test_r2_error_and_kl_are_those_of_all_activations_at_once():
    run = oracle_run(slow_task(), "amortized")
    run = replace(run, model=new_model(run.spec).eval())
    rows = by_layer(run, replace(ALL, problems=300, fitted=600, beside=(), steps=(3,)))
    fitted_on, scored_on = draw(run.task, "validation", 8, 600, 0, "probes"), problems_of_tests(run.task, 8, 300, 0)
    a, b = (read(run, each, listen(run, each), "question") for each in (fitted_on, scored_on))
    read_off = apply(fit(a.features["1"], a.beliefs, 1.0), b.features["1"])
    errors, away = (b.beliefs - read_off) ** 2, (b.beliefs - b.beliefs.mean(axis=(0, 1))) ** 2
    assert value(rows, "question_probe_r2", "amortized") == pytest.approx(1 - errors.sum() / away.sum(), abs=1e-6)
    assert value(rows, "question_probe_rmse", "amortized") == pytest.approx(np.sqrt(errors.mean()), abs=1e-6)
    said = sweep.as_belief(read_off)
    losses = np.where(b.beliefs > 0, b.beliefs * np.log(np.where(b.beliefs > 0, b.beliefs, 1) / said), 0).sum(axis=2)
    assert value(rows, "question_probe_kl", "amortized") == pytest.approx(losses.mean(), abs=1e-6)
    _, which, counts = np.unique(b.beliefs.reshape(-1, 3).round(9), axis=0, return_inverse=True, return_counts=True)
    once = (1 / counts[which.reshape(-1)]).reshape(errors.shape[:2])[..., None]
    mean = (once * b.beliefs).sum(axis=(0, 1)) / once.sum()
    unweighted = 1 - (once * errors).sum() / (once * (b.beliefs - mean) ** 2).sum()
    assert value(rows, "question_probe_r2_unweighted", "amortized") == pytest.approx(unweighted, abs=1e-4)
    own = apply(fit(a.features["1"][:, 2], a.beliefs[:, 2], 1.0), b.features["1"][:, 2])
    expected = 1 - ((b.beliefs[:, 2] - own) ** 2).sum() / ((b.beliefs[:, 2] - b.beliefs[:, 2].mean(axis=0)) ** 2).sum()
    assert value(rows, "question_probe_r2", "amortized", step=3) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("condition", ["amortized", "next_token", "cot", "cot_streaming"])
@pytest.mark.parametrize("start", ["fixed", "known", "belief"])
def test_activations_are_aligned_with_beliefs_with_and_without_a_start_token(start, condition):
    """A known library's generator returns beliefs one token late where no token starts the sequence."""
    run = oracle_run(slow_task(start=start), "amortized")
    run = replace(run, spec=run.spec.model_copy(update={"condition": condition}))
    run = replace(run, model=new_model(run.spec).eval())
    problems = draw(run.task, "test", 8, 64, 0)
    response = listen(run, problems)
    columns, rendered = response.columns["question"], run.render(problems)
    assert columns[0] == (start != "fixed") + (condition == "cot_streaming")
    shown = rendered.tokens[:, columns]
    np.testing.assert_array_equal(shown, run.vocabulary.observation(problems.observations))  # x_t at step t's column
    np.testing.assert_array_equal(read(run, problems, response, "question").beliefs, problems.beliefs[:, 1:])
    stating = read(run, problems, response, "about_to_state")
    np.testing.assert_array_equal(stating.beliefs, problems.beliefs[:, stating.steps])
    said = rendered.tokens[:, response.columns["about_to_state"] + 1]  # what the next token states, or answers
    if condition.startswith("cot"):
        np.testing.assert_array_equal(said, run.vocabulary.code(run.vocabulary.encode(stating.beliefs)))
    else:
        np.testing.assert_array_equal(said[:, 0], run.vocabulary.answer(problems.answers))


@pytest.mark.parametrize("start", ["fixed", "known"])
def test_a_probe_of_the_embedding_reads_what_the_symbol_just_read_says_not_the_one_before(start):
    run = oracle_run(slow_task(start=start), "amortized")
    run = replace(run, model=new_model(run.spec).eval())
    problems = draw(run.task, "test", 8, 2000, 0)
    seen = read(run, problems, listen(run, problems), "question")
    symbols = np.eye(run.vocabulary.n_symbols)[problems.observations]
    for shift, there in ((0, 0.99), (1, None)):
        target = symbols[:, : 8 - shift] if shift else symbols
        probe = fit(seen.features["0"][:, shift:], target, 1e-3)
        score = sweep_r2(target, apply(probe, seen.features["0"][:, shift:]))
        assert score > 0.99 if there else score < 0.2


def sweep_r2(targets, read_off):
    return 1 - ((targets - read_off) ** 2).sum() / ((targets - targets.mean(axis=(0, 1))) ** 2).sum()


def test_at_most_so_many_problems_are_listened_to_at_once(monkeypatch):
    sizes = []
    monkeypatch.setattr(sweep, "LARGEST", 64)
    monkeypatch.setattr(
        sweep, "listen", lambda run, each, *rest, **how: sizes.append(len(each)) or listen(run, each, *rest, **how)
    )
    by_layer(oracle_run(slow_task(), "cot"), Probes(200, fitted=300, beside=()))
    assert max(sizes) == 64
    assert sum(sizes) == 500
    assert sizes[:4] == [8, 8, 16, 32]


def test_an_unknown_name_beside_is_an_error_before_anything_is_measured():
    with pytest.raises(ValueError, match="no target named 'untraned'"):
        Probes(beside=("untraned",))


def test_what_was_learned_when_is_read_off_the_weights_that_were_kept(tmp_path):
    task = slow_task()
    spec = oracle_run(task, "amortized").spec.model_copy(
        update={"train": TrainSpec(steps=4, batch_size=8, warmup_steps=2, snapshots=True)}
    )
    run = load_run(train_run(spec, tmp_path))
    rows = along_training(run, Probes(64))
    assert {row["condition"] for row in rows} == {"amortized/after_1", "amortized/after_2", "amortized/after_4"}
    last = by_layer(load_run(run.folder, 4), Probes(64, beside=()))
    assert value(rows, "question_probe_r2", "amortized/after_4") == value(last, "question_probe_r2", "amortized")
