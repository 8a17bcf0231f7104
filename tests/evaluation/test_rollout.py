"""All tests of faithfulness share one rollout, which lives no longer than its model."""

import gc
from dataclasses import replace
from weakref import ref

import pytest

from tests.evaluation.oracle import as_if, slow_task
from tests.evaluation.untrained import untrained_run
from unamortized.evaluation import faithfulness
from unamortized.evaluation.bayes_reader import reader_run
from unamortized.evaluation.faithfulness import FaithfulnessSettings, rollout
from unamortized.evaluation.faithfulness.edits import edit_step
from unamortized.evaluation.faithfulness.rollout import roll_out

FEW = FaithfulnessSettings(problems=16, lags=(0, 1), draws=1)


@pytest.fixture
def undisturbed_responses(monkeypatch):
    """The problems that models answer without any change, as they do."""
    found = []

    def respond(run, problems, **changes):
        if not changes:
            found.append(problems)
        return original(run, problems, **changes)

    original = rollout.respond
    monkeypatch.setattr(rollout, "respond", respond)
    return found


def test_tests_of_a_run_let_it_answer_the_same_problems_once(undisturbed_responses):
    run = untrained_run()
    for test in (faithfulness.light_cone, faithfulness.truncation, faithfulness.crossing, faithfulness.resampling):
        assert test(run, FEW)
    assert len(undisturbed_responses) == 1
    assert roll_out(run, FEW).response is roll_out(run, FEW).response
    assert edit_step(roll_out(run, FEW), 8) is edit_step(roll_out(run, FEW), 8)


def test_other_models_problems_tasks_and_seeds_have_rollouts_of_their_own(undisturbed_responses):
    run = untrained_run()
    shorter = run.task.model_copy(update={"steps": run.task.steps.model_copy(update={"train": (2, 6)})})
    others = [
        (as_if(run, seed=1), FEW),
        (as_if(run, task=shorter), FEW),
        (untrained_run(), FEW),
        (run, replace(FEW, problems=17)),
    ]
    rollouts = [roll_out(*case) for case in [(run, FEW), *others]]
    assert len(undisturbed_responses) == 5
    assert [(len(each.problems), each.problems.n_steps) for each in rollouts] == [
        (16, 8),
        (16, 8),
        (16, 6),
        (16, 8),
        (17, 8),
    ]
    assert (rollouts[0].problems.observations != rollouts[1].problems.observations).any()


def test_a_rollout_is_forgotten_with_its_model():
    run = reader_run(slow_task(), 1.0)
    response = ref(roll_out(run, FEW).response)
    gc.collect()
    assert response() is not None
    del run
    gc.collect()
    assert response() is None
