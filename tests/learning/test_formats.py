"""Runs of another format are refused, and say what to do."""

import pytest

from tests.learning.short_runs import short_spec
from unamortized.learning.runs import RUN_FORMAT, load_run, read_record, save_model, write_record
from unamortized.models.architectures import build_model


def test_weights_of_another_format_are_refused_with_what_to_do(tmp_path):
    spec = short_spec()
    save_model(spec, build_model(spec.model, 7), tmp_path)  # of a vocabulary that has changed since
    write_record(spec, tmp_path, finished=True)
    with pytest.raises(ValueError, match="was made in another run format than 2; train it again"):
        load_run(tmp_path)
    assert read_record(tmp_path)["format"] == RUN_FORMAT
