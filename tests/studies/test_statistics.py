"""Estimates over seeds, against scipy and by hand."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from unamortized.evaluation.rows import row, to_table
from unamortized.studies.statistics import estimate, level, over_steps, paired_difference, paired_ratio, select


def table(*rows):
    """Metrics of one task: (condition, seed, value), with columns."""
    filled = []
    for condition, seed, value, *where in rows:
        filled.append(row("task", condition, seed, "length", "answer_kl", value, 1, **(where[0] if where else {})))
    return to_table(filled)


def test_the_interval_is_students():
    values = np.random.default_rng(0).normal(size=6)
    found = estimate(values)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx(tuple(expected))
    assert found.value == pytest.approx(values.mean())
    assert found.seeds == 6


def test_one_seed_has_no_interval():
    found = estimate(np.array([0.3]))
    assert (found.value, found.low, found.high, found.seeds) == (0.3, None, None, 1)


def test_differences_are_paired_by_seed_and_not_by_order():
    metrics = table(("cot", 0, 1.0), ("cot", 1, 2.0), ("cot", 2, 4.0), ("amortized", 2, 5.0), ("amortized", 0, 2.0))
    metrics = pd.concat([metrics, table(("amortized", 1, 3.0))])
    found = paired_difference("answer_kl", ("amortized", {}), ("cot", {}), "nats").estimate(metrics)
    assert (found.value, found.low, found.high, found.seeds) == (1.0, 1.0, 1.0, 3)  # each pair differs by one


def test_seeds_that_only_one_side_has_are_left_out():
    metrics = table(("cot", 0, 1.0), ("cot", 1, 2.0), ("amortized", 1, 5.0), ("amortized", 7, 9.0))
    found = paired_difference("answer_kl", ("amortized", {}), ("cot", {}), "nats").estimate(metrics)
    assert (found.value, found.seeds) == (3.0, 1)


def test_ratios_are_averaged_and_bounded_on_their_logarithm():
    metrics = table(("a", 0, 2.0), ("a", 1, 8.0), ("a", 2, 4.0), ("b", 0, 1.0), ("b", 1, 1.0), ("b", 2, 1.0))
    found = paired_ratio("answer_kl", ("a", {}), ("b", {})).estimate(metrics)
    assert found.value == pytest.approx(4)
    logs = stats.ttest_1samp(np.log([2, 8, 4]), 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx(tuple(np.exp([logs.low, logs.high])))
    upside_down = paired_ratio("answer_kl", ("b", {}), ("a", {})).estimate(metrics)
    assert (upside_down.low, upside_down.high) == pytest.approx((1 / found.high, 1 / found.low))


def test_a_ratio_compares_two_places_of_one_condition():
    metrics = table(("cot", 0, 0.2, {"n_steps": 64}), ("cot", 0, 0.1, {"n_steps": 16}))
    measure = paired_ratio("answer_kl", ("cot", {"n_steps": 64}), ("cot", {"n_steps": 16}))
    assert measure.estimate(metrics).value == pytest.approx(2)
    assert measure.unit == "ratio"


def test_rows_are_selected_by_their_columns_and_none_means_empty():
    metrics = table(
        ("cot", 0, 1.0, {"layer": "2", "step": 4}),
        ("cot", 0, 2.0, {"layer": "2"}),
        ("cot", 0, 4.0, {"layer": "1"}),
    )
    assert select(metrics, "answer_kl", "cot", layer="2", step=None).to_dict() == {0: 2.0}
    assert select(metrics, "answer_kl", "cot", step=4).to_dict() == {0: 1.0}
    assert select(metrics, "answer_kl", "cot", layer="3").empty
    assert select(metrics, "answer_tv", "cot").empty


def test_what_was_not_measured_has_no_estimate():
    metrics = table(("cot", 0, np.nan), ("cot", 1, np.nan))
    for measure in (level("answer_kl", "cot", "nats"), level("answer_kl", "other", "nats")):
        assert measure.estimate(metrics) is None
    assert paired_ratio("answer_kl", ("cot", {}), ("other", {})).estimate(metrics) is None
    assert level("answer_kl", "cot", "nats").estimate(to_table([])) is None


def test_the_extreme_of_each_seed_is_taken_before_the_mean():
    metrics = table(
        *[("cot", 0, value, {"step": lag}) for lag, value in enumerate((0.9, 0.5, 0.7, 0.1))],
        *[("cot", 1, value, {"step": lag}) for lag, value in enumerate((0.6, 0.8, 0.9, 2.0))],
        ("cot", 1, 9.0),
    )
    smallest = over_steps("answer_kl", "cot", "ratio", step=(0, 2), take="min").estimate(metrics)
    assert smallest.value == pytest.approx((0.5 + 0.6) / 2)  # lag 3 and what has no lag are out of range
    largest = over_steps("answer_kl", "cot", "ratio", step=(1, 3), take="max").estimate(metrics)
    assert largest.value == pytest.approx((0.7 + 2.0) / 2)
    mean = over_steps("answer_kl", "cot", "ratio", step=(0, 1), take="mean").estimate(metrics)
    assert mean.value == pytest.approx((0.7 + 0.7) / 2)


def test_a_seed_that_lacks_a_step_has_no_value_over_the_steps():
    metrics = table(("cot", 0, 0.9, {"step": 0}), ("cot", 0, np.nan, {"step": 1}), ("cot", 1, 0.4, {"step": 0}))
    found = over_steps("answer_kl", "cot", "ratio", step=(0, 8), take="min").estimate(metrics)
    assert (found.value, found.seeds) == (0.4, 1)


def test_the_last_layer_is_the_last_one_measured_not_all_of_them():
    metrics = table(
        *[("cot", 0, value, {"layer": layer}) for layer, value in (("0", 1.0), ("10", 3.0), ("9", 2.0), ("all", 9.0))]
    )
    assert select(metrics, "answer_kl", "cot", layer="last").tolist() == [3.0]


def test_several_rows_a_seed_are_no_value():
    metrics = table(("cot", 0, 1.0, {"layer": "0"}), ("cot", 0, 2.0, {"layer": "1"}))
    with pytest.raises(ValueError, match="answer_kl of cot has several rows a seed"):
        select(metrics, "answer_kl", "cot")
