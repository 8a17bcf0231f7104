"""Figures of the study of locality: bars of what was measured, published values beside them."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.patches import Rectangle

from tests.studies.test_locality import FOUND, measured
from unamortized.evaluation.examples import EXAMPLE_COLUMNS
from unamortized.evaluation.rows import to_table
from unamortized.studies.figures import Tables, save
from unamortized.studies.figures.locality import ESTIMATORS, PUBLISHED, WINDOWS, locality_mse


def tables(metrics):
    return Tables(metrics, pd.DataFrame(columns=list(EXAMPLE_COLUMNS)))


def bars(axes):
    return [patch for patch in axes.patches if isinstance(patch, Rectangle) and patch.get_height() > 0]


def test_a_bar_is_the_mean_over_seeds_of_pairs_never_seen_together():
    figure = locality_mse(tables(measured()))
    assert figure is not None
    (axes,) = figure.axes
    heights = {round(bar.get_x() + bar.get_width() / 2, 6): bar.get_height() for bar in bars(axes)}
    assert len(heights) == len(FOUND)
    for group, windows in enumerate(WINDOWS):
        for number, name in enumerate(ESTIMATORS):
            at = round(group + 0.2 * (number - 1.5), 6)
            assert heights[at] == pytest.approx(FOUND[windows, name] * 1.05)


def test_published_values_stand_on_the_bars_that_they_belong_to_and_are_said_to_be_that():
    figure = locality_mse(tables(measured()))
    assert figure is not None
    (axes,) = figure.axes
    marks = [line for line in axes.lines if line.get_marker() == "D"]
    found = sorted((round(float(np.asarray(m.get_xdata())[0]), 6), float(np.asarray(m.get_ydata())[0])) for m in marks)
    expected = sorted(
        (round(group + 0.2 * (number - 1.5), 6), PUBLISHED[windows, name])
        for group, windows in enumerate(WINDOWS)
        for number, name in enumerate(ESTIMATORS)
    )
    assert found == expected
    assert any("published" in text.get_text() for text in figure.legends[0].get_texts())


def test_one_seed_has_bars_without_whiskers():
    one, many = (locality_mse(tables(measured(seeds=seeds))) for seeds in (1, 6))
    assert one is not None
    assert many is not None
    assert not one.axes[0].collections
    assert len(many.axes[0].collections) == len(FOUND)


def test_what_was_not_trained_is_left_out():
    metrics = measured()
    metrics = metrics[~metrics["condition"].str.startswith("wrong_local_windows")]
    figure = locality_mse(tables(metrics))
    assert figure is not None
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["local windows", "full windows"]
    assert len(bars(figure.axes[0])) == 8


def test_tables_of_other_studies_give_no_picture():
    assert locality_mse(tables(to_table([]))) is None
    metrics = measured()
    assert locality_mse(tables(metrics[metrics["metric"] == "answer_kl"])) is None


def test_a_picture_is_alike_on_every_run(tmp_path):
    for folder in ("one", "two"):
        save(locality_mse(tables(measured())), tmp_path / folder, "picture")
    for kind in ("png", "svg"):
        one, two = ((tmp_path / folder / f"picture.{kind}").read_bytes() for folder in ("one", "two"))
        assert one == two
