"""Slips of a known kind and rate are found with that kind and rate."""

import numpy as np
import pytest

from tests.evaluation.careless import careless_run
from tests.evaluation.oracle import oracle_run, slow_task
from unamortized.evaluation.metrics import METRICS
from unamortized.evaluation.pointer import (
    IMPOSSIBLE,
    Judged,
    judge,
    judge_fetching,
    pointer,
    updated_codes,
)
from unamortized.evaluation.protocol import SampleSize
from unamortized.evaluation.protocol import test_problems as draw_problems
from unamortized.language.meanings import code_meanings
from unamortized.language.vocabulary import task_vocabulary
from unamortized.learning.rollouts import respond

ONE_LENGTH = {"train": [2, 8], "test": [16]}


def measured(rows, control="", n_steps=16):
    return {row["metric"]: row["value"] for row in rows if (row["control"], row["n_steps"]) == (control, n_steps)}


def hidden_share(task):
    """The share of exact steps at which another symbol gives the very code that x_t gives."""
    problems = draw_problems(task, 16, 400, 0)
    updated = updated_codes(task, problems, task_vocabulary(task).encode(problems.beliefs[:, 1:]))
    own = np.take_along_axis(updated, problems.observations[:, :, None], axis=2)
    return ((updated == own).sum(axis=2) > 1).mean()


def judged_by_hand(problems, codes, codebook, meanings, transitions):
    """Every step by a loop: right, pointer or update."""
    points, found = codebook.points, []
    for b, row in enumerate(codes):
        for t, code in enumerate(row):
            before = problems.beliefs[b, 0] if t == 0 else meanings[row[t - 1]]
            moved = {}
            for v, matrix in enumerate(transitions):
                after = before @ matrix
                nearest = np.abs(points - (after / after.sum())).sum(axis=1).argmin()  # ties: off by a unit at most
                moved[v] = np.abs(points[nearest] - points[code]).sum() / 2
            own = moved.pop(int(problems.observations[b, t]))
            exact = [codebook.encode(problems.beliefs[b, s]) == row[s - 1] for s in range(max(t, 1), t + 2)]
            if all(exact) or (own <= min(moved.values()) and own <= 1 / 8 + 1e-9):
                found.append("right")
            else:
                found.append("pointer" if min(moved.values()) <= 1 / 8 + 1e-9 else "update")
    return np.array(found).reshape(codes.shape)


def test_steps_are_judged_as_by_a_loop_over_all_codes():
    task = slow_task()
    problems, vocabulary = draw_problems(task, 8, 40, 0), task_vocabulary(task)
    codes = vocabulary.encode(problems.beliefs[:, 1:])
    generator = np.random.default_rng(0)
    garbled = np.where(generator.random(codes.shape) < 0.5, generator.permuted(codes, axis=0), codes)
    judged = judge(task, problems, updated_codes(task, problems, garbled), garbled)
    transitions = task.build().transitions
    by_hand = judged_by_hand(problems, garbled, vocabulary.codebook, code_meanings(task), transitions)
    kinds = np.where(judged.right, "right", np.where(judged.pointer, "pointer", "update"))
    assert (kinds == by_hand).mean() > 0.98  # the loop breaks ties of rounding elsewhere
    assert all((kinds == kind).sum() > 20 for kind in ("right", "pointer", "update"))


def test_an_exact_trace_is_right_at_every_step():
    rows = pointer(oracle_run(slow_task(), from_question=True), SampleSize(problems=64))
    for n_steps in (4, 8, 16):
        found = measured(rows, n_steps=n_steps)
        assert found == {"pointer_error": 0, "update_error": 0}
    assert {row["split"] for row in rows if row["n_steps"] == 16} == {"length"}
    assert {row["metric"] for row in rows} <= set(METRICS)


@pytest.mark.parametrize(("misfetch", "miscount"), [(0.3, 0.0), (0.0, 0.3), (0.2, 0.1)])
@pytest.mark.parametrize("condition", ["cot", "cot_copied", "cot_indexed"])
def test_slips_of_each_kind_are_recovered(condition, misfetch, miscount):
    task = slow_task(steps=ONE_LENGTH)
    run, model = careless_run(task, condition, misfetch, miscount)
    found = measured(pointer(run, SampleSize(problems=400)))
    misfetched, miscounted = np.array(model.misfetched), np.array(model.miscounted)
    assert misfetched.shape == (16, 400)
    if condition == "cot":  # wrong fetching that gives the right code does not show
        passed = misfetched & ~miscounted
        assert passed.mean() * (1 - hidden_share(task)) - 0.02 <= found["pointer_error"] <= passed.mean() + 0.02
        assert found["update_error"] == pytest.approx(miscounted.mean(), abs=0.02)
    else:
        assert found["pointer_error"] == pytest.approx(misfetched.mean(), abs=0.02)
        assert found["update_error"] == pytest.approx((miscounted & ~misfetched).mean(), abs=0.02)
    wrong = found["pointer_error"] + found["update_error"]
    assert found["pointer_share"] == pytest.approx(found["pointer_error"] / wrong)


