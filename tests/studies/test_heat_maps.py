"""Heat maps: cells are means over seeds, with numbers that can be read."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from tests.studies.figure_tables import drawn, lines, panels, rows, tables, texts, ticks
from tests.studies.test_drawing import USUAL, by_length, interval
from unamortized.studies.figures.charts import Heat


def heat(**changed) -> Heat:
    return Heat(**USUAL | {"x": "n_steps", "y": "task", "panel": "", "scale": "linear"} | changed)


def test_cells_are_means_over_seeds_and_missing_ones_stay_empty():
    found = tables(
        rows("answer_kl", [0.2, 0.4], n_steps=4),
        rows("answer_kl", 0.9, n_steps=8),
        rows("answer_kl", 0.05, task="sns", n_steps=8),
    )
    (axes,) = panels(drawn(heat(), found)).values()
    shown = np.ma.filled(axes.images[0].get_array(), np.nan)
    np.testing.assert_allclose(shown, [[0.3, 0.9], [np.nan, 0.05]])
    assert texts(axes) == {(0, 0): ".30", (1, 0): ".90", (1, 1): ".05"}
    assert (ticks(axes, "x"), ticks(axes)) == (["4", "8"], ["mess3", "sns"])


@pytest.mark.parametrize(
    "value, text", [(0.304, ".30"), (-0.5, "−.50"), (10.26, "10.3"), (-1.26, "−1.3"), (0.001, "0")]
)
def test_numbers_have_no_leading_zero_and_fewer_decimals_where_they_are_large(value, text):
    (axes,) = panels(drawn(heat(), tables(rows("answer_kl", value, n_steps=4)))).values()
    assert texts(axes) == {(0, 0): text}


def test_on_a_log_scale_digits_are_significant_and_below_the_floor_there_is_no_number():
    found = tables(rows("answer_kl", 0.0123, n_steps=4), rows("answer_kl", 1e-5, n_steps=8))
    (axes,) = panels(drawn(heat(scale="log", floor=1e-3, range=(1e-3, 1.0)), found)).values()
    assert texts(axes) == {(0, 0): ".012", (1, 0): ""}
    np.testing.assert_allclose(np.asarray(axes.images[0].get_array()), [[0.0123, 1e-3]])


def test_intervals_are_written_and_bold_only_where_they_exclude_zero():
    found = tables(
        rows("answer_kl", [-0.5, -0.4, -0.45], n_steps=4),
        rows("answer_kl", [-0.5, 0.4, 0.2], n_steps=8),
        rows("answer_kl", 0.7, n_steps=16),
    )
    (axes,) = panels(drawn(heat(intervals=True, range=(-1.0, 1.0)), found)).values()
    low, high = interval([-0.5, -0.4, -0.45])
    shown = {text.get_text(): (text.get_weight(), text.get_style()) for text in axes.texts}
    assert shown[f"−.45 ±{(high - low) / 2:.2f}".replace("±0.", "±.")] == ("bold", "normal")
    assert shown[".70"] == ("normal", "normal")  # one seed has no interval
    assert [style for text, style in shown.items() if text.startswith(".03")] == [("normal", "italic")]


def test_numbers_can_be_read_on_their_color():
    found = tables(rows("answer_kl", 1.0, n_steps=4), rows("answer_kl", 0.0, n_steps=8))
    (axes,) = panels(drawn(heat(), found)).values()
    dark, light = axes.texts
    assert to_rgb(dark.get_color()) == (1, 1, 1)
    assert max(to_rgb(light.get_color())) < 0.2


def test_lengths_beyond_training_are_set_off():
    (axes,) = panels(drawn(heat(), tables(by_length()))).values()
    assert [set(line[:, 0]) for line in lines(axes)] == [{2.5}]  # after n = 16, the third
    (within,) = panels(drawn(heat(where={"n_steps": (4, 8)}), tables(by_length()))).values()
    assert not lines(within)


def test_the_colors_of_a_symmetric_scale_meet_in_the_middle():
    found = tables(rows("answer_kl", 0.0, n_steps=4), rows("answer_kl", -2.0, n_steps=8))
    (axes,) = panels(drawn(heat(scale="symlog", range=(-2.0, 2.0)), found)).values()
    norm = axes.images[0].norm
    assert [float(norm(value)) for value in (-2.0, 0.0, 2.0)] == pytest.approx([0, 0.5, 1])
