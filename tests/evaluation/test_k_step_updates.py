"""Exact updates of a model's own codes are right at every stride, and wrong updates are found."""

import numpy as np
import pytest

from tests.evaluation.oracle import oracle_run, slow_task
from tests.evaluation.untrained import by_step
from tests.small_tasks import small_task
from tests.worlds.brute_force import enumerated_answer
from unamortized.evaluation import k_step_updates
from unamortized.evaluation.k_step_updates import (
    collected,
    k_step_targets,
    update_tables,
)
from unamortized.evaluation.metrics import METRICS
from unamortized.evaluation.protocol import SampleSize
from unamortized.evaluation.protocol import test_problems as draw_problems
from unamortized.language.meanings import code_meanings

FEW = SampleSize(problems=64)
GROUP = {"process": {"family": "group_word", "group": "S3", "elements": ["213", "231"]}, "codebook": {"resolution": 1}}
SIXTEEN = {"steps": {"train": [16, 16], "test": [16]}}


def shares(rows, metric, n_steps, control=""):
    """By step."""
    return by_step([row for row in rows if row["n_steps"] == n_steps], metric, control)


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_targets_are_those_of_enumerating_all_paths_from_the_code_before(stride):
    task = slow_task()
    run, problems = oracle_run(task, f"cot_every_{stride}"), draw_problems(task, 6, 8, 0)
    steps = np.arange(stride, 7, stride)
    codes = np.random.default_rng(0).permuted(run.vocabulary.encode(problems.beliefs[:, steps]), axis=0)  # wrong ones
    targets = k_step_targets(run, problems, codes, steps)
    transitions, meanings = task.build().transitions, code_meanings(task, softening=1e-12)
    for problem in range(8):
        for place, step in enumerate(steps):
            before = meanings[codes[problem, place - 1]] if place else problems.beliefs[problem, 0]
            between = problems.observations[problem, step - stride : step]
            after = enumerated_answer(transitions, before, between, task.query)
            assert targets[problem, place] == run.vocabulary.encode(after[None])[0]


@pytest.mark.parametrize("condition, steps", [("cot", range(1, 9)), ("cot_every_4", (4, 8)), ("cot_every_3", (3, 6))])
def test_exact_updates_of_own_codes_are_right_at_every_stride(condition, steps):
    rows = k_step_updates.by_step(oracle_run(slow_task(), condition), FEW)
    assert shares(rows, "stride_step_right", 8) == pytest.approx(dict.fromkeys(steps, 1.0), abs=0.02)
    assert {row["split"] for row in rows if row["n_steps"] == 16} == {"length"}
    assert all(row["count"] == 64 and row["metric"] in METRICS for row in rows)


def test_inherited_errors_count_against_the_trace_but_not_against_its_updates():
    rows = k_step_updates.by_step(oracle_run(slow_task(codebook={"resolution": 4})), FEW)
    assert min(shares(rows, "stride_step_right", 16).values()) > 0.95
    exact = shares(rows, "trace_agreement", 16)
    assert exact[1] == 1.0  # from the start belief nothing is lost to rounding
    assert exact[16] < 0.6


def test_the_control_is_the_share_of_exact_codes_that_are_updates_of_each_other():
    task = slow_task(codebook={"resolution": 4})
    rows = k_step_updates.by_step(oracle_run(task, from_question=True), FEW)  # writes the exact codes
    own = shares(rows, "stride_step_right", 8)
    assert own == shares(rows, "stride_step_right", 8, "exact_trace")
    assert own[1] == 1.0
    assert min(own.values()) < 0.9
    assert set(shares(rows, "trace_agreement", 8).values()) == {1.0}


def test_a_wrong_update_is_found_at_its_step_and_at_the_next():
    task = small_task(**GROUP, **SIXTEEN)
    run, problems = oracle_run(task, "cot_every_4"), draw_problems(task, 16, 64, 0)
    steps = np.array([4, 8, 12, 16])
    codes = run.vocabulary.encode(problems.beliefs[:, steps])
    codes[:, 1] = (codes[:, 1] + 1) % 6  # and everything after goes on from there
    right = codes == k_step_targets(run, problems, codes, steps)
    assert right.mean(axis=0).tolist() == [1, 0, 0, 1]


def test_a_code_that_the_observations_rule_out_leaves_the_update_to_the_exact_belief():
    task = small_task(process={"family": "rrxor"}, codebook={"resolution": 4}, steps={"train": [8, 8], "test": [8]})
    run, problems = oracle_run(task), draw_problems(task, 8, 256, 0)
    steps = np.arange(1, 9)
    exact = run.vocabulary.encode(problems.beliefs[:, steps])
    written = np.random.default_rng(0).permuted(exact, axis=0)
    targets = k_step_targets(run, problems, written, steps)
    meanings = np.where(code_meanings(task, softening=1e-12) > 1e-9, code_meanings(task), 0)
    following = task.build().transitions[problems.observations[:, 1:]]  # (problem, step, state, state)
    ruled_out = np.einsum("bts,btsj->bt", meanings[written[:, :-1]], following) == 0
    assert ruled_out.sum() > 20
    assert (targets[:, 1:] == exact[:, 1:])[ruled_out].all()


def test_nothing_is_measured_without_codes():
    assert k_step_updates.by_step(oracle_run(slow_task(), "amortized"), FEW) == []
    assert k_step_updates.by_step(oracle_run(slow_task(), "cot_state"), FEW) == []


@pytest.mark.parametrize("kinds", [6, 96])
def test_the_expected_number_of_draws_is_that_of_collecting_coupons(kinds):
    generator, waits = np.random.default_rng(0), []
    for _ in range(400):
        order = generator.integers(kinds, size=40 * kinds)
        waits.append(np.unique(order, return_index=True)[1].max() + 1)
    assert collected(np.log(kinds)) == pytest.approx(np.mean(waits), rel=0.05)


def test_a_table_has_a_line_for_each_word_and_each_code_that_it_may_start_from():
    rows = update_tables(small_task(**GROUP, **SIXTEEN), 3, SampleSize(512))
    sizes = {row["step"]: row["value"] for row in rows}
    assert set(sizes) == {1, 2, 4, 8, 16}
    assert {(row["seed"], row["condition"], row["metric"]) for row in rows} == {(3, "update_table", "table_questions")}
    codes = 6
    assert sizes[8] == pytest.approx(collected(np.log(2**8 * codes)) * 8 / 16)  # two strides a question
    assert sizes[4] == pytest.approx(collected(np.log(2**4 * codes)) * 4 / 16)
    assert sizes[16] == pytest.approx(collected(np.log(2**16)))  # each starts from the identity
    assert sizes[1] == pytest.approx(collected(np.log(codes)))  # the answers' own table takes longer
