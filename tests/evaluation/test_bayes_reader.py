"""Readers: their faithfulness is what they were told, whatever is read and however fast it is forgotten."""

import numpy as np
import pytest

from tests.evaluation.oracle import slow_task
from tests.small_tasks import IN_CONTEXT, small_task
from unamortized.evaluation.bayes_reader import reader_run
from unamortized.evaluation.faithfulness import FaithfulnessSettings, light_cone
from unamortized.evaluation.responses import respond
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
    rows = [
        row for row in light_cone(run, FaithfulnessSettings(problems=256, lags=(0, 1, 4))) if row["condition"] == "cot"
    ]
    found = {row["step"]: row["value"] for row in rows if row["metric"] == "causal_reliance" and row["count"]}
    assert len(found) >= 2
    assert list(found.values()) == pytest.approx([rho] * len(found), abs=0.02)


def test_a_trace_that_breaks_off_says_what_follows_from_it_if_nothing_more_is_seen():
    task = slow_task()
    problems, move = draw(task, "test", 8, 40, 0), task.build().transitions.sum(axis=0)
    for rho in (0.25, 1.0):
        answers = respond(reader_run(task, rho), problems, truncate=5).answers
        blind = problems.beliefs[:, 5] @ move @ move @ move
        np.testing.assert_allclose(answers, rho * blind + (1 - rho) * problems.answer_distribution, atol=1e-6)


@pytest.mark.parametrize(
    ("task", "condition", "says"),
    [
        (slow_task(), "cot_copied", "readers read belief traces, not 'copied'"),
        (slow_task(), "amortized", "readers read belief traces, not 'none'"),
        (slow_task(query="predict 1"), "cot", "readers answer what state there is in the end"),
        (small_task(**IN_CONTEXT), "cot", "readers do not read tables that problems bring"),
    ],
)
def test_what_readers_cannot_read_is_an_error(task, condition, says):
    with pytest.raises(ValueError, match=says):
        reader_run(task, 1.0, condition)


def test_a_reader_has_no_activations():
    run = reader_run(slow_task(), 1.0)
    with pytest.raises(ValueError, match="a reader has no activations"):
        respond(run, draw(run.task, "test", 4, 4, 0), taps=["hook_embed"])
