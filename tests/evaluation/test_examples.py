"""Examples: every number is the problem's own, to three decimals."""

import numpy as np
import pytest

from tests.evaluation.oracle import oracle_run, slow_task
from unamortized.evaluation import examples
from unamortized.evaluation.examples import EXAMPLE_COLUMNS, EXAMPLE_TEXT, example_problems
from unamortized.evaluation.protocol import SampleSize
from unamortized.evaluation.protocol import test_problems as draw_problems
from unamortized.evaluation.rows import to_csv
from unamortized.learning.rollouts import respond

FEW = SampleSize(128)
ROUNDING = 0.51e-3
FOUR_STATES = {"family": "noisy_permutation", "states": 4, "symbols": 5, "slip": 0.05}


@pytest.fixture(autouse=True)
def few_problems(monkeypatch):
    """Three examples, or five where a triangle can show them."""
    monkeypatch.setattr(examples, "PROBLEMS", 3)
    monkeypatch.setattr(examples, "SIMPLEX_PROBLEMS", 5)


def values_of(table, source, shape):
    """The values of a source as an array (problem, step, state); what is not listed is zero."""
    values = np.zeros(shape)
    rows = table[table["source"] == source]
    values[rows["problem"], rows["step"], rows["state"]] = rows["value"]
    return values


@pytest.mark.parametrize("condition", ["amortized", "cot", "cot_every_4", "cot_state"])
def test_examples_hold_what_was_observed_believed_stated_and_answered(condition):
    run = oracle_run(slow_task(), condition)
    problems = draw_problems(run.task, 8, 5, 0)
    table = example_problems(run, FEW)
    assert tuple(table.columns) == EXAMPLE_COLUMNS
    assert set(table["condition"]) == {condition}
    assert set(table["n_steps"]) == {8}
    assert (table[list(EXAMPLE_TEXT)] == "").all(axis=None)
    np.testing.assert_allclose(values_of(table, "exact", (5, 9, 3)), problems.beliefs, atol=ROUNDING)
    np.testing.assert_allclose(
        values_of(table, "exact_answer", (5, 9, 3))[:, 8], problems.answer_distribution, atol=ROUNDING
    )
    np.testing.assert_array_equal(values_of(table, "observation", (5, 9, 1))[:, 1:, 0], problems.observations)
    np.testing.assert_array_equal(values_of(table, "latent", (5, 9, 1))[:, :, 0], problems.latents)
    np.testing.assert_allclose(values_of(table, "answer", (5, 9, 3)).sum(axis=(1, 2)), 1, atol=3 * ROUNDING)
    steps = {"amortized": [], "cot_every_4": [4, 8]}.get(condition, list(range(1, 9)))
    assert sorted(set(table.loc[table["source"] == "stated", "step"])) == steps
    if steps:
        stated = values_of(table, "stated", (5, 9, 3))[:, steps]
        np.testing.assert_allclose(stated, run.model.meanings[respond(run, problems).written], atol=ROUNDING)
    probed = sorted(set(table.loc[table["source"] == "probed", "step"]))
    assert probed == (steps or list(range(1, 9)))
    np.testing.assert_allclose(values_of(table, "probed", (5, 9, 3))[:, probed], problems.beliefs[:, probed], atol=0.05)


def test_there_are_fewer_problems_where_beliefs_fit_no_triangle():
    run = oracle_run(slow_task(process=FOUR_STATES, codebook={"resolution": 4}))
    assert set(example_problems(run, FEW)["problem"]) == {0, 1, 2}


def test_examples_are_the_same_again_letter_for_letter():
    run = oracle_run(slow_task(), "cot_state")
    assert to_csv(example_problems(run, FEW)) == to_csv(example_problems(run, FEW))
