"""The figures on depth show answers and composed steps by layers, beside doubling and one more step a layer."""

import numpy as np
import pytest

from tests.studies.figure_tables import drawn, legend, lines, panels, rows, tables, ticks
from unamortized.labels import ABOUT_TO_STATE, QUESTION
from unamortized.studies.figures.depth import DOUBLING, FIGURES, ONE_MORE, TRAINED
from unamortized.studies.figures.drawing import draw
from unamortized.studies.figures.style import color

BY_NAME = {figure.name: figure for figure in FIGURES}
TASKS = {"group_word_s5": "S5", "noisy_permutation": "noisy permutation"}
LAYERS = (1, 2, 3, 6)
LENGTHS = (1, 2, 4, 8, 16)
SPREAD = np.array([0.0, 0.01, 0.02])  # over seeds


def composed(layers: int, layer: int) -> int:
    """Models of three layers double; others add one step a layer; the last layer forgets."""
    return min(2**layer, TRAINED) if layers == 3 else min(1 + layer, TRAINED) if layer < layers else 1


def path(layer: int) -> int:
    return min(layer + 1, 5)


def r2(metric: str, site: str, layers: int, layer: int, step: int) -> float:
    held = path(layer) if metric == "path_r2" else composed(layers, layer)
    return 0.95 if site == QUESTION and step <= held else 0.1


@pytest.fixture(scope="module")
def found():
    groups = []
    for task in TASKS:
        where = {"task": task, "world": "n8"}
        for n in LENGTHS:
            split = "in_distribution" if n <= TRAINED else "length"
            at = where | {"n_steps": n, "split": split}
            for layers in LAYERS:
                share = 0.9 if n <= 2**layers else 0.1
                groups.append(rows("map_agreement", share + SPREAD, "amortized", variant=f"l{layers}", **at))
            groups.append(rows("map_agreement", 0.95 + SPREAD, "cot", variant="l1", **at))
            groups.append(rows("map_agreement", 1.0 if n <= 8 else 0.2, "window_8", **at))
            groups.append(rows("map_agreement", 0.2, "prior", **at))
        for layers in LAYERS:
            for layer in range(layers + 1):
                own = where | {"condition": "amortized", "variant": f"l{layers}", "layer": str(layer)}
                groups.append(rows("composed_steps", [composed(layers, layer)] * 3, **own))
                groups.append(rows("path_steps", [path(layer)] * 3, site=QUESTION, **own))
                groups.append(rows("path_steps", [8] * 3, site=QUESTION, control="untrained", **own))
                for step in range(1, TRAINED + 1):
                    for site in (QUESTION, ABOUT_TO_STATE):
                        for metric in ("path_r2", "window_r2"):
                            values = r2(metric, site, layers, layer, step) - SPREAD
                            groups.append(rows(metric, values, site=site, step=step, **own))
    return tables(*groups)


def maps(figure) -> list[np.ndarray]:
    return [np.ma.filled(axes.images[0].get_array(), np.nan) for axes in figure.axes if axes.images]


def test_accuracy_has_a_line_for_each_depth_beside_one_layer_that_walks(found):
    figure = drawn(BY_NAME["depth_accuracy"], found)
    assert list(panels(figure)) == list(TASKS.values())
    for axes in panels(figure).values():
        heights = [line[:, 1] for line in lines(axes)]
        expected = [[(0.9 if n <= 2**layers else 0.1) + 0.01 for n in LENGTHS] for layers in LAYERS]
        np.testing.assert_allclose(heights[:4], expected)
        np.testing.assert_allclose(lines(axes, color=color("cot"))[0][:, 1], [0.96] * len(LENGTHS))
        np.testing.assert_allclose(lines(axes, color=color("window_8"))[0][:, 1], [1.0] * 4 + [0.2])
        shade = axes.patches[0]
        assert shade.get_x() + shade.get_width() == TRAINED
    names = ["1 layer", "2 layers", "3 layers", "6 layers", "1 layer with CoT", "exact, last 8"]
    assert legend(figure) == names


def test_composed_steps_are_the_most_by_a_layer_or_before_it(found):
    figure = drawn(BY_NAME["depth_steps"], found)
    axes = panels(figure)["S5"]
    names = ticks(axes)
    image = dict(zip(names, maps(figure)[0], strict=True))
    assert names == [DOUBLING, ONE_MORE, "1 layer", "2 layers", "3 layers", "6 layers"]
    assert image[DOUBLING].tolist() == [1, 2, 4, 8, 8, 8, 8]
    assert image[ONE_MORE].tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert image["3 layers"][:4].tolist() == [1, 2, 4, 8]
    assert image["6 layers"].tolist() == [1, 2, 3, 4, 5, 6, 6]  # what the last layer forgets was composed before
    assert np.isnan(image["1 layer"][2:]).all()
    assert ticks(axes, "x") == list("0123456")


def test_the_path_is_shown_by_layer_and_step(found):
    figure = drawn(BY_NAME["depth_paths"], found)
    assert list(panels(figure)) == list(TASKS.values())
    expected = [[0.94 if k <= path(layer) else 0.09 for k in range(1, 9)] for layer in range(4)]
    for image in maps(figure):
        np.testing.assert_allclose(image, expected)


def test_the_path_at_the_answer_stands_beside_the_path_at_its_observations(found):
    axes = panels(drawn(BY_NAME["depth_path_at_answer"], found))["S5"]
    at_observation, at_answer = (line[:, 1] for line in lines(axes))
    np.testing.assert_allclose(at_observation, [0.94 if step <= path(3) else 0.09 for step in range(1, 9)])
    np.testing.assert_allclose(at_answer, [0.09] * 8)


def test_rows_of_other_studies_give_no_picture():
    other = tables(rows("conditional_mse", 0.1))
    assert [figure.name for figure in FIGURES if draw(figure, other) is not None] == []
    assert [figure.name for figure in FIGURES if draw(figure, tables()) is not None] == []
