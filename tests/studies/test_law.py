"""The law's points are reliances beside the gap of the direct model of the same world, size, seed and length."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from unamortized.evaluation.rows import COLUMNS
from unamortized.studies.figures import FIGURES, Tables
from unamortized.studies.figures.captions import CAPTIONS
from unamortized.studies.law import DIAL, LAGS, LAW, TOLD, by_place, points
from unamortized.studies.study import plan

TASKS = ("noisy_permutation@s3_slip0.1_n4", "noisy_permutation@s3_slip0.3_n4")
VARIANTS = ("l1_t600", "l2_t600")


@pytest.fixture(autouse=True)
def _at_the_top(monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[2])  # where tasks/ is


def gap(task, variant, n_steps):
    return (0.1 if "0.1" in task else 0.4) + (0.2 if variant == "l1_t600" else 0.0) + 0.02 * n_steps


@pytest.fixture(scope="module")
def metrics():
    """A world where alpha at each lag is the gap at lag + 1, and the prior's KL is 2."""
    rows = []

    def add(task, condition, seed, metric, value, **more):
        own = {"task": task, "condition": condition, "seed": seed, "metric": metric, "value": value, "count": 100}
        rows.append(dict.fromkeys(COLUMNS) | own | more)

    for task in TASKS:
        for seed in range(3):
            for n_steps in (1, 2, 3, 4):
                add(task, "prior", seed, "answer_kl", 2.0, n_steps=n_steps)
                for variant in VARIANTS:
                    add(
                        task,
                        f"amortized@{variant}",
                        seed,
                        "answer_kl",
                        2 * gap(task, variant, n_steps),
                        n_steps=n_steps,
                    )
            for variant in VARIANTS:
                for lag in (0, 1, 2):
                    for name, alpha in ((DIAL, gap(task, variant, lag + 1)), (TOLD, 0.01)):
                        where = {"n_steps": 4, "step": lag}
                        add(task, f"{name}@{variant}", seed, "causal_reliance", alpha, **where)
                        add(task, f"{name}@{variant}", seed, "dial_distance", alpha / 2, **where)
                    add(task, f"amortized@{variant}", seed, "undisturbed_kl", 0.1 + lag, **where)
                add(task, f"{DIAL}@{variant}", seed, "causal_reliance", 9.0, n_steps=4, step=3, count=5)
                add(task, f"{DIAL}@{variant}/wrong_counterfactual", seed, "causal_reliance", 9.0, n_steps=4, step=0)
    types = {"step": "Int64", "n_steps": "Int64", "layer": "string", "condition": "string"}
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(types)


def test_each_reliance_stands_beside_the_gap_of_as_many_steps_as_there_are_to_compose(metrics):
    found = points(metrics)
    assert len(found) == len(TASKS) * len(VARIANTS) * 3 * 3
    np.testing.assert_allclose(found["alpha"].astype(float), found["gap"].astype(float))
    for row in found.itertuples():
        assert row.whole_gap == pytest.approx(gap(row.task, row.variant, 4))
        assert row.distance == pytest.approx(row.alpha / 2)
        assert row.kept_kl == pytest.approx(0.1 + row.lag)
        assert row.whole_kl == pytest.approx(2 * gap(row.task, row.variant, 4))


def test_a_place_is_one_point_a_seed(metrics):
    found = by_place(points(metrics))
    assert len(found) == len(TASKS) * len(VARIANTS) * 3
    for row in found.itertuples():
        assert row.alpha == pytest.approx(np.mean([gap(row.task, row.variant, n) for n in (1, 2, 3)]))
        assert row.gap == pytest.approx(gap(row.task, row.variant, 4))


def test_claims_judge_what_is_there(metrics):
    judged = {claim.name: claim.judge("all", metrics) for claim in LAW.claims}
    assert judged["reliance_follows_the_amortization_gap"]["estimate"] == pytest.approx(1)
    assert judged["reliance_follows_the_amortization_gap"]["control"]["estimate"] == pytest.approx(0.01)
    assert judged["reliance_grows_with_the_gap"]["estimate"] == pytest.approx(1)
    assert judged["without_a_gap_there_would_be_no_reliance"]["estimate"] == pytest.approx(-0.04)  # lags 0 to 2, n = 4
    assert judged["ignoring_the_trace_costs_what_is_not_amortized"]["estimate"] == pytest.approx(1)
    least = min(np.mean([gap(task, variant, n) for n in (1, 2, 3)]) for task in TASKS for variant in VARIANTS) / 2 - 1.1
    assert judged["the_gap_bounds_that_cost_from_below"]["estimate"] == pytest.approx(least)
    assert {claim["verdict"] for claim in judged.values()} <= {"supported", "refuted", "inconclusive"}


def test_every_run_has_a_name_of_its_own_and_every_lag_a_direct_model_beside_it():
    for preset in LAW.presets.values():
        specs = plan(preset)
        assert len({spec.digest() for spec in specs}) == len(specs)
        for spec in specs:
            lengths = {lag + 1 for lag in LAGS if lag < spec.task.steps.train[1]} | {spec.task.steps.train[1]}
            assert lengths <= set(spec.task.steps.test)


def test_the_figure_shows_a_mark_a_place(metrics):
    figure = FIGURES["law"](Tables(metrics, pd.DataFrame()))
    assert figure is not None
    assert "law" in CAPTIONS
    assert FIGURES["law"](Tables(pd.DataFrame(columns=list(COLUMNS)), pd.DataFrame())) is None
