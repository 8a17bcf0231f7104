"""The figure on locality shows errors on pairs never seen together, beside the published ones."""

import numpy as np
import pytest

from tests.studies.figure_tables import drawn, legend, lines, panels, rows, tables, ticks
from unamortized.studies.figures.drawing import draw
from unamortized.studies.figures.locality import ESTIMATORS, FIGURES, HERE, PUBLISHED, PUBLISHED_ERRORS, WINDOWS

(MSE,) = FIGURES
FOUND = {pair: 0.01 * (1 + number) for number, pair in enumerate(PUBLISHED_ERRORS)}


def errors(seeds: int = 6, windows=WINDOWS):
    """Held-out errors of each estimator and the levels, beside rows that the figure leaves out."""
    spread = np.linspace(0.9, 1.2, seeds) if seeds > 1 else np.array([1.05])
    usual = {"task": "local_chain", "split": "composition"}
    found = []
    for name in windows:
        for estimator in ESTIMATORS:
            values = FOUND[name, estimator] * spread
            found += rows("conditional_mse", values, name, variant=estimator, **usual)
            found += rows("conditional_mse", 9 * values, name, variant=estimator, step=2, **usual)  # at one distance
            found += rows("conditional_mse", 7 * values, name, variant=estimator, task="local_chain")  # seen together
    for number, name in enumerate(("marginal", "exact_scaffolded"), start=1):
        found += rows("conditional_mse", 0.1 * number * spread, name, **usual)
    return tables(found)


def marks(axes) -> dict[float, list[float]]:
    """Means by row of windows, from top to bottom within a row."""
    found: dict[float, list[float]] = {}
    for (x, y), *_ in sorted(lines(axes, marker="o"), key=lambda mark: mark[0, 1]):
        found.setdefault(round(y), []).append(x)
    return found


@pytest.mark.parametrize("source, scale, values", [(HERE, 1.05, FOUND), (PUBLISHED, 1.0, PUBLISHED_ERRORS)])
def test_a_dot_is_the_error_on_pairs_never_seen_together(source, scale, values):
    found = marks(panels(drawn(MSE, errors()))[source])
    for row, windows in enumerate(WINDOWS):
        assert found[row] == pytest.approx([scale * values[windows, name] for name in ESTIMATORS])


def test_baselines_have_a_row_of_their_own_in_the_panel_where_they_were_measured():
    shown = panels(drawn(MSE, errors()))
    assert marks(shown[HERE])[3] == pytest.approx([0.105, 0.21])
    assert 3 not in marks(shown[PUBLISHED])


def test_estimators_and_baselines_are_explained():
    shown = legend(drawn(MSE, errors()))
    assert shown[0] == "direct: no steps"
    assert len(shown) == len(ESTIMATORS) + 2


def test_windows_that_were_not_trained_are_left_out():
    axes = panels(drawn(MSE, errors(windows=("local_windows", "full_windows"))))[HERE]
    assert ticks(axes) == ["local", "full", "no training"]
    assert len(axes.lines) == 10


def test_rows_of_other_studies_give_no_picture():
    assert draw(MSE, tables()) is None
    assert draw(MSE, tables(rows("answer_kl", 0.1))) is None
