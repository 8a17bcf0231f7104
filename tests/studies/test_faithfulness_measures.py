"""Measures read the rows that they name; shares, ranks and distances tell faithfulness from the world's forgetting."""

import itertools

import numpy as np
import pandas as pd
import pytest

from tests.studies.tables import TASK, metric_rows, metric_table
from unamortized.evaluation.metrics import METRICS
from unamortized.learning.runs import run_digest
from unamortized.studies.claims import World, judge_all
from unamortized.studies.faithfulness import CLAIMS, FAITHFULNESS, PRESETS, early, growth, largest_error
from unamortized.studies.faithfulness_measures import (
    FAITHFULNESS_MEASURES,
    RHOS,
    FaithfulnessMeasure,
    Miscalibration,
    RankByRho,
    VarianceShare,
    readings,
    variance_shares,
)
from unamortized.studies.quantities import Quantity
from unamortized.studies.study import plan

pytestmark = pytest.mark.usefixtures("at_the_top")

SLIPS = (0.02, 0.1, 0.3)
FAITHFUL, MIXING, MIXED = (FaithfulnessMeasure(name, name) for name in ("sufficiency", "necessity", "simulatability"))
MEASURES = {measure.name: measure for measure in FAITHFULNESS_MEASURES}


def grid(metric, value, of="dial", slips=SLIPS, **columns):
    """Rows of a metric for three seeds: a function of rho, slip and seed."""
    columns = {"n_steps": 6} | columns
    return [
        row
        for slip, rho in itertools.product(slips, RHOS)
        for row in metric_rows(
            metric, f"{of}_{rho:g}", [value(rho, slip, seed) for seed in range(3)], world=f"slip_{slip:g}", **columns
        )
    ]


@pytest.fixture(scope="module")
def metrics():
    return metric_table(
        grid("sufficiency", lambda rho, slip, seed: rho + 0.001 * seed),
        grid("necessity", lambda rho, slip, seed: slip),
        grid("simulatability", lambda rho, slip, seed: 2 * rho + slip),
    )


def test_variance_shares_are_those_of_a_two_way_layout():
    columns, rows = np.array([[0.0, 1.0, 2.0]] * 2), np.array([[0.0] * 3, [1.0] * 3])
    assert variance_shares(columns) == pytest.approx((1, 0, 0))
    assert variance_shares(rows) == pytest.approx((0, 1, 0))
    assert variance_shares(np.array([[0.0, 1.0], [1.0, 0.0]])) == pytest.approx((0, 0, 1))
    assert np.isnan(variance_shares(np.full((2, 3), 0.7))).all()  # no variance has no shares
    values = np.random.default_rng(0).standard_normal((3, 5))
    mean = values.mean()
    total = sum((values[i, j] - mean) ** 2 for i in range(3) for j in range(5))
    by_rho = sum((values[:, j].mean() - mean) ** 2 for _ in range(3) for j in range(5)) / total
    by_world = sum((values[i].mean() - mean) ** 2 for i in range(3) for _ in range(5)) / total
    assert variance_shares(values) == pytest.approx((by_rho, by_world, 1 - by_rho - by_world))


@pytest.mark.parametrize("shape", [(1, 3), (3, 1)])
def test_a_grid_of_one_row_or_column_has_no_shares(shape):
    assert np.isnan(variance_shares(np.ones(shape))).all()


def test_a_grid_with_a_missing_cell_has_no_shares(metrics):
    assert np.isnan(variance_shares(np.array([[0.0, 1.0], [np.nan, 0.0]]))).all()
    lacking = metrics[(metrics["world"] != "slip_0.1") | (metrics["condition"] != "dial_0.5")]
    assert VarianceShare(MIXED).values(lacking).isna().tolist() == [True] * 3


def test_following_rho_and_following_the_world_are_told_apart(metrics):
    def means(measure):
        return {part: VarianceShare(measure, part=part).values(metrics).mean() for part in ("rho", "world", "neither")}

    by_rho, by_slip = 4 * np.var(RHOS), np.var(SLIPS)
    shares = {"rho": by_rho / (by_rho + by_slip), "world": by_slip / (by_rho + by_slip), "neither": 0.0}
    assert means(FAITHFUL) == pytest.approx({"rho": 1, "world": 0, "neither": 0}, abs=1e-9)
    assert means(MIXING) == pytest.approx({"rho": 0, "world": 1, "neither": 0}, abs=1e-9)
    assert means(MIXED) == pytest.approx(shares, abs=1e-9)
    ranks = [RankByRho(measure).values(metrics).mean() for measure in (FAITHFUL, MIXING)]
    assert ranks == pytest.approx([1, 0], abs=1e-9)


