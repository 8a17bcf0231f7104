"""The figures of the study of worlds show what its table holds."""

import numpy as np
import pytest
from unamortized.studies.figures.captions import CAPTIONS

from tests.studies.test_worlds import LENGTHS, slow_gap, table
from unamortized.studies.figures import FIGURES, Tables
from unamortized.studies.names import COT, EQUAL_FLOPS
from unamortized.studies.worlds import SLIPS, WORLDS


def texts(axes):
    return {tuple(map(float, text.get_position())): text.get_text() for text in axes.texts}


def test_the_gap_figure_writes_cot_minus_amortized_at_the_longest_length():
    drawing = FIGURES["worlds_gap"](Tables(table(), table().head(0)))
    assert drawing is not None
    axes = drawing.axes[0]
    rows = [label.get_text() for label in axes.get_yticklabels()]
    columns = [label.get_text().replace("\n", "").replace(" ", "") for label in axes.get_xticklabels()]
    assert rows == ["mess3", "sns"]
    assert columns == ["in_distribution", "rare", "length+rare"]
    shown = texts(axes)
    assert shown[2.0, 0.0].startswith("−.75")
    assert shown[1.0, 1.0].startswith(".25")
    assert {place: text.endswith("°") for place, text in shown.items()} == {
        (2.0, 0.0): False,  # 1.75 where the prior has 2
        (1.0, 1.0): False,
        (0.0, 0.0): False,
    }
    idle = table().assign(value=lambda rows: rows["value"].where(rows["condition"] != EQUAL_FLOPS, 1.9))
    marked = FIGURES["worlds_gap"](Tables(idle, idle.head(0)))
    assert marked is not None
    assert all(text.endswith("°") for text in texts(marked.axes[0]).values())
    assert shown[0.0, 0.0].startswith("0")
    assert len(shown) == 3


def test_the_phase_diagram_shows_each_slip_with_what_a_short_memory_loses_there():
    drawing = FIGURES["phase_diagram"](Tables(table(), table().head(0)))
    assert drawing is not None
    amortized, gru, cot, difference = (axes for axes in drawing.axes if axes.images and axes.get_title(loc="left"))
    assert [label.get_text().split() for label in amortized.get_yticklabels()][-1] == ["0.005", ".32"]
    image = np.asarray(difference.images[0].get_array())
    assert image.shape == (len(SLIPS), len(LENGTHS))
    assert image[-1, -1] == pytest.approx(-slow_gap(0.005, 32), abs=1e-3)  # the slowest world is at the bottom
    assert np.asarray(cot.images[0].get_array()).max() == pytest.approx(0.01)


def test_all_conditions_and_baselines_of_a_split_are_drawn_beside_each_other():
    drawing = FIGURES["worlds_kl"](Tables(table(), table().head(0)))
    assert drawing is not None
    assert [axes.get_title(loc="left") for axes in drawing.axes] == ["in_distribution", "rare"]
    (legend,) = drawing.legends
    assert {text.get_text() for text in legend.get_texts()} == {EQUAL_FLOPS, COT, "prior"}


def test_every_figure_of_the_study_exists_has_a_caption_and_is_left_out_of_other_tables():
    empty = table().head(0)
    for name in WORLDS.figures:
        assert CAPTIONS[name]
        assert FIGURES[name](Tables(empty, empty)) is None
