"""A study's output is complete: every figure that it names can be drawn and captioned, and tables may be empty."""

from dataclasses import replace

import pytest
from unamortized.studies.figures.captions import CAPTIONS

from unamortized.evaluation.examples import EXAMPLE_COLUMNS
from unamortized.evaluation.rows import COLUMNS
from unamortized.studies import STUDIES
from unamortized.studies.figures import FIGURES
from unamortized.studies.output import write_output


@pytest.mark.parametrize("name", STUDIES)
def test_every_figure_of_a_study_exists_and_has_a_caption(name):
    figures = STUDIES[name].figures
    assert figures
    assert set(figures) <= set(FIGURES)
    assert [figure for figure in figures if not CAPTIONS[figure].endswith(".")] == []


def test_what_was_not_measured_has_an_empty_table_and_no_figure(tmp_path):
    record = write_output(replace(STUDIES["pointer"], claims=()), {}, [], tmp_path)
    assert record["figures"] == []
    assert (tmp_path / "metrics.csv").read_text() == ",".join(COLUMNS) + "\n"
    assert (tmp_path / "examples.csv").read_text() == ",".join(EXAMPLE_COLUMNS) + "\n"
