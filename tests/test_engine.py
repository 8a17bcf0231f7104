"""Jobs: equal results here and in a pool, no repeated work, and errors that name the failed job."""

import io
from dataclasses import dataclass, replace

import pandas as pd
import pytest
import torch
from rich.console import Console

from tests.evaluation.oracle import SMALL, slow_task
from unamortized.engine import Execution, JobError, RunJob, TaskJob, run_jobs, run_specs, run_study
from unamortized.evaluation.evaluate import Evaluation
from unamortized.evaluation.generalization import by_length
from unamortized.evaluation.protocol import SampleSize
from unamortized.evaluation.rows import row
from unamortized.learning.runs import is_finished, run_digest, run_folder
from unamortized.learning.specification import RunSpec, TrainSpec
from unamortized.studies.study import Preset, Study

TINY = TrainSpec(steps=4, batch_size=16, lengths_per_batch=2, warmup_steps=1)


@dataclass(frozen=True)
class Nothing:
    """No settings."""


def constant(task, seed, settings):
    """A metric that takes no time."""
    return [row(task.name, "prior", seed, "length", "answer_kl", 0.5, 1)]


def fails(task, seed, settings):
    """A metric whose measurement fails."""
    raise ArithmeticError("the sum is too large")


LENGTHS = Evaluation("by_length", by_length, SampleSize(problems=16))
CONSTANT = Evaluation("constant", constant, Nothing(), of="task")
BROKEN = Evaluation("broken", fails, Nothing(), of="task")
ONE = Execution(workers=1)


def spec(condition="cot", seed=0, **train):
    return RunSpec(task=slow_task(), condition=condition, seed=seed, model=SMALL, train=TINY.model_copy(update=train))


def quick_job(root, seed=0, evaluation=CONSTANT):
    return TaskJob(slow_task(), seed, (evaluation,), root)


def plain():
    return Console(file=io.StringIO(), force_terminal=False, width=200)


def printed(console):
    return console.file.getvalue().splitlines()


def test_results_are_the_same_here_and_in_a_pool_and_a_failed_job_leaves_the_others_done(tmp_path):
    specs = [spec("cot"), spec("amortized", seed=1)]
    run_specs(specs, [LENGTHS], tmp_path / "one", ONE, plain())
    jobs = [*(RunJob(each, (LENGTHS,), tmp_path / "two") for each in specs), quick_job(tmp_path / "two", 7, BROKEN)]
    with pytest.raises(JobError, match="^small baselines seed 7: the sum is too large$"):
        run_jobs(jobs, 2, plain())
    for each in specs:
        one, two = (run_folder(each, tmp_path / name) for name in ("one", "two"))
        for file in ("metrics.csv", "model.safetensors"):
            assert (one / file).read_bytes() == (two / file).read_bytes()


def test_a_failure_in_this_process_has_its_job_and_cause(tmp_path):
    with pytest.raises(JobError, match="^small baselines seed 3: the sum is too large$") as failure:
        run_jobs([quick_job(tmp_path, 3, BROKEN)], 1, plain())
    assert isinstance(failure.value.__cause__, ArithmeticError)


def test_jobs_finished_before_a_failure_stay_done(tmp_path):
    jobs = [quick_job(tmp_path, 0), quick_job(tmp_path, 1, BROKEN), quick_job(tmp_path, 2)]
    with pytest.raises(JobError):
        run_jobs(jobs, 1, plain())
    assert [job.is_done() for job in jobs] == [True, False, False]


def test_done_jobs_are_skipped(tmp_path):
    jobs = [quick_job(tmp_path, seed) for seed in range(3)]
    run_jobs(jobs[:2], 1, plain())
    console = plain()
    run_jobs(jobs, 1, console)
    first, *others = printed(console)
    assert first == "2 of 3 jobs are done already."
    assert [line.partition(":")[0] for line in others] == ["[1/1] small baselines seed 2"]
    console = plain()
    run_jobs(jobs, 1, console)
    assert printed(console) == ["3 of 3 jobs are done already."]


def test_changed_settings_measure_a_trained_run_again_without_training(tmp_path):
    (folder,) = run_specs([spec("amortized")], [LENGTHS], tmp_path, ONE, plain())
    assert is_finished(folder)
    weights = (folder / "model.safetensors").stat().st_mtime_ns
    finer = Evaluation("by_length", by_length, SampleSize(problems=32))
    assert not RunJob(spec("amortized"), (finer,), tmp_path).is_done()
    assert run_specs([spec("amortized")], [finer], tmp_path, ONE, plain()) == [folder]
    assert (folder / "model.safetensors").stat().st_mtime_ns == weights
    table = pd.read_csv(folder / "metrics.csv")
    assert set(table["count"]) == {32}
    assert set(table["run"]) == {folder.name}


