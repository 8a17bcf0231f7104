"""Causal reliance finds how far an answer follows its trace, whatever the world forgets or rules out."""

import itertools

import numpy as np
import pytest

from tests.evaluation.careless import careless_run
from tests.evaluation.oracle import oracle_run, slow_task
from tests.evaluation.untrained import by_step, untrained_run
from tests.small_tasks import IN_CONTEXT
from tests.worlds.brute_force import enumerated_answer, predicted_by_words, word_probability
from unamortized.evaluation.distances import total_variation
from unamortized.evaluation.faithfulness import FaithfulnessSettings, light_cone
from unamortized.evaluation.faithfulness.edits import edit_step
from unamortized.evaluation.faithfulness.rollout import Rollout, causal_reliance, roll_out
from unamortized.evaluation.protocol import test_problems as draw_problems
from unamortized.language.meanings import code_meanings
from unamortized.learning.rollouts import Response, respond
from unamortized.learning.specification import Run

LAGS = (0, 1, 2, 3, 4)
CONE = FaithfulnessSettings(problems=512, lags=LAGS)


@pytest.fixture(scope="module")
def cones():
    """Light cones of oracles that follow their trace to a known share."""
    return {rho: light_cone(oracle_run(slow_task(), rho=rho), CONE) for rho in (0.0, 0.5, 1.0)}


# ── alpha ────────────────────────────────────────────────────────────────────────────────────────


def test_alpha_is_the_slope_of_the_movement_on_the_exact_one():
    should = np.array([[0.5, -0.5], [0.1, -0.1]])
    moved = np.array([[0.3, -0.3], [-0.1, 0.1]])
    assert causal_reliance(moved, should) == pytest.approx((0.3 - 0.02) / (0.5 + 0.02))


def test_movement_across_the_exact_one_is_no_reliance():
    should = np.array([[0.4, 0.0, -0.4]])
    assert causal_reliance(np.array([[0.3, -0.6, 0.3]]), should) == pytest.approx(0)
    assert causal_reliance(np.array([[0.2, 0.2, -0.4]]), should) == pytest.approx(0.75)


def test_alpha_of_no_problem_is_no_number():
    none = np.zeros((0, 3))
    assert np.isnan(causal_reliance(none, none))
    assert causal_reliance(np.zeros((2, 2)), np.array([[0.5, -0.5]] * 2)) == 0


# ── the dial ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("rho, within", [(0.0, 1e-9), (0.5, 0.03), (1.0, 0.05)])
def test_causal_reliance_is_the_share_to_which_the_answer_follows_the_trace_at_every_lag(cones, rho, within):
    alphas = by_step(cones[rho], "causal_reliance")
    assert list(alphas) == list(LAGS)
    assert alphas == pytest.approx(dict.fromkeys(LAGS, rho), abs=within)


@pytest.mark.parametrize("rho", [0.5, 1.0])
def test_fitted_on_another_problems_counterfactual_alpha_vanishes(cones, rho):
    wrong = by_step(cones[rho], "causal_reliance", "wrong_counterfactual")
    assert list(wrong) == list(LAGS)
    assert max(map(abs, wrong.values())) < 0.15


def test_with_later_steps_frozen_only_the_last_step_counts(cones):
    for rho, rows in cones.items():
        frozen = by_step(rows, "causal_reliance_frozen")
        assert frozen[0] == by_step(rows, "causal_reliance")[0]
        assert [frozen[lag] for lag in LAGS[1:]] == pytest.approx([0] * 4, abs=1e-9), rho


def test_a_trace_that_is_recomputed_from_the_question_carries_no_edit_on():
    rows = light_cone(oracle_run(slow_task(), from_question=True), CONE)
    alphas = by_step(rows, "causal_reliance")
    assert alphas[0] == pytest.approx(1, abs=0.05)
    assert [alphas[lag] for lag in LAGS[1:]] == pytest.approx([0] * 4, abs=1e-9)


def test_the_model_moves_as_far_as_bayes_and_less_the_longer_ago(cones):
    model, exact = by_step(cones[1.0], "edit_tv"), by_step(cones[1.0], "counterfactual_tv")
    assert model == pytest.approx(exact, abs=0.03)
    assert sorted(exact.values(), reverse=True) == list(exact.values())


def test_lags_longer_than_the_trace_are_left_out():
    rows = light_cone(oracle_run(slow_task()), FaithfulnessSettings(problems=16, lags=(0, 7, 8, 20)))
    assert list(by_step(rows, "causal_reliance")) == [0, 7]


