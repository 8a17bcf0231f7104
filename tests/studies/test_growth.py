"""Fits recover known rates from synthetic learning curves, censored or not, and their intervals cover the truth."""

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from scipy.stats import norm

from unamortized.evaluation.rows import row, to_table
from unamortized.studies.growth import (
    FINEST,
    THRESHOLD,
    AicAdvantage,
    GrowthRate,
    NeededOverTable,
    all_needed,
    fit,
    is_bounded,
    learning_curves,
    needed,
    questions_of,
    stride_of,
)
from unamortized.studies.statistics import estimate

STRIDES = np.array([1, 2, 4, 8, 16])
SIZES = np.array([8, 64, 512, 4096, 32768])


def points(log_needed, smallest=-np.inf, largest=np.inf):
    """Return N* by (seed, stride), censored at the smallest and largest N tried."""
    rows = [
        (seed, stride, float(np.clip(value, smallest, largest)), int(value > largest) - int(value < smallest))
        for seed, values in enumerate(log_needed)
        for stride, value in zip(STRIDES, values, strict=True)
    ]
    return pd.DataFrame(rows, columns=["seed", "stride", "log_questions", "censored"])


def metrics(log_needed, steepness=3.0):
    """Return a table of learning curves that cross the threshold at N*: KL falls as a power of N."""
    rows = []
    for seed, values in enumerate(log_needed):
        for stride, value in zip(STRIDES, values, strict=True):
            name = "cot" if stride == 1 else f"cot_every_{stride}"
            for size in SIZES:
                kl = THRESHOLD * np.exp(-steepness * (np.log(size) - value))
                rows.append(answer_kl(name, f"n{size}", seed, kl, run=f"{stride}_{size}_{seed}"))
    return to_table(rows)


def answer_kl(condition, variant, seed, value, **where):
    where = {"variant": variant, "n_steps": 16} | where
    return row("group_word_s3", condition, seed, "in_distribution", "answer_kl", value, 1, **where)


def drawn(generator, seeds, slope=0.4, spread=0.5, growth=lambda k: k):
    return 4 + slope * growth(STRIDES) + spread * generator.standard_normal((seeds, len(STRIDES)))


def test_conditions_name_their_stride_and_variants_their_number_of_questions():
    assert [stride_of(name) for name in ("cot", "cot_every_4", "cot_every_16")] == [1, 4, 16]
    assert [stride_of(name) for name in ("amortized", "cot_state", "gru", "window_8")] == [0] * 4
    assert [questions_of(name) for name in ("n8", "n512")] == [8, 512]
    assert [questions_of(name) for name in ("", "rotary_plain", "l2", "n8_mean_4")] == [0] * 4


def test_the_threshold_is_met_between_the_sizes_on_either_side_of_it():
    halfway = needed(np.array([10, 1000]), np.array([1.0, 0.01]), threshold=0.1)
    assert halfway == (pytest.approx(np.log(100)), 0)
    late = needed(np.array([10, 1000]), np.array([0.1 * np.e, 0.1 / np.e**3]), threshold=0.1)
    assert late.log_questions == pytest.approx(np.log(10) + np.log(100) / 4)


def test_what_is_never_or_always_below_the_threshold_is_censored():
    assert needed(SIZES, np.full(5, 0.2)) == (np.log(32768), 1)
    assert needed(SIZES, np.full(5, 0.01)) == (np.log(8), -1)
    assert needed(SIZES, np.full(5, np.nan)).censored == 1  # nothing shows that it was learned


def test_a_dip_that_does_not_last_is_not_the_number_needed():
    dip = needed(SIZES, np.array([1.0, 0.05, 1.0, 0.01, 0.01]))
    assert np.log(512) < dip.log_questions < np.log(4096)


def test_an_infinite_kl_is_met_at_the_next_size():
    assert needed(SIZES, np.array([np.inf, 0.01, 0.01, 0.01, 0.01])) == (pytest.approx(np.log(64)), 0)


def test_needed_numbers_are_read_from_a_table_of_metrics():
    table = metrics(np.array([[3.0, 4.0, 5.0, 6.0, 11.0], [1.0, 4.5, 5.5, 6.5, 7.5]]))
    others = [answer_kl("prior", "", 0, 1.0), answer_kl("cot", "n8", 0, 1.0, control="exact_trace")]
    others.append(answer_kl("cot", "n8", 0, 1.0) | {"metric": "answer_tv"})
    table = pd.concat([table, to_table(others)])
    found = all_needed(table)
    assert found["stride"].tolist() == [1, 1, 2, 2, 4, 4, 8, 8, 16, 16]
    assert found["censored"].tolist() == [0, -1, 0, 0, 0, 0, 0, 0, 1, 0]
    known = found[found["censored"] == 0]
    assert known["log_questions"].to_numpy() == pytest.approx([3.0, 4.0, 4.5, 5.0, 5.5, 6.0, 6.5, 7.5])
    assert len(learning_curves(table)) == 2 * 5 * 5
    assert all_needed(to_table([])).empty


