"""Belief subspaces: what is erased cannot be read, what is moved reads as asked, and random ones are their match."""

import numpy as np
import pytest

from unamortized.evaluation.probes.fitting import FittedProbe
from unamortized.evaluation.probes.ridge import moments, r2, ridge_probe
from unamortized.evaluation.subspaces import (
    angle_between,
    as_far,
    belief_subspace,
    effective_dimension,
    likeliest_change,
    random_subspace,
)


def held(width: int, rows: int = 4000, seed: int = 0):
    """Activations of unlike variances, correlated, and beliefs over three states that they hold with some noise."""
    generator = np.random.default_rng(seed)
    activations = generator.standard_normal((rows, width)) @ generator.standard_normal((width, width))
    activations = activations * np.arange(1, width + 1) + generator.standard_normal(width)
    two = activations @ generator.standard_normal((width, 2)) * 0.01 + 0.05 * generator.standard_normal((rows, 2))
    beliefs = np.concatenate([two, -two.sum(axis=1, keepdims=True)], axis=1) + 1 / 3
    return activations, beliefs


def fitted(activations, beliefs, ridge=1e-6) -> FittedProbe:
    found = moments(activations, beliefs)
    return FittedProbe(ridge_probe(found, ridge), found)


def score(activations, beliefs, ridge=1e-6) -> float:
    """R2 of a probe on what it was fitted to."""
    return r2(beliefs, fitted(activations, beliefs, ridge).probe.read(activations))


@pytest.fixture(scope="module", params=[12, 40])
def world(request):
    activations, beliefs = held(request.param)
    probe, found = fitted(activations, beliefs)
    return activations, beliefs, found, probe, belief_subspace(FittedProbe(probe, found))


def test_the_subspace_has_as_many_dimensions_as_beliefs(world):
    *_, subspace = world
    assert subspace.rank == 2
    np.testing.assert_allclose(subspace.across @ subspace.along, np.eye(2), atol=1e-8)


def test_where_it_is_erased_no_affine_probe_reads_anything(world):
    activations, beliefs, _, _, subspace = world
    assert score(activations, beliefs) > 0.8
    erased = subspace.erased(activations)
    assert score(erased, beliefs, 1e-3) < 1e-4
    np.testing.assert_allclose(subspace.erased(erased), erased, atol=1e-6)


def test_no_lesser_change_erases_it(world):
    """LEACE is the least change, in squares, after which nothing can be read; there are others."""
    activations, beliefs, found, probe, subspace = world
    ours = ((subspace.erased(activations) - activations) ** 2).sum()
    lag = np.cov(activations.T, beliefs.T, bias=True)[: activations.shape[1], activations.shape[1] :]
    basis = np.linalg.svd(lag, full_matrices=False)[0][:, :2]
    centered = activations - found.x_mean
    orthogonal = ((centered @ basis @ basis.T) ** 2).sum()  # another that erases: the directions of the covariance
    still = activations - centered @ basis @ basis.T
    assert score(still, beliefs, 1e-3) < 1e-4
    assert ours <= orthogonal * (1 + 1e-6)


def test_the_part_in_the_subspace_is_all_that_the_probe_reads(world):
    activations, _, _, probe, subspace = world
    part = subspace.part(activations - subspace.mean)
    np.testing.assert_allclose(probe.read(subspace.mean + part), probe.read(activations), atol=1e-6)
    assert np.linalg.matrix_rank(part) == 2
    np.testing.assert_allclose(subspace.erased(activations) + part, activations, atol=1e-8)


def test_the_likeliest_change_makes_the_probe_read_the_belief_and_none_is_likelier(world):
    activations, beliefs, found, probe, subspace = world
    generator = np.random.default_rng(1)
    wanted = generator.dirichlet([1, 1, 1], size=len(beliefs))
    change = likeliest_change(probe, subspace, activations, wanted)
    np.testing.assert_allclose(probe.read(activations + change), wanted, atol=1e-6)
    idle = generator.standard_normal((20, activations.shape[1]))
    weights = probe.weights.T
    idle -= idle @ np.linalg.pinv(weights, rcond=1e-6) @ weights  # directions that the probe does not read

    def unlikely(changes):
        return np.einsum("bi,ij,bj->b", changes, np.linalg.inv(found.covariance), changes)

    for direction in 0.1 * idle:
        np.testing.assert_allclose(probe.read(activations + change + direction), wanted, atol=1e-6)
        assert (unlikely(change + direction) > unlikely(change)).all()


