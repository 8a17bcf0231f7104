"""The promises of every way of learning: a run that is cut off resumes to the weights that it would have had."""

import io
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from tests.learning.short_runs import assert_same_run, power_cut_at, short_spec, train_until_power_cut
from tests.small_nets import small_net_task
from tests.small_tasks import GENERALIZED, IN_CONTEXT, small_task
from unamortized import engine
from unamortized.engine import JobError, ReportJob, RunJob, run_jobs
from unamortized.language.batches import to_batch
from unamortized.language.rendering import Language
from unamortized.learning.conditions import CONDITIONS, check_fits, resolve_condition
from unamortized.learning.conditions.supervised import COT
from unamortized.learning.questions import questions
from unamortized.learning.rollouts import respond
from unamortized.learning.runs import (
    assemble,
    is_finished,
    new_model,
    parents_of,
    read_record,
    run_folder,
    set_up,
    training_steps,
)
from unamortized.learning.specification import BatchesOf, Condition, Run, RunSpec, Setup, Step, fresh_weights
from unamortized.learning.training import train_run
from unamortized.models.architectures import Model

NUMBERED = ("cot_every_2", "dial_0.5", "dial_0.5_told")


def quiet() -> Console:
    return Console(file=io.StringIO(), force_terminal=False, width=200)


@pytest.mark.parametrize("condition", [*CONDITIONS, *NUMBERED])
def test_a_run_cut_off_again_and_again_resumes_to_the_same_weights(tmp_path, condition):
    spec = short_spec(condition)
    whole = train_run(spec, tmp_path / "whole")
    for step in (1, 3, training_steps(spec) - 1):  # before any checkpoint, between two, and at the last step
        train_until_power_cut(spec, step, tmp_path / "cut")
        assert not is_finished(run_folder(spec, tmp_path / "cut"))
    assert_same_run(train_run(spec, tmp_path / "cut"), whole)


# ── runs that learn from runs ────────────────────────────────────────────────────────────────────


STUDENT = short_spec("distilled", {"teacher_steps": 3})  # costs more than its teacher: the engine would begin with it
(TEACHER,) = parents_of(STUDENT).values()


@pytest.fixture(scope="module")
def whole_student(tmp_path_factory) -> Path:
    """The student, trained without an interruption."""
    return train_run(STUDENT, tmp_path_factory.mktemp("student"))


class WatchedJob(RunJob):
    """The job of a run, which must not begin before the runs that it learns from are finished."""

    def work(self, report: ReportJob) -> None:
        assert all(map(is_finished, self.after)), f"{self.title} began too early"
        super().work(report)


def train_by_engine(spec: RunSpec, root: Path, workers: int = 1) -> None:
    """Train a run with its parents by the engine, children first in the list."""
    run_jobs([WatchedJob(each, (), root) for each in (spec, *parents_of(spec).values())], workers, quiet())