# ── other traces and queries ─────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("rho", [0.0, 1.0])
def test_a_trace_of_every_fourth_step_is_edited_where_it_states_one(rho):
    rows = light_cone(oracle_run(slow_task(), "cot_every_4", rho), CONE)
    assert by_step(rows, "causal_reliance") == pytest.approx({0: rho, 4: rho}, abs=0.05)


def test_a_trace_of_states_is_followed_on_average():
    rows = light_cone(oracle_run(slow_task(), "cot_state"), FaithfulnessSettings(problems=1024, lags=(0, 2, 4)))
    assert by_step(rows, "causal_reliance") == pytest.approx(dict.fromkeys((0, 2, 4), 1), abs=0.12)
    frozen = by_step(rows, "causal_reliance_frozen")
    assert (frozen[2], frozen[4]) == pytest.approx((0, 0), abs=1e-9)


def test_without_a_trace_there_is_nothing_to_edit():
    assert light_cone(oracle_run(slow_task(), "amortized"), CONE) == []


def test_a_prediction_follows_the_trace_too():
    rows = light_cone(
        oracle_run(slow_task(query="predict 1")), FaithfulnessSettings(problems=512, lags=(0, 2), threshold=0.02)
    )
    assert by_step(rows, "causal_reliance") == pytest.approx({0: 1, 2: 1}, abs=0.05)


def test_of_a_smoothed_state_only_steps_up_to_it_are_edited():
    task = slow_task(query="smooth 2", steps={"train": [3, 8], "test": [4, 8]})
    rows = light_cone(oracle_run(task), FaithfulnessSettings(problems=512, lags=(0, 5, 6, 7)))
    assert by_step(rows, "causal_reliance") == pytest.approx({6: 1, 7: 1}, abs=0.05)


# ── edits ────────────────────────────────────────────────────────────────────────────────────────


def kept_by_enumeration(run, problems, edit, step):
    """Whether each edit moves the exact answer, summing over every latent path from the stated belief."""
    process, kept = run.task.build(), []
    points = run.vocabulary.codebook.points[edit.forced[:, edit.place]]
    for belief, symbols, exact in zip(points, problems.observations[:, step:], problems.beliefs[:, -1], strict=True):
        last = np.zeros(process.n_states)
        for path in itertools.product(range(process.n_states), repeat=len(symbols) + 1):
            moves = zip(symbols, path[:-1], path[1:], strict=True)
            last[path[-1]] += belief[path[0]] * np.prod([process.transitions[move] for move in moves])
        possible = last.sum() > 0
        kept.append(possible and np.abs(last / last.sum() - exact).sum() / 2 > 0.1)
    return kept


@pytest.mark.parametrize("family", ["zero_one_random", "rrxor"])
@pytest.mark.parametrize("lag", [0, 1, 2, 3])
def test_edits_that_later_observations_rule_out_are_not_kept(family, lag):
    run = oracle_run(slow_task(process={"family": family}, codebook={"resolution": 12}))
    problems = draw_problems(run.task, 8, 64, 0)
    rollout = Rollout(run, CONE, problems, respond(run, problems))
    edit = edit_step(rollout, 8 - lag)
    kept = rollout.kept(edit.exact)
    np.testing.assert_array_equal(kept, kept_by_enumeration(run, problems, edit, 8 - lag))
    np.testing.assert_allclose(edit.exact[~kept], problems.answer_distribution[~kept], atol=0.1)


def test_as_many_are_kept_as_move_by_more_than_the_threshold(cones):
    rollout = roll_out(oracle_run(slow_task()), CONE)
    n_kept = (total_variation(edit_step(rollout, 6).exact, rollout.exact) > 0.1).sum()
    assert 0 < n_kept < 512
    counts = {(row["metric"], row["control"]): row["count"] for row in cones[0.0] if row["step"] == 2}
    assert counts["causal_reliance", ""] == counts["causal_reliance", "wrong_counterfactual"] == n_kept
    assert counts["counterfactual_tv", ""] == counts["edit_tv", ""] == 512


def test_an_edit_states_what_another_problem_states_and_leaves_the_other_steps():
    rollout = roll_out(oracle_run(slow_task()), CONE)
    edit = edit_step(rollout, 3)
    assert edit.place == 2
    np.testing.assert_array_equal(np.delete(edit.forced, 2, axis=1), np.delete(rollout.response.written, 2, axis=1))
    stated = rollout.run.vocabulary.codebook.encode(rollout.problems.beliefs[:, 3])
    assert (edit.forced[:, 2] != stated).mean() > 0.8
    np.testing.assert_array_equal(np.sort(edit.forced[:, 2]), np.sort(stated))  # a permutation of what is stated


