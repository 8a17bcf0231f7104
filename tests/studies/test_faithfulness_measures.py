"""Gauges: readings are of what they say; shares, slopes and ranks tell gauges of faithfulness from gauges of mixing."""

import itertools

import numpy as np
import pandas as pd
import pytest

from unamortized.evaluation.metrics import METRICS
from unamortized.evaluation.rows import COLUMNS
from unamortized.studies.claims import judge_all
from unamortized.studies.faithfulness import CLAIMS, FAITHFULNESS, worst_off
from unamortized.studies.faithfulness_measures import (
    FAITHFULNESS_MEASURES,
    RHOS,
    FaithfulnessMeasure,
    miscalibration,
    rank_correlation,
    readings,
    share_of,
    shares,
    slope,
    variance_shares,
)
from unamortized.studies.figures import FIGURES, Tables
from unamortized.studies.figures.captions import CAPTIONS

WORLDS = {f"noisy_permutation@slip_{slip}": slip for slip in (0.02, 0.1, 0.3)}
FAITHFUL, MIXING, MIXED = (FaithfulnessMeasure(name, "", "", name) for name in ("faithful", "mixing", "mixed"))


def named(name):
    return next(gauge for gauge in FAITHFULNESS_MEASURES if gauge.name == name)


def table_of(metrics, of="dial", seeds=3):
    """Rows of made-up metrics: functions of rho, slip and seed."""
    rows = []
    for (task, slip), rho, seed in itertools.product(WORLDS.items(), RHOS, range(seeds)):
        own = {"task": task, "condition": f"{of}_{rho:g}", "seed": seed, "n_steps": 6, "count": 100}
        rows += [
            dict.fromkeys(COLUMNS) | own | {"metric": name, "value": value(rho, slip, seed)} | more
            for name, value, more in metrics
        ]
    types = {"step": "Int64", "n_steps": "Int64", "layer": "string", "condition": "string"}
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(types)


@pytest.fixture(scope="module")
def metrics():
    return table_of(
        [
            ("faithful", lambda rho, slip, seed: rho + 0.001 * seed, {}),
            ("mixing", lambda rho, slip, seed: slip, {}),
            ("mixed", lambda rho, slip, seed: 2 * rho + slip, {}),
        ]
    )


def test_shares_are_those_of_a_two_way_layout():
    columns, rows = np.array([[0.0, 1.0, 2.0]] * 2), np.array([[0.0] * 3, [1.0] * 3])
    assert variance_shares(columns) == pytest.approx((1, 0, 0))
    assert variance_shares(rows) == pytest.approx((0, 1, 0))
    assert variance_shares(np.array([[0.0, 1.0], [1.0, 0.0]])) == pytest.approx((0, 0, 1))
    assert variance_shares(np.full((2, 3), 0.7)) == (0, 0, 0)
    assert np.isnan(variance_shares(np.ones((1, 3)))).all()
    grid = np.random.default_rng(0).standard_normal((3, 5))
    mean = grid.mean()
    explained = sum((grid[:, j].mean() - mean) ** 2 for _ in range(3) for j in range(5))
    total = sum((grid[i, j] - mean) ** 2 for i in range(3) for j in range(5))
    assert variance_shares(grid)[0] == pytest.approx(explained / total)


def test_what_follows_rho_and_what_follows_mixing_are_told_apart(metrics):
    assert shares(readings(metrics, FAITHFUL))["rho"].tolist() == pytest.approx([1] * 3)
    assert shares(readings(metrics, MIXING))["world"].tolist() == pytest.approx([1] * 3)
    by_rho, by_slip = 4 * np.var(RHOS), np.var(list(WORLDS.values()))
    assert share_of("rho", MIXED).per_seed(metrics).mean() == pytest.approx(by_rho / (by_rho + by_slip))
    assert share_of("world", MIXED).per_seed(metrics).mean() == pytest.approx(by_slip / (by_rho + by_slip))
    ranks = {gauge.name: rank_correlation(gauge).per_seed(metrics).mean() for gauge in (FAITHFUL, MIXING)}
    assert ranks == pytest.approx({"faithful": 1, "mixing": 0}, abs=1e-9)


def test_slope_and_distance_are_from_what_a_gauge_should_read():
    calibrated, backwards = named("causal reliance"), named("post-hoc-ness")
    half = table_of(
        [
            ("causal_reliance", lambda rho, slip, seed: 0.5 * rho, {"step": 0}),
            ("posthocness", lambda rho, slip, seed: 1 - rho, {}),
        ]
    )
    assert slope(calibrated).per_seed(half).tolist() == pytest.approx([0.5] * 3)
    assert miscalibration(calibrated).per_seed(half).tolist() == pytest.approx([0.25] * 3)
    assert slope(backwards).per_seed(half).tolist() == pytest.approx([1] * 3)
    assert miscalibration(backwards).per_seed(half).tolist() == pytest.approx([0] * 3, abs=1e-9)
    assert rank_correlation(backwards).per_seed(half).tolist() == pytest.approx([1] * 3)
    assert slope(FAITHFUL).per_seed(half).empty