def test_the_likeliest_change_is_the_one_by_which_beliefs_move_activations():
    generator = np.random.default_rng(1)
    beliefs, mixing = generator.dirichlet([1, 1, 1], size=4000), generator.standard_normal((3, 64))
    activations = beliefs @ mixing + 0.05 * generator.standard_normal((4000, 64))
    found, wanted = fitted(activations, beliefs, 1.0), np.roll(beliefs, 1, axis=0)
    change = likeliest_change(found.probe, belief_subspace(found), activations, wanted)
    expected = (wanted - beliefs) @ mixing
    assert 1 - ((change - expected) ** 2).sum() / (expected**2).sum() > 0.95


def test_a_random_subspace_is_its_match_in_rank_and_variance_and_lies_elsewhere(world):
    activations, beliefs, found, _, subspace = world
    random = random_subspace(subspace, found.covariance, np.random.default_rng(2))
    assert random.rank == subspace.rank
    assert random.variance(found.covariance) == pytest.approx(subspace.variance(found.covariance), rel=0.1)
    np.testing.assert_allclose(random.across @ random.along, np.eye(2), atol=1e-8)
    assert angle_between(random.along, subspace.along) > 15
    np.testing.assert_allclose(random.across @ subspace.along, 0, atol=1e-8)
    np.testing.assert_allclose(subspace.across @ random.along, 0, atol=1e-8)
    still = random.erased(activations)  # what is read is still there
    assert score(still, beliefs) == pytest.approx(score(activations, beliefs), abs=0.01)
    kept = np.trace(np.cov(subspace.part(activations - subspace.mean).T)) / np.trace(np.cov(activations.T))
    assert subspace.variance(found.covariance) == pytest.approx(kept, rel=1e-6)


def test_changes_elsewhere_are_as_long_and_lie_there(world):
    activations, _, found, _, subspace = world
    random = random_subspace(subspace, found.covariance, np.random.default_rng(2))
    change = np.random.default_rng(3).standard_normal(activations.shape)
    other = as_far(change, random, np.random.default_rng(4))
    np.testing.assert_allclose(np.linalg.norm(other, axis=1), np.linalg.norm(change, axis=1))
    np.testing.assert_allclose(random.part(other), other, atol=1e-8)
    assert np.linalg.matrix_rank(other) == 2


def test_where_nothing_varies_there_is_nothing():
    activations, beliefs = np.full((50, 6), 2.0), held(12, 50)[1]
    found = fitted(activations, beliefs, 1.0)
    covariance, subspace = found.moments.covariance, belief_subspace(found)
    assert subspace.variance(covariance) == 0
    np.testing.assert_array_equal(subspace.part(np.ones((3, 6))), 0)
    random = random_subspace(subspace, covariance, np.random.default_rng(0))
    np.testing.assert_array_equal(as_far(np.ones((3, 6)), random, np.random.default_rng(0)), 0)
    assert np.isnan(angle_between(subspace.along, np.eye(6)[:, :2]))
    assert effective_dimension(covariance) == 0


def test_effective_dimension_counts_directions_of_equal_variance():
    assert effective_dimension(np.diag([2.0, 2.0, 2.0, 0.0])) == pytest.approx(3)
    assert effective_dimension(np.diag([1.0, 1e-9])) == pytest.approx(1)
    assert effective_dimension(np.diag([3.0, 1.0])) == pytest.approx(16 / 10)


def test_angles_are_between_spans_not_between_their_vectors():
    plane, turned = np.eye(4)[:, :2], np.eye(4)[:, :2] @ np.array([[2.0, 1.0], [0.0, 3.0]])
    assert angle_between(plane, turned) == pytest.approx(0, abs=1e-5)
    assert angle_between(plane, np.eye(4)[:, 2:]) == pytest.approx(90)
    tilted = np.stack([np.eye(4)[0], np.cos(np.pi / 6) * np.eye(4)[1] + 0.5 * np.eye(4)[2]], axis=1)
    assert angle_between(plane, tilted) == pytest.approx(15)  # the mean of 0 and 30
