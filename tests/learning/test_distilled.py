"""Distillation: a student learns what its teacher's trace states, on questions that the teacher never trained on."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.learning.short_runs import SMALL, TRAINING, short_spec
from tests.learning.targets import assert_drawn_from, drawn, told
from tests.small_tasks import small_task
from unamortized.configuration.document import SpecError
from unamortized.evaluation.bayes_reader import reader_run
from unamortized.language.batches import Batch
from unamortized.language.meanings import code_meanings
from unamortized.language.rendering import Language
from unamortized.learning.conditions import CONDITIONS, distilled, resolve_condition
from unamortized.learning.conditions.distilled import DISTILLED, TEACHERS
from unamortized.learning.questions import LONGEST, questions
from unamortized.learning.runs import (
    assemble,
    flops_per_question,
    load_run,
    new_model,
    parents_of,
    plan_run,
    read_record,
    run_digest,
    run_folder,
    set_up,
    with_parents,
)
from unamortized.learning.specification import Run, RunSpec, Step, TrainSpec, fresh_weights
from unamortized.learning.training import train_run
from unamortized.models.flops import generation_flops
from unamortized.worlds.problems import Problems
from unamortized.worlds.tasks import Task


def student_spec(task: Task | None = None, options: dict[str, Any] | None = None, **changes) -> RunSpec:
    return short_spec("distilled", options, task=task or small_task(), **changes)


def teacher_of(spec: RunSpec) -> RunSpec:
    (teacher,) = parents_of(spec).values()
    return teacher


def untrained(spec: RunSpec) -> Run:
    """A run with random weights, large enough for its codes to vary."""
    model, generator = new_model(spec).eval(), torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        parameter.data += torch.randn(parameter.shape, generator=generator) * (0.5 if parameter.ndim == 2 else 0.1)
    return assemble(spec, model, Path("no folder"))


def taught_by(teacher: Run, spec: RunSpec, step: int = 0) -> tuple[list[Batch], list[Problems]]:
    """The student's batches of a step, and the problems that the teacher answered."""
    setup = set_up(spec, Path(), {"teacher": teacher})
    made = resolve_condition(spec.condition).batches(setup)(Step(step), fresh_weights(setup))
    return made, questions(setup, "distilled", own=LONGEST)(Step(step))


# ── what a teacher states ────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("start", ["fixed", "known", "belief"])
@pytest.mark.parametrize("condition", ["cot", "cot_streaming"])
def test_an_exact_teacher_gives_the_meanings_of_the_exact_codes(condition, start):
    task = small_task(start=start)
    batches, groups = taught_by(reader_run(task, 1, condition), student_spec(task, {"teacher": condition}))
    for batch, problems in zip(batches, groups, strict=True):
        language = set_up(student_spec(task), Path(), {}).language
        assert isinstance(language, Language)
        np.testing.assert_array_equal(batch.tokens.numpy(), language.render(problems).tokens)
        exact = language.vocabulary.codebook.encode(problems.beliefs[:, 1:])
        np.testing.assert_allclose(told(batch).distributions, code_meanings(task)[exact], atol=1e-6)


def written_by_hand(run: Run, problems: Problems) -> np.ndarray:
    """The codes that a model writes, one token after another, reading everything anew for each."""
    examples, block = run.render(problems), run.vocabulary.blocks["code"]
    tokens, positions = torch.from_numpy(examples.tokens.copy()), torch.from_numpy(examples.positions)[None]
    columns = np.flatnonzero(examples.produces != -1) + 1
    tokens[:, columns] = 0  # the exact codes, which the model must not see
    with torch.no_grad():
        for column in columns:
            logits = run.model(tokens[:, :column], positions[:, :column]).logits[:, -1]
            tokens[:, column] = block.start + logits[:, block].argmax(dim=-1)
    return tokens[:, columns].numpy() - block.start


@pytest.mark.parametrize("condition", ["cot", "cot_streaming", "cot_synonyms"])
def test_a_student_is_told_what_its_teacher_writes_whether_right_or_wrong(condition):
    task = small_task()
    spec = student_spec(task, {"teacher": condition})
    teacher = untrained(teacher_of(spec))
    (batch,), (problems,) = taught_by(teacher, spec)
    written = written_by_hand(teacher, problems)
    assert len(np.unique(written)) > 2
    codes = written % teacher.vocabulary.codebook.size  # a synonym states the same
    np.testing.assert_allclose(told(batch).distributions, code_meanings(task)[codes], atol=1e-6)


def test_where_the_question_is_a_prediction_a_stated_belief_implies_it():
    task = small_task(query="predict 2")
    spec = student_spec(task)
    teacher = untrained(teacher_of(spec))
    (batch,), (problems,) = taught_by(teacher, spec)
    beliefs, matrices = code_meanings(task)[written_by_hand(teacher, problems)], task.build().transitions
    implied = beliefs @ matrices.sum(axis=0) @ matrices.sum(axis=2).T  # one step on, then the next symbol
    np.testing.assert_allclose(told(batch).distributions, implied, atol=1e-6)


