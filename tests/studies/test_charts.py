"""A chart draws the rows that it names: of its metrics, kept by its filters, in its order."""

import pandas as pd
import pytest

from tests.studies.figure_tables import rows, tables
from unamortized.studies.figures.charts import Curves, Dots, Heat, Picture, in_order, rows_of, runs_of


def chart(**changed) -> Curves:
    usual = {"name": "c", "title": "?", "caption": "!", "metrics": ("answer_kl",), "x": "n_steps"}
    return Curves(**usual | changed)


def kept(found: Curves, *groups) -> list[float]:
    return rows_of(found, tables(*groups).metrics)["value"].tolist()


def test_only_the_named_metrics_are_drawn():
    assert kept(chart(), rows("answer_kl", 1.0), rows("answer_tv", 0.5)) == [1.0]
    both = chart(metrics=("answer_kl", "answer_tv"))
    assert kept(both, rows("answer_kl", 1.0), rows("answer_tv", 0.5), rows("edit_tv", 0.2)) == [1.0, 0.5]


@pytest.mark.parametrize("column, name", [("control", "untrained"), ("variant", "mean_4")])
def test_rows_of_a_control_or_variant_are_left_out_unless_the_chart_names_that_column(column, name):
    found = rows("answer_kl", 1.0), rows("answer_kl", 2.0, **{column: name})
    assert kept(chart(), *found) == [1.0]
    assert kept(chart(where={column: (name,)}), *found) == [2.0]
    assert kept(chart(where={column: ()}), *found) == [1.0, 2.0]
    assert kept(chart(dash=column), *found) == [1.0, 2.0]
    assert kept(chart(x=f"{column}.mean"), *found) == [1.0, 2.0]


def test_the_name_of_a_condition_includes_its_variant():
    found = rows_of(
        chart(line="name"), tables(rows("answer_kl", 1.0), rows("answer_kl", 2.0, variant="mean_4")).metrics
    )
    assert found["name"].tolist() == ["CoT", "CoT, mean of 4"]


def test_filters_keep_listed_values_and_none_keeps_missing_ones():
    groups = [rows("answer_kl", float(n), n_steps=n) for n in (4, 8, 16)] + [rows("answer_kl", 0.5)]
    assert kept(chart(where={"n_steps": (16, 4)}), *groups) == [4.0, 16.0]
    assert kept(chart(where={"n_steps": (8, None)}), *groups) == [8.0, 0.5]
    assert kept(chart(where={"n_steps": (None,)}), *groups) == [0.5]
    assert kept(chart(where={"n_steps": ()}), *groups) == [4.0, 8.0, 16.0, 0.5]


def test_columns_may_be_numbers_in_names_or_names_for_people():
    found = rows_of(
        chart(x="variant.after", panel="place", line="world.slip"),
        tables(rows("answer_kl", 1.0, task="group_word_s5", world="slip_0.02", variant="l2_after_128")).metrics,
    )
    assert found[["variant.after", "place", "world.slip"]].iloc[0].tolist() == [128.0, "S5 (slip 0.02)", 0.02]


def test_prepare_runs_before_filters_and_may_add_the_columns_that_they_name():
    def double(found: pd.DataFrame) -> pd.DataFrame:
        return found.assign(double=2 * found["value"])

    groups = rows("answer_kl", 1.0), rows("answer_kl", 3.0)
    assert kept(chart(prepare=double, where={"double": (6.0,)}, line="double"), *groups) == [3.0]
    assert kept(chart(prepare=double, where={"double": (6.0,)}, metrics=("edit_tv",)), *groups) == []


def test_values_are_ordered_as_listed_else_numbers_ascend_and_layers_go_upwards():
    found = tables(*(rows("probe_r2", 0.5, layer=layer, n_steps=n) for layer, n in (("all", 16), ("10", 4), ("2", 8))))
    assert in_order(chart(), "layer", found.metrics) == ["2", "10", "all"]
    assert in_order(chart(), "n_steps", found.metrics) == [4, 8, 16]
    assert in_order(chart(where={"layer": ("all", "1", "2")}), "layer", found.metrics) == ["all", "2"]
    assert in_order(chart(where={"layer": ()}), "layer", found.metrics) == ["2", "10", "all"]
    tasks = tables(rows("answer_kl", 1.0, task="sns"), rows("answer_kl", 1.0, task="mess3"))
    assert in_order(chart(), "task", tasks.metrics) == ["sns", "mess3"]


def test_scale_floor_and_label_follow_the_metric_unless_the_chart_has_its_own():
    nats, share = chart(), chart(metrics=("map_agreement",))
    assert (nats.measured_scale, nats.measured_floor) == ("log", 1e-4)
    assert (share.measured_scale, share.measured_floor) == ("linear", None)
    assert nats.measured_label == "KL(exact ‖ answer)  [nats]"
    own = chart(scale="linear", label="KL")
    assert (own.measured_scale, own.measured_floor, own.measured_label) == ("linear", None, "KL")
    assert chart(floor=1e-3).measured_floor == 1e-3


@pytest.mark.parametrize("kind", [Dots, Heat])
def test_every_kind_of_chart_selects_alike(kind):
    axes = {"y": "condition"} if kind is Dots else {"x": "condition"} | ({"y": "task"} if kind is Heat else {})
    own = kind(name="c", title="?", caption="!", metrics=("answer_kl",), where={"task": ("mess3",)}, **axes)
    found = tables(rows("answer_kl", 1.0), rows("answer_kl", 2.0, task="sns"), rows("edit_tv", 3.0))
    assert rows_of(own, found.metrics)["value"].tolist() == [1.0]


def test_a_figure_lists_the_runs_that_it_shows():
    found = tables(
        rows("answer_kl", 1.0, run="b"),
        rows("answer_kl", 1.0, run="a"),
        rows("answer_kl", 1.0, "prior", run=""),
        rows("answer_kl", 1.0, run="c", control="untrained"),
        rows("edit_tv", 1.0, run="d"),
    )
    assert runs_of(chart(), found) == ["a", "b"]
    assert runs_of(Picture("p", "!", lambda _: None, ("edit_tv",)), found) == ["d"]
    assert runs_of(Picture("p", "!", lambda _: None), found) == []  # drawn from examples, of which there are none
