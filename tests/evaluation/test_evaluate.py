"""Evaluations: results are kept, found again, and measured again only if settings, tests or code changed."""

from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest

from tests.evaluation.oracle import SMALL, slow_task
from unamortized.evaluation import evaluate, generalization
from unamortized.evaluation.evaluate import Evaluation, Measured, collect, evaluate_run, evaluate_task, task_folder
from unamortized.evaluation.protocol import SampleSize
from unamortized.evaluation.rows import COLUMNS, row
from unamortized.learning.runs import new_model, run_folder, save_model, write_record
from unamortized.learning.specification import RunSpec


@dataclass(frozen=True)
class Setting:
    """The value to report."""

    value: float = 1 / 3


def of_run(run, settings):
    """A metric of a run; records each measurement."""
    MEASURED.append(run.spec.seed)
    return [row(run.task.name, run.spec.condition, run.spec.seed, "train", "answer_kl", settings.value, 1)]


def of_task(task, seed, settings):
    """A metric of a task; records each measurement."""
    MEASURED.append(seed)
    return [row(task.name, "prior", seed, "train", "answer_kl", settings.value, 1)]


def of_examples(run, settings):
    """A table of examples."""
    return pd.DataFrame({"task": "small", "variant": "", "problem": [0, 1], "value": [0.5, settings.value]})


MEASURED: list[int] = []
METRIC = Evaluation("metric", of_run, Setting())
EXAMPLES = Evaluation("examples", of_examples, Setting(), gives="examples")


@pytest.fixture
def folder(tmp_path) -> Path:
    """The folder of an untrained run that looks finished."""
    MEASURED.clear()
    spec = RunSpec(task=slow_task(), condition="cot", model=SMALL)
    folder = run_folder(spec, tmp_path)
    save_model(spec, new_model(spec), folder)
    write_record(spec, folder, finished=True)
    return folder


def quietly(name):
    """Report nothing."""


def read(folder):
    """The metrics of a folder, as text."""
    return pd.read_csv(folder / "metrics.csv", dtype=str, keep_default_na=False)


def test_a_result_is_measured_once(folder):
    reports = []
    evaluate_run(folder, [METRIC], reports.append)
    evaluate_run(folder, [METRIC], reports.append)
    assert MEASURED == [0]
    assert reports == ["metric"]


def test_changed_settings_are_measured_again_and_both_results_are_kept(folder):
    finer = Evaluation("metric", of_run, Setting(0.25))
    for evaluation in (METRIC, finer, METRIC):
        evaluate_run(folder, [evaluation], quietly)
    assert len(MEASURED) == 2
    assert read(folder)["value"].tolist() == ["0.33333333"]  # of the last call
    evaluate_run(folder, [finer], quietly)
    assert read(folder)["value"].tolist() == ["0.25"]
    assert len(MEASURED) == 2


def test_changed_code_is_measured_again(folder, monkeypatch):
    evaluate_run(folder, [METRIC], quietly)
    monkeypatch.setattr(evaluate, "measured_by", lambda module: "another")
    evaluate_run(folder, [METRIC], quietly)
    assert len(MEASURED) == 2


def test_the_metrics_of_a_run_are_one_table_without_its_examples(folder):
    other = Evaluation("other", of_run, Setting(0.5))
    evaluate_run(folder, [METRIC, EXAMPLES, other], quietly)
    assert tuple(read(folder).columns) == COLUMNS
    assert read(folder)["value"].tolist() == ["0.33333333", "0.5"]
    assert set(read(folder)["run"]) == {folder.name}


def test_collected_values_are_the_kept_ones_byte_for_byte(folder):
    evaluate_run(folder, [METRIC, EXAMPLES], quietly)
    kept = METRIC.file(folder).read_text()
    assert collect([Measured(folder, [METRIC, EXAMPLES])], "metrics") == kept
    header, body = kept.split("\n", 1)
    assert collect([Measured(folder, [METRIC]), Measured(folder, [METRIC])], "metrics") == f"{header}\n{body}{body}"
    assert collect([Measured(folder, [EXAMPLES], "slow", "l2", "abc")], "examples").splitlines() == [
        "task,variant,problem,value,world,run",
        "small,l2,0,0.5,slow,abc",
        "small,l2,1,0.33333333,slow,abc",
    ]


@pytest.mark.parametrize(("own", "variant"), [("", "rotary_plain"), ("after_128", "rotary_plain_after_128")])
def test_collected_rows_get_world_run_and_the_cells_variant_before_their_own(folder, own, variant):
    def measure(run, settings):
        return [row(run.task.name, "cot", 0, "train", "answer_kl", 1.0, 1, variant=own, control="untrained")]

    evaluation = Evaluation("measure", measure, Setting())
    evaluate_run(folder, [evaluation], quietly)
    before = read(folder)
    labeled = collect([Measured(folder, [evaluation], "slow", "rotary_plain", folder.name)], "metrics")
    (after,) = pd.read_csv(StringIO(labeled), dtype=str, keep_default_na=False).to_dict("records")
    assert after == before.loc[0].to_dict() | {"world": "slow", "variant": variant, "run": folder.name}
    assert (after["condition"], after["control"]) == ("cot", "untrained")


def test_a_missing_result_is_an_error(folder):
    with pytest.raises(ValueError, match="is missing because the code changed during the run; repeat the command"):
        collect([Measured(folder, [METRIC])], "metrics")


def test_without_results_of_a_kind_the_text_is_empty(folder):
    evaluate_run(folder, [METRIC], quietly)
    assert collect([Measured(folder, [METRIC])], "examples") == ""


def test_an_evaluation_gives_the_same_bytes_again(folder):
    lengths = Evaluation("by_length", generalization.by_length, SampleSize(problems=16))
    evaluate_run(folder, [lengths], quietly)
    first = (folder / "metrics.csv").read_bytes()
    lengths.file(folder).unlink()
    evaluate_run(folder, [lengths], quietly)
    assert (folder / "metrics.csv").read_bytes() == first


def test_an_unfinished_run_is_not_measured(folder):
    write_record(RunSpec(task=slow_task(), condition="cot", model=SMALL), folder, finished=False)
    with pytest.raises(ValueError, match="is not fully trained"):
        evaluate_run(folder, [METRIC], quietly)
    assert not (folder / "metrics.csv").exists()


def test_a_folder_without_a_run_is_left_unchanged(tmp_path):
    for folder in (tmp_path, tmp_path / "misspelled"):
        with pytest.raises(ValueError, match="is not a run: it has no run.json"):
            evaluate_run(folder, [METRIC], quietly)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_evaluation_leaves_no_result_and_earlier_results_stay(folder):
    broken = Evaluation("broken", lambda run, settings: 1 / 0, Setting())
    with pytest.raises(ZeroDivisionError):
        evaluate_run(folder, [METRIC, broken], quietly)
    assert METRIC.file(folder).exists()
    assert not broken.file(folder).exists()


def test_a_task_is_measured_once_for_each_seed(tmp_path):
    MEASURED.clear()
    evaluation = Evaluation("baselines", of_task, Setting(), of="task")
    for seed in (0, 1, 0):
        folder = evaluate_task(slow_task(), seed, tmp_path, [evaluation])
        assert folder == task_folder(slow_task(), seed, tmp_path)
    assert MEASURED == [0, 1]
    assert (folder / "metrics.csv").read_text().count("\n") == 2


def test_examples_are_of_the_first_seed_alone():
    assert [EXAMPLES.applies(seed) for seed in (0, 1)] == [True, False]
    assert [METRIC.applies(seed) for seed in (0, 1)] == [True, True]
