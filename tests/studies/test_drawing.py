"""What is drawn equals the table's means and intervals, at the right places, under names for people."""

from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from scipy import stats

from tests.studies.figure_tables import drawn, legend, lines, panels, rows, tables, texts, ticks
from unamortized.studies.figures.charts import Curves, Dots, Picture
from unamortized.studies.figures.drawing import draw
from unamortized.studies.figures.style import color

USUAL: dict[str, Any] = {"name": "c", "title": "The question?", "caption": "!", "metrics": ("answer_kl",)}
LENGTHS = (4, 8, 16, 32)


def curves(**changed) -> Curves:
    return Curves(**USUAL | {"x": "n_steps"} | changed)


def by_length(values=(0.2, 0.3, 0.5), condition="cot", **where):
    """KLs of each seed that double with each length; lengths above 16 are longer than in training."""
    return [
        each
        for number, n in enumerate(LENGTHS)
        for each in rows(
            "answer_kl",
            [value * 2**number for value in values],
            condition,
            split="length" if n > 16 else "in_distribution",
            n_steps=n,
            **where,
        )
    ]


def interval(values) -> tuple[float, float]:
    return stats.t.interval(0.95, len(values) - 1, np.mean(values), stats.sem(values))


def bands(axes) -> list[np.ndarray]:
    return [each.get_paths()[0].vertices for each in axes.collections if isinstance(each, PolyCollection)]


# ── in general ───────────────────────────────────────────────────────────────────────────────────


def test_a_figure_of_nothing_is_none():
    assert draw(curves(), tables()) is None
    assert draw(curves(), tables(rows("edit_tv", 1.0))) is None
    assert draw(curves(), tables(rows("answer_kl", float("nan"), n_steps=4))) is None
    assert draw(Picture("p", "!", lambda _: None), tables()) is None


def test_values_that_are_not_finite_are_left_out():
    found = tables(by_length((0.5,)), rows("answer_kl", float("inf"), "gru", n_steps=4))
    (axes,) = panels(drawn(curves(), found)).values()
    assert len(axes.lines) == 1


def test_pictures_and_charts_are_drawn_in_the_look_of_all_figures():
    sizes = []
    picture = Picture("p", "!", lambda _: sizes.append(matplotlib.rcParams["font.size"]) or Figure())
    before = matplotlib.rcParams["font.size"]
    assert draw(picture, tables()) is not None
    assert sizes == [9.5]
    assert matplotlib.rcParams["font.size"] == before


def test_each_value_of_the_panel_has_a_panel_in_rows_of_as_many_as_fit():
    found = tables(*(by_length(task=task) for task in ("mess3", "group_word_s5", "sns")))
    figure = drawn(curves(columns=2), found)
    assert list(panels(figure)) == ["mess3", "S5", "sns"]
    places = [axes.get_subplotspec().get_geometry()[:3] for axes in panels(figure).values()]
    assert places == [(2, 2, 0), (2, 2, 1), (2, 2, 2)]
    assert figure.get_suptitle() == "The question?"
    assert list(panels(drawn(curves(panel=""), tables(by_length())))) == [""]


def test_rows_of_panels_cross_two_columns_and_leave_out_what_is_not_there():
    found = tables(by_length(), by_length(condition="gru"), by_length(condition="gru", task="sns"))
    figure = drawn(curves(panel="task", row="condition", line="variant"), found)
    assert list(panels(figure)) == ["CoT: mess3", "GRU: mess3", "GRU: sns"]


@pytest.mark.parametrize("shared", [True, False])
def test_panels_share_the_measured_axis_or_have_one_each(shared):
    found = tables(by_length((1e-3,)), by_length((1.0,), task="sns"))
    first, second = panels(drawn(curves(shared=shared), found)).values()
    assert (first.get_ylim() == second.get_ylim()) is shared
    assert first.get_ylabel() == "KL(exact ‖ answer)  [nats]"
    assert second.get_ylabel() == ""


def test_references_are_lines_across_every_panel():
    found = tables(by_length(), by_length(task="sns"))
    figure = drawn(curves(references=(0.1,)), found)
    for axes in panels(figure).values():
        assert [set(line[:, 1]) for line in lines(axes, color="#999999")] == [{0.1}]