def test_where_no_two_symbols_agree_wrong_fetching_is_recovered_to_the_step():
    process = {"family": "group_word", "group": "S3", "generators": 2}
    task = slow_task(process=process, codebook={"resolution": 1}, steps=ONE_LENGTH)
    run, model = careless_run(task, "cot", 0.25, 0.1)
    found = measured(pointer(run, SampleSize(problems=200)))
    misfetched, miscounted = np.array(model.misfetched), np.array(model.miscounted)
    assert hidden_share(task) == 0
    assert found["pointer_error"] == pytest.approx((misfetched & ~miscounted).mean())
    assert found["update_error"] == pytest.approx(miscounted.mean())


def test_by_codes_alone_wrong_copies_are_seen_too_and_chance_is_told_apart():
    task = slow_task(steps=ONE_LENGTH)
    rows = pointer(careless_run(task, "cot_copied", 0.3, 0.0)[0], SampleSize(problems=400))
    read, inferred = measured(rows), measured(rows, "codes_only")
    assert inferred["pointer_error"] == pytest.approx(read["pointer_error"], abs=hidden_share(task) + 0.02)
    assert inferred["update_error"] < 0.02
    chance = measured(rows, "exchanged_codes")
    assert chance["update_error"] > 0.3
    assert chance["pointer_share"] < inferred["pointer_share"] - 0.3


@pytest.mark.parametrize(("condition", "blamed"), [("cot_copied", "update"), ("cot_indexed", "pointer")])
def test_another_symbols_code_after_a_right_copy_is_an_update_error_and_after_a_right_index_is_not(condition, blamed):
    run, _ = careless_run(slow_task(), condition, 0.0, 0.0)
    problems = draw_problems(run.task, 8, 64, 0)
    response = respond(run, problems)
    wrong = Judged(np.zeros((64, 8), dtype=bool), np.ones((64, 8), dtype=bool))  # as the codes alone are judged
    judged = judge_fetching(run, problems, response, wrong)
    assert judged.pointer.all() == judged.pointer.any() == (blamed == "pointer")
    assert not judged.right.any()
    response.written[:, 4] = (response.written[:, 4] + 1) % 3  # what is fetched for the third step
    fine = Judged(np.ones((64, 8), dtype=bool), np.zeros((64, 8), dtype=bool))
    missed = judge_fetching(run, problems, response, fine)
    expected = np.tile(np.arange(8) == 2, (64, 1))
    np.testing.assert_array_equal(missed.pointer, expected)
    np.testing.assert_array_equal(missed.right, ~expected)


@pytest.mark.parametrize("condition", ["amortized", "cot_every_4", "cot_state"])
def test_traces_that_do_not_state_every_belief_are_not_judged(condition):
    assert pointer(oracle_run(slow_task(), condition), SampleSize(problems=8)) == []


def test_ties_with_the_right_symbol_are_right():
    task = slow_task()
    problems = draw_problems(task, 8, 16, 0)
    codes = task_vocabulary(task).encode(problems.beliefs[:, 1:])
    updated = np.repeat(updated_codes(task, problems, codes)[:, :, :1], 5, axis=2)  # all symbols do the same
    followed = judge(task, problems, updated, updated[:, :, 0])
    assert followed.right.all()
    assert not followed.pointer.any()


def test_an_impossible_symbol_explains_nothing():
    task = slow_task(process={"family": "even_ones"}, codebook={"resolution": 4})
    problems, vocabulary = draw_problems(task, 8, 64, 0), task_vocabulary(task)
    codes = vocabulary.encode(problems.beliefs[:, 1:])
    updated = updated_codes(task, problems, codes)
    ruled_out = updated == IMPOSSIBLE
    assert not np.take_along_axis(ruled_out, problems.observations[:, :, None], axis=2).any()
    nowhere = np.where(np.arange(2) == problems.observations[:, :, None], updated, IMPOSSIBLE)
    certain = np.full_like(codes, vocabulary.codebook.size - 1)  # of the last state
    judged = judge(task, problems, nowhere, certain)
    assert not judged.right.all()
    assert not judged.pointer.any()
