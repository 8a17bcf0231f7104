"""The FLOPs multiple is that of a known power law, and is bounded where no budget would do."""

import numpy as np
import pandas as pd
import pytest

from unamortized.evaluation.rows import row, to_table
from unamortized.labels import joined
from unamortized.studies.flops_multiple import REACH, FlopsMultiple, multiple, multiples, with_flops
from unamortized.studies.names import AMORTIZED, COT, DENSE, after, deep

BUDGETS = {300: after(300), 1200: after(1200), 4800: ""}
SLOPES = {4: -1.0, 16: -0.5}  # of log KL along log FLOPs, by length
COT_FLOPS, COT_KL = 6e12, 0.05


def table(seeds: int = 2) -> pd.DataFrame:
    """Runs whose KL is 0.8 (FLOPs / 1e12)^slope, and one CoT run; those that differ in more than steps fit no law."""
    rows = []
    for seed in range(seeds):

        def add(condition, variant, flops, kls, seed=seed):
            run = f"{condition}{variant}{seed}"
            where = {"variant": variant, "run": run}
            rows.append(row("mess3", condition, seed, "train", "training_flops", flops, 1, **where))
            for n_steps, kl in kls.items():
                rows.append(
                    row("mess3", condition, seed, "in_distribution", "answer_kl", kl, 1, n_steps=n_steps, **where)
                )

        for steps, variant in BUDGETS.items():
            flops = steps * 1e9
            add(AMORTIZED, variant, flops, {n: 0.8 * (flops / 1e12) ** slope for n, slope in SLOPES.items()})
        add(AMORTIZED, deep(4), 1e13, {4: 9.0, 16: 9.0})
        add(AMORTIZED, joined("longest", after(1200)), 2e12, {4: 9.0, 16: 9.0})
        add(COT, "", COT_FLOPS, {4: COT_KL, 16: COT_KL})
        add(COT, after(300), 1e12, {4: 3.0, 16: 3.0})
    return to_table(rows)


@pytest.mark.parametrize("n_steps", SLOPES)
def test_the_multiple_is_where_the_power_law_reaches_the_kl_of_cot(n_steps):
    needed = 1e12 * (COT_KL / 0.8) ** (1 / SLOPES[n_steps])
    values = FlopsMultiple(AMORTIZED, n_steps).values(table())
    np.testing.assert_allclose(values, needed / COT_FLOPS, rtol=1e-6)
    assert list(values.index) == [0, 1]


def test_what_lies_beyond_the_reach_of_the_budgets_counts_as_their_reach():
    flops = np.array([1e11, 1e12, 1e13])
    farthest = REACH * 1e13 / 1e12
    for kls in ([0.3, 0.3, 0.31], [0.3, 0.299, 0.298], [0.3, 0.2, 0.15]):  # rising, flat, falling slowly
        assert multiple(flops, np.array(kls), 1e12, 0.01) == pytest.approx(farthest)
    assert np.isnan(multiple(flops[:1], np.array([0.3]), 1e12, 0.05))


def test_a_kl_that_the_smallest_budget_reaches_has_the_smallest_multiple():
    flops = np.array([1e11, 1e12])
    for kls in ([0.01, 0.001], [0.01, 0.011]):
        assert multiple(flops, np.array(kls), 1e12, 0.05) == pytest.approx(0.1)


def test_nothing_is_read_without_budgets_or_without_cot():
    whole = table()
    assert FlopsMultiple(DENSE, 16).estimate(whole) is None
    assert FlopsMultiple(AMORTIZED, 16).estimate(whole[whole["condition"] != COT]) is None
    one_budget = whole[(whole["condition"] == COT) | (whole["variant"] == "")]
    assert FlopsMultiple(AMORTIZED, 16).estimate(one_budget) is None


def test_answers_get_the_cost_of_their_own_run():
    answers = with_flops(table())
    assert set(answers["metric"]) == {"answer_kl"}
    shortest = answers[answers["variant"] == after(300)]
    assert set(shortest.loc[shortest["condition"] == AMORTIZED, "training_flops"]) == {300e9}


def test_rows_to_draw_are_the_multiples_of_each_length_and_seed():
    drawn = multiples(table())
    assert set(drawn["condition"]) == {AMORTIZED}
    assert sorted(map(tuple, drawn[["n_steps", "seed"]].astype(int).to_numpy())) == [(4, 0), (4, 1), (16, 0), (16, 1)]
    for n_steps, own in drawn.groupby("n_steps"):
        np.testing.assert_allclose(own["value"], np.log10(FlopsMultiple(AMORTIZED, int(n_steps)).values(table())))


def test_an_estimate_at_the_reach_of_the_budgets_says_so():
    assert FlopsMultiple(AMORTIZED, 16).estimate(table()).ceiling is None
    flat = table()
    flat.loc[(flat["condition"] == AMORTIZED) & (flat["metric"] == "answer_kl"), "value"] = 0.3
    found = FlopsMultiple(AMORTIZED, 16).estimate(flat)
    assert found.ceiling == pytest.approx(REACH * 4800e9 / COT_FLOPS) == pytest.approx(found.value)
    assert FlopsMultiple(DENSE, 16).estimate(flat) is None