def test_limits_of_the_measured_axis_may_be_given_on_one_side():
    (axes,) = panels(drawn(curves(scale="linear", limits=(-1.0, None)), tables(by_length()))).values()
    assert axes.get_ylim()[0] == -1.0
    assert axes.get_ylim()[1] > 4.0


@pytest.mark.parametrize("column, value, name", [("condition", "dial_0.5", "ρ = 0.5"), ("task", "group_word_s5", "S5")])
def test_values_are_called_what_people_call_them(column, value, name):
    found = tables(rows("answer_kl", 0.5, **{column: value}))
    assert list(panels(drawn(dots(panel=column, y="split"), found))) == [name]


# ── curves ───────────────────────────────────────────────────────────────────────────────────────


def test_curves_are_means_over_seeds_with_their_intervals_as_bands():
    (axes,) = panels(drawn(curves(), tables(by_length()))).values()
    (line,) = lines(axes, color=color("cot"))
    np.testing.assert_allclose(line, [(n, 1 / 3 * 2**number) for number, n in enumerate(LENGTHS)])
    (band,) = bands(axes)
    low, high = interval([0.2, 0.3, 0.5])
    np.testing.assert_allclose(
        [band[band[:, 0] == 4][:, 1].min(), band[band[:, 0] == 4][:, 1].max()], [max(low, 1e-4), high]
    )


def test_one_seed_and_baselines_have_no_band():
    assert not bands(panels(drawn(curves(), tables(by_length((0.3,)))))["mess3"])
    assert not bands(panels(drawn(curves(), tables(by_length(condition="prior"))))["mess3"])


def test_values_below_the_floor_are_drawn_there_and_the_axis_says_so():
    found = tables(by_length((1e-7,)), by_length((1.0,), "gru"))
    figure = drawn(curves(floor=1e-2), found)
    (axes,) = panels(figure).values()
    assert (lines(axes, color=color("cot"))[0][:, 1] == 1e-2).all()
    figure.draw_without_rendering()
    assert ticks(axes)[0] == "≤ $10^{-2}$"


def test_seeds_may_be_dots_in_place_of_a_band():
    (axes,) = panels(drawn(curves(seeds=True), tables(by_length()))).values()
    _, dots = lines(axes, color=color("cot"))
    assert sorted(dots[dots[:, 0] == 4][:, 1]) == [0.2, 0.3, 0.5]
    assert not bands(axes)


def test_lengths_seen_in_training_are_shaded():
    (axes,) = panels(drawn(curves(), tables(by_length()))).values()
    (shade,) = axes.patches
    assert shade.get_x() + shade.get_width() == 16
    assert shade.get_x() == axes.get_xlim()[0]


def test_dashes_tell_a_second_column_apart_and_only_the_first_has_a_band():
    found = tables(by_length(), by_length((0.1, 0.2, 0.3), control="untrained"))
    figure = drawn(curves(dash="control", where={"control": ("", "untrained")}), found)
    (axes,) = panels(figure).values()
    own, other = axes.lines
    assert (own.get_linestyle(), own.get_color()) == ("-", other.get_color())
    assert other.get_linestyle() != "-"
    assert other.get_ydata()[0] == pytest.approx(0.2)
    assert len(bands(axes)) == 1
    assert "untrained" in legend(figure)


@pytest.mark.parametrize("count, labeled", [(1, False), (2, True), (5, True), (6, False)])
def test_few_lines_are_labeled_where_they_end_and_more_have_a_legend(count, labeled):
    names = ("cot", "gru", "amortized", "prior", "window_8", "next_token")[:count]
    found = tables(*(by_length((0.1 * 3**number,), name) for number, name in enumerate(names)))
    figure = drawn(curves(), found)
    (axes,) = panels(figure).values()
    shown = {"CoT", "GRU", "no trace", "prior", "exact, last 8", "next symbol"}
    at_ends = {text: height for (_, height), text in texts(axes).items() if text in shown}
    assert len(at_ends) == (count if labeled else 0)
    assert len(legend(figure)) == (0 if labeled or count == 1 else count)
    if labeled:  # lowest first, apart from each other
        heights = [at_ends[name] for name in ("CoT", "GRU", "no trace", "prior", "exact, last 8")[:count]]
        assert (np.diff(heights) > 0.04).all()