class Threads(ProcessPoolExecutor):
    """A pool of threads, because a process takes seconds to begin."""

    def __init__(self, workers: int, mp_context: Any, initializer: Any, initargs: tuple) -> None:
        self.threads = ThreadPoolExecutor(workers, initializer=initializer, initargs=initargs)

    def submit(self, *work: Any) -> Future:  # pyright: ignore[reportIncompatibleMethodOverride]
        return self.threads.submit(*work)

    def shutdown(self, **how: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        self.threads.shutdown(**how)


@pytest.fixture(params=[1, 2])
def workers(request, monkeypatch) -> int:
    """A number of workers; those of the engine's pool are threads."""
    monkeypatch.setattr(engine, "ProcessPoolExecutor", Threads)
    monkeypatch.setattr(engine, "_messages", None)  # which a worker sets
    return request.param


@pytest.mark.parametrize("train", [train_run, train_by_engine])
def test_a_student_whose_teacher_was_cut_off_resumes_to_the_same_weights(tmp_path, whole_student, train):
    student, teacher = run_folder(STUDENT, tmp_path), run_folder(TEACHER, tmp_path)
    for step in (1, 2):  # before any checkpoint, and at one
        with power_cut_at(TEACHER, step), pytest.raises((OSError, JobError), match="power cut"):
            train(STUDENT, tmp_path)
        assert not student.exists(), "a student began before its teacher was finished"
    train_until_power_cut(STUDENT, 1, tmp_path)
    assert is_finished(teacher)
    assert read_record(student)["parents"] == {"teacher": teacher.name}
    train(STUDENT, tmp_path)
    assert_same_run(student, whole_student)
    assert_same_run(teacher, run_folder(TEACHER, whole_student.parents[1]))


def test_a_teacher_is_trained_before_its_student(tmp_path, whole_student, workers):
    assert RunJob(STUDENT, (), tmp_path).cost > RunJob(TEACHER, (), tmp_path).cost
    train_by_engine(STUDENT, tmp_path, workers)
    assert_same_run(run_folder(STUDENT, tmp_path), whole_student)


def test_a_teacher_that_fails_stops_its_student_with_one_error(tmp_path, workers):
    run_folder(TEACHER, tmp_path).mkdir(parents=True)
    (run_folder(TEACHER, tmp_path) / "last.ckpt").write_text("damaged")
    with pytest.raises(JobError) as failure:
        train_by_engine(STUDENT, tmp_path, workers)
    assert str(failure.value).startswith("small cot seed 0: ")
    assert "distilled" not in str(failure.value)
    assert not run_folder(STUDENT, tmp_path).exists()


# ── a model that acts while it learns ────────────────────────────────────────────────────────────


def own_traces(setup: Setup) -> BatchesOf:
    """Train on the traces that the model writes for itself now, with the true answers."""
    problems, language = questions(setup), setup.language
    assert isinstance(language, Language)

    def batches(step: Step, model: Model) -> list:
        run, groups = Run(setup.spec, model, Path(), language), []
        for group in problems(step):
            written = respond(run, group, sample=True, draw=step.number).written
            trace = language.kind(group, language.vocabulary)
            tokens = language.vocabulary.code(written)
            groups.append(to_batch(language.lay_out(group, trace._replace(tokens=tokens))))
        return groups

    return batches


SELF_TAUGHT = replace(COT, name="self_taught", batches=own_traces)


def with_condition(patched: pytest.MonkeyPatch, condition: Condition) -> None:
    patched.setitem(CONDITIONS, condition.name, condition)


def test_a_model_that_acts_while_it_learns_resumes_to_the_same_weights(tmp_path, monkeypatch):
    with_condition(monkeypatch, SELF_TAUGHT)
    spec = short_spec("self_taught")
    whole = train_run(spec, tmp_path / "whole")
    for step in (1, 3, 4):
        train_until_power_cut(spec, step, tmp_path / "cut")
    assert_same_run(train_run(spec, tmp_path / "cut"), whole)


def test_what_a_model_does_while_it_learns_depends_on_its_weights():
    setup = set_up(short_spec("cot"), Path(), {})
    batches, model = own_traces(setup), fresh_weights(setup)
    before, again = (batches(Step(0), model)[0].tokens for _ in range(2))
    for parameter in model.parameters():
        parameter.data *= -20
    assert torch.equal(before, again)
    assert not torch.equal(batches(Step(0), model)[0].tokens, before)


def test_a_condition_may_choose_its_loss_its_first_weights_its_steps_and_its_parents(tmp_path, monkeypatch):
    def from_parent(setup: Setup) -> Model:
        model = fresh_weights(setup)
        model.load_state_dict(setup.parents["base"].model.state_dict())  # pyright: ignore[reportAttributeAccessIssue]
        return model

    def no_change(model: Model, batches: list) -> torch.Tensor:
        return sum((parameter * 0).sum() for parameter in model.parameters())  # pyright: ignore[reportReturnType]

    continued = replace(
        COT,
        name="continued",
        parents=lambda spec: {"base": spec.model_copy(update={"condition": "cot"})},
        initial=from_parent,
        loss=no_change,
        steps=lambda spec: 2 * spec.train.steps,
    )
    with_condition(monkeypatch, continued)
    spec = short_spec("continued", weight_decay=0.0)
    reports = []
    run = train_run(spec, tmp_path, lambda *progress: reports.append(progress))
    assert reports[-1] == (10, 10, 0.0)
    (base,) = parents_of(spec).values()
    weights, before = (load_file(folder / "model.safetensors") for folder in (run, run_folder(base, tmp_path)))
    assert weights.keys() == before.keys()
    assert all(torch.equal(weights[name], before[name]) for name in weights)


# ── tasks ────────────────────────────────────────────────────────────────────────────────────────

TASKS: dict[str, Callable] = {
    "filter": small_task,
    "predict": lambda: small_task(query="predict 2"),
    "smooth": lambda: small_task(query="smooth 1"),
    "known": lambda: small_task(start="known"),
    "table": lambda: small_task(**IN_CONTEXT),
    "generalized": lambda: small_task(**GENERALIZED),
    "net": small_net_task,
}


@pytest.mark.parametrize("name", TASKS)
def test_a_task_that_a_condition_accepts_can_be_learned_and_others_list_those_that_can(tmp_path, name):
    task = TASKS[name]()
    conditions = {name: resolve_condition(name) for name in (*CONDITIONS, *NUMBERED)}
    fitting = [name for name in conditions if not conditions[name].unsupported(task)]
    for condition in conditions.values():
        if condition.name in fitting:
            spec = short_spec(condition.name, task=task)
            parents = {role: assemble(each, new_model(each), tmp_path) for role, each in parents_of(spec).items()}
            setup = set_up(spec, tmp_path, parents)
            batches = condition.batches(setup)(Step(0), model := condition.initial(setup))
            assert torch.isfinite(condition.loss(model, batches))
        else:
            listed = ", ".join(name for name in fitting if name in CONDITIONS)
            with pytest.raises(ValueError) as refusal:
                check_fits(condition, task)
            message = f"condition '{condition.name}' cannot learn {task.name}: "
            assert str(refusal.value).startswith(message)
            assert str(refusal.value).endswith(f"; choose from {listed}")
            assert len(str(refusal.value)) > len(message) + len(f"; choose from {listed}")  # a reason between them