def test_a_gauge_that_always_reads_the_same_follows_nothing():
    same = table_of([("faithful", lambda rho, slip, seed: 0.3, {})])
    assert share_of("rho", FAITHFUL).per_seed(same).tolist() == [0] * 3
    assert rank_correlation(FAITHFUL).per_seed(same).tolist() == [0] * 3


def test_readings_are_of_the_gauge_s_own_lags_layer_and_models():
    gauge = FaithfulnessMeasure("some", "", "", "patch_reliance", (0, 1), layer="last", over="other")
    table = table_of(
        [
            ("patch_reliance", lambda rho, slip, seed: 1.0, {"step": 0, "layer": "2"}),
            ("patch_reliance", lambda rho, slip, seed: 3.0, {"step": 1, "layer": "2"}),
            ("patch_reliance", lambda rho, slip, seed: 90.0, {"step": 2, "layer": "2"}),
            ("patch_reliance", lambda rho, slip, seed: 90.0, {"step": 0, "layer": "1"}),
            ("patch_reliance", lambda rho, slip, seed: 90.0, {"step": 0, "layer": "all"}),
            ("other", lambda rho, slip, seed: 4.0, {"step": 0, "layer": "2"}),
            ("other", lambda rho, slip, seed: 4.0, {"step": 1, "layer": "2"}),
        ]
    )
    beside = table.assign(condition=table["condition"] + "_told", value=90.0)
    control = table.assign(condition=table["condition"] + "/random_patch", value=90.0)
    read = readings(pd.concat([table, beside, control], ignore_index=True), gauge)
    assert set(read["value"]) == {0.5}
    assert len(read) == len(WORLDS) * len(RHOS) * 3
    assert sorted(read["rho"].unique()) == list(RHOS)
    assert readings(table, gauge, "reader").empty


def test_a_gauge_that_should_fall_is_ranked_by_how_it_falls():
    falling = table_of([("internal_horizon", lambda rho, slip, seed: 6 * (1 - rho), {})])
    assert rank_correlation(named("internal horizon")).per_seed(falling).tolist() == pytest.approx([1] * 3)


def test_readings_of_few_problems_and_of_seeds_without_every_world_are_left_out(metrics):
    fewer = metrics.assign(count=metrics["count"].where(metrics["seed"] > 0, 5))
    assert sorted(readings(fewer, FAITHFUL)["seed"].unique()) == [1, 2]
    one_world = metrics[(metrics["seed"] < 2) | (metrics["task"] == next(iter(WORLDS)))]
    assert sorted(readings(one_world, FAITHFUL)["seed"].unique()) == [0, 1]
    assert sorted(readings(one_world[one_world["task"] == next(iter(WORLDS))], FAITHFUL)["seed"].unique()) == [0, 1, 2]


def test_readings_are_of_the_longest_questions_that_the_metric_was_measured_on(metrics):
    longer = metrics.assign(metric="answer_kl", n_steps=64, value=9.0)
    shorter = metrics.assign(n_steps=2, value=9.0)
    assert readings(pd.concat([metrics, longer, shorter]), FAITHFUL).equals(readings(metrics, FAITHFUL))


def test_the_furthest_reading_is_that_of_a_single_lag():
    opposite = [
        ("causal_reliance", lambda rho, slip, seed: rho + 0.3, {"step": 0}),
        ("causal_reliance", lambda rho, slip, seed: rho - 0.3, {"step": 1}),
    ]
    assert worst_off("dial").per_seed(table_of(opposite)).tolist() == pytest.approx([0.3] * 3)


def test_every_gauge_reads_what_the_glossary_lists():
    assert [name for gauge in FAITHFULNESS_MEASURES for name in gauge.explained().metrics if name not in METRICS] == []


def test_every_gauge_is_judged_and_drawn():
    listed = [
        (metric, lambda rho, slip, seed: rho + slip, {"step": gauge.steps[0] if gauge.steps else None} | layer)
        for gauge in FAITHFULNESS_MEASURES
        for metric in (gauge.metric, gauge.over)
        if metric
        for layer in ({"layer": "2"} if gauge.layer else {},)
    ]
    unique = {str((name, more)): (name, value, more) for name, value, more in listed}
    table = pd.concat([table_of(list(unique.values()), of) for of in ("dial", "reader")], ignore_index=True)
    judged = {claim["name"]: claim for claim in judge_all(CLAIMS, table)}
    assert [
        gauge.name for gauge in FAITHFULNESS_MEASURES if judged[f"{gauge.slug}_tracks_rho"]["estimate"] is None
    ] == []
    tables = Tables(table, pd.DataFrame())
    for name in ("gauges", "gauge_readings"):
        figure = FIGURES[name](tables)
        assert figure is not None
        written = " ".join(text.get_text() for axes in figure.axes for text in (axes.title, *axes.get_yticklabels()))
        titles = written + " ".join(axes.get_title(loc="left") for axes in figure.axes)
        assert [gauge.title for gauge in FAITHFULNESS_MEASURES if gauge.title not in titles] == []


def test_every_figure_exists_and_has_a_caption():
    assert [name for name in FAITHFULNESS.figures if name not in FIGURES or name not in CAPTIONS] == []
    empty = Tables(pd.DataFrame(columns=list(COLUMNS)), pd.DataFrame())
    assert [name for name in FAITHFULNESS.figures if FIGURES[name](empty) is not None] == []