def test_a_chart_may_rename_values_and_style_lines():
    found = tables(by_length(), by_length(condition="gru"))
    figure = drawn(curves(names={"cot": "writes"}, styles={"gru": {"color": "#123456", "linestyle": ":"}}), found)
    (axes,) = panels(figure).values()
    assert {"writes", "GRU"} <= set(texts(axes).values())
    (line,) = (line for line in axes.lines if line.get_color() == "#123456")
    assert line.get_linestyle() == ":"


def test_layers_stand_at_their_number_and_all_layers_beside_them():
    found = tables(*(rows("probe_r2", value, layer=layer) for layer, value in (("all", 0.9), ("0", 0.1), ("1", 0.5))))
    (axes,) = panels(drawn(curves(metrics=("probe_r2",), x="layer"), found)).values()
    np.testing.assert_allclose(lines(axes)[0], [(0, 0.1), (1, 0.5), (2.5, 0.9)])
    assert ticks(axes, "x") == ["0", "1", "all"]


def test_many_lengths_show_powers_of_two_and_no_number_twice():
    found = tables(*(rows("answer_kl", 0.5, n_steps=n) for n in (*range(1, 9), 12, 16, 32)))
    figure = drawn(curves(), found)
    figure.draw_without_rendering()
    (axes,) = panels(figure).values()
    assert ticks(axes, "x") == ["1", "2", "4", "8", "16", "32"]


# ── dots ─────────────────────────────────────────────────────────────────────────────────────────


def dots(**changed) -> Dots:
    return Dots(**USUAL | {"y": "task", "panel": ""} | changed)


def test_dots_are_means_with_intervals_at_the_row_of_their_value():
    found = tables(rows("answer_kl", [0.2, 0.3, 0.5]), rows("answer_kl", [1.0, 1.2], task="sns"))
    (axes,) = panels(drawn(dots(), found)).values()
    assert ticks(axes) == ["mess3", "sns"]
    np.testing.assert_allclose(np.concatenate(lines(axes)), [(1 / 3, 0), (1.1, 1)])
    segments = [each.get_segments()[0] for each in axes.collections]
    np.testing.assert_allclose([segment[:, 0] for segment in segments], [interval([0.2, 0.3, 0.5]), interval([1, 1.2])])
    assert axes.get_ylim()[0] > axes.get_ylim()[1]  # the first is at the top


def test_lines_of_a_row_stand_apart_and_baselines_are_ticks_in_its_middle():
    found = tables(*(rows("answer_kl", [value], name) for name, value in (("cot", 0.1), ("gru", 0.2), ("prior", 1.0))))
    figure = drawn(dots(), found)
    (axes,) = panels(figure).values()
    heights = {line.get_color(): float(np.asarray(line.get_ydata())[0]) for line in axes.lines}
    assert heights[color("cot")] == pytest.approx(-0.14)
    assert heights[color("gru")] == pytest.approx(0.14)
    assert heights[color("prior")] == 0
    assert legend(figure) == ["CoT", "GRU", "prior"]


def test_dots_below_the_floor_are_drawn_there():
    (axes,) = panels(drawn(dots(floor=1e-2), tables(rows("answer_kl", [1e-6, 1e-5])))).values()
    assert lines(axes)[0][0, 0] == 1e-2


def test_a_height_of_zero_grows_with_the_number_of_rows():
    few, many = (
        drawn(dots(size=(3.0, 0.0)), tables(*(rows("answer_kl", 1.0, task=f"t{task}") for task in range(count))))
        for count in (10, 30)
    )
    assert many.get_figheight() - few.get_figheight() == pytest.approx(20 * 0.25)


def test_a_long_title_is_wrapped_into_the_figure():
    figure = drawn(curves(title="A question of a good many letters, " * 3), tables(by_length()))
    figure.draw_without_rendering()
    assert figure._suptitle is not None
    assert figure._suptitle.get_window_extent().x1 <= figure.bbox.x1
