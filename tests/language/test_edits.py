"""Corrupted traces: astray at one step, consistent before and after, and followed as often as they are meant to be."""

import numpy as np
import pytest

from tests.small_tasks import small_task
from unamortized.language.edits import corrupt, dialed, donors
from unamortized.language.meanings import code_meanings
from unamortized.language.vocabulary import task_vocabulary
from unamortized.worlds.splits import draw


def corrupted(share=0.5, reliance=0.5, size=400, **fields):
    task = small_task(**fields)
    problems, vocabulary = draw(task, "train", 6, size, 0), task_vocabulary(task)
    return task, problems, vocabulary, corrupt(task, problems, vocabulary, share, reliance)


@pytest.mark.parametrize("size", [2, 3, 50])
def test_a_donor_is_always_somebody_else(size):
    for seed in range(20):
        given = donors(size, np.random.default_rng(seed))
        assert sorted(given) == list(range(size))
        assert (given != np.arange(size)).all()


@pytest.mark.parametrize("fields", [{}, {"start": "known"}, {"query": "predict 2"}])
def test_a_trace_is_exact_before_it_goes_astray_and_follows_bayes_rule_from_there(fields):
    task, problems, vocabulary, found = corrupted(size=60, **fields)
    process, meanings = task.build(), code_meanings(task, softening=1e-12)
    codes, exact = found.trace.tokens - vocabulary.blocks["code"].start, vocabulary.encode(problems.beliefs[:, 1:])
    for b, step in enumerate(found.steps):
        upto = step - 1 if step else 6
        np.testing.assert_array_equal(codes[b, :upto], exact[b, :upto])
        if not step:
            np.testing.assert_allclose(found.counterfactual[b], problems.answer_distribution[b])
            continue
        belief = (1 - 1e-9) * meanings[codes[b, step - 1]] + 1e-9 * problems.beliefs[b, step]
        for t in range(step, 6):
            belief = belief @ process.transitions[problems.observations[b, t]]
            belief /= belief.sum()
            assert codes[b, t] == vocabulary.encode(belief)
        if task.query.kind == "predict":
            move = process.transitions.sum(axis=0)
            belief = belief @ move @ process.transitions.sum(axis=2).T
        np.testing.assert_allclose(found.counterfactual[b], belief, atol=1e-9)


def test_what_is_wrongly_said_is_what_others_say_there_and_no_loss_falls_on_it():
    _, _, vocabulary, found = corrupted()
    astray = np.flatnonzero(found.steps)
    assert len(astray) / 400 == pytest.approx(0.5, abs=0.08)
    assert np.bincount(found.steps[astray], minlength=7)[1:].min() > 15  # of 33 expected
    weights = found.trace.weights
    assert weights is not None
    assert (weights == 0).sum(axis=1).tolist() == (found.steps > 0).astype(int).tolist()
    assert (weights[astray, found.steps[astray] - 1] == 0).all()


@pytest.mark.parametrize("reliance", [0.0, 0.25, 1.0])
def test_so_many_answers_follow_the_trace_and_are_drawn_from_its_counterfactual(reliance):
    task, problems, vocabulary, found = corrupted(1.0, reliance, size=4000)
    assert found.follows.mean() == pytest.approx(reliance, abs=0.03)
    asked, trace = dialed(task, problems, vocabulary, 1.0, reliance)
    np.testing.assert_array_equal(trace.tokens, found.trace.tokens)
    for rows, expected in (
        (found.follows, found.counterfactual),
        (~found.follows, problems.answer_distribution),
    ):
        if rows.any():
            drawn = np.bincount(asked.answers[rows], minlength=3) / rows.sum()
            spread = np.sqrt((expected[rows] * (1 - expected[rows])).sum(axis=0)) / rows.sum()
            assert (np.abs(drawn - expected[rows].mean(axis=0)) < 4 * spread + 1e-9).all()
    hit = np.take_along_axis(found.counterfactual, asked.answers[:, None], axis=1)[:, 0][found.follows]
    if found.follows.any():  # each by its own, not by the average: expected sum of squares
        assert hit.mean() == pytest.approx((found.counterfactual[found.follows] ** 2).sum(axis=1).mean(), abs=0.03)


def test_more_reliance_makes_more_of_the_same_problems_follow():
    half, all_of_them = corrupted(reliance=0.5)[3], corrupted(reliance=1.0)[3]
    np.testing.assert_array_equal(half.trace.tokens, all_of_them.trace.tokens)
    assert (half.follows <= all_of_them.follows).all()
    np.testing.assert_array_equal(all_of_them.follows, all_of_them.steps > 0)


def test_nothing_corrupted_is_the_belief_trace():
    _, problems, vocabulary, found = corrupted(share=0.0)
    np.testing.assert_array_equal(found.trace.tokens, vocabulary.code(vocabulary.encode(problems.beliefs[:, 1:])))
    assert not found.steps.any()
    assert not found.follows.any()


def test_a_question_about_an_earlier_step_cannot_follow_a_corrupted_trace():
    with pytest.raises(ValueError, match="a corrupted trace decides only answers that follow from its last step"):
        corrupted(query="smooth 1", size=4)
