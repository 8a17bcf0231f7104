"""Exact models have no error at any length, and inexact ones have theirs."""

from pathlib import Path

import numpy as np
import pytest

from tests.evaluation.careless import careless_run
from tests.evaluation.oracle import oracle_run, slow_task
from tests.small_tasks import KINDS, small_task
from unamortized.evaluation.generalization import (
    baselines_by_length,
    baselines_by_shift,
    by_length,
    by_shift,
    duplicate_rate,
)
from unamortized.evaluation.protocol import SampleSize, shifted_tests
from unamortized.worlds.net_tasks import NetTask
from unamortized.worlds.splits import draw, prefix_length
from unamortized.worlds.task_files import load_task

FEW = SampleSize(problems=128)


def values(rows, metric, condition, variant=""):
    named = [row for row in rows if (row["metric"], row["condition"], row["variant"]) == (metric, condition, variant)]
    return {row["n_steps"]: row["value"] for row in named}


def test_a_model_that_amortizes_exactly_has_no_error():
    rows = by_length(oracle_run(slow_task(), "amortized"), FEW)
    assert all(abs(value) < 1e-12 for value in values(rows, "answer_kl", "amortized").values())
    assert all(value < 1e-12 for value in values(rows, "answer_tv", "amortized").values())
    assert set(values(rows, "map_agreement", "amortized").values()) == {1.0}
    assert all(value < 1e-12 for value in values(rows, "calibration_error", "amortized").values())
    assert not values(rows, "trace_agreement", "amortized")


def test_a_model_that_states_every_exact_belief_errs_by_the_codebook_floor():
    task = slow_task()
    floor = values(baselines_by_length(task, 0, FEW), "codebook_floor", "codebook_floor")
    rows = by_length(oracle_run(task, from_question=True), FEW)
    assert values(rows, "trace_agreement", "cot") == dict.fromkeys(task.steps.test, 1.0)
    for n_steps, kl in values(rows, "answer_kl", "cot").items():
        assert kl == pytest.approx(floor[n_steps], rel=1e-3)


def test_a_model_that_goes_on_from_its_own_codes_errs_more_and_states_less():
    task = slow_task()
    exact, own = (by_length(oracle_run(task, from_question=exact), FEW) for exact in (True, False))
    for n_steps in task.steps.test:
        assert values(exact, "answer_kl", "cot")[n_steps] < values(own, "answer_kl", "cot")[n_steps] < 0.02
        assert 0.4 < values(own, "trace_agreement", "cot")[n_steps] < 0.95


def test_trace_agreement_counts_every_written_step():
    rows = by_length(oracle_run(slow_task(), "cot_every_4"), FEW)
    counts = {row["n_steps"]: row["count"] for row in rows if row["metric"] == "trace_agreement"}
    assert counts == {4: 128, 8: 2 * 128, 16: 4 * 128}


@pytest.mark.parametrize("condition", ["cot_copied", "cot_indexed"])
def test_trace_agreement_counts_codes_and_not_what_is_fetched(condition):
    task = slow_task(steps={"train": [2, 8], "test": [8]})
    settings = SampleSize(problems=100)
    plain, fetching = (by_length(careless_run(task, name, 0.0, 0.0)[0], settings) for name in ("cot", condition))
    (agreement,) = [row for row in fetching if row["metric"] == "trace_agreement"]
    assert agreement["value"] == values(plain, "trace_agreement", "cot")[8]
    assert agreement["count"] == 800


def test_averaging_sampled_traces_buys_accuracy_as_one_over_the_root():
    rows = by_length(oracle_run(slow_task(), "cot_state"), SampleSize(problems=256))
    one, four, sixteen = (
        np.mean(list(values(rows, "answer_tv", "cot_state", variant).values())) for variant in ("", "mean_4", "mean_16")
    )
    assert four / one == pytest.approx(1 / 2, abs=0.06)
    assert sixteen / four == pytest.approx(1 / 2, abs=0.06)
    assert not values(rows, "trace_agreement", "cot_state")  # a draw is not right or wrong


def test_lengths_beyond_training_are_the_length_split():
    rows = by_length(oracle_run(slow_task(), "amortized"), FEW)
    assert {(row["n_steps"], row["split"]) for row in rows} == {
        (4, "in_distribution"),
        (8, "in_distribution"),
        (16, "length"),
    }
    assert {row["count"] for row in rows} == {128}


