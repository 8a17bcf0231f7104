"""Distances computed by hand, and the table of rows."""

import io

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tests.worlds.brute_force import random_distributions
from unamortized.evaluation.distances import answer_metrics, calibration_error, kl, map_agreement, total_variation
from unamortized.evaluation.metrics import METRICS
from unamortized.evaluation.metrics.answers import ANSWERS
from unamortized.evaluation.metrics.faithfulness import FAITHFULNESS
from unamortized.evaluation.metrics.inside import INSIDE
from unamortized.evaluation.rows import COLUMNS, TEXT, WHOLE, row, to_csv, to_table


def test_a_row_is_refused_if_the_glossary_does_not_describe_its_control():
    named = ("small", "cot", 0, "length", "probe_r2", 0.5, 64)
    assert row(*named, control="untrained+belief_4_back")["control"] == "untrained+belief_4_back"
    for control in ("untraned", "untrained+belief_4_bck"):
        with pytest.raises(KeyError, match="untraned|bck"):
            row(*named, control=control)


def test_kl_is_scipys_relative_entropy():
    generator = np.random.default_rng(0)
    p, q = random_distributions(generator, (20, 4), zeros=0.4), random_distributions(generator, (20, 4), zeros=0.0)
    np.testing.assert_allclose(kl(p, q), stats.entropy(p, q, axis=1), atol=1e-12)


def test_kl_is_in_nats_and_infinite_where_a_possible_answer_is_ruled_out():
    p = np.array([[0.5, 0.5, 0.0], [0.5, 0.5, 0.0], [1.0, 0.0, 0.0]])
    q = np.array([[0.25, 0.25, 0.5], [1.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    np.testing.assert_allclose(kl(p, q), [np.log(2), np.inf, 0.0])


def test_kl_treats_rounding_errors_as_zeros():
    assert kl(np.array([[1.0, 4.9e-18]]), np.array([[1.0, 0.0]])).tolist() == [0]


def test_kl_keeps_the_leading_axes():
    p = np.full((2, 3, 4), 0.25)
    assert kl(p, p).shape == total_variation(p, p).shape == (2, 3)


def test_total_variation_is_half_the_distance():
    p, q = np.array([[1.0, 0.0], [0.7, 0.3]]), np.array([[0.0, 1.0], [0.5, 0.5]])
    np.testing.assert_allclose(total_variation(p, q), [1.0, 0.2])


def test_any_mode_of_the_exact_posterior_is_right():
    p = np.array([[0.4, 0.4, 0.2], [0.4, 0.4, 0.2], [0.4, 0.4, 0.2], [0.3, 0.4, 0.3]])
    q = np.array([[0.6, 0.4, 0.0], [0.4, 0.6, 0.0], [0.2, 0.2, 0.6], [0.5, 0.3, 0.2]])
    assert map_agreement(p, q).tolist() == [True, True, False, False]
    almost = np.array([[0.5 + 1e-12, 0.5 - 1e-12]])
    assert map_agreement(almost, almost[:, ::-1]).all()


def test_calibration_error_weighs_each_bins_gap_by_its_share():
    p = np.array([[0.5, 0.5], [0.7, 0.3], [1.0, 0.0], [0.5, 0.5]])
    q = np.array([[0.62, 0.38], [0.64, 0.36], [0.93, 0.07], [0.97, 0.03]])
    # bin .6 to .7: stated .62 + .64, exact .5 + .7; bin .9 to 1: stated .93 + .97, exact 1 + .5
    assert calibration_error(p, q) == pytest.approx((abs(1.26 - 1.2) + abs(1.9 - 1.5)) / 4)


def test_sure_and_wrong_answers_are_badly_calibrated_and_exact_ones_perfectly():
    p = np.tile([0.0, 1.0], (5, 1))
    assert calibration_error(p, p[:, ::-1]) == 1.0  # a confidence of 1 lies in the last bin
    spread = random_distributions(np.random.default_rng(0), (50, 3), zeros=0.2)
    assert calibration_error(spread, spread) == pytest.approx(0, abs=1e-12)


def test_the_four_measures_of_an_answer():
    p, q = np.array([[0.8, 0.2], [0.5, 0.5]]), np.array([[0.8, 0.2], [0.1, 0.9]])
    measured = answer_metrics(p, q)
    assert measured["answer_kl"] == pytest.approx(kl(p, q).mean())
    assert measured["answer_tv"] == pytest.approx(0.2)
    assert measured["map_agreement"] == 1.0
    assert measured["calibration_error"] == pytest.approx(0.4 / 2)
    assert set(measured) <= set(METRICS)


# ── rows ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_row_carries_its_metrics_unit_and_leaves_empty_what_does_not_apply():
    written = row("mess3", "cot", 3, "length", "answer_kl", np.float64(0.25), 512, n_steps=32)
    assert tuple(written) == COLUMNS
    assert written["unit"] == "nats"
    assert [written[column] for column in ("variant", "control", "site", "layer", "run")] == [""] * 5
    assert written["step"] is None
    assert (written["value"], written["count"]) == (0.25, 512)
    assert (type(written["value"]), type(written["count"])) == (float, int)


def test_a_metric_that_is_not_listed_is_refused():
    with pytest.raises(KeyError, match="answer_kll"):
        row("mess3", "cot", 0, "length", "answer_kll", 0.0, 1)


def test_a_column_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="answer_kl: no column named lag"):
        row("mess3", "cot", 0, "length", "answer_kl", 0.0, 1, lag=2)


def test_every_metric_has_a_name_of_its_own_and_a_unit_formula_and_description():
    assert all(metric.formula and metric.description and metric.unit for metric in METRICS.values())
    assert len(METRICS) == len([*ANSWERS, *FAITHFULNESS, *INSIDE])


def test_the_table_is_the_contract_and_survives_the_file():
    rows = [
        row("mess3", "cot", 0, "in_distribution", "answer_kl", 1 / 3, 512, n_steps=4),
        row("mess3", "cot", 0, "length", "probe_r2", np.nan, 512, n_steps=4, control="untrained", layer="all", step=2),
    ]
    text = to_csv(to_table(rows))
    assert text.splitlines() == [
        "task,world,condition,variant,control,seed,split,n_steps,site,layer,step,metric,value,count,unit,run",
        "mess3,,cot,,,0,in_distribution,4,,,,answer_kl,0.33333333,512,nats,",
        "mess3,,cot,,untrained,0,length,4,,all,2,probe_r2,,512,ratio,",
    ]
    read = pd.read_csv(io.StringIO(text), dtype=dict.fromkeys(TEXT, "string") | dict.fromkeys(WHOLE, "Int64"))
    assert to_csv(read) == text


def test_no_rows_are_a_header():
    assert to_csv(to_table([])) == ",".join(COLUMNS) + "\n"