def test_drawn_labels_are_drawn_from_what_the_teacher_states():
    task, options = small_task(), {"labels": "drawn"}
    spec = student_spec(task, options, batch_size=2000)
    (batch,), (problems,) = taught_by(reader_run(task, 1), spec)
    language = set_up(spec, Path(), {}).language
    assert isinstance(language, Language)
    exact = language.vocabulary.codebook.encode(problems.beliefs[:, 1:])
    assert_drawn_from(drawn(batch, language), code_meanings(task)[exact])
    again = drawn(taught_by(reader_run(task, 1), spec)[0][0], language)
    np.testing.assert_array_equal(again, drawn(batch, language))


def test_a_trace_that_is_sampled_is_another_at_each_step_and_the_same_when_resumed(monkeypatch):
    spec = student_spec(options={"teacher": "cot_dithered"})
    _, groups = taught_by(untrained(teacher_of(spec)), spec)
    monkeypatch.setattr(distilled, "questions", lambda *_, **__: lambda step: groups)  # the same at each step
    first, again, next_step = (taught_by(untrained(teacher_of(spec)), spec, step)[0][0].targets for step in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, next_step)


# ── questions ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("lengths", ["own", "mixed"])
def test_a_teacher_never_trains_on_the_questions_that_it_answers_for_its_student(lengths):
    task = small_task(steps={"train": [9, 12], "test": [4]})  # long enough that no question occurs twice by chance
    spec = student_spec(task, lengths=lengths)
    teacher, dense = teacher_of(spec), short_spec("amortized_dense", task=task, lengths=lengths)
    assert (teacher.seed, teacher.task, teacher.train.lengths) == (spec.seed, task, "own")
    trained, answered, own = (words_of(each, untrained(teacher)) for each in (teacher, spec, dense))
    assert len(trained) == len(answered) == len(own) == 5 * TRAINING["batch_size"]
    assert not trained & answered
    assert bool(trained & own) == (lengths == "mixed")  # so that words in common would be found


def words_of(spec: RunSpec, teacher: Run) -> set[tuple[int, ...]]:
    """The observations of all questions of a training run."""
    setup = set_up(spec, Path(), {"teacher": teacher})
    made, model = resolve_condition(spec.condition).batches(setup), fresh_weights(setup)
    is_direct = spec.condition != "cot"  # <bos> x_1 .. x_n a, or with <think> c_1 .. c_n <answer>
    words = set()
    for step in range(spec.train.steps):
        for batch in made(Step(step), model):
            n_steps = batch.tokens.shape[1] - 2 if is_direct else batch.tokens.shape[1] // 2 - 2
            words |= {tuple(row) for row in batch.tokens[:, 1 : 1 + n_steps].tolist()}
    return words


def test_a_corpus_is_refused(tmp_path):
    setup = set_up(student_spec(questions=100), tmp_path, {"teacher": reader_run(small_task(), 1)})
    with pytest.raises(ValueError, match="condition distilled always draws fresh questions; leave out train.questions"):
        DISTILLED.batches(setup)


# ── the specification and its parents ────────────────────────────────────────────────────────────


def test_a_teacher_is_the_run_that_would_be_planned_for_its_condition():
    spec = student_spec(seed=3, snapshots=True, steps=7)
    planned = short_spec("cot", task=small_task(), seed=3, steps=7)
    assert teacher_of(spec) == planned
    for name, trace in TEACHERS.items():
        teacher = teacher_of(student_spec(options={"teacher": name}))
        assert teacher == short_spec(name, task=small_task())
        assert assemble(teacher, new_model(teacher), Path()).language.trace == trace
    longer = teacher_of(student_spec(options={"teacher_steps": 40}))
    assert longer == short_spec("cot", task=small_task(), steps=40)


def test_every_option_affects_the_digest():
    digests = [
        run_digest(student_spec(options=options))
        for options in ({}, {"teacher_steps": 40}, {"labels": "drawn"}, {"teacher": "cot_streaming"})
    ]
    assert len(set(digests)) == 4
    assert run_digest(student_spec(options={"teacher": "cot", "labels": "soft"})) == digests[0]  # the defaults


CHANGES: dict[str, dict[str, Any]] = {
    "task": {"task": small_task(codebook={"resolution": 5})},
    "seed": {"seed": 1},
    "model": {"model": SMALL.model_copy(update={"width": 32})},
    "train": {"train": TrainSpec.model_validate(TRAINING | {"weight_decay": 0.5})},
    "condition": {"condition": "cot_streaming"},
}


