"""Tests of the figure of training losses: which runs it shows, and how they are told apart."""

from unamortized.studies.figures.charts import rows_of
from unamortized.studies.figures.losses import training_loss

from .tables import metric_rows, metric_table


def losses(*runs):
    rows = (
        metric_rows("training_loss", condition, [1.0], split="train", variant=name, step=1) for condition, name in runs
    )
    return metric_table(*rows)


def test_runs_without_a_variant_are_shown_alone():
    table = losses(("cot", ""), ("gru", ""), ("cot", "layers_4"))
    chart = training_loss(table)
    assert (chart.panel, chart.line) == ("place", "condition")
    assert rows_of(chart, table)["condition"].tolist() == ["cot", "gru"]


def test_where_all_runs_have_variants_each_condition_has_a_panel_and_each_variant_a_line():
    table = losses(("cot", "layers_4"), ("cot", "steps_1200"), ("gru", "layers_4"))
    chart = training_loss(table)
    rows = rows_of(chart, table)
    assert rows[chart.panel].nunique() == 2
    assert rows[chart.line].tolist() == ["4 layers", "1,200 steps", "4 layers"]
