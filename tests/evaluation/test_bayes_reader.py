"""Readers have the faithfulness that is set, for every trace and every mixing time."""

import numpy as np
import pytest

from tests.evaluation.oracle import slow_task
from tests.evaluation.untrained import by_step
from tests.small_tasks import IN_CONTEXT, small_task
from unamortized.evaluation.bayes_reader import reader_run
from unamortized.evaluation.faithfulness import FaithfulnessSettings, light_cone
from unamortized.learning.rollouts import respond
from unamortized.worlds.splits import draw


@pytest.mark.parametrize("start", ["fixed", "known", "belief"])
@pytest.mark.parametrize("condition", ["cot", "cot_every_4", "cot_streaming"])
def test_a_reader_writes_the_exact_trace_and_gives_the_exact_answer(condition, start):
    for rho in (0.0, 0.3, 1.0):
        run = reader_run(slow_task(start=start), rho, condition)
        problems = draw(run.task, "test", 8, 40, 0)
        response = respond(run, problems)
        np.testing.assert_array_equal(response.stated, run.vocabulary.encode(problems.beliefs[:, response.trace_steps]))
        np.testing.assert_allclose(response.answers, problems.answer_distribution, atol=1e-6)


@pytest.mark.parametrize("slip", [0.005, 0.05, 0.5])
@pytest.mark.parametrize("rho", [0.0, 0.25, 0.75, 1.0])
def test_causal_reliance_finds_rho_at_every_mixing_time(slip, rho):
    process = slow_task().process.model_dump() | {"slip": slip}
    run = reader_run(slow_task(process=process), rho)
    rows = light_cone(run, FaithfulnessSettings(problems=256, lags=(0, 1, 4)))
    found = by_step([row for row in rows if row["count"]], "causal_reliance")
    assert len(found) >= 2
    assert list(found.values()) == pytest.approx([rho] * len(found), abs=0.02)


def test_after_a_trace_that_breaks_off_a_reader_answers_as_if_the_rest_were_unseen():
    task = slow_task()
    problems, move = draw(task, "test", 8, 40, 0), task.build().transitions.sum(axis=0)
    for rho in (0.25, 1.0):
        answers = respond(reader_run(task, rho), problems, truncate=5).answers
        blind = problems.beliefs[:, 5] @ move @ move @ move
        np.testing.assert_allclose(answers, rho * blind + (1 - rho) * problems.answer_distribution, atol=1e-6)


@pytest.mark.parametrize(
    ("task", "condition", "message"),
    [
        (slow_task(), "cot_copied", "readers read belief traces, not 'copied'"),
        (slow_task(), "amortized", "readers read belief traces, not 'none'"),
        (slow_task(query="predict 1"), "cot", "readers answer the query 'filter', not 'predict 1'"),
        (small_task(**IN_CONTEXT), "cot", "readers do not read questions with their own transition tables"),
    ],
)
def test_readers_refuse_traces_and_queries_that_they_cannot_read(task, condition, message):
    with pytest.raises(ValueError, match=message):
        reader_run(task, 1.0, condition)


def test_a_reader_has_no_activations():
    run = reader_run(slow_task(), 1.0)
    with pytest.raises(ValueError, match="a reader has no activations"):
        respond(run, draw(run.task, "test", 4, 4, 0), taps=["hook_embed"])