def test_without_a_terminal_each_job_prints_a_plain_line(tmp_path):
    console = plain()
    run_jobs([quick_job(tmp_path, seed) for seed in range(2)], 1, console)
    assert printed(console) == [f"[{n}/2] small baselines seed {n - 1}: done 0 s after the start" for n in (1, 2)]


def test_a_terminal_shows_bars(tmp_path):
    console = Console(file=io.StringIO(), force_terminal=True, width=200)
    run_jobs([quick_job(tmp_path, seed) for seed in range(2)], 1, console)
    assert "0 of 2" in console.file.getvalue()
    assert "\x1b[" in console.file.getvalue()


def test_baselines_run_first_and_then_the_longest_run(tmp_path):
    console = plain()
    jobs = [quick_job(tmp_path), *(RunJob(spec("amortized", seed, steps=seed + 1), (), tmp_path) for seed in (0, 1))]
    run_jobs(jobs, 1, console)
    ends = [line.split("] ")[1].partition(":")[0] for line in printed(console) if line.startswith("[")]
    assert ends == ["small baselines seed 0", "small amortized seed 1", "small amortized seed 0"]


def test_longer_traces_cost_more(tmp_path):
    costs = [RunJob(spec(name), (), tmp_path).cost for name in ("amortized", "cot_every_4", "cot")]
    assert sorted(costs) == costs
    assert len(set(costs)) == 3


def test_the_number_of_threads_is_restored(tmp_path):
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        run_specs([spec("amortized")], [], tmp_path, ONE, plain())
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)


def test_other_test_lengths_are_measured_without_training_again(tmp_path):
    def lengths(folder):
        return set(pd.read_csv(folder / "metrics.csv")["n_steps"])

    longer = spec("amortized").model_copy(update={"task": slow_task(steps={"train": [2, 8], "test": [4, 32]})})
    (folder,) = run_specs([spec("amortized")], [LENGTHS], tmp_path, ONE, plain())
    weights = (folder / "model.safetensors").stat().st_mtime_ns
    assert lengths(folder) == {4, 8, 16}
    assert run_specs([longer], [LENGTHS], tmp_path, ONE, plain()) == [folder]
    assert lengths(folder) == {4, 32}
    assert (folder / "model.safetensors").stat().st_mtime_ns == weights
    assert run_specs([spec("amortized")], [LENGTHS], tmp_path, ONE, plain()) == [folder]
    assert lengths(folder) == {4, 8, 16}


def study_of(*evaluations):
    presets = {"smoke": Preset((), evaluations)}
    return Study("both", "Do cells that share a run affect each other?", presets, claims=(), figures=())


def test_two_cells_that_share_a_run_are_both_measured_by_their_own_tests(tmp_path):
    longer = slow_task(steps={"train": [2, 8], "test": [4, 32]})
    specs = [spec(), spec().model_copy(update={"task": longer, "world": "elsewhere"})]
    run_study(study_of(LENGTHS), "smoke", specs, tmp_path, ONE, plain())
    assert len(list((tmp_path / "runs").iterdir())) == 1
    table = pd.read_csv(tmp_path / "smoke" / "both" / "metrics.csv")
    assert set(table["task"]) == {"small"}
    assert set(table["run"]) == {run_digest(specs[0])}
    tested = table.fillna({"world": ""}).groupby("world")["n_steps"].unique().map(set).to_dict()
    assert tested == {"": {4, 8, 16}, "elsewhere": {4, 32}}


def test_two_cells_that_share_a_run_are_both_compared_with_its_sibling(tmp_path):
    longer = slow_task(steps={"train": [2, 8], "test": [4, 32]})
    cells = [spec(), spec().model_copy(update={"task": longer, "world": "elsewhere"})]
    run_study(
        study_of(replace(LENGTHS, against="amortized")), "smoke", [*cells, spec("amortized")], tmp_path, ONE, plain()
    )
    table = pd.read_csv(tmp_path / "smoke" / "both" / "metrics.csv").fillna({"world": ""})
    assert set(table["condition"]) == {"cot"}
    assert set(zip(table["world"], table["n_steps"], strict=True)) == {
        *(("", n) for n in (4, 8, 16)),
        *(("elsewhere", n) for n in (4, 32)),
    }
