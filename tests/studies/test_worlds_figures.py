"""The figures of worlds show CoT's gap paired by seed, at the greatest length of each split."""

import numpy as np
import pytest

from tests.studies.figure_tables import drawn, legend, panels, rows, tables, texts, ticks
from unamortized.studies.figures.drawing import draw
from unamortized.studies.figures.worlds import FIGURES
from unamortized.studies.names import COT, EQUAL_FLOPS, GRU, PRIOR, WINDOW

BY_NAME = {figure.name: figure for figure in FIGURES}
SLIPS = (0.005, 0.1, 1.0)
LENGTHS = (2, 16, 64)


def gap(slip: float, n_steps: int) -> float:
    """CoT's KL minus the other model's: larger for slow worlds and long questions."""
    return -(1 - slip) * np.log2(n_steps) / 10


def phases():
    found = []
    for slip in SLIPS:
        for n in LENGTHS:
            where = {"task": "noisy_permutation", "world": f"slip_{slip:g}", "n_steps": n}
            where["split"] = "length" if n > 16 else "in_distribution"
            seeds = np.array([0.3, 0.5, 0.9])  # far apart, and alike for both models: only pairs show the gap
            found += rows("answer_kl", seeds + gap(slip, n), COT, **where)
            found += rows("answer_kl", seeds, EQUAL_FLOPS, **where)
            found += rows("answer_kl", seeds / 10, GRU, **where)
            found += rows("answer_kl", 1e-6, WINDOW, **where)
    return found


def worlds():
    found = []
    for task, split, n, difference in (
        ("mess3", "in_distribution", 8, 9.0),  # not the greatest length, so not shown
        ("mess3", "in_distribution", 16, 0.001),
        ("mess3", "length", 64, -0.75),
        ("group_word_s5", "rare", 16, 0.25),
        ("group_word_s5", "train", 16, 0.5),  # no split of a test
    ):
        where = {"task": task, "split": split, "n_steps": n}
        found += rows("answer_kl", [1.0 + difference, 2.0 + difference], COT, **where)
        found += rows("answer_kl", [1.0, 2.0], EQUAL_FLOPS, **where)
        found += rows("answer_kl", [3.0, 3.0], PRIOR, **where)
    return found


def test_the_phase_diagram_of_gaps_is_paired_by_seed_with_the_slowest_world_at_the_bottom():
    (axes,) = panels(drawn(BY_NAME["phase_gap"], tables(phases()))).values()
    assert ticks(axes) == ["slip 1", "slip 0.1", "slip 0.005"]
    expected = [[gap(slip, n) for n in LENGTHS] for slip in reversed(SLIPS)]
    np.testing.assert_allclose(np.asarray(axes.images[0].get_array()), expected, atol=1e-12)
    assert texts(axes)[2.0, 2.0] == "−.60 ±0"  # the spread of seeds is no uncertainty of the gap
    assert {text.get_weight() for text in axes.texts if text.get_text() == "−.60 ±0"} == {"bold"}


def test_the_phase_diagram_has_a_map_for_each_model_and_the_short_memory():
    found = panels(drawn(BY_NAME["phase_diagram"], tables(phases())))
    assert list(found) == ["no trace, equal FLOPs", "CoT", "GRU", "exact, last 8"]
    gru = np.asarray(found["GRU"].images[0].get_array())
    np.testing.assert_allclose(gru, np.full((3, 3), np.mean([0.3, 0.5, 0.9]) / 10))
    assert set(texts(found["exact, last 8"]).values()) == {""}  # below the floor


def test_the_gap_by_world_is_that_at_the_greatest_length_of_each_split():
    (axes,) = panels(drawn(BY_NAME["worlds_gap"], tables(worlds(), phases()))).values()
    assert (ticks(axes, "x"), ticks(axes)) == (["in distribution", "length", "rare"], ["mess3", "S5"])
    assert texts(axes) == {(0, 0): "0 ±0", (1, 0): "−.75 ±0", (2, 1): ".25 ±0"}


def test_a_gap_needs_both_models():
    alone = [row for row in worlds() if row["condition"] == COT]
    assert draw(BY_NAME["worlds_gap"], tables(alone)) is None
    assert draw(BY_NAME["phase_gap"], tables(worlds())) is None  # no world with a slip


def test_models_stand_beside_the_prior_in_each_world():
    figure = drawn(BY_NAME["worlds_kl"], tables(worlds()))
    assert list(panels(figure)) == ["longest in training", "longest in tests"]
    assert legend(figure) == ["no trace, equal FLOPs", "CoT", "prior"]
    means = [float(np.asarray(line.get_xdata())[0]) for line in figure.axes[0].lines]
    assert sorted(means) == pytest.approx([1.5, 1.501, 3.0])


def test_rows_of_other_studies_give_no_picture():
    other = tables(rows("conditional_mse", 0.1, task="local_chain"))
    assert [figure.name for figure in FIGURES if draw(figure, other) is not None] == []