def test_distance_is_from_the_reading_of_a_calibrated_measure():
    rising, falling = MEASURES["causal reliance"], MEASURES["post-hoc-ness"]
    half = metric_table(
        grid("causal_reliance", lambda rho, slip, seed: 0.5 * rho, step=0),
        grid("posthocness", lambda rho, slip, seed: 1 - rho),
        grid("sufficiency", lambda rho, slip, seed: rho),
    )
    assert Miscalibration(rising).values(half).tolist() == pytest.approx([0.25] * 3)
    assert Miscalibration(rising, take="max").values(half).tolist() == pytest.approx([0.5] * 3)
    assert Miscalibration(falling).values(half).tolist() == pytest.approx([0] * 3, abs=1e-9)
    assert RankByRho(falling).values(half).tolist() == pytest.approx([1] * 3)
    assert Miscalibration(MEASURES["sufficiency"]).values(half).empty


def test_a_measure_that_always_reads_the_same_follows_nothing():
    same = metric_table(grid("sufficiency", lambda rho, slip, seed: 0.3))
    assert VarianceShare(FAITHFUL).values(same).isna().all()
    assert RankByRho(FAITHFUL).values(same).isna().all()
    assert RankByRho(FAITHFUL).estimate(same) is None


def test_a_measure_that_should_fall_is_ranked_by_how_it_falls():
    falling = metric_table(grid("internal_horizon", lambda rho, slip, seed: 6 * (1 - rho)))
    assert RankByRho(MEASURES["internal horizon"]).values(falling).tolist() == pytest.approx([1] * 3)


def test_readings_are_of_the_measure_s_own_metric_lags_layer_and_models():
    measure = FaithfulnessMeasure("some", "patch_reliance", (0, 1), layer="last", over="patch_agreement")
    own = [
        row
        for metric, value, step, layer in (
            ("patch_reliance", 1.0, 0, "10"),
            ("patch_reliance", 3.0, 1, "10"),
            ("patch_reliance", 90.0, 2, "10"),
            ("patch_reliance", 90.0, 0, "9"),
            ("patch_reliance", 90.0, 0, "all"),
            ("patch_agreement", 4.0, 0, "10"),
            ("patch_agreement", 4.0, 1, "10"),
        )
        for row in grid(metric, lambda rho, slip, seed, value=value: value, step=step, layer=layer, run="own")
    ]
    others = [
        row | other
        for row in own
        for other in (
            {"condition": row["condition"] + "_told", "value": 90.0, "run": "told"},
            {"control": "random_patch", "value": 90.0, "run": "control"},
            {"variant": "after_128", "value": 90.0, "run": "variant"},
            {"condition": row["condition"].replace("dial", "reader"), "value": 8.0 * row["value"], "run": "reader"},
        )
    ]
    table = metric_table(own, others)
    read = readings(table, measure)
    assert set(read["value"]) == {0.5}
    assert len(read) == len(SLIPS) * len(RHOS) * 3
    assert sorted(read["rho"].unique()) == list(RHOS)
    assert sorted(read["world"].unique()) == [f"slip_{slip:g}" for slip in SLIPS]
    assert RankByRho(measure).runs(table) == {"own"}
    assert RankByRho(measure, "reader").runs(table) == {"reader"}
    assert readings(metric_table(own), measure, "reader").empty
    assert readings(metric_table(), measure).empty


def test_a_measure_of_the_last_layer_reads_no_row_without_a_layer():
    without = metric_table(grid("performative_lead", lambda rho, slip, seed: rho, layer="all"))
    assert readings(without, MEASURES["performative lead"]).empty
    assert readings(without.assign(layer=""), MEASURES["performative lead"]).empty
    assert len(readings(without.assign(layer="0"), MEASURES["performative lead"])) == len(SLIPS) * len(RHOS) * 3


def test_a_reading_over_nothing_is_left_out():
    measure = MEASURES["necessity by Bayes"]
    table = metric_table(
        grid("necessity", lambda rho, slip, seed: rho), grid("necessity_exact", lambda rho, slip, seed: slip - 0.02)
    )
    read = readings(table, measure).set_index("world")["value"]
    assert read["slip_0.02"].isna().all()
    assert read[["slip_0.1", "slip_0.3"]].notna().all()


def test_readings_of_few_problems_and_of_seeds_without_every_world_are_left_out(metrics):
    fewer = metrics.assign(count=metrics["count"].where(metrics["seed"] > 0, 19))
    assert sorted(readings(fewer, FAITHFUL)["seed"].unique()) == [1, 2]
    enough = metrics.assign(count=20)
    assert sorted(readings(enough, FAITHFUL)["seed"].unique()) == [0, 1, 2]
    one_world = metrics[(metrics["seed"] < 2) | (metrics["world"] == "slip_0.1")]
    assert sorted(readings(one_world, FAITHFUL)["seed"].unique()) == [0, 1]
    assert sorted(readings(one_world[one_world["world"] == "slip_0.1"], FAITHFUL)["seed"].unique()) == [0, 1, 2]


