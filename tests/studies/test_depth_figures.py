"""The figures of the study of depth show steps beside the number that doublings would have composed."""

import numpy as np
import pandas as pd
import pytest
from unamortized.studies.figures.captions import CAPTIONS

from tests.studies.test_depth import LAYERS, LENGTHS, TASKS, TRAINED, WORLD, right, synthetic
from unamortized.labels import place
from unamortized.studies.depth import AMORTIZED, DEPTH
from unamortized.studies.figures import FIGURES, Tables, save
from unamortized.studies.figures.depth import explained


@pytest.fixture(scope="module")
def metrics():
    return synthetic()


@pytest.fixture(scope="module")
def one_task(metrics):
    return metrics[metrics["task"] == TASKS[0]]


def drawn(name, metrics):
    figure = FIGURES[name](Tables(metrics, pd.DataFrame()))
    assert figure is not None
    return figure


def test_figures_have_captions_and_are_drawn_alike_twice(metrics, tmp_path):
    for name in DEPTH.figures:
        assert name in CAPTIONS
        for folder in ("first", "second"):
            save(drawn(name, metrics), tmp_path / folder, name)
        for kind in ("png", "svg"):
            once, again = (tmp_path / folder / f"{name}.{kind}" for folder in ("first", "second"))
            assert once.read_bytes() == again.read_bytes()


def test_accuracy_has_a_line_a_depth_beside_the_one_that_walks(metrics):
    panels = drawn("depth_accuracy", metrics).axes
    assert [axes.get_title(loc="left") for axes in panels] == [place(task, WORLD) for task in TASKS]
    for axes, task in zip(panels, TASKS, strict=True):
        heights = [line.get_ydata() for line in axes.lines]
        assert len(heights) == len(LAYERS) + 2
        for layers, line in zip(LAYERS, heights, strict=False):
            np.testing.assert_allclose(line, [right(task, layers, n) + 0.001 for n in LENGTHS])
        assert axes.patches[0].get_x() + axes.patches[0].get_width() == TRAINED


def test_heat_maps_show_the_mean_of_what_is_read_best_and_mark_what_counts(metrics, one_task):
    figure = drawn("depth_windows", metrics)
    panels = [axes for axes in figure.axes if axes.images]
    assert len(panels) == 2 * len(TASKS) * len(LAYERS)
    doubling = panels[LAYERS.index(3)]
    assert doubling.get_title(loc="left") == "3 layers"
    expected = [[0.95 if k <= min(2**layer, 8) else 0.08 for k in range(1, 9)] for layer in range(4)]
    np.testing.assert_allclose(np.asarray(doubling.images[0].get_array()), expected)
    dots = set(zip(*(values.tolist() for values in doubling.lines[0].get_data()), strict=True))
    assert dots == {(k - 1, layer) for layer in range(4) for k in range(1, min(2**layer, 8) + 1)}
    assert doubling.lines[1].get_xdata().max() == 7.5
    _, counts = explained(one_task, f"{AMORTIZED}@l3", "window_r2")
    assert counts.loc[3].tolist() == [True] * 8  # of two steps the untrained network tells .9, too
    assert counts.loc[0].tolist() == [True] + [False] * 7


def test_steps_are_drawn_by_layer_beside_both_predictions(metrics):
    for axes in drawn("depth_steps", metrics).axes:
        joined = [line.get_ydata() for line in axes.lines if line.get_linestyle() == "-" and len(line.get_ydata()) > 1]
        assert [len(line) for line in joined] == [layers + 1 for layers in LAYERS]
        assert joined[LAYERS.index(3)].tolist() == [1, 2, 4, 8]
        assert joined[LAYERS.index(6)].tolist() == [1, 2, 3, 4, 5, 5, 5]
        doubling, one_more = axes.lines[-2:]
        assert doubling.get_ydata()[-1] == TRAINED
        assert one_more.get_ydata()[-1] == 7
