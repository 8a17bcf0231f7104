"""Ridge regression from moments is that of all data at once, however they are cut up."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from unamortized.evaluation.probes.fitting import fit_probes
from unamortized.evaluation.probes.ridge import moments, ridge_probe


def data(rows: int, far: float = 0.0, seed: int = 0):
    generator = np.random.default_rng(seed)
    x = generator.standard_normal((rows, 6)) * np.arange(1, 7) + far
    y = x[:, :3] @ generator.standard_normal((3, 4)) + generator.standard_normal((rows, 4))
    return x, y


def fit(x, y, ridge=1.0):
    return ridge_probe(moments(x, y), ridge)


@pytest.mark.parametrize("ridge", [1e-3, 1.0, 50.0])
def test_the_probe_is_that_of_a_well_kept_library(ridge):
    (x, y), (new, _) = data(80), data(20, seed=1)
    theirs = make_pipeline(StandardScaler(), Ridge(alpha=ridge)).fit(x, y)
    np.testing.assert_allclose(fit(x, y, ridge).read(new), theirs.predict(new), atol=1e-9)


@given(st.lists(st.integers(1, 79), max_size=6, unique=True), st.sampled_from([0.0, 1e4]))
def test_moments_of_chunks_are_merged_to_those_of_all(cuts, far):
    x, y = data(80, far)
    whole = moments(x, y)
    first, *others = (moments(a, b) for a, b in zip(np.split(x, sorted(cuts)), np.split(y, sorted(cuts)), strict=True))
    for other in others:
        first = first.merge(other)
    assert first.rows == whole.rows == 80
    for merged, expected in zip(first[1:], whole[1:], strict=True):
        np.testing.assert_allclose(merged, expected, rtol=1e-7, atol=1e-6)
    np.testing.assert_allclose(whole.covariance, np.cov(x.T, bias=True), rtol=1e-6)
    np.testing.assert_allclose(ridge_probe(first).weights, fit(x, y).weights, rtol=1e-6, atol=1e-9)


def test_a_feature_that_does_not_vary_is_left_out():
    x, y = data(80)
    with_constant = np.concatenate([x, np.full((80, 1), 3.7)], axis=1)
    probe = fit(with_constant, y)
    np.testing.assert_array_equal(probe.weights[-1], 0)
    np.testing.assert_allclose(probe.weights[:-1], fit(x, y).weights, atol=1e-12)


def test_a_feature_that_hardly_varies_gets_no_weight_as_it_may_vary_elsewhere():
    draw = np.random.default_rng(0)
    x, y = draw.normal(size=(200, 3)), draw.normal(size=(200, 2))
    x[:, 1] *= 1e-7
    probe = ridge_probe(moments(x, y))
    assert (probe.weights[1] == 0).all()
    np.testing.assert_allclose(probe.weights[[0, 2]], ridge_probe(moments(x[:, [0, 2]], y)).weights)


def test_targets_side_by_side_are_fitted_as_if_alone():
    x, y = data(80)
    alone, together = fit(x, y[:, 1:3]), fit(x, y)
    np.testing.assert_allclose(together.read(x)[:, 1:3], alone.read(x), atol=1e-12)


def test_samples_of_a_key_are_pooled_and_those_of_others_are_not():
    (x, y), (other_x, other_y) = data(80), data(60, seed=1)
    chunks = [("a", x[:30], y[:30]), ("b", other_x, other_y), ("a", x[30:], y[30:])]
    found = fit_probes(iter(chunks))
    for key, features, targets in (("a", x, y), ("b", other_x, other_y)):
        np.testing.assert_allclose(found[key].probe.weights, fit(features, targets).weights, rtol=1e-9)
        assert found[key].moments.rows == len(features)


def test_leading_axes_are_pooled():
    x, y = data(80)
    np.testing.assert_allclose(fit(x.reshape(8, 10, 6), y.reshape(8, 10, 4)).weights, fit(x, y).weights)
    assert fit(x, y).read(x.reshape(8, 10, 6)).shape == (8, 10, 4)
