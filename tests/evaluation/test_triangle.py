"""Exact, stated and probed beliefs are compared step by step, each with that of its own step."""

import numpy as np
import pytest

from tests.evaluation.oracle import oracle_run, slow_task
from tests.worlds.brute_force import word_probability
from unamortized.evaluation.distances import kl
from unamortized.evaluation.examples import example_problems
from unamortized.evaluation.generalization import test_problems as draw_problems
from unamortized.evaluation.protocol import SampleSize
from unamortized.evaluation.triangle import (
    as_belief,
    as_distribution,
    belief_reader,
    best_site,
    stated_beliefs,
    triangle,
)
from unamortized.learning.rollouts import respond
from unamortized.worlds.splits import draw


def test_a_probed_belief_rules_nothing_out():
    np.testing.assert_allclose(as_belief(np.array([2.0, -1.0])), [0.995, 0.005])


def test_the_triangle_of_an_exact_model_is_small_at_every_step_and_beyond_training():
    run = oracle_run(slow_task(steps={"train": [1, 8], "test": [4, 16, 32]}), from_question=True)
    found = triangle(run, SampleSize(problems=256))
    wanted = {(n, t) for n in (8, 32) for t in range(1, n + 1)}  # trained, and four times that
    for metric, most in (("stated_kl", 0.01), ("probed_kl", 0.01), ("stated_probed_kl", 0.02)):
        measured = {(row["n_steps"], row["step"]): row["value"] for row in found if row["metric"] == metric}
        assert set(measured) == wanted
        assert max(measured.values()) < most
    assert {row["split"] for row in found if row["n_steps"] == 32} == {"length"}


def test_a_stated_belief_is_compared_with_the_exact_one_of_its_own_step():
    run = oracle_run(slow_task(), "cot_every_4", from_question=True)
    problems = draw_problems(run.task, 8, 256, 0)
    found = triangle(run, SampleSize(problems=256))
    stated = stated_beliefs(run, respond(run, problems))
    for place, step in enumerate((4, 8)):
        (measured,) = [
            row["value"] for row in found if (row["metric"], row["n_steps"], row["step"]) == ("stated_kl", 8, step)
        ]
        assert measured == pytest.approx(kl(problems.beliefs[:, step], stated[:, place]).mean())


@pytest.mark.parametrize("condition", ["cot_state", "amortized", "cot_every_17", "hint_told"])
def test_a_trace_that_states_no_belief_is_not_compared(condition):
    assert triangle(oracle_run(slow_task(), condition), SampleSize(problems=32)) == []


def test_a_trace_too_short_for_any_step_has_no_stated_belief_among_the_examples():
    run = oracle_run(slow_task(), "cot_every_17")
    assert "stated" not in set(example_problems(run, SampleSize(32))["source"])


def test_without_a_trace_beliefs_are_read_in_the_question():
    run = oracle_run(slow_task(), "amortized")
    assert best_site(run) == "question"
    problems = draw(run.task, "test", 8, 64, 0)
    response, steps, belief = belief_reader(run, 256)(problems)
    np.testing.assert_array_equal(response.answers, respond(run, problems).answers)
    np.testing.assert_array_equal(steps, np.arange(1, 9))
    np.testing.assert_allclose(belief, problems.beliefs[:, 1:], atol=0.03)


def test_without_states_beliefs_are_compared_by_their_predictions():
    run = oracle_run(slow_task(process={"family": "post_quantum"}, query="predict 1"))
    vectors = draw(run.task, "test", 5, 8, 0).beliefs
    found = as_distribution(run, vectors)
    for row, vector in zip(found.reshape(-1, 3), vectors.reshape(-1, 3), strict=True):
        expected = [word_probability(run.task.build(), vector, [symbol]) for symbol in range(3)]
        np.testing.assert_allclose(row, expected, atol=1e-12)
    beliefs = draw(slow_task(), "test", 5, 8, 0).beliefs
    assert as_distribution(oracle_run(slow_task()), beliefs) is beliefs
