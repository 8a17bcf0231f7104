"""Corrupted traces: wrong at one step, consistent before and after it, and followed with the requested probability."""

import numpy as np
import pytest

from tests.small_tasks import small_task
from unamortized.language.edits import corrupt, donors, draw_answers
from unamortized.language.meanings import code_meanings
from unamortized.language.vocabulary import task_vocabulary
from unamortized.worlds.splits import draw


def corrupted(share=0.5, reliance=0.5, size=400, **fields):
    task = small_task(**fields)
    problems, vocabulary = draw(task, "train", 6, size, 0), task_vocabulary(task)
    return task, problems, vocabulary, corrupt(task, problems, vocabulary, share, reliance)


@pytest.mark.parametrize("size", [2, 3, 50])
def test_every_problem_has_another_as_its_donor(size):
    for seed in range(20):
        given = donors(size, np.random.default_rng(seed))
        assert sorted(given) == list(range(size))
        assert (given != np.arange(size)).all()


@pytest.mark.parametrize("fields", [{}, {"start": "known"}, {"query": "predict 2"}])
def test_a_corrupted_trace_is_exact_before_the_wrong_step_and_follows_bayes_rule_after_it(fields):
    task, problems, vocabulary, found = corrupted(size=60, **fields)
    process, meanings = task.build(), code_meanings(task, softening=1e-12)
    codes, exact = found.trace.tokens - vocabulary.blocks["code"].start, vocabulary.encode(problems.beliefs[:, 1:])
    for b, step in enumerate(found.steps):
        upto = step - 1 if step else 6
        np.testing.assert_array_equal(codes[b, :upto], exact[b, :upto])
        if not step:
            np.testing.assert_allclose(found.counterfactual[b], problems.answer_distribution[b])
            continue
        assert codes[b, step - 1] in np.delete(exact[:, step - 1], b)  # another problem states it there
        belief = (1 - 1e-9) * meanings[codes[b, step - 1]] + 1e-9 * problems.beliefs[b, step]
        for t in range(step, 6):
            belief = belief @ process.transitions[problems.observations[b, t]]
            belief /= belief.sum()
            assert codes[b, t] == vocabulary.encode(belief)
        if task.query.kind == "predict":
            move = process.transitions.sum(axis=0)
            belief = belief @ move @ process.transitions.sum(axis=2).T
        np.testing.assert_allclose(found.counterfactual[b], belief, atol=1e-9)


def test_wrong_steps_are_uniform_and_carry_no_loss():
    *_, found = corrupted()
    wrong = np.flatnonzero(found.steps)
    assert len(wrong) / 400 == pytest.approx(0.5, abs=0.08)
    assert np.bincount(found.steps[wrong], minlength=7)[1:].min() > 15  # of 33 expected
    weights = found.trace.weights
    assert weights is not None
    assert (weights == 0).sum(axis=1).tolist() == (found.steps > 0).astype(int).tolist()
    assert (weights[wrong, found.steps[wrong] - 1] == 0).all()


@pytest.mark.parametrize("reliance", [0.0, 0.25, 1.0])
def test_a_share_rho_of_answers_is_drawn_from_the_counterfactual(reliance):
    _, problems, _, found = corrupted(1.0, reliance, size=4000)
    assert found.follows.mean() == pytest.approx(reliance, abs=0.03)
    answers = draw_answers(problems, found).answers
    for rows, expected in (
        (found.follows, found.counterfactual),
        (~found.follows, problems.answer_distribution),
    ):
        if rows.any():
            drawn = np.bincount(answers[rows], minlength=3) / rows.sum()
            spread = np.sqrt((expected[rows] * (1 - expected[rows])).sum(axis=0)) / rows.sum()
            assert (np.abs(drawn - expected[rows].mean(axis=0)) < 4 * spread + 1e-9).all()
    hit = np.take_along_axis(found.counterfactual, answers[:, None], axis=1)[:, 0][found.follows]
    if found.follows.any():  # each answer has its own distribution, not the average one: expected sum of squares
        assert hit.mean() == pytest.approx((found.counterfactual[found.follows] ** 2).sum(axis=1).mean(), abs=0.03)


def test_a_higher_reliance_only_adds_answers_that_follow():
    half, all_of_them = corrupted(reliance=0.5)[3], corrupted(reliance=1.0)[3]
    np.testing.assert_array_equal(half.trace.tokens, all_of_them.trace.tokens)
    assert (half.follows <= all_of_them.follows).all()
    np.testing.assert_array_equal(all_of_them.follows, all_of_them.steps > 0)


def test_an_uncorrupted_trace_is_the_belief_trace():
    _, problems, vocabulary, found = corrupted(share=0.0)
    np.testing.assert_array_equal(found.trace.tokens, vocabulary.code(vocabulary.encode(problems.beliefs[:, 1:])))
    assert not found.steps.any()
    assert not found.follows.any()


def test_a_query_about_an_earlier_step_is_an_error():
    with pytest.raises(
        ValueError, match="small: corrupted traces need a query about the last step \\(got 'smooth 1'\\)"
    ):
        corrupted(query="smooth 1", size=4)
