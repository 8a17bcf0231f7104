"""The belief simplex shows the beliefs of the table, at the same problems and steps, colored by the exact ones."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from tests.studies.figure_tables import EXAMPLES
from unamortized.studies.figures.simplex import belief_simplex, scatter, to_triangle
from unamortized.studies.figures.style import Tables

N_STEPS = 5


def cloud(condition: str, source: str, beliefs: np.ndarray, first: int = 1, **where) -> pd.DataFrame:
    """Rows of examples for beliefs of (problem, step, state); probabilities below a millionth are not listed."""
    problem, step, state = np.meshgrid(*map(np.arange, beliefs.shape), indexing="ij")
    found = {"condition": condition, "source": source, "problem": problem.ravel(), "step": first + step.ravel()}
    found |= {"task": "mess3", "seed": 0, "n_steps": N_STEPS, "state": state.ravel(), "value": beliefs.ravel()}
    table = pd.DataFrame(dict.fromkeys(EXAMPLES, "") | found | where)
    return table[table["value"] > 1e-6]


def draws(seed: int, n_states: int = 3, steps: int = N_STEPS) -> np.ndarray:
    beliefs = np.random.default_rng(seed).dirichlet(np.ones(n_states), (4, steps))
    beliefs[0, 0] = np.eye(n_states)[1]
    return beliefs


EXACT = draws(0, steps=N_STEPS + 1)  # before the first observation, too
CLOUDS = {
    "exact\nbelief": EXACT[:, 1:],
    "CoT:\nstated": draws(1),
    "CoT:\nprobed inside": draws(2),
    "no trace:\nprobed inside": draws(3),
}


@pytest.fixture
def examples() -> pd.DataFrame:
    stated, held, held_without = list(CLOUDS.values())[1:]
    return pd.concat(
        [
            cloud("amortized", "exact", EXACT, first=0),
            cloud("amortized", "probed", held_without),
            cloud("cot", "exact", EXACT, first=0),
            cloud("cot", "stated", stated),
            cloud("cot", "probed", held),
        ]
    )


def panels(examples: pd.DataFrame) -> dict:
    figure = belief_simplex(Tables(pd.DataFrame(), examples))
    assert figure is not None
    return {axes.get_title(): axes for axes in figure.axes if axes.collections}


def test_each_source_is_drawn_at_its_beliefs_with_the_colors_of_the_exact_ones(examples):
    found = panels(examples)
    assert list(found) == list(CLOUDS)
    exact = EXACT[:, 1:].reshape(-1, 3)
    for title, beliefs in CLOUDS.items():
        (points,) = found[title].collections
        offsets = np.ma.filled(points.get_offsets(), np.nan)
        expected = to_triangle(beliefs.reshape(-1, 3))
        distance = np.linalg.norm(offsets[:, None] - expected[None], axis=2)
        nearest = distance.argmin(axis=1)
        assert sorted(nearest) == list(range(len(expected)))
        np.testing.assert_allclose(distance.min(axis=1), 0, atol=1e-9)
        np.testing.assert_allclose(points.get_facecolors()[:, :3], exact[nearest], atol=1e-9)


def test_rows_of_controls_and_clouds_and_other_seeds_are_not_drawn(examples):
    other = examples.assign(value=examples["value"].to_numpy()[::-1])
    beside = [other.assign(seed=1), other.assign(control="edited"), other.assign(site="question")]
    alone, among = panels(examples), panels(pd.concat([examples, *beside]))
    assert list(alone) == list(among)
    for title, axes in alone.items():
        np.testing.assert_array_equal(axes.collections[0].get_offsets(), among[title].collections[0].get_offsets())


def test_only_tasks_of_three_states_are_drawn(examples):
    five = cloud("cot", "exact", draws(4, n_states=5), task="noisy_permutation")
    assert belief_simplex(Tables(pd.DataFrame(), five)) is None
    assert list(panels(pd.concat([five, examples]))) == list(CLOUDS)
    assert belief_simplex(Tables(pd.DataFrame(), pd.DataFrame(columns=list(EXAMPLES)))) is None


def test_worlds_where_nothing_is_stated_are_drawn_only_if_there_is_no_other(examples):
    silent = pd.concat(cloud("next_token", source, draws(5), world="next") for source in ("exact", "probed"))
    assert list(panels(pd.concat([silent, examples]))) == list(CLOUDS)
    assert list(panels(silent)) == ["exact\nbelief", "next symbol:\nprobed inside"]


def test_points_that_coincide_are_one_whose_area_is_their_number():
    axes = Figure().subplots()
    singles = np.linspace(0, 0.8, 800)[:, None] * [[1.0, 0.0]]
    points = np.concatenate([np.repeat([[0.1, 0.2], [0.5, 0.3]], [30, 60], axis=0), singles])
    colors = np.repeat(np.eye(3), [30, 60, 800], axis=0)
    scatter(axes, points, colors)
    (drawn,) = axes.collections
    np.testing.assert_allclose(drawn.get_offsets()[:2], [[0.5, 0.3], [0.1, 0.2]])  # the rare are drawn later, on top
    np.testing.assert_allclose(drawn.get_facecolors()[:3, :3], np.eye(3)[[1, 0, 2]])
    frequent, half, *rest = drawn.get_sizes()
    assert frequent == pytest.approx(2 * half)
    assert len(rest) == 800
    assert max(rest) < half


def test_single_points_are_smaller_the_more_there_are():
    few, many = Figure().subplots(), Figure().subplots()
    for axes, count in ((few, 1_000), (many, 8_000)):
        scatter(axes, np.random.default_rng(0).uniform(size=(count, 2)), np.zeros((count, 3)))
    assert few.collections[0].get_sizes().max() > 2 * many.collections[0].get_sizes().min() > 0


def test_triangle_is_equilateral_and_its_middle_is_the_uniform_belief():
    corners = to_triangle(np.eye(3))
    sides = [np.linalg.norm(corners[i] - corners[j]) for i, j in ((0, 1), (1, 2), (2, 0))]
    np.testing.assert_allclose(sides, 1)
    np.testing.assert_allclose(to_triangle(np.full((1, 3), 1 / 3))[0], corners.mean(axis=0))
