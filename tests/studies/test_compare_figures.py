"""The figures of the headline study show edits by name, beliefs along the longest trace, and probes with controls."""

import numpy as np
import pytest

from tests.studies.figure_tables import drawn, legend, lines, panels, rows, tables, ticks
from unamortized.labels import ABOUT_TO_STATE, QUESTION
from unamortized.studies.figures.compare import FIGURES

NAMED = {figure.name: figure for figure in FIGURES}
EDITED = {  # (metric, control) -> reliance at each lag
    ("causal_reliance", ""): (0.9, 0.8, 0.7),
    ("causal_reliance_frozen", ""): (0.5, 0.1, 0.0),
    ("causal_reliance", "wrong_counterfactual"): (0.05, 0.02, 0.01),
}
LAGS = (0, 4, 8)


def edits(**changed):
    return [
        row | changed
        for (metric, control), values in EDITED.items()
        for lag, value in zip(LAGS, values, strict=True)
        for row in rows(metric, (value, value + 0.02), control=control, step=lag)
    ]


def test_reliance_is_drawn_by_lag_for_each_edit_and_control():
    beside = rows("causal_reliance", 0.3, control="untrained", step=0), rows("causal_reliance", 0.3, "gru", step=0)
    (axes,) = panels(drawn(NAMED["light_cone"], tables(edits(), *beside))).values()
    found = sorted(points.tolist() for points in lines(axes, marker="o"))
    expected = sorted(
        [[lag, value + 0.01] for lag, value in zip(LAGS, values, strict=True)] for values in EDITED.values()
    )
    np.testing.assert_allclose(found, expected)


def test_reliance_measured_on_too_few_problems_is_left_out():
    table = [row | ({"count": 3} if row["step"] == 8 else {}) for row in edits()]
    (axes,) = panels(drawn(NAMED["light_cone"], tables(table))).values()
    assert all(points[:, 0].tolist() == [0, 4] for points in lines(axes, marker="o"))


def test_beliefs_along_the_trace_are_compared_at_the_longest_length_of_each_task():
    groups = [
        rows(metric, (value * step, value * step), n_steps=n_steps, step=step, task=task)
        for task, lengths in (("mess3", (4, 8)), ("group_word_s5", (4,)))
        for n_steps in lengths
        for metric, value in (("stated_kl", 0.01), ("probed_kl", 0.02), ("stated_probed_kl", 0.03))
        for step in range(1, n_steps + 1)
    ]
    shown = panels(drawn(NAMED["triangle_along_trace"], tables(*groups)))
    for title, longest in (("mess3", 8), ("S5", 4)):
        found = lines(shown[title])
        expected = [[(step, value * step) for step in range(1, longest + 1)] for value in (0.01, 0.02, 0.03)]
        np.testing.assert_allclose(found, expected)


def test_probes_by_layer_stand_beside_their_controls_at_both_sites():
    groups = [
        rows("probe_r2", 0.1 * layer + 0.3 * (site == QUESTION), site=site, layer=str(layer), control=control)
        for site in (ABOUT_TO_STATE, QUESTION)
        for layer in (0, 1, 2)
        for control in ("", "untrained", "shuffled_belief")
    ]
    groups += [rows("probe_r2", 0.9, site=QUESTION, control="window_10"), rows("probe_r2", 0.99, layer="1", step=3)]
    figure = drawn(NAMED["probe_r2_by_layer"], tables(*groups))
    shown = panels(figure)
    assert list(shown) == ["mess3: about to state", "mess3: in the question"]
    assert ticks(shown["mess3: about to state"]) == ["embedding", "layer 1", "layer 2", "no network"]
    values = [line.get_xdata()[0] for line in shown["mess3: in the question"].lines if line.get_marker() == "o"]
    np.testing.assert_allclose(sorted(values), sorted([0.3, 0.4, 0.5] * 3 + [0.9]))
    assert legend(figure) == ["trained network", "before training", "last ten observations", "shuffled beliefs"]


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.name)
def test_captions_are_one_sentence_for_people(figure):
    assert figure.caption.endswith(".")
    assert "_" not in figure.caption
