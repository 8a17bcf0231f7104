"""What was measured is kept, found again, and measured anew only when it would come out differently."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from tests.evaluation.oracle import SMALL, slow_task
from unamortized.evaluation import evaluate, generalization
from unamortized.evaluation.evaluate import Evaluation, Measured, collect, evaluate_run, evaluate_task, task_folder
from unamortized.evaluation.rows import COLUMNS, row
from unamortized.learning.runs import RunSpec, marked, new_model, run_folder, save_model, write_record


@dataclass(frozen=True)
class Setting:
    """How much is measured."""

    value: float = 1 / 3


def of_run(run, settings):
    """A metric of a run, once for each time that it is measured."""
    MEASURED.append(run.spec.seed)
    return [row(run.task.name, run.spec.condition, run.spec.seed, "train", "answer_kl", settings.value, 1)]


def of_task(task, seed, settings):
    """A metric of a task."""
    MEASURED.append(seed)
    return [row(task.name, "prior", seed, "train", "answer_kl", settings.value, 1)]


def of_examples(run, settings):
    """A table of examples."""
    return pd.DataFrame({"task": "small", "condition": "cot", "problem": [0, 1], "value": [0.5, settings.value]})


MEASURED: list[int] = []
METRIC = Evaluation("metric", of_run, Setting())
EXAMPLES = Evaluation("examples", of_examples, Setting(), gives="examples", only_seed=0)


@pytest.fixture
def folder(tmp_path) -> Path:
    """A finished run of no training at all."""
    MEASURED.clear()
    spec = RunSpec(task=slow_task(), condition="cot", model=SMALL)
    place = run_folder(spec, tmp_path)
    write_record(spec, place, finished=False)
    save_model(spec, new_model(spec), place)
    write_record(spec, place, finished=True)
    return place


def quietly(name):
    """No progress."""


def test_a_result_is_measured_once(folder):
    told = []
    evaluate_run(folder, [METRIC], told.append)
    evaluate_run(folder, [METRIC], told.append)
    assert MEASURED == [0]
    assert told == ["metric"]


def test_changed_settings_are_measured_anew_and_both_are_kept(folder):
    finer = Evaluation("metric", of_run, Setting(0.25))
    for evaluation in (METRIC, finer, METRIC):
        evaluate_run(folder, [evaluation], quietly)
    assert len(MEASURED) == 2
    assert ",0.333333333," in (folder / "metrics.csv").read_text()  # what was asked for last
    evaluate_run(folder, [finer], quietly)
    assert ",0.25," in (folder / "metrics.csv").read_text()


def test_changed_code_is_measured_anew(folder, monkeypatch):
    evaluate_run(folder, [METRIC], quietly)
    monkeypatch.setattr(evaluate, "measured_by", lambda module: "another")
    evaluate_run(folder, [METRIC], quietly)
    assert len(MEASURED) == 2


def test_a_runs_metrics_are_one_table_of_all_its_evaluations_but_not_its_examples(folder):
    other = Evaluation("other", of_run, Setting(0.5))
    evaluate_run(folder, [METRIC, EXAMPLES, other], quietly)
    lines = (folder / "metrics.csv").read_text().splitlines()
    assert lines[0] == ",".join(COLUMNS)
    assert [line.split(",")[8] for line in lines[1:]] == ["0.333333333", "0.5"]


def test_what_is_collected_is_what_was_kept_byte_for_byte(folder):
    evaluate_run(folder, [METRIC, EXAMPLES], quietly)
    kept = METRIC.file(folder).read_text()
    assert collect([Measured(folder, [METRIC, EXAMPLES])], "metrics") == kept == (folder / "metrics.csv").read_text()
    assert collect([Measured(folder, [METRIC, EXAMPLES])], "examples") == EXAMPLES.file(folder).read_text()
    header, body = kept.split("\n", 1)
    assert collect([Measured(folder, [METRIC]), Measured(folder, [METRIC])], "metrics") == f"{header}\n{body}{body}"


def test_collected_names_are_marked_with_world_and_variant_before_a_control(folder):
    evaluate_run(folder, [METRIC], quietly)
    header, body = METRIC.file(folder).read_text().split("\n", 1)
    task, condition, rest = body.split(",", 2)
    assert collect([Measured(folder, [METRIC], "slow", "rotary")], "metrics") == (
        f"{header}\n{task}@slow,{condition}@rotary,{rest}"
    )
    assert marked("cot/untrained", "rotary") == "cot@rotary/untrained"
    assert marked("cot", "") == "cot"


def test_a_real_evaluation_gives_the_same_bytes_again(folder):
    lengths = Evaluation("by_length", generalization.by_length, generalization.ByLength(problems=16))
    evaluate_run(folder, [lengths], quietly)
    first = (folder / "metrics.csv").read_bytes()
    lengths.file(folder).unlink()
    evaluate_run(folder, [lengths], quietly)
    assert (folder / "metrics.csv").read_bytes() == first


def test_an_interrupted_run_is_not_measured(folder):
    write_record(RunSpec(task=slow_task(), condition="cot", model=SMALL), folder, finished=False)
    with pytest.raises(ValueError, match="is not trained to its end"):
        evaluate_run(folder, [METRIC], quietly)
    assert not (folder / "metrics.csv").exists()


def test_a_folder_that_holds_no_run_is_left_as_it_is(tmp_path):
    for folder in (tmp_path, tmp_path / "misspelt"):
        with pytest.raises(ValueError, match="is no run: it holds no run.json"):
            evaluate_run(folder, [METRIC], quietly)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_evaluation_leaves_nothing_and_keeps_what_was_measured_before(folder):
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


def test_some_evaluations_are_for_one_seed_only():
    assert [EXAMPLES.applies(seed) for seed in (0, 1)] == [True, False]
    assert [METRIC.applies(seed) for seed in (0, 1)] == [True, True]
