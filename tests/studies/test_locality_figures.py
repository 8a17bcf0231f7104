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


def bars(axes) -> dict[float, float]:
    """Heights by place."""
    return {round(bar.get_x() + bar.get_width() / 2, 6): bar.get_height() for bar in axes.patches}


@pytest.mark.parametrize("source, scale, values", [(HERE, 1.05, FOUND), (PUBLISHED, 1.0, PUBLISHED_ERRORS)])
def test_a_bar_is_the_error_on_pairs_never_seen_together(source, scale, values):
    heights = bars(panels(drawn(MSE, errors()))[source])
    assert len(heights) == len(values)
    for group, windows in enumerate(WINDOWS):
        for number, name in enumerate(ESTIMATORS):
            assert heights[round(group + 0.2 * (number - 1.5), 6)] == pytest.approx(scale * values[windows, name])


def test_baselines_are_levels_in_the_panel_where_they_were_measured():
    shown = panels(drawn(MSE, errors()))
    assert sorted({height for line in lines(shown[HERE]) for height in line[:, 1]}) == pytest.approx([0.105, 0.21])
    assert lines(shown[PUBLISHED]) == []


def test_estimators_and_levels_are_explained():
    shown = legend(drawn(MSE, errors()))
    assert shown[0] == "direct: no steps"
    assert len(shown) == len(ESTIMATORS) + 2


def test_one_seed_has_bars_without_whiskers():
    one, many = (panels(drawn(MSE, errors(seeds=seeds)))[HERE] for seeds in (1, 6))
    whiskers = [
        [segment for each in axes.collections for segment in each.get_segments() if len(segment)]
        for axes in (one, many)
    ]
    assert [len(each) for each in whiskers] == [0, len(FOUND)]


def test_windows_that_were_not_trained_are_left_out():
    axes = panels(drawn(MSE, errors(windows=("local_windows", "full_windows"))))[HERE]
    assert ticks(axes, "x") == ["local", "full"]
    assert len(axes.patches) == 8


def test_rows_of_other_studies_give_no_picture():
    assert draw(MSE, tables()) is None
    assert draw(MSE, tables(rows("answer_kl", 0.1))) is None
