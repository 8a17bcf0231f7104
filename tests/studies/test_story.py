"""The story of one problem shows its beliefs, latent states and answers as the table has them."""

import numpy as np
import pandas as pd
import pytest

from tests.studies.figure_tables import EXAMPLES, drawn
from unamortized.studies.figures.charts import Picture
from unamortized.studies.figures.story import one_problem
from unamortized.studies.figures.style import Tables

TASKS, N_STEPS = {"noisy_permutation": 5, "mess3": 3}, 6


@pytest.fixture(scope="module")
def examples() -> pd.DataFrame:
    """Two problems of each task; beliefs that are not listed are zero."""
    draw, rows = np.random.default_rng(8), []

    def add(task, condition, problem, source, step, values):
        for state, value in enumerate(np.atleast_1d(values)):
            if source in ("observation", "latent") or value >= 1e-6:
                own = {"task": task, "condition": condition, "seed": 0, "n_steps": N_STEPS, "problem": problem}
                own |= {"step": step, "source": source, "state": state, "value": float(value)}
                rows.append(dict.fromkeys(EXAMPLES, "") | own)

    for task, states in TASKS.items():
        for problem in range(2):
            exact = draw.dirichlet(np.ones(states), N_STEPS + 1)
            exact[2] = np.eye(states)[1]
            for condition in ("amortized", "cot"):
                for step in range(N_STEPS + 1):
                    add(task, condition, problem, "exact", step, exact[step])
                    add(task, condition, problem, "latent", step, step % states)
                    if step:
                        add(task, condition, problem, "observation", step, step % 4)
                        for source in ("probed", "stated") if condition == "cot" else ("probed",):
                            add(task, condition, problem, source, step, draw.dirichlet(np.ones(states)))
                add(task, condition, problem, "exact_answer", N_STEPS, exact[-1])
                add(task, condition, problem, "answer", N_STEPS, draw.dirichlet(np.ones(states)))
    return pd.DataFrame(rows)


def story(examples: pd.DataFrame):
    return one_problem(Tables(pd.DataFrame(), examples))


def test_beliefs_latents_and_answers_are_those_of_the_first_problem(examples):
    figure = drawn(Picture("story", "!", one_problem), Tables(pd.DataFrame(), examples))
    by_title = {axes.get_title(loc="left"): axes for axes in figure.axes if axes.get_visible()}
    rows = examples[(examples["task"] == "noisy_permutation") & (examples["problem"] == 0)]
    exact = rows[(rows["condition"] == "cot") & (rows["source"] == "exact")]
    heat = by_title["exact belief, exact answer"].collections[0].get_array()
    expected = exact.pivot_table(index="state", columns="step", values="value", fill_value=0.0)
    np.testing.assert_allclose(np.ma.filled(heat, np.nan)[:, : N_STEPS + 1], expected.to_numpy())
    stated = by_title["CoT: belief stated in the trace, answer"]
    assert stated.collections[0].get_array()[:, 0].mask.all()  # nothing is stated before the first step
    assert stated.lines[0].get_ydata().tolist() == [step % 5 for step in range(N_STEPS + 1)]
    answers = {"amortized": "no trace: belief probed inside, answer", "cot": "CoT: belief stated in the trace, answer"}
    for condition, title in answers.items():
        own = rows[(rows["condition"] == condition) & (rows["source"] == "answer")]
        column = by_title[title].collections[0].get_array()[:, -1]
        np.testing.assert_allclose(column, own.sort_values("state")["value"])
    assert by_title["CoT: belief probed inside"].collections[0].get_array()[:, -1].mask.all()


def test_it_takes_another_task_of_few_states_if_it_has_to(examples):
    assert "mess3" in story(examples[examples["task"] == "mess3"]).get_suptitle()
    assert story(examples.assign(state=examples["state"] * 30)) is None
    assert story(examples[:0]) is None


def test_runs_with_a_variant_are_not_mixed_in(examples):
    other = examples.assign(variant="steps_300", value=examples["value"] / 2)
    alone, beside = story(examples), story(pd.concat([examples, other]))
    assert alone is not None
    assert beside is not None
    for one, two in zip(alone.axes, beside.axes, strict=True):
        for mesh, same in zip(one.collections, two.collections, strict=True):
            np.testing.assert_array_equal(np.ma.filled(mesh.get_array(), -1), np.ma.filled(same.get_array(), -1))