def test_without_censoring_the_fit_is_least_squares():
    values = drawn(np.random.default_rng(0), seeds=4)
    found = fit(points(values), "exponential")
    x, y = np.tile(STRIDES, 4), values.ravel()
    slope, intercept = np.polyfit(x, y, 1)
    assert (found.slope, found.intercept) == pytest.approx((slope, intercept), rel=1e-4)
    assert found.spread == pytest.approx(np.std(y - slope * x - intercept), rel=1e-4)
    likely = found.log_likelihoods(points(values)).sum()
    assert likely == pytest.approx(norm.logpdf(y, slope * x + intercept, found.spread).sum())


@pytest.mark.parametrize("growth", ["exponential", "polynomial"])
def test_a_censored_fit_maximizes_the_likelihood_written_out(growth):
    transformed = {"exponential": STRIDES, "polynomial": np.log(STRIDES)}[growth]
    values = drawn(np.random.default_rng(1), seeds=4)
    observed = points(values, smallest=4.6, largest=8.0)
    assert set(observed["censored"]) == {-1, 0, 1}

    def negative(parameters):
        total = 0.0
        for index, (y, sign) in enumerate(zip(observed["log_questions"], observed["censored"], strict=True)):
            mean = parameters[0] + parameters[1] * transformed[index % 5]
            spread = np.exp(parameters[2])
            if sign == 0:
                total += norm.logpdf(y, mean, spread)
            elif sign == 1:
                total += norm.logsf(y, mean, spread)  # it is larger
            else:
                total += norm.logcdf(y, mean, spread)
        return -total

    best = minimize(
        negative, [4, 0.3, 0.0], method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-9, "maxiter": 4000}
    )
    found = fit(observed, growth)
    assert found.log_likelihoods(observed).sum() == pytest.approx(-best.fun, abs=1e-5)
    assert (found.intercept, found.slope, found.spread) == pytest.approx((*best.x[:2], np.exp(best.x[2])), abs=1e-3)


def test_the_rate_is_recovered_though_the_largest_strides_are_censored():
    values = drawn(np.random.default_rng(2), seeds=200, slope=0.6)
    observed = points(values, largest=np.log(32768))
    assert (observed["censored"] == 1).mean() > 0.19
    assert fit(observed, "exponential").slope == pytest.approx(0.6, abs=0.02)
    ignoring = fit(observed.assign(censored=0), "exponential")
    assert ignoring.slope < 0.5  # as if the largest N had sufficed


@pytest.mark.parametrize("growth, other", [("exponential", "polynomial"), ("polynomial", "exponential")])
def test_the_growth_that_made_the_data_has_the_smaller_aic(growth, other):
    shape = {"exponential": lambda k: k, "polynomial": lambda k: 5 * np.log(k)}[growth]
    table = metrics(drawn(np.random.default_rng(3), seeds=6, slope=0.38, spread=0.2, growth=shape))
    assert AicAdvantage(growth, other).estimate(table).low > 2
    assert AicAdvantage(other, growth).estimate(table).high < -2
    assert AicAdvantage(growth, "flat").estimate(table).low > 2


def test_an_advantage_in_aic_is_the_difference_of_the_two():
    table = metrics(drawn(np.random.default_rng(4), seeds=3))
    observed = all_needed(table)
    for growth, other in (("exponential", "polynomial"), ("exponential", "flat")):
        fits = [fit(observed, name) for name in (other, growth)]
        worse, better = (2 * each.parameters - 2 * each.log_likelihoods(observed).sum() for each in fits)
        assert AicAdvantage(growth, other).estimate(table).value == pytest.approx(worse - better)


def test_where_nothing_grows_flat_is_preferred_and_the_rate_is_near_zero():
    table = metrics(drawn(np.random.default_rng(50), seeds=6, slope=0.0, spread=0.3))
    assert AicAdvantage("exponential", "flat").estimate(table).value < 0
    rate = GrowthRate("exponential").estimate(table)
    assert rate.low < 0 < rate.high