@pytest.mark.parametrize("condition", ["cot_copied", "cot_indexed"])
def test_in_a_trace_that_fetches_the_code_is_edited_and_what_was_fetched_is_kept(condition):
    task = slow_task()
    rollout, plain = (roll_out(careless_run(task, name, 0.0, 0.0)[0], CONE) for name in (condition, "cot"))
    edit, same = edit_step(rollout, 5), edit_step(plain, 5)
    assert edit.place == 9  # the second token of the fifth step
    np.testing.assert_array_equal(np.delete(edit.forced, 9, axis=1), np.delete(rollout.response.written, 9, axis=1))
    np.testing.assert_array_equal(edit.forced[:, 9], same.forced[:, 4])
    np.testing.assert_array_equal(edit.exact, same.exact)


# ── edits in other worlds ────────────────────────────────────────────────────────────────────────


def exact_rollout(run: Run, n_steps: int, size: int) -> Rollout:
    """The rollout of a model that states every belief exactly."""
    problems = draw_problems(run.task, n_steps, size, 0)
    response = Response(
        answers=problems.answer_distribution,
        written=run.vocabulary.encode(problems.beliefs[:, 1:]),
        stated=run.vocabulary.encode(problems.beliefs[:, 1:]),
        places=np.arange(n_steps),
        trace_steps=np.arange(1, n_steps + 1),
        columns={},
        taps={},
        log_probabilities=np.zeros((size, n_steps)),
    )
    return Rollout(run, CONE, problems, response)


@pytest.mark.parametrize("ahead", [1, 2])
@pytest.mark.parametrize("family", ["tom_quantum", "fanizza", "post_quantum"])
def test_a_counterfactual_without_states_is_the_product_of_matrices_from_the_meaning(family, ahead):
    run = untrained_run(process={"family": family}, query=f"predict {ahead}", codebook={"resolution": 8})
    process, meanings = run.task.build(), code_meanings(run.task, softening=1e-12)
    rollout = exact_rollout(run, 6, 200)
    problems = rollout.problems
    for step in range(1, 7):
        edit = edit_step(rollout, step)
        np.testing.assert_allclose(edit.exact.sum(axis=1), 1, atol=1e-9)
        for number, code in enumerate(edit.forced[:, edit.place]):
            vector, rest = meanings[code], problems.observations[number, step:]
            if word_probability(process, vector, rest) > 1e-3 * word_probability(
                process, problems.beliefs[number, step], rest
            ):  # not where the edit is ruled out, and a little of the true belief decides
                expected = predicted_by_words(process, vector, rest, ahead)
                np.testing.assert_allclose(edit.exact[number], expected, atol=1e-4)


def test_an_edit_that_a_world_without_states_rules_out_leaves_the_exact_answer():
    """Projective measurements: after "up", the same measurement does not say "down"."""
    process = {"family": "tom_quantum", "beta": 1.0}
    run = untrained_run(process=process, query="predict 1", codebook={"resolution": 4})
    process, meanings = run.task.build(), code_meanings(run.task, softening=1e-12)
    rollout, ruled_out = exact_rollout(run, 6, 200), 0
    problems = rollout.problems
    for step in range(1, 6):
        edit = edit_step(rollout, step)
        for number, code in enumerate(edit.forced[:, edit.place]):
            if word_probability(process, meanings[code], problems.observations[number, step:]) < 1e-11:
                ruled_out += 1
                np.testing.assert_allclose(edit.exact[number], problems.answer_distribution[number], atol=1e-5)
    assert ruled_out > 50


def test_a_counterfactual_is_that_of_the_problems_own_table():
    rollout = exact_rollout(untrained_run(**IN_CONTEXT), 5, 100)
    task, problems = rollout.run.task, rollout.problems
    meanings = code_meanings(task, softening=1e-12)
    for step in (1, 3, 5):
        edit = edit_step(rollout, step)
        for number, code in enumerate(edit.forced[:, edit.place]):
            transitions, rest = problems.process.transitions[number], problems.observations[number, step:]
            expected = enumerated_answer(transitions, meanings[code], rest, task.query)
            np.testing.assert_allclose(edit.exact[number], expected, atol=1e-5)
