"""A study's output is complete: its figures have captions and read metrics that exist, and tables may be empty."""

import gzip
from dataclasses import replace

import pytest

from unamortized.evaluation.examples import EXAMPLE_COLUMNS
from unamortized.evaluation.metrics import METRICS
from unamortized.evaluation.rows import COLUMNS
from unamortized.studies import STUDIES
from unamortized.studies.output import EXAMPLES, write_output


@pytest.mark.parametrize("name", STUDIES)
def test_every_figure_of_a_study_has_a_name_of_its_own_a_caption_and_known_metrics(name):
    figures = STUDIES[name].figures
    names = [figure.name for figure in figures]
    assert len(names) == len(set(names)) > 0
    assert [figure.name for figure in figures if not figure.caption.endswith(".")] == []
    assert {metric for figure in figures for metric in figure.metrics} <= set(METRICS)


def test_what_was_not_measured_has_an_empty_table_and_no_figure(tmp_path):
    record = write_output(replace(STUDIES["pointer"], claims=()), {}, [], tmp_path)
    assert record["figures"] == []
    assert (tmp_path / "metrics.csv").read_text() == ",".join(COLUMNS) + "\n"
    assert gzip.decompress((tmp_path / EXAMPLES).read_bytes()).decode() == ",".join(EXAMPLE_COLUMNS) + "\n"
