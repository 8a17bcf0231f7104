"""Probes find a belief at the step that holds it, and none elsewhere."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.evaluation.found_rows import value
from tests.evaluation.oracle import oracle_run, slow_task
from tests.small_tasks import small_task
from unamortized.evaluation.probes import Probes, by_layer, fitting, in_sample, sweep
from unamortized.evaluation.probes.activations import SITES, activations_at, read_activations, respond_with_activations
from unamortized.evaluation.probes.fitting import fitting_problems, scoring_problems
from unamortized.evaluation.probes.ridge import r2
from unamortized.evaluation.protocol import SampleSize
from unamortized.evaluation.triangle import to_simplex
from unamortized.learning.rollouts import respond
from unamortized.worlds.splits import content_hash, draw

FEW = Probes(problems=256, steps=(2, 8))
numbers = st.floats(-3, 3, allow_subnormal=False)


# ── R² and the simplex ───────────────────────────────────────────────────────────────────────────


def test_r2_is_the_share_of_variance_explained():
    beliefs = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])  # mean (.5, .5), spread 4 * .5
    assert r2(beliefs, beliefs) == 1.0
    assert r2(beliefs, np.full((4, 2), 0.5)) == 0.0
    read_off = np.array([[0.8, 0.2], [0.2, 0.8], [1.0, 0.0], [0.0, 1.0]])
    assert r2(beliefs, read_off) == pytest.approx(1 - (4 * 0.04) / 2)
    assert r2(beliefs[:, None], read_off[:, None]) == r2(beliefs, read_off)  # leading axes are pooled
    assert r2(beliefs, 1 - beliefs) == pytest.approx(1 - 8 / 2)
    assert r2(np.array([[0.9, 0.1], [0.7, 0.3]]), np.array([[0.8, 0.2]] * 2)) == pytest.approx(0)  # each state's mean


def test_r2_of_a_belief_that_never_varies_is_no_number():
    assert np.isnan(r2(np.full((4, 2), 0.5), np.full((4, 2), 0.3)))


@given(point=arrays(float, 4, elements=numbers))
def test_to_simplex_gives_the_nearest_belief(point):
    candidates = []
    for support in itertools.product([False, True], repeat=4):  # the nearest point of each face's plane
        if inside := np.flatnonzero(support).tolist():
            belief = np.zeros(4)
            belief[inside] = point[inside] + (1 - point[inside].sum()) / len(inside)
            candidates += [belief] if (belief >= 0).all() else []
    nearest = min(candidates, key=lambda belief: ((belief - point) ** 2).sum())
    np.testing.assert_allclose(to_simplex(point), nearest, atol=1e-12)


@given(points=arrays(float, (4, 5), elements=numbers))
def test_to_simplex_gives_beliefs_and_leaves_them(points):
    projected = to_simplex(points)
    np.testing.assert_allclose(projected.sum(axis=1), 1, atol=1e-12)
    assert (projected >= 0).all()
    np.testing.assert_allclose(to_simplex(projected), projected, atol=1e-12)


# ── probes ───────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def rows():
    """What is probed of oracles, whose last layer holds the exact belief and whose embedding holds nothing."""
    return {name: by_layer(oracle_run(slow_task(), name), FEW) for name in ("cot", "cot_every_4", "amortized")}


@pytest.mark.parametrize("site", SITES)
def test_a_belief_that_is_held_linearly_is_read(rows, site):
    for condition, found in rows.items():
        assert {row["condition"] for row in found} == {condition}
        assert value(found, "probe_r2", site=site, layer="1") > 0.99
        assert value(found, "probe_r2", site=site, layer="all") > 0.99
        assert value(found, "probe_r2", site=site, layer="1", step=8) > 0.99


@pytest.mark.parametrize("site", SITES)
def test_a_belief_that_is_not_held_is_not_read(rows, site):
    for found in rows.values():
        assert value(found, "probe_r2", site=site, layer="0") < 0.05
        for layer in ("1", "all"):  # 256 problems agree by chance
            assert value(found, "probe_r2", control="shuffled_belief", site=site, layer=layer) < 0.15


def test_a_probe_of_one_step_is_there_where_the_trace_states_that_step(rows):
    assert value(rows["cot"], "probe_r2", site="about_to_state", layer="1", step=2) > 0.99
    for condition in ("cot_every_4", "amortized"):
        assert {row["step"] for row in rows[condition] if row["site"] == "about_to_state"} == {None, 8}
        assert {row["step"] for row in rows[condition] if row["site"] == "question"} == {None, 2, 8}


def test_only_the_belief_in_the_trained_model_gets_probes_of_single_steps(rows):
    everywhere = {"", "untrained", "shuffled_belief", "untrained+shuffled_belief", "window_4_exact"}
    for found in rows.values():
        assert {row["control"] for row in found if row["step"] is not None} == {""}
        assert everywhere <= {row["control"] for row in found} <= everywhere | {"last_statement"}


def test_the_window_is_a_control_without_layers(rows):
    for found in rows.values():
        for site in SITES:
            assert 0.05 < value(found, "probe_r2", control="window_4_exact", site=site) < 0.99


def test_the_untrained_network_reads_the_trained_ones_trace(monkeypatch):
    run, given = oracle_run(slow_task()), []

    def responding(*arguments, **options):
        given.append(arguments)
        return respond_with_activations(*arguments, **options)

    monkeypatch.setattr(sweep, "respond_with_activations", responding)
    found = by_layer(run, Probes(problems=16))
    assert np.isfinite(value(found, "probe_r2", control="untrained", site="about_to_state", layer="1"))
    assert [reader.model is run.model for reader, *_ in given] == [True, False] * 4  # once a chunk, for both sites
    for (_, problems), (_, same, written) in zip(given[::2], given[1::2], strict=True):
        assert same is problems
        np.testing.assert_array_equal(written, respond(run, problems).written)


@pytest.mark.parametrize("layer", ["0", "1", "all"])
def test_in_sample_is_the_least_squares_fit_to_all_test_problems_of_the_training_length(layer):
    run = oracle_run(slow_task())
    found = in_sample(run, SampleSize(128))
    problems = draw(run.task, "test", 8, 128, 0)  # among them those that held-out probes are fitted on
    seen = read_activations(run, problems)["question"]
    targets, design = seen.beliefs.reshape(-1, 3), np.pad(seen.features[layer].reshape(128 * 8, -1), ((0, 0), (1, 0)))
    design[:, 0] = 1.0
    fitted = design @ np.linalg.lstsq(design, targets, rcond=None)[0]
    read = value(found, "probe_r2", control="in_sample", site="question", layer=layer)
    assert read == pytest.approx(r2(targets, fitted), abs=0.01)
    before = value(found, "probe_r2", control="untrained+in_sample", site="question", layer=layer)
    assert (read > 0.99 > before) if layer != "0" else read < 0.05
    assert {row["control"] for row in found} == {"in_sample", "untrained+in_sample"}


def test_a_forced_trace_is_read_as_if_it_were_the_models_own():
    run = oracle_run(slow_task())
    problems = draw(run.task, "test", 8, 32, 0)
    free, held = (
        activations_at(run, problems, respond_with_activations(run, problems, written), "about_to_state")
        for written in (None, respond(run, problems).written)
    )
    np.testing.assert_allclose(held.features["1"], free.features["1"], atol=1e-5)
    np.testing.assert_array_equal(held.steps, free.steps)
    other = respond(run, problems.take(np.roll(np.arange(32), 1))).written
    np.testing.assert_array_equal(respond_with_activations(run, problems, other).written, other)


def test_probes_are_scored_on_problems_that_they_were_not_fitted_on(monkeypatch):
    drawn = []
    for name in ("fitting_problems", "scoring_problems"):
        given = getattr(fitting, name)
        monkeypatch.setattr(sweep, name, lambda *arguments, given=given: drawn.append(given(*arguments)) or drawn[-1])
    by_layer(oracle_run(slow_task(), "amortized"), FEW)
    fitted_on, scored_on = drawn
    assert len(fitted_on) == len(scored_on) == 256
    assert not np.isin(content_hash(scored_on), content_hash(fitted_on)).any()


def test_short_questions_that_splits_share_are_fitted_and_scored_on_halves_apart():
    task = small_task(
        process={"family": "group_word", "group": "S3", "elements": ["213", "231"]},
        codebook={"resolution": 1},
        steps={"train": [3, 5], "test": [5]},
    )
    run = oracle_run(task, "amortized")
    fitted_on, scored_on = fitting_problems(run, 400, "probes"), scoring_problems(run, 400)
    assert len(fitted_on) > 50
    assert len(scored_on) > 50
    assert not np.isin(content_hash(scored_on), content_hash(fitted_on)).any()


def test_features_go_with_the_beliefs_of_their_steps():
    for condition, steps in (("cot", range(1, 9)), ("cot_every_4", (4, 8)), ("amortized", (8,))):
        run = oracle_run(slow_task(), condition)
        problems = draw(run.task, "test", 8, 32, 0)
        seen = read_activations(run, problems)["about_to_state"]
        np.testing.assert_array_equal(seen.steps, list(steps))
        np.testing.assert_array_equal(seen.beliefs, problems.beliefs[:, seen.steps])
        np.testing.assert_allclose(seen.features["1"], seen.beliefs @ run.model.map, atol=1e-5)
        assert seen.features["all"].shape[2] == sum(seen.features[layer].shape[2] for layer in ("0", "1"))
