"""Quantities read the rows that they name, pair seeds, and average ratios on the logarithm."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tests.studies.tables import metric_rows, metric_table
from unamortized.studies.quantities import (
    Comparison,
    Expression,
    Quantity,
    RankAlong,
    SeedStatistic,
    average,
    greatest,
    least,
)
from unamortized.studies.statistics import Estimate

kl, reliance = Quantity("answer_kl"), Quantity("causal_reliance")
EMPTY = metric_table()


def values_of(quantity: Expression, table: pd.DataFrame) -> dict[int, float]:
    """Values by seed, without those that are missing."""
    return {int(seed): float(value) for seed, value in quantity.values(table).dropna().items()}


def test_a_reading_is_of_its_metric_condition_variant_control_and_columns():
    table = metric_table(
        metric_rows("answer_kl", "cot", [1.0], n_steps=4),
        metric_rows("answer_kl", "cot", [2.0], n_steps=8),
        metric_rows("answer_kl", "cot", [3.0], n_steps=4, variant="l2"),
        metric_rows("answer_kl", "cot", [4.0], n_steps=4, control="untrained"),
        metric_rows("answer_kl", "gru", [5.0], n_steps=4),
        metric_rows("answer_tv", "cot", [6.0], n_steps=4),
        metric_rows("probe_r2", "cot", [7.0], layer="1", site="question"),
        metric_rows("probe_r2", "cot", [8.0], layer="1", site="about_to_state"),
        metric_rows("causal_reliance", "cot", [9.0], world="n8"),
        metric_rows("causal_reliance", "cot", [10.0], world="n16"),
    )
    assert values_of(kl("cot", n_steps=4), table) == {0: 1.0}
    assert values_of(kl("cot", n_steps=8), table) == {0: 2.0}
    assert values_of(kl("cot", n_steps=4, variant="l2"), table) == {0: 3.0}
    assert values_of(kl("cot", n_steps=4, control="untrained"), table) == {0: 4.0}
    assert values_of(kl("gru", n_steps=4), table) == {0: 5.0}
    assert values_of(Quantity("answer_tv")("cot"), table) == {0: 6.0}
    assert values_of(Quantity("probe_r2")("cot", site="about_to_state", layer="1"), table) == {0: 8.0}
    assert values_of(reliance("cot", world="n16"), table) == {0: 10.0}
    assert values_of(kl("cot", n_steps=16), table) == {}


def test_a_column_given_as_none_is_empty():
    table = metric_table(
        metric_rows("probe_r2", "cot", [1.0], layer="2", step=4),
        metric_rows("probe_r2", "cot", [2.0], layer="2"),
        metric_rows("probe_r2", "cot", [3.0], step=4),
    )
    r2 = Quantity("probe_r2")
    assert values_of(r2("cot", layer="2", step=None), table) == {0: 2.0}
    assert values_of(r2("cot", layer=None, step=4), table) == {0: 3.0}


def test_the_last_layer_is_the_last_number_and_not_all_of_them():
    layers = {"0": 1.0, "10": 3.0, "9": 2.0, "all": 9.0, "chosen": 9.0}
    rows = [metric_rows("probe_r2", "cot", [value], layer=layer) for layer, value in layers.items()]
    others = metric_rows("probe_r2", "gru", [4.0], layer="11")
    assert values_of(Quantity("probe_r2")("cot", layer="last"), metric_table(*rows, others)) == {0: 3.0}
    assert values_of(Quantity("probe_r2")("cot", layer="last"), metric_table(*rows[3:])) == {}


def test_a_reading_of_several_rows_a_seed_is_an_error():
    table = metric_table(
        metric_rows("probe_r2", "cot", [1.0], layer="0"), metric_rows("probe_r2", "cot", [2.0], layer="1")
    )
    with pytest.raises(ValueError, match="probe_r2 of cot has several rows a seed"):
        Quantity("probe_r2")("cot").values(table)


def test_values_of_few_problems_are_ignored():
    table = metric_table(
        metric_rows("causal_reliance", "cot", {0: 1.0}, count=20),
        metric_rows("causal_reliance", "cot", {1: 9.0}, count=19),
    )
    assert values_of(Quantity("causal_reliance", fewest=20)("cot"), table) == {0: 1.0}
    assert values_of(reliance("cot"), table) == {0: 1.0, 1: 9.0}


def test_differences_are_paired_by_seed_and_not_by_order():
    table = metric_table(
        metric_rows("answer_kl", "cot", {0: 1.0, 1: 2.0, 2: 4.0}),
        metric_rows("answer_kl", "gru", {2: 5.0, 0: 2.0, 1: 3.0}),
    )
    found = (kl("gru") - kl("cot")).estimate(table)
    assert found == Estimate(1.0, 1.0, 1.0, 3)  # each pair differs by one


def test_seeds_that_only_one_side_has_are_left_out():
    table = metric_table(
        metric_rows("answer_kl", "cot", {0: 1.0, 1: 2.0}), metric_rows("answer_kl", "gru", {1: 8.0, 7: 9.0})
    )
    assert values_of(kl("gru") - kl("cot"), table) == {1: 6.0}
    assert values_of(kl("gru") / kl("cot"), table) == {1: 4.0}
    assert values_of(kl("gru").share_of(kl("cot")), table) == {1: 4.0}


def test_ratios_are_averaged_and_bounded_on_their_logarithm_and_shares_are_not():
    table = metric_table(metric_rows("answer_kl", "cot", [2.0, 8.0, 4.0]), metric_rows("answer_kl", "gru", [1.0] * 3))
    found = (kl("cot") / kl("gru")).estimate(table)
    logs = stats.ttest_1samp(np.log([2, 8, 4]), 0).confidence_interval(0.95)
    assert found.value == pytest.approx(4)
    assert (found.low, found.high) == pytest.approx(tuple(np.exp([logs.low, logs.high])))
    inverse = (kl("gru") / kl("cot")).estimate(table)
    assert (inverse.low, inverse.high) == pytest.approx((1 / found.high, 1 / found.low))
    share = kl("cot").share_of(kl("gru")).estimate(table)
    plain = stats.ttest_1samp([2, 8, 4], 0).confidence_interval(0.95)
    assert share.value == pytest.approx(14 / 3)
    assert (share.low, share.high) == pytest.approx(tuple(plain))


def test_arithmetic_nests():
    table = metric_table(
        *(metric_rows("answer_kl", name, [value] * 2) for name, value in (("cot", 1.0), ("gru", 3.0), ("prior", 9.0)))
    )
    gain = (kl("prior") - kl("gru")).share_of(kl("prior") - kl("cot"))
    assert values_of(gain, table) == {0: 0.75, 1: 0.75}


def test_units_follow_the_arithmetic():
    assert kl("cot").unit == "nats"
    assert (kl("cot") - kl("gru")).unit == "nats"
    assert (kl("cot") / kl("gru")).unit == "ratio"
    assert kl("cot").share_of(kl("gru")).unit == "fraction"
    assert least(kl("cot"), kl("gru")).unit == "nats"
    assert kl("cot").over_steps(0, 1, "min").unit == "nats"


def test_what_was_not_measured_has_no_estimate():
    table = metric_table(metric_rows("answer_kl", "cot", [np.nan, np.nan]))
    for quantity in (kl("cot"), kl("other"), kl("cot") / kl("other"), average(kl("other"), kl("another"))):
        assert quantity.estimate(table) is None
        assert quantity.estimate(EMPTY) is None


def test_over_steps_is_taken_in_each_seed_before_the_mean():
    table = metric_table(
        *(
            metric_rows("causal_reliance", "cot", {0: value}, step=lag)
            for lag, value in enumerate((0.9, 0.5, 0.7, 0.1))
        ),
        *(
            metric_rows("causal_reliance", "cot", {1: value}, step=lag)
            for lag, value in enumerate((0.6, 0.8, 0.9, 2.0))
        ),
        metric_rows("causal_reliance", "cot", {1: 9.0}),  # without a lag
    )
    found = {take: values_of(reliance("cot").over_steps(0, 2, take), table) for take in ("min", "max", "mean")}
    assert found["min"] == pytest.approx({0: 0.5, 1: 0.6})
    assert found["max"] == pytest.approx({0: 0.9, 1: 0.9})
    assert found["mean"] == pytest.approx({0: 0.7, 1: 2.3 / 3})
    assert values_of(reliance("cot").over_steps(1, 3, "max"), table) == pytest.approx({0: 0.7, 1: 2.0})


def test_a_seed_that_lacks_the_value_of_a_step_has_none_over_the_steps():
    table = metric_table(
        metric_rows("causal_reliance", "cot", [0.9, 0.4, 0.7], step=0),
        metric_rows("causal_reliance", "cot", {0: np.nan, 2: 0.8}, step=1),
    )
    assert values_of(reliance("cot").over_steps(0, 8, "min"), table) == {2: 0.7}


def test_least_greatest_and_average_are_taken_seed_by_seed():
    table = metric_table(metric_rows("answer_kl", "cot", [1.0, 6.0]), metric_rows("answer_kl", "gru", [3.0, 2.0]))
    parts = kl("cot"), kl("gru")
    assert values_of(least(*parts), table) == {0: 1.0, 1: 2.0}
    assert values_of(greatest(*parts), table) == {0: 3.0, 1: 6.0}
    assert values_of(average(*parts), table) == {0: 2.0, 1: 4.0}


def test_parts_that_were_not_measured_are_left_out_unless_all_are_needed():
    table = metric_table(metric_rows("answer_kl", "cot", [1.0, 6.0]), metric_rows("answer_kl", "gru", [3.0]))
    parts = kl("cot"), kl("gru"), kl("other")
    for of in (least, greatest, average):
        assert set(values_of(of(*parts), table)) == {0}  # seed 1 lacks a part that seed 0 has
        assert values_of(of(*parts, complete=True), table) == {}
    assert values_of(least(kl("cot"), kl("gru"), complete=True), table) == {0: 1.0}


def test_a_rank_correlation_is_spearmans_within_each_seed():
    values = {1: [0.1, 9.0], 2: [0.4, 5.0], 4: [0.3, 1.0], 8: [7.0, 0.5]}
    table = metric_table(*(metric_rows("answer_kl", "cot", own, n_steps=n) for n, own in values.items()))
    lengths = (1, 2, 4, 8, 16)  # the last was not measured
    found = RankAlong(lengths, tuple(kl("cot", n_steps=n) for n in lengths))
    expected = stats.spearmanr(list(values), [own[0] for own in values.values()]).statistic
    assert values_of(found, table) == pytest.approx({0: expected, 1: -1.0})
    table = table[(table["seed"] == 0) | (table["n_steps"] != 8)]
    assert values_of(found, table) == pytest.approx({0: expected})  # seed 1 lacks a value that seed 0 has
    three = RankAlong((1, 2, 4, 16), tuple(kl("cot", n_steps=n) for n in (1, 2, 4, 16)))
    assert three.estimate(table) is None


def test_a_rank_correlation_of_what_does_not_vary_is_no_estimate():
    constant = metric_table(*(metric_rows("answer_kl", "cot", [0.0, 0.0], n_steps=n) for n in (1, 2, 4, 8)))
    found = RankAlong((1, 2, 4, 8), tuple(kl("cot", n_steps=n) for n in (1, 2, 4, 8)))
    assert found.values(constant).isna().all()
    assert found.estimate(constant) is None
    once = metric_table(*(metric_rows("answer_kl", "cot", [n, 0.0, n], n_steps=n) for n in (1, 2, 4, 8)))
    assert found.estimate(once) is None  # the seeds that do vary would not be a random choice
    assert found.estimate(once[once["seed"] != 1]).seeds == 2


def test_the_estimate_of_a_rank_correlation_names_the_ceiling_that_ties_set():
    table = metric_table(*(metric_rows("answer_kl", "cot", [n, 2.0 * n], n_steps=n) for n in (1, 2, 4, 8)))
    parts = tuple(kl("cot", n_steps=n) for n in (1, 2, 4, 8))
    assert RankAlong((1, 2, 4, 8), parts).estimate(table).ceiling == pytest.approx(1.0)

    class Tied(RankAlong):
        def pairs(self, table):
            return super().pairs(table).assign(x=lambda pairs: pairs["x"] // 4)  # 0, 0, 1, 2

    best = stats.spearmanr([0, 0, 1, 2], [1, 2, 3, 4]).statistic
    found = Tied((1, 2, 4, 8), parts).estimate(table)
    assert (found.ceiling, found.seeds) == (pytest.approx(best), 2)


def test_comparisons_hold_or_are_excluded_as_whole_intervals():
    within, across, outside = (Estimate(0.5, low, high, 3) for low, high in ((0.3, 0.7), (0.7, 1.1), (1.2, 1.4)))
    both = kl("cot").between(0.0, 1.0)
    assert [both.holds(each) for each in (within, across, outside)] == [True, False, False]
    assert [both.excludes(each) for each in (within, across, outside)] == [False, False, True]
    assert (kl("cot") >= 0.8).excludes(within)
    assert not (kl("cot") >= 0.8).excludes(across)
    assert not (kl("cot") >= 0.8).excludes(outside)
    assert (kl("cot") <= 1.1).holds(across)  # the bound belongs to the range
    assert (kl("cot") >= 0.7).holds(across)
    unknown = Estimate(0.5, None, None, 1)
    assert not both.holds(unknown)
    assert not both.excludes(unknown)
    assert (kl("cot") >= 0.8) == Comparison(kl("cot"), low=0.8)


def test_the_p_value_of_a_range_is_that_of_its_nearer_end():
    found = Estimate(0.5, 0.3, 0.7, 4)
    both = kl("cot").between(0.0, 0.6)
    assert both.p_holds(found) == pytest.approx(found.p_below(0.6))
    assert both.p_holds(found) > found.p_above(0.0)
    assert kl("cot").between(0.8, 1.0).p_excludes(found) == pytest.approx(found.p_below(0.8))
    assert kl("cot").between(-1.0, 0.2).p_excludes(found) == pytest.approx(found.p_above(0.2))
    assert (kl("cot") <= 0.8).p_holds(found) == pytest.approx(found.p_below(0.8))
    assert (kl("cot") >= 0.8).p_excludes(found) == pytest.approx(found.p_below(0.8))


class Largest(SeedStatistic):
    """The largest reliance."""

    def rows(self, table):
        return table[table["metric"] == "causal_reliance"]

    def of_seed(self, points):
        return points["value"].max()


def test_a_statistic_of_a_seed_is_of_all_its_rows():
    table = metric_table(
        metric_rows("causal_reliance", "cot", [0.1, 0.2], step=0, run="a"),
        metric_rows("causal_reliance", "gru", [0.5, 0.1], step=3, run="b"),
        metric_rows("causal_reliance", "reader_0", [0.0, 0.0], step=0),  # of no run
        metric_rows("answer_kl", "cot", [9.0, 9.0], run="c"),
    )
    assert values_of(Largest(), table) == {0: 0.5, 1: 0.2}
    assert Largest().runs(table) == {"a", "b"}
    assert Largest().estimate(EMPTY) is None


def test_the_runs_of_a_quantity_are_those_of_all_that_it_reads():
    table = metric_table(
        metric_rows("answer_kl", "cot", [1.0], n_steps=4, run="a"),
        metric_rows("answer_kl", "gru", [1.0], n_steps=4, run="b"),
        metric_rows("answer_kl", "gru", [1.0], n_steps=8, run="c"),
        metric_rows("answer_kl", "prior", [1.0], n_steps=4),  # of no run
        metric_rows("causal_reliance", "cot", [1.0], step=0, run="d"),
    )
    four = kl("cot", n_steps=4) - kl("gru", n_steps=4)
    assert four.runs(table) == {"a", "b"}
    assert (four / kl("prior", n_steps=4)).runs(table) == {"a", "b"}
    assert average(four, Largest()).runs(table) == {"a", "b", "d"}
    assert four.share_of(Largest()).runs(table) == {"a", "b", "d"}
    assert RankAlong((4, 8), (kl("gru", n_steps=4), kl("gru", n_steps=8))).runs(table) == {"b", "c"}
    assert reliance("cot").over_steps(0, 1, "mean").runs(table) == {"d"}


@pytest.mark.parametrize(
    ("own", "other"), [([0.0, 2.0], [1.0, 1.0]), ([-1.0, 2.0], [1.0, 1.0]), ([1.0, 2.0], [0.0, 1.0])]
)
def test_a_seed_without_a_logarithm_leaves_no_estimate_of_a_ratio(own, other):
    table = metric_table(
        metric_rows("answer_kl", "cot", [*own, 3.0, 4.0]), metric_rows("answer_kl", "gru", [*other, 1.0])
    )
    assert (kl("cot") / kl("gru")).estimate(table) is None
    positive = (kl("cot") / kl("gru")).estimate(table[table["seed"] > 0])  # seed 3 was not measured for both
    assert (positive.value, positive.seeds) == (pytest.approx(np.sqrt(6.0)), 2)
