"""Estimates over seeds, against scipy."""

import numpy as np
import pytest
from scipy import stats

from unamortized.studies.statistics import FISHER, LOGARITHM, Estimate, estimate, holm, rank_estimate


def test_the_interval_is_students():
    values = np.random.default_rng(0).normal(size=6)
    found = estimate(values)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx(tuple(expected))
    assert found.value == pytest.approx(values.mean())
    assert found.seeds == 6


def test_one_seed_has_no_interval_and_decides_nothing():
    found = estimate(np.array([0.3]))
    assert (found.value, found.low, found.high, found.seeds) == (0.3, None, None, 1)
    assert (found.p_above(0.0), found.p_below(1.0)) == (1.0, 1.0)


def test_ratios_are_averaged_and_bounded_on_the_logarithm():
    values = np.array([0.5, 1.0, 4.0])
    found, logs = estimate(values, LOGARITHM), estimate(np.log(values))
    assert (found.value, found.low, found.high) == pytest.approx(tuple(np.exp([logs.value, logs.low, logs.high])))
    assert found.p_above(0.3) == pytest.approx(logs.p_above(np.log(0.3)))
    assert found.p_above(-1.0) == 0.0  # a ratio is above any negative bound, whatever its interval
    assert found.p_below(-1.0) == 1.0
    assert found.p_above(0.0) == 0.0


@pytest.mark.parametrize("bound", [-1.0, 0.0, 0.4, 2.0])
def test_the_p_value_is_that_of_students_test(bound):
    values = np.random.default_rng(1).normal(size=5)
    found = estimate(values)
    for p_value, side in ((found.p_above, "greater"), (found.p_below, "less")):
        expected = stats.ttest_1samp(values, bound, alternative=side).pvalue
        assert p_value(bound) == pytest.approx(min(1.0, 2 * expected))


def test_a_p_value_is_five_percent_where_the_interval_ends():
    found = estimate(np.array([1.0, 2.0, 4.0, 3.0]))
    assert (found.p_above(found.low), found.p_below(found.high)) == pytest.approx((0.05, 0.05))


def test_seeds_that_all_agree_have_the_p_value_of_a_sign_test():
    found = estimate(np.full(6, 0.7))
    assert (found.low, found.high) == pytest.approx((0.7, 0.7))
    assert (found.p_above(0.5), found.p_below(0.5)) == (2**-5, 1.0)
    assert (found.p_above(0.9), found.p_below(0.9)) == (1.0, 2**-5)


@pytest.mark.parametrize("value", [0.05, 0.1, 0.7, 0.95])
@pytest.mark.parametrize("seeds", [3, 5, 6])
def test_equal_seeds_are_estimated_without_rounding(value, seeds):
    found = estimate(np.full(seeds, value))
    assert (found.value, found.low, found.high) == (value, value, value)


def test_a_rank_correlation_has_fishers_interval_within_one():
    found = rank_estimate(np.array([0.98, 0.9, 1.0]), 10, 1.0)
    assert -1 < found.low < found.value < found.high < 1
    assert found.scale == FISHER
    assert found.ceiling is None
    z = np.arctanh([0.98, 0.9, 1 - 6 / 990])
    by_seeds = stats.ttest_1samp(z, 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx(tuple(np.tanh(by_seeds)))


def test_seeds_that_agree_do_not_make_few_points_many():
    few, many = (rank_estimate(np.full(6, 0.9), points, 1.0) for points in (5, 500))
    assert few.high - few.low > 5 * (many.high - many.low)
    half = stats.t.ppf(0.975, 5) * np.sqrt(1.06 / 2 / 6)
    assert np.arctanh(few.low) == pytest.approx(np.arctanh(0.9) - half)


@pytest.mark.parametrize("ceiling", [0.982, 1.0])
def test_a_correlation_at_its_ceiling_says_so(ceiling):
    found = rank_estimate(np.full(3, ceiling), 15, ceiling)
    assert found.ceiling == ceiling
    assert found.low < found.value <= found.high < 1
    assert rank_estimate(np.array([ceiling, 0.9, 0.9]), 15, ceiling).ceiling is None


def test_three_points_have_no_rank_correlation():
    with pytest.raises(ValueError, match=r"at least four points \(got 3\)"):
        rank_estimate(np.ones(6), 3, 1.0)


def test_the_fieller_error_is_that_of_simulated_rank_correlations():
    draws = np.random.default_rng(0).multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], size=(4000, 20))
    ranks = draws.argsort(axis=1).argsort(axis=1).astype(float)
    centered = (ranks - ranks.mean(axis=1, keepdims=True)) / ranks.std(axis=1, keepdims=True)
    z = np.arctanh((centered[..., 0] * centered[..., 1]).mean(axis=1))
    assert z.std() == pytest.approx(np.sqrt(1.06 / 17), rel=0.05)


def test_holms_correction_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_a_bound_at_the_end_of_a_scale_is_always_passed():
    found = Estimate(0.5, 0.4, 0.6, 6, FISHER)
    assert (found.p_above(-1.0), found.p_above(-1.5), found.p_below(1.0)) == (0.0, 0.0, 0.0)
    assert found.p_above(1.5) == 1.0
