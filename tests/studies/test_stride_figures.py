"""The figures on strides show the table's numbers: curves by N, N* by stride, costs and right steps."""

import numpy as np
import pandas as pd
import pytest

from unamortized.evaluation.examples import EXAMPLE_COLUMNS
from unamortized.evaluation.rows import row, to_table
from unamortized.studies.figures import FIGURES, Tables
from unamortized.studies.figures.stride import AMORTIZED
from unamortized.studies.figures.style import color
from unamortized.studies.growth import THRESHOLD, all_needed, fit

TASKS = ("group_word_s3@fixed_16", "group_word_z7@fixed_16", "noisy_permutation@fixed_16")
SIZES = (20, 100, 500, 2500, 12500)
STRIDES = (1, 2, 4, 8, 16)
SEEDS = 3


def name_of(stride):
    return {0: AMORTIZED, 1: "cot"}.get(stride, f"cot_every_{stride}")


def synthetic_metrics():
    """Exponential growth in one world, polynomial in the next, none in the last, in the form of ``metrics.csv``."""
    draw, rows = np.random.default_rng(9), []

    def add(task, name, seed, metric, value, step=None):
        rows.append(row(task, name, seed, "in_distribution", metric, value, 512, n_steps=16, step=step))

    growths = (lambda k: 0.7 * k, lambda k: 1.5 * np.log(k), lambda k: 0.0 * k)
    for task, growth in zip(TASKS, growths, strict=True):
        for seed in range(SEEDS):
            for stride in (*STRIDES, 0):
                log_needed = 3.5 + growth(stride or 16) + 0.2 * draw.standard_normal()
                for size in SIZES:
                    condition = f"{name_of(stride)}@n{size}"
                    excess = 2.0 * (np.log(size) - log_needed)
                    add(task, condition, seed, "answer_kl", 8 * THRESHOLD / (THRESHOLD + 7.9 * np.exp(excess) * 0.1))
                    add(task, condition, seed, "answer_flops", 1e6 * (1 + 16 / (stride or 32)))
                    for step in range(stride, 17, stride) if stride else ():
                        right = draw.uniform(0.8, 1)
                        add(task, condition, seed, "stride_step_right", right, step)
                        add(task, f"{name_of(stride)}@n{size}/exact_trace", seed, "stride_step_right", 0.99, step)
                        add(task, condition, seed, "trace_agreement", right ** (step / stride), step)
                    if stride:
                        add(task, condition, seed, "trace_agreement", 0.5)
            for stride in STRIDES:
                add(task, "update_table", seed, "table_questions", 10.0 * 2**stride, stride)
    return to_table(rows)


@pytest.fixture(scope="module")
def tables():
    return Tables(synthetic_metrics(), pd.DataFrame(columns=list(EXAMPLE_COLUMNS)))


def points(axes, **look):
    """The points of all lines that look so."""
    same = [line for line in axes.lines if all(getattr(line, f"get_{key}")() == value for key, value in look.items())]
    return [np.column_stack(line.get_data()).astype(float) for line in same]


@pytest.mark.parametrize("name, count", [("stride_learning", 3), ("stride_growth", 3), ("stride_cost", 6)])
def test_each_figure_has_its_panels_for_each_world(tables, name, count):
    assert len(FIGURES[name](tables).axes) == count


def test_learning_curves_are_geometric_means_over_seeds(tables):
    table = tables.metrics
    for axes, task in zip(FIGURES["stride_learning"](tables).axes, TASKS, strict=True):
        drawn = [np.column_stack(line.get_data()) for line in axes.lines]
        for stride in (*STRIDES, 0):
            wanted = []
            for size in SIZES:
                rows = table[(table["task"] == task) & (table["condition"] == f"{name_of(stride)}@n{size}")]
                kls = rows.loc[rows["metric"] == "answer_kl", "value"]
                wanted.append((size, np.log(kls.clip(lower=1e-3)).mean()))
            assert any(each.shape == (5, 2) and np.allclose(each, wanted) for each in drawn), (task, stride)
        assert any(np.allclose(each[:, 1], np.log(THRESHOLD)) for each in drawn)


def test_needed_numbers_stand_at_their_stride_and_censored_ones_point_upwards(tables):
    found = all_needed(tables.metrics)
    assert set(found["censored"]) == {0, 1}
    for axes, task in zip(FIGURES["stride_growth"](tables).axes, TASKS, strict=True):
        own = found[(found["task"] == task) & (found["stride"] > 0)]
        for censored, marker in ((0, "D"), (1, "^")):
            wanted = own[own["censored"] == censored]
            drawn = np.concatenate([np.zeros((0, 2)), *points(axes, marker=marker)])
            drawn = drawn[drawn[:, 0] < 16.5]  # what has no trace stands beyond
            nearest = [min(STRIDES, key=lambda stride: abs(stride - x)) for x in drawn[:, 0]]
            pairs = zip(wanted["stride"], np.exp(wanted["log_questions"]), strict=True)
            assert sorted(zip(nearest, np.round(drawn[:, 1], 6), strict=True)) == sorted(
                (stride, round(size, 6)) for stride, size in pairs
            )


