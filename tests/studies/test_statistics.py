"""Estimates over seeds, against scipy."""

import numpy as np
import pytest
from scipy import stats

from unamortized.studies.statistics import estimate


@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_the_interval_is_students(confidence):
    values = np.random.default_rng(0).normal(size=6)
    found = estimate(values, confidence)
    expected = stats.ttest_1samp(values, 0).confidence_interval(confidence)
    assert (found.low, found.high) == pytest.approx(tuple(expected))
    assert found.value == pytest.approx(values.mean())
    assert found.seeds == 6


def test_the_interval_is_of_95_percent_unless_another_is_wanted():
    values = np.array([1.0, 2.0, 4.0])
    assert estimate(values) == estimate(values, 0.95)


def test_one_seed_has_no_interval():
    found = estimate(np.array([0.3]))
    assert (found.value, found.low, found.high, found.seeds) == (0.3, None, None, 1)