def test_the_spread_of_a_perfect_fit_is_what_interpolation_can_tell():
    found = fit(points(np.array([4 + 0.5 * STRIDES])), "exponential")
    assert found.spread == pytest.approx(FINEST)
    assert found.slope == pytest.approx(0.5, abs=1e-4)


def test_seeds_rates_use_the_common_spread_and_average_to_the_whole_if_nothing_is_censored():
    values = drawn(np.random.default_rng(6), seeds=5, slope=0.2, spread=0.2)
    table = metrics(values)
    own = GrowthRate("exponential").values(table)
    assert own.to_numpy() == pytest.approx([np.polyfit(STRIDES, each, 1)[0] for each in values], rel=1e-3)
    assert fit(all_needed(table), "exponential").slope == pytest.approx(own.mean(), rel=1e-3)


@pytest.mark.parametrize("largest, seeds", [(np.log(32768), 3), (np.log(4096), 3)])
def test_the_interval_of_the_rate_covers_it_nine_times_in_ten_or_more(largest, seeds):
    generator, covered, sims = np.random.default_rng(7), 0, 30
    for _ in range(sims):
        observed = points(drawn(generator, seeds, slope=0.5, spread=0.4), largest=largest)
        spread = fit(observed, "exponential").spread
        slopes = [fit(own, "exponential", spread).slope for _, own in observed.groupby("seed")]
        interval = estimate(np.array(slopes))
        covered += interval.low <= 0.5 <= interval.high
    assert covered / sims >= 0.9


def test_a_slope_that_data_bound_on_one_side_alone_is_no_estimate():
    only_first = np.array([[4.0, 99.0, 99.0, 99.0, 99.0]])
    unbounded = points(only_first, largest=10)
    assert not is_bounded(unbounded, "exponential")
    assert fit(unbounded, "polynomial") is None
    assert fit(unbounded, "flat") is not None
    held = points(np.array([[-99.0, 5.0, 99.0, 99.0, 99.0]]), smallest=3, largest=10)  # below before, above after
    assert not is_bounded(held, "exponential")  # still any steeper line is likelier
    between = points(np.array([[99.0, 5.0, 99.0, 99.0, 99.0]]), largest=10)
    assert is_bounded(between, "exponential")
    assert fit(points(np.full((1, 5), 99.0), largest=10), "flat") is None


def test_one_seed_without_a_bounded_slope_leaves_the_rate_unmeasured():
    values = np.array([[3.0, 4.0, 5.0, 6.0, 7.0], [3.0, 99.0, 99.0, 99.0, 99.0]])
    assert GrowthRate("exponential").estimate(metrics(values)) is None
    assert GrowthRate("exponential").estimate(metrics(values[:1])).seeds == 1
    assert AicAdvantage("exponential", "flat").estimate(to_table([])) is None
    assert GrowthRate("exponential").estimate(to_table([])) is None


def shown(stride, value, seeds=2):
    """Return the number of questions that show every update of a stride, for each seed."""
    where = {"n_steps": 16, "step": stride}
    rows = [
        row("group_word_s3", "update_table", seed, "in_distribution", "table_questions", value, 1, **where)
        for seed in range(seeds)
    ]
    return to_table(rows)


def test_needed_questions_are_a_share_of_the_table_unless_a_seed_is_censored():
    curves = metrics(np.array([[3.0, 4.0, 5.0, 6.0, 7.0], [3.0, 4.0, 5.5, 6.0, 99.0]]))
    table = pd.concat([curves, shown(4, np.exp(6.0)), shown(16, 100.0)])
    assert NeededOverTable(4).values(table).to_dict() == pytest.approx({0: np.exp(-1.0), 1: np.exp(-0.5)})
    assert NeededOverTable(4).estimate(table).value == pytest.approx(np.exp(-0.75))  # on the logarithm
    assert NeededOverTable(16).estimate(table) is None
    assert NeededOverTable(2).estimate(table) is None  # no table was measured


def test_a_rate_names_its_unit_and_the_runs_on_the_curves():
    table = metrics(np.array([[3.0, 4.0, 5.0, 6.0, 7.0]]))
    table = pd.concat([table, to_table([answer_kl("amortized", "n8", 0, 1.0, run="other")])])
    assert (GrowthRate("exponential").unit, GrowthRate("polynomial").unit) == ("per step", "per e-fold")
    runs = {f"{stride}_{size}_0" for stride in STRIDES for size in SIZES}
    for quantity in (GrowthRate("exponential"), AicAdvantage("exponential", "flat"), NeededOverTable(4)):
        assert quantity.runs(table) == runs