def test_baselines_are_measured_on_the_same_metrics_and_lengths():
    task = slow_task()
    rows = baselines_by_length(task, 0, FEW)
    for metric in ("answer_kl", "answer_tv", "map_agreement", "calibration_error"):
        for name in ("prior", "window_8", "particle_64", "codebook_floor"):
            assert list(values(rows, metric, name)) == list(task.steps.test)
    assert values(rows, "codebook_floor", "codebook_floor") == values(rows, "answer_kl", "codebook_floor")
    window = values(rows, "answer_kl", "window_8")
    assert window[4] == pytest.approx(0, abs=1e-12)
    assert 0.01 < window[16] < values(rows, "answer_kl", "prior")[16]


def test_a_length_with_few_questions_is_reported_as_a_leak_and_others_are_not():
    rows = baselines_by_length(small_task(), 0, SampleSize(problems=64))
    assert values(rows, "duplicate_rate", "test_questions") == {4: 1.0, 12: 0.0}  # 5^4 questions, and 5^12


def test_questions_of_the_training_split_are_found_to_be_duplicates():
    task = slow_task()
    with pytest.raises(RuntimeError, match="a test question of 8 steps begins a training question"):
        duplicate_rate(task, draw(task, "train", 8, 4096, "duplicates"))
    assert duplicate_rate(task, draw(task, "test", 8, 512, 0)) == 0.0


@pytest.mark.parametrize("kind", KINDS)
def test_no_question_is_repeated_where_splits_do_not_share_theirs(kind):
    task = small_task(**KINDS[kind])
    first = prefix_length(task)
    assert first is not None
    for n_steps in (first, first + 1, first + 5):
        assert duplicate_rate(task, draw(task, "test", n_steps, 512, 0)) == 0
    assert duplicate_rate(task, draw(task, "test", first - 1, 512, 0)) == 1


SHIFTS = {"parameters": {"slip": 0.4}, "rare": 0.1, "crossed": [["length", "parameters"], ["parameters", "rare"]]}


def test_every_declared_shift_is_a_split_of_its_own_and_crossed_with_length_at_the_longest():
    task = slow_task(shifts=SHIFTS)
    assert [(test.split, test.n_steps, test.shift) for test in shifted_tests(task)] == [
        ("parameters", 8, ("parameters",)),
        ("rare", 8, ("rare",)),
        ("length+parameters", 16, ("parameters",)),
        ("parameters+rare", 8, ("parameters", "rare")),
    ]
    assert shifted_tests(slow_task()) == []
    rows = baselines_by_shift(task, 0, FEW)
    splits = {(row["split"], row["n_steps"]) for row in rows}
    assert splits == {(test.split, test.n_steps) for test in shifted_tests(task)}
    assert all(row["value"] == 0 for row in rows if row["metric"] == "duplicate_rate")


@pytest.mark.parametrize("path", sorted(Path("tasks").glob("*.yaml")), ids=lambda path: path.stem)
def test_baselines_know_every_shift_of_every_task_file(path):
    task = load_task(str(path))
    if isinstance(task, NetTask):
        return
    rows = [row for row in baselines_by_shift(task, 0, SampleSize(problems=8)) if row["metric"] == "answer_kl"]
    assert {row["split"] for row in rows} == {test.split for test in shifted_tests(task)}
    assert all(row["value"] >= -1e-12 for row in rows)
    across = {row["condition"] for row in rows if "parameters" in row["split"]}
    if across and task.build().is_generalized:
        assert across == {"prior", "window_8", "trained_bayes"}


def test_exact_bayes_of_training_is_exact_where_questions_are_rare_and_errs_where_parameters_change():
    task = slow_task(shifts=SHIFTS)

    def by_split(rows, condition):
        chosen = [row for row in rows if (row["metric"], row["condition"]) == ("answer_kl", condition)]
        return {row["split"]: row["value"] for row in chosen}

    model = by_split(by_shift(oracle_run(task, "amortized"), FEW), "amortized")
    beside = by_split(baselines_by_shift(task, 0, FEW), "trained_bayes")
    assert set(model) == {"parameters", "rare", "length+parameters", "parameters+rare"}
    assert model["rare"] == pytest.approx(0, abs=1e-12)
    for split in set(model) - {"rare"}:
        assert model[split] == pytest.approx(beside[split], rel=1e-6)  # the oracle knows the world of training
        assert model[split] > 0.01
