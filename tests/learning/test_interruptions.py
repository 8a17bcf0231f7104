"""The same weights however a run was interrupted, and files that are whole or not there."""

import os
import signal
import threading
import time
from dataclasses import replace
from itertools import count, pairwise
from pathlib import Path

import pytest
import torch

from tests.learning.small_runs import assert_same_weights, small_spec
from tests.other_processes import begin, finish
from tests.small_tasks import small_task
from unamortized.learning.conditions import resolve_condition
from unamortized.learning.runs import is_finished, load_run, read_record, run_folder
from unamortized.learning.specification import weighted_cross_entropy
from unamortized.learning.training import WholeCheckpoints, train_run, was_interrupted

LONG = {"steps": 150, "checkpoint_every": 10}  # long enough to be interrupted after a checkpoint


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """The long run, trained without an interruption."""
    return train_run(small_spec(**LONG), tmp_path_factory.mktemp("whole"))


def wait_for(there: Path) -> None:
    deadline = time.monotonic() + 60
    while not there.exists():
        assert time.monotonic() < deadline, f"{there} never appeared"
        time.sleep(0.002)


def test_a_killed_run_resumes_to_the_same_weights(tmp_path, whole):
    spec = small_spec(**LONG)
    folder = run_folder(spec, tmp_path)
    process = begin(train_run, spec, tmp_path)
    wait_for(folder / "last.ckpt")
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert not is_finished(folder)
    left = torch.load(folder / "last.ckpt", weights_only=True)["global_step"]
    assert 0 < left < LONG["steps"]
    reports = []
    train_run(spec, tmp_path, lambda done, *_: reports.append(done))
    assert min(reports) > left  # it resumed and did not restart
    assert_same_weights(folder, whole)


@pytest.mark.parametrize(
    ("condition", "questions"), [("cot", None), ("cot", 40), ("gru", None)], ids=["fresh", "corpus", "recurrent"]
)
def test_a_run_cut_off_at_any_step_resumes_to_the_same_weights(tmp_path, monkeypatch, condition, questions):
    spec = small_spec(condition, steps=9, checkpoint_every=2, questions=questions)
    whole = train_run(spec, tmp_path / "whole")
    for step in (1, 2, 7, 8):  # before any checkpoint, at one, between two, and at the last
        with monkeypatch.context() as cut:
            failing = replace(resolve_condition(condition), loss=power_cut_after(step))
            cut.setattr("unamortized.learning.training.resolve_condition", {condition: failing}.get)
            with pytest.raises(OSError, match="power cut"):
                train_run(spec, tmp_path / str(step))
        assert_same_weights(train_run(spec, tmp_path / str(step)), whole)


def power_cut_after(steps: int):
    calls = count()

    def loss(model, batches):
        if next(calls) == steps:
            raise OSError("power cut")
        return weighted_cross_entropy(model, batches)

    return loss


def test_a_run_killed_after_its_last_checkpoint_is_finished_without_training(tmp_path, monkeypatch):
    spec = small_spec(steps=10, checkpoint_every=5)
    with monkeypatch.context() as cut:
        cut.setattr("unamortized.learning.training.save_model", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train_run(spec, tmp_path / "cut")
    reports = []
    cut_short = train_run(spec, tmp_path / "cut", lambda *progress: reports.append(progress))
    assert reports == []
    assert_same_weights(cut_short, train_run(spec, tmp_path / "whole"))


def interrupted(*_arguments):
    raise KeyboardInterrupt


@pytest.fixture
def attentive():
    """Heed Ctrl-C as in the foreground: a process started in the background may ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("attentive")
def test_ctrl_c_leaves_a_run_that_resumes_and_restores_the_handler(tmp_path, whole):
    spec = small_spec(**LONG)
    folder = run_folder(spec, tmp_path)
    handler = signal.getsignal(signal.SIGINT)

    def press():
        wait_for(folder / "last.ckpt")
        os.kill(os.getpid(), signal.SIGINT)

    pressing = threading.Thread(target=press)
    pressing.start()
    with pytest.raises(KeyboardInterrupt):
        train_run(spec, tmp_path)
    pressing.join()
    assert signal.getsignal(signal.SIGINT) == handler
    assert not is_finished(folder)
    assert read_record(folder)["finished"] is False
    with pytest.raises(ValueError, match="is not fully trained; repeat the command that started it to resume"):
        load_run(folder)
    assert_same_weights(train_run(spec, tmp_path), whole)


def test_ctrl_c_is_recognized_through_other_errors():
    def raised(*errors: BaseException) -> BaseException:
        """The last error, each raised from the one before."""
        for cause, error in pairwise(errors):
            error.__cause__ = cause
        return errors[-1]

    assert was_interrupted(KeyboardInterrupt())
    assert was_interrupted(raised(KeyboardInterrupt(), SystemError(), SystemError()))
    while_handled = SystemExit()
    while_handled.__context__ = KeyboardInterrupt()
    assert was_interrupted(while_handled)
    assert not was_interrupted(raised(ValueError(), SystemError()))
    assert not was_interrupted(SystemExit())


def test_a_run_resumes_under_other_checkpoint_intervals_and_test_lengths(tmp_path, monkeypatch):
    spec = small_spec(steps=12, checkpoint_every=5)
    elsewhere = small_task(steps={"train": [3, 6], "test": [5]})
    other = spec.model_copy(update={"task": elsewhere, "train": spec.train.model_copy(update={"checkpoint_every": 7})})
    with monkeypatch.context() as cut:
        cut.setattr("unamortized.learning.training.save_model", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train_run(spec, tmp_path / "cut")
    assert_same_weights(train_run(other, tmp_path / "cut"), train_run(spec, tmp_path / "whole"))


def test_a_checkpoint_appears_whole_or_not_at_all(tmp_path, monkeypatch):
    file, checkpoints = tmp_path / "last.ckpt", WholeCheckpoints()
    checkpoints.save_checkpoint({"step": 1}, file)

    def half(_checkpoint, target):
        Path(target).write_bytes(b"half")
        raise OSError("disk full")

    with monkeypatch.context() as broken:
        broken.setattr(torch, "save", half)
        with pytest.raises(OSError, match="disk full"):
            checkpoints.save_checkpoint({"step": 2}, file)
    assert torch.load(file, weights_only=True) == {"step": 1}
    checkpoints.save_checkpoint({"step": 3}, str(file))
    assert torch.load(file, weights_only=True) == {"step": 3}
    assert list(tmp_path.iterdir()) == [file]


def test_two_processes_train_one_run(tmp_path, whole):
    spec = small_spec(**LONG)
    both = [begin(train_run, spec, tmp_path) for _ in range(2)]
    for process in both:
        finish(process)
    folder = run_folder(spec, tmp_path)
    names = {file.name for file in folder.iterdir()}
    assert names == {".lock", "run.json", "model.safetensors", "last.ckpt", "training.csv"}
    assert_same_weights(folder, whole)