@pytest.mark.parametrize("changed", CHANGES)
def test_everything_that_affects_the_teachers_weights_affects_the_students_digest(monkeypatch, changed):
    spec = student_spec()
    other = teacher_of(spec).model_copy(update=CHANGES[changed])
    before = run_digest(spec)
    monkeypatch.setitem(CONDITIONS, "distilled", replace(DISTILLED, parents=lambda spec: {"teacher": other}))
    assert run_digest(spec) != before


def test_the_role_of_a_parent_affects_the_digest(monkeypatch):
    spec = student_spec()
    same, before = teacher_of(spec), run_digest(spec)
    monkeypatch.setitem(CONDITIONS, "distilled", replace(DISTILLED, parents=lambda spec: {"other": same}))
    assert run_digest(spec) != before


def test_what_does_not_affect_the_teachers_weights_does_not_affect_the_students_digest():
    tested_elsewhere = small_task(steps={"train": [3, 6], "test": [5, 50]})
    same = [student_spec(checkpoint_every=3), student_spec(tested_elsewhere)]
    assert {run_digest(each) for each in same} == {run_digest(student_spec())}


def test_runs_are_listed_after_those_that_they_learn_from(monkeypatch):
    def parents(spec: RunSpec) -> dict[str, RunSpec]:
        return {"base": short_spec("amortized"), "guide": student_spec()}

    monkeypatch.setitem(CONDITIONS, "grandchild", replace(DISTILLED, name="grandchild", parents=parents))
    spec = short_spec("grandchild")
    assert list(parents_of(spec)) == ["base", "guide"]
    conditions = [each.condition for each in with_parents(spec)]
    assert conditions == ["amortized", "cot", "distilled", "grandchild"]
    assert [each.condition for each in with_parents(student_spec())] == ["cot", "distilled"]
    assert with_parents(short_spec("cot")) == [short_spec("cot")]


@pytest.mark.parametrize(
    ("condition", "options", "message"),
    [
        ("distilled", {"teachr": "cot"}, "the condition's options: teachr: unknown field; did you mean 'teacher'?"),
        ("distilled", {"labels": "argmax"}, "labels: must be one of 'soft', 'drawn' (got 'argmax')"),
        ("distilled", {"teacher": "amortized"}, "teacher: must be one of 'cot', 'cot_dithered', 'cot_streaming', 'cot"),
        ("distilled", {"teacher_steps": 0}, "teacher_steps: must be at least 1 (got 0)"),
        ("cot", {"teacher": "cot"}, "the condition's options: teacher: unknown field"),
    ],
)
def test_a_wrong_option_is_an_error_that_names_it(condition, options, message):
    with pytest.raises(SpecError) as error:
        plan_run(small_task(), condition, 0, SMALL, TrainSpec(), options)
    assert message in str(error.value)
    assert str(error.value).endswith("1 problem in the condition's options; nothing was run.")


# ── costs and records ────────────────────────────────────────────────────────────────────────────


WRITTEN = {
    "cot": [*[False] * 7, False, *[True] * 6, False, True],  # <bos> x_1 .. x_6 <think> c_1 .. c_6 <answer> a
    "cot_streaming": [False, False, *[False, True] * 6, False, True],  # <bos> <think> x_1 c_1 .. x_6 c_6 <answer> a
}


@pytest.mark.parametrize("teacher", WRITTEN)
def test_the_cost_includes_the_trace_that_the_teacher_writes(teacher):
    task = small_task()
    spec = student_spec(task, {"teacher": teacher})
    size = assemble(teacher_of(spec), new_model(teacher_of(spec)), Path()).vocabulary.size
    teaching = generation_flops(SMALL, size, WRITTEN[teacher])
    assert teaching > 0
    dense = flops_per_question(short_spec("amortized_dense", task=task))
    assert flops_per_question(spec) == pytest.approx(dense + teaching, rel=1e-12)


def test_a_run_records_its_teacher_and_both_are_left_finished(tmp_path):
    spec = student_spec(options={"labels": "drawn", "teacher_steps": 3})
    folder = train_run(spec, tmp_path)
    teacher = run_folder(teacher_of(spec), tmp_path)
    assert read_record(folder)["parents"] == {"teacher": teacher.name}
    assert load_run(teacher).spec.train.steps == 3
    assert load_run(folder).spec == spec
    assert read_record(teacher)["parents"] == {}
    cost = read_record(folder)["cost"]
    assert cost["training_flops"] == pytest.approx(flops_per_question(spec) * 5 * 8)


def test_the_cost_of_a_student_names_that_of_its_teacher(tmp_path):
    spec = student_spec(options={"teacher_steps": 2})
    student = read_record(train_run(spec, tmp_path))["cost"]
    teacher = read_record(train_run(teacher_of(spec), tmp_path))["cost"]
    assert student["parents_flops"] == teacher["training_flops"] > 0 == teacher["parents_flops"]