def test_fitted_growths_and_the_table_are_drawn_through_what_they_say(tables):
    found = all_needed(tables.metrics)
    for axes, task in zip(FIGURES["stride_growth"](tables).axes, TASKS, strict=True):
        own = found[(found["task"] == task) & (found["stride"] > 0)]
        long = [each for each in points(axes) if len(each) == 200]
        assert len(long) == 3
        for growth, drawn in zip(("exponential", "polynomial", "flat"), long, strict=True):
            np.testing.assert_allclose(np.log(drawn[:, 1]), fit(own, growth).log_questions(drawn[:, 0]), rtol=1e-6)
        (table,) = points(axes, color="#B0B0B0")
        np.testing.assert_allclose(table, [(stride, 10.0 * 2**stride) for stride in STRIDES])


def test_costs_and_right_strides_are_those_of_the_largest_number_of_questions(tables):
    table = tables.metrics
    panels = np.array(FIGURES["stride_cost"](tables).axes).reshape(2, 3)
    for column, task in enumerate(TASKS):
        own = table[(table["task"] == task) & (table["condition"] == f"{AMORTIZED}@n12500")]
        (drawn,) = [each for each in points(panels[0, column], color=color(AMORTIZED)) if len(each) == SEEDS]
        kls = own.loc[own["metric"] == "answer_kl", "value"].clip(lower=1e-3)
        np.testing.assert_allclose(drawn, np.column_stack([np.full(SEEDS, 1.5), kls]))
        rows = table[(table["task"] == task) & (table["condition"] == "cot_every_8@n12500")]
        right = rows[rows["metric"] == "stride_step_right"].groupby("step")["value"].mean()
        curves = [each for each in points(panels[1, column], marker="D") if len(each) == 2]
        assert any(np.allclose(each, np.column_stack([[8, 16], right])) for each in curves)


def test_runs_without_a_number_of_questions_are_not_drawn(tables):
    bare = tables.metrics.assign(condition=[name.partition("@")[0] for name in tables.metrics["condition"]])
    for name in ("stride_learning", "stride_growth", "stride_cost"):
        assert FIGURES[name](Tables(bare, tables.examples)) is None
        assert FIGURES[name](Tables(tables.metrics.iloc[:0], tables.examples)) is None


def test_baselines_and_the_recurrent_net_stand_beside_the_strides():
    task = TASKS[0]
    more = [row(task, "prior", seed, "in_distribution", "answer_kl", 1.0 + seed, 512, n_steps=16) for seed in (0, 1)]
    more += [
        row(task, f"gru@n{size}", seed, "in_distribution", "answer_kl", 100 / size, 512, n_steps=16)
        for size in SIZES
        for seed in (0, 1)
    ]
    metrics = pd.concat([synthetic_metrics(), to_table(more)], ignore_index=True)
    drawing = FIGURES["stride_learning"](Tables(metrics, pd.DataFrame(columns=list(EXAMPLE_COLUMNS))))
    assert drawing is not None
    first, second, *_ = (axes for axes in drawing.axes if axes.get_title(loc="left"))
    prior = [line for line in first.lines if line.get_color() == color("prior")]
    assert [np.unique(line.get_ydata()) for line in prior] == [pytest.approx([np.log(1.5)])]
    recurrent, seeds = (line for line in first.lines if line.get_color() == color("gru"))
    np.testing.assert_allclose(recurrent.get_ydata(), np.log(100 / np.array(SIZES)))
    assert sorted(seeds.get_xdata()) == sorted([*SIZES, *SIZES])
    assert not any(line.get_color() == color("gru") for line in second.lines)
    assert {"prior", "gru"} <= {text.get_text() for text in drawing.legends[0].get_texts()}


def test_what_an_answer_of_the_recurrent_net_costs_is_its_own_and_not_mixed_with_the_amortized_models(tables):
    costs = {"answer_kl": 0.25, "answer_flops": 4e6}
    more = [
        row(task, "gru@n12500", seed, "in_distribution", metric, value, 512, n_steps=16)
        for task in TASKS
        for seed in range(SEEDS)
        for metric, value in costs.items()
    ]
    metrics = pd.concat([tables.metrics, to_table(more)], ignore_index=True)
    alone, beside = (FIGURES["stride_cost"](Tables(each, tables.examples)) for each in (tables.metrics, metrics))
    for before, after in zip(alone.axes[:3], beside.axes[:3], strict=True):
        (drawn,) = [each for each in points(after, color=color("gru")) if len(each) == SEEDS]
        np.testing.assert_allclose(drawn, [[4, 0.25]] * SEEDS)
        both = [np.concatenate(points(axes, color=color(AMORTIZED))) for axes in (before, after)]
        np.testing.assert_array_equal(*both)
    assert "gru" in {text.get_text() for text in beside.legends[0].get_texts()}