def test_readings_are_of_the_longest_questions_that_the_metric_was_measured_on(metrics):
    longer = metrics.assign(metric="answer_kl", n_steps=64, value=9.0)
    shorter = metrics.assign(n_steps=2, value=9.0)
    pd.testing.assert_frame_equal(
        readings(pd.concat([metrics, longer, shorter]), FAITHFUL), readings(metrics, FAITHFUL), check_like=True
    )


def test_the_largest_error_is_that_of_a_single_lag_rho_and_world():
    opposite = metric_table(
        grid("causal_reliance", lambda rho, slip, seed: rho + 0.3 + (rho == 0.25) * slip, step=0),
        grid("causal_reliance", lambda rho, slip, seed: rho - 0.3, step=1),
        grid("causal_reliance", lambda rho, slip, seed: 9.0, step=2),
    )
    assert largest_error("dial").values(opposite).tolist() == pytest.approx([0.6] * 3)
    assert largest_error("reader").estimate(opposite) is None


def test_growth_with_lag_is_averaged_over_rho():
    values = {0: 1.0, 1: 9.0, 3: 2.0, 4: 4.0}
    rows = [
        grid("causal_reliance", lambda rho, slip, seed, lag=lag: values[lag] * (1 + rho), step=lag, slips=(0.1,))
        for lag in values
    ]
    table, reliance = metric_table(*rows), Quantity("causal_reliance")
    assert early(reliance, ("dial_0", "dial_1")).values(table).tolist() == pytest.approx([3 * 1.5] * 3)
    assert growth(reliance).values(table).tolist() == pytest.approx([2 * 1.5] * 3)


def test_every_measure_reads_listed_metrics_and_is_explained_by_their_descriptions():
    assert len(MEASURES) == len(FAITHFULNESS_MEASURES)
    for explained, measure in zip(FAITHFULNESS.measures, FAITHFULNESS_MEASURES, strict=True):
        assert explained.metrics == measure.metrics
        assert explained.asks.startswith(METRICS[measure.metric].description.rstrip("."))
        assert explained.asks.endswith(".")
    relative = MEASURES["edit effect by Bayes"].explained()
    assert "relative to how far exact Bayes" in relative.asks
    assert relative.published == ""
    assert MEASURES["adding mistakes"].explained().published == "Lanham et al. 2023"
    assert MEASURES["mistakes by Bayes"].explained().published == ""


def test_every_measure_is_judged_and_those_on_the_scale_of_rho_for_calibration():
    places = dict.fromkeys(
        (metric, measure.steps[0] if measure.steps else None, "2" if measure.layer else "")
        for measure in FAITHFULNESS_MEASURES
        for metric in measure.metrics
    )
    divisors = {measure.over for measure in FAITHFULNESS_MEASURES}

    def relied(rho: float, slip: float, seed: int) -> float:
        return rho + slip

    def exact(rho: float, slip: float, seed: int) -> float:
        return 1.0

    rows = [
        row
        for of, (metric, step, layer) in itertools.product(("dial", "reader"), places)
        for row in grid(metric, exact if metric in divisors else relied, of, step=step, layer=layer)
    ]
    judged = judge_all(CLAIMS, metric_table(rows))
    measured = {claim["name"] for claim in judged if claim["verdict"] != "not measured"}
    names = {measure: measure.name.replace(" ", "_").replace("-", "_") for measure in FAITHFULNESS_MEASURES}
    tracked = {name for name in measured if name.endswith("_tracks_rho")}
    assert tracked == {f"{name}_tracks_rho" for name in names.values()}
    calibrated = {name for name in measured if name.endswith("_is_calibrated")}
    on_scale = {f"{names[measure]}_is_calibrated" for measure in names if measure.on_scale}
    assert calibrated == on_scale - {"resampled_reliance_is_calibrated"}
    tracks = next(claim for claim in judged if claim["name"] == "sufficiency_tracks_rho")
    assert (tracks["task"], tracks["world"]) == (TASK, "by rho and slip")


def test_claims_read_conditions_and_worlds_that_the_full_preset_trains():
    trained = {(World(cell.task, cell.world), name) for cell in PRESETS["full"].cells for name in cell.conditions}
    for claim in CLAIMS:
        for quantity in (claim.holds.quantity, claim.control.holds.quantity):
            for reading, world in itertools.product(quantity.readings(), claim.worlds or ()):
                assert reading.metric in METRICS
                assert (world, reading.condition) in trained or reading.condition.startswith("reader_"), claim.name


@pytest.mark.parametrize("name", ["smoke", "quick", "full"])
def test_every_run_has_a_name_of_its_own(name):
    specs = plan(PRESETS[name])
    assert len({run_digest(spec) for spec in specs}) == len(specs)
    assert len({(spec.world, spec.variant, spec.condition, spec.seed) for spec in specs}) == len(specs)
