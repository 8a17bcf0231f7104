"""The law's points are reliances beside the gap of the direct model of the same world, size, seed and length."""

from itertools import product

import numpy as np
import pytest

from tests.studies.tables import metric_rows, metric_table
from unamortized.learning.runs import run_digest
from unamortized.studies.law import (
    DIAL,
    LAGS,
    LAW,
    TOLD,
    RankOverCells,
    by_cell,
    extreme,
    intercept,
    points,
    slope,
)
from unamortized.studies.study import plan

pytestmark = pytest.mark.usefixtures("at_the_top")

WORLDS, VARIANTS = ("s3_slip0.1_n4", "s3_slip0.3_n4"), ("l1_t600", "l2_t600")
CELLS = tuple(product(WORLDS, VARIANTS))
SEEDS = 3


def gap(world, variant, n_steps):
    return (0.1 if "0.1" in world else 0.4) + (0.2 if variant == "l1_t600" else 0.0) + 0.02 * n_steps


@pytest.fixture(scope="module")
def metrics():
    """In each world alpha at each lag is the gap at lag + 1, and the prior's KL is 2."""
    rows = []

    def add(metric, condition, value, world, run="", **columns):
        rows.extend(metric_rows(metric, condition, [value] * SEEDS, world=world, run=run, **columns))

    for world, n_steps in product(WORLDS, (1, 2, 3, 4)):
        add("answer_kl", "prior", 2.0, world, n_steps=n_steps)
        for variant in VARIANTS:
            own = {"variant": variant, "n_steps": n_steps}
            add("answer_kl", "amortized", 2 * gap(world, variant, n_steps), world, "direct", **own)
    for world, variant in CELLS:
        own = {"variant": variant, "n_steps": 4}
        for lag in (0, 1, 2):
            for name, alpha in ((DIAL, gap(world, variant, lag + 1)), (TOLD, 0.01)):
                add("causal_reliance", name, alpha, world, name, step=lag, **own)
                add("dial_distance", name, alpha**2, world, name, step=lag, **own)
            add("undisturbed_kl", "amortized", 0.1 + lag, world, "direct", step=lag, **own)
        add("causal_reliance", DIAL, 9.0, world, step=3, count=19, **own)
        add("causal_reliance", DIAL, 9.0, world, step=0, control="wrong_counterfactual", **own)
        add("edit_tv", DIAL, 9.0, world, "unread", step=0, **own)
    return metric_table(rows)


def test_each_reliance_stands_beside_the_gap_of_as_many_steps_as_there_are_to_compose(metrics):
    found = points(metrics)
    assert len(found) == len(CELLS) * SEEDS * 3
    np.testing.assert_allclose(found["alpha"].astype(float), found["gap"].astype(float))
    for row in found.itertuples():
        assert row.alpha == pytest.approx(gap(row.world, row.variant, row.lag + 1))
        assert row.kl == pytest.approx(2 * row.gap)
        assert row.whole_gap == pytest.approx(gap(row.world, row.variant, 4))
        assert row.whole_kl == pytest.approx(2 * gap(row.world, row.variant, 4))
        assert row.distance == pytest.approx(row.alpha**2)
        assert row.kept_kl == pytest.approx(0.1 + row.lag)


def test_a_reliance_without_a_direct_model_keeps_its_point_without_a_gap(metrics):
    lacking = metrics[(metrics["condition"] != "amortized") | (metrics["variant"] != "l1_t600")]
    found = points(lacking)
    assert len(found) == len(CELLS) * SEEDS * 3
    assert set(found[found["gap"].isna()]["variant"]) == {"l1_t600"}


def test_a_cell_is_one_point_a_seed(metrics):
    found = by_cell(points(metrics))
    assert len(found) == len(CELLS) * SEEDS
    for row in found.itertuples():
        assert row.alpha == pytest.approx(np.mean([gap(row.world, row.variant, n) for n in (1, 2, 3)]))
        assert row.gap == pytest.approx(gap(row.world, row.variant, 4))
        assert row.kl == pytest.approx(2 * row.gap)
        assert row.kept_kl == pytest.approx(1.1)


def test_statistics_are_over_cells_within_each_seed(metrics):
    alphas, distances = ([np.mean([gap(*cell, n) ** power for n in (1, 2, 3)]) for cell in CELLS] for power in (1, 2))
    for statistic, expected in (
        (RankOverCells("alpha", "gap"), 1.0),
        (RankOverCells("alpha", "gap", at_each_lag=True), 1.0),
        (RankOverCells("distance", "kl"), 1.0),  # in order, but on no line
        (slope, 1.0),
        (intercept, -0.04),  # lags 0 to 2 against n = 4
        (extreme("max", "alpha"), max(alphas)),
        (extreme("min", "alpha"), min(alphas)),
        (extreme("max", "alpha", dial=TOLD), 0.01),
        (extreme("min", "distance", over="kept_kl"), min(distances) - 1.1),
        (extreme("max", "distance", over="kept_kl"), max(distances) - 1.1),
    ):
        assert statistic.values(metrics).tolist() == pytest.approx([expected] * SEEDS)
    assert extreme("max", "alpha").unit == "ratio"
    assert extreme("max", "distance").unit == "nats"


def test_a_rank_at_each_lag_counts_every_lag_of_a_cell(metrics):
    backwards = (metrics["metric"] == "causal_reliance") & (metrics["condition"] == DIAL) & (metrics["control"] == "")
    turned = metrics.assign(
        value=metrics["value"].where(~backwards, metrics["value"] - 0.04 * metrics["step"].fillna(0))
    )
    assert RankOverCells("alpha", "gap").values(turned).tolist() == pytest.approx([1.0] * SEEDS)
    assert (RankOverCells("alpha", "gap", at_each_lag=True).values(turned) < 0.999).all()


def test_a_line_needs_three_cells(metrics):
    two = metrics[metrics["world"] == WORLDS[0]]
    assert slope.estimate(two) is None


def test_the_runs_of_a_statistic_are_those_of_its_points(metrics):
    assert RankOverCells("alpha", "gap").runs(metrics) == {DIAL, "direct"}
    assert extreme("max", "alpha", dial=TOLD).runs(metrics) == {TOLD, "direct"}


def test_claims_are_judged_across_cells(metrics):
    judged = {claim.name: claim.judge(claim.across, metrics) for claim in LAW.claims}
    follows = judged["reliance_follows_the_amortization_gap"]
    assert (follows["ceiling"], follows["control"]["estimate"]) == (pytest.approx(1), pytest.approx(0.01))
    assert judged["the_gap_bounds_reliance_from_below"]["estimate"] == pytest.approx(-0.04)
    assert judged["ignoring_the_trace_costs_what_is_not_amortized"]["ceiling"] == pytest.approx(1)
    assert "not measured" not in {claim["verdict"] for claim in judged.values()}


@pytest.mark.parametrize("name", ["smoke", "quick", "full"])
def test_every_run_has_a_name_of_its_own_and_every_lag_a_direct_model_beside_it(name):
    specs = plan(LAW.preset(name))
    assert len({run_digest(spec) for spec in specs}) == len(specs)
    assert len({(spec.world, spec.variant, spec.condition, spec.seed) for spec in specs}) == len(specs)
    for spec in specs:
        lengths = {lag + 1 for lag in LAGS if lag < spec.task.steps.train[1]} | {spec.task.steps.train[1]}
        assert lengths <= set(spec.task.steps.test)
