"""The figures on strides show the table's numbers: curves by N, N* by stride, costs and right steps."""

import numpy as np
import pandas as pd
import pytest

from tests.studies.figure_tables import drawn, legend, lines, panels, rows, tables
from unamortized.studies.figures.drawing import draw
from unamortized.studies.figures.stride import FIGURES, FITS
from unamortized.studies.figures.style import Tables, color
from unamortized.studies.growth import THRESHOLD, all_needed, fit, with_strides
from unamortized.studies.names import AMORTIZED, COT, GRU, PRIOR

BY_NAME = {figure.name: figure for figure in FIGURES}
TASKS = {"group_word_s3": "S3", "group_word_z7": "Z7", "noisy_permutation": "noisy permutation"}
SIZES = (20, 100, 500, 2500, 12500)
STRIDES = {1: COT, 2: "cot_every_2", 4: "cot_every_4", 8: "cot_every_8", 16: "cot_every_16"}
SEEDS = 3
WHERE = {"world": "fixed_16", "n_steps": 16}


def synthetic():
    """Growth that is exponential in one world, polynomial in the next, and flat in the last."""
    draw_from, found = np.random.default_rng(9), []
    growths = (lambda k: 0.7 * k, lambda k: 1.5 * np.log(k), lambda k: 0.0 * k)
    for task, growth in zip(TASKS, growths, strict=True):
        for stride, condition in (*STRIDES.items(), (0, AMORTIZED)):
            log_needed = 3.5 + growth(stride or 16) + 0.2 * draw_from.standard_normal(SEEDS)
            for size in SIZES:
                where = WHERE | {"task": task, "variant": f"n{size}"}
                excess = np.exp(2.0 * (np.log(size) - log_needed))
                kls = 8 * THRESHOLD / (THRESHOLD + 7.9 * excess * 0.1)
                found += rows("answer_kl", kls, condition, run=f"{task}{condition}{size}", **where)
                for step in range(stride, 17, stride) if stride else ():
                    right = draw_from.uniform(0.8, 1, SEEDS) if size == SIZES[-1] else [0.1] * SEEDS
                    found += rows("stride_step_right", right, condition, step=step, **where)
                    where_exact = where | {"control": "exact_trace", "step": step}
                    found += rows("stride_step_right", [0.99] * SEEDS, condition, **where_exact)
        for stride in STRIDES:
            found += rows("table_questions", 10.0 * 2**stride, "update_table", task=task, step=stride, **WHERE)
        found += rows("answer_kl", [1.0, 2.0], PRIOR, task=task, **WHERE)
    return tables(found)


@pytest.fixture(scope="module")
def found() -> Tables:
    return synthetic()


def of(found: Tables, **where):
    """Rows with these values."""
    kept = found.metrics
    for column, value in where.items():
        kept = kept[kept[column] == value]
    return kept


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.name)
def test_each_figure_has_a_panel_for_each_world(found, figure):
    assert list(panels(drawn(figure, found))) == list(TASKS.values())


def test_learning_curves_are_means_over_seeds_with_each_seed_as_a_dot(found):
    for axes, task in zip(panels(drawn(BY_NAME["stride_learning"], found)).values(), TASKS, strict=True):
        for condition in (*STRIDES.values(), AMORTIZED):
            kls = [of(found, task=task, condition=condition, variant=f"n{size}", metric="answer_kl") for size in SIZES]
            mean, dots = lines(axes, color=color(condition))
            np.testing.assert_allclose(
                mean, list(zip(SIZES, [max(each["value"].mean(), 1e-3) for each in kls], strict=True))
            )
            assert len(dots) == SEEDS * len(SIZES)
        assert [set(line[:, 1]) for line in lines(axes, color="#999999")] == [{THRESHOLD}]


def test_strides_have_colors_of_their_own():
    assert len({color(condition) for condition in (*STRIDES.values(), AMORTIZED, GRU)}) == 7


def test_needed_numbers_stand_at_their_stride_and_censored_ones_point_upwards(found):
    needed = all_needed(found.metrics)
    assert set(needed["censored"]) == {0, 1}
    for axes, task in zip(panels(drawn(BY_NAME["stride_growth"], found)).values(), TASKS, strict=True):
        own = with_strides(needed[needed["task"] == task])
        for censored, marker in ((0, "D"), (1, "^")):
            expected = own[own["censored"] == censored]
            marks = np.concatenate([np.zeros((0, 2)), *lines(axes, marker=marker)])
            marks = marks[marks[:, 0] < 16.6]  # the model without a trace stands beyond
            nearest = [min(STRIDES, key=lambda stride: abs(stride - x)) for x in marks[:, 0]]
            pairs = zip(expected["stride"], np.exp(expected["log_questions"]), strict=True)
            assert sorted(zip(nearest, np.round(marks[:, 1], 6).tolist(), strict=True)) == sorted(
                (stride, round(size, 6)) for stride, size in pairs
            )
        beyond = [mark for mark in lines(axes) if len(mark) == 1 and mark[0, 0] > 16.6]
        assert len(beyond) == SEEDS


def test_fits_and_the_table_of_updates_are_drawn_where_they_are(found):
    needed = all_needed(found.metrics)
    for axes, task in zip(panels(drawn(BY_NAME["stride_growth"], found)).values(), TASKS, strict=True):
        own = with_strides(needed[needed["task"] == task])
        fits = [line for line in lines(axes) if len(line) == 200]
        for growth, line in zip(FITS, fits, strict=True):
            np.testing.assert_allclose(np.log(line[:, 1]), fit(own, growth).log_questions(line[:, 0]), rtol=1e-6)
        (table,) = lines(axes, linewidth=3)
        np.testing.assert_allclose(table, [(stride, 10.0 * 2**stride) for stride in STRIDES])


def test_right_steps_are_those_of_the_most_questions_beside_exact_traces(found):
    figure = drawn(BY_NAME["stride_steps"], found)
    for axes, task in zip(panels(figure).values(), TASKS, strict=True):
        own, exact = lines(axes, color=color("cot_every_8"))
        right = of(found, task=task, condition="cot_every_8", variant="n12500", control="", metric="stride_step_right")
        np.testing.assert_allclose(own, list(right.groupby("step")["value"].mean().items()))
        np.testing.assert_allclose(exact, [(8, 0.99), (16, 0.99)])
    assert legend(figure) == ["the model's codes", "codes of exact beliefs, judged alike"]


def test_a_recurrent_net_stands_beside_the_strides(found):
    where = WHERE | {"task": "group_word_s3", "variant": "n12500"}
    more = tables(rows("answer_kl", 0.25, GRU, **where))
    both = Tables(pd.concat([found.metrics, more.metrics], ignore_index=True), found.examples)
    figure = drawn(BY_NAME["stride_learning"], both)
    first, second, _ = panels(figure).values()
    np.testing.assert_allclose(lines(first, color=color(GRU))[0], [[12500, 0.25]])
    assert lines(second, color=color(GRU)) == []
    assert "GRU" in legend(figure)


def test_runs_without_a_number_of_questions_are_not_drawn(found):
    bare = Tables(found.metrics.assign(variant="").query("condition != 'prior'"), found.examples)
    for figure in FIGURES:
        assert draw(figure, bare) is None, figure.name
        assert draw(figure, tables()) is None
