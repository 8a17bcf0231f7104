"""The process block of a task file: errors name the parameter, equal processes are built once, files are stored."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from tests.worlds.written_tasks import MINE, load_error, replaced, single_error, write
from unamortized.worlds import process_spec
from unamortized.worlds.process_spec import ProcessSpec
from unamortized.worlds.processes import FAMILIES
from unamortized.worlds.task_files import load_task
from unamortized.worlds.tasks import Task

pytestmark = pytest.mark.usefixtures("task_folder")


def test_an_unknown_family_is_an_error_that_lists_the_families():
    options = ", ".join(repr(family) for family in sorted(FAMILIES))
    assert load_error(text=replaced("noisy_permutation", "noisy_permutations")) == single_error(
        f"tasks/mine.yaml:3: process.family: must be one of {options} (got 'noisy_permutations'); "
        "did you mean 'noisy_permutation'?"
    )


def test_an_error_from_building_is_reported_at_its_parameter():
    assert load_error("process.symbols=121").startswith("override process.symbols=121: must be at most 120")
    text = replaced("symbols: 4", "symbols: 121")
    assert load_error(text=text).startswith("tasks/mine.yaml:5: process.symbols: must be at most 120")
    message = "there are 2 closed sets of states"  # begins with no parameter
    assert ProcessSpec(family="noisy_permutation").violation(message) == ((), message)


def test_a_process_is_built_once_for_equal_specs():
    assert load_task("mine").build() is load_task("mine", ["name=other", "steps.test=[9]"]).build()
    assert load_task("mine").build() is not load_task("mine", ["process.seed=1"]).build()


MATRICES = {"transitions": [[[0.5, 0.0], [0.25, 0.25]], [[0.0, 0.5], [0.25, 0.25]]], "initial": [0.25, 0.75]}


@pytest.fixture
def with_matrices(task_folder):
    Path("tasks/mine.json").write_text(json.dumps(MATRICES))
    text = re.sub(r"process:\n(  .*\n)+", "process:\n  family: matrices\n  path: mine.json\n", MINE)
    write(text)
    return text


@pytest.mark.usefixtures("with_matrices")
def test_matrices_are_read_from_the_task_folder_and_stored_in_the_task(monkeypatch):
    task = load_task("mine")
    Path("tasks/mine.json").unlink()
    monkeypatch.chdir("tasks")
    again = Task.model_validate(json.loads(json.dumps(task.canonical())))
    assert again == task
    assert again.fingerprint() == task.fingerprint()
    assert "tasks" not in json.dumps(task.canonical())
    process_spec._build.cache_clear()
    process = again.build()
    np.testing.assert_array_equal(process.transitions, MATRICES["transitions"])
    np.testing.assert_array_equal(process.initial, MATRICES["initial"])


@pytest.mark.usefixtures("with_matrices")
def test_the_fingerprint_of_matrices_depends_on_their_content_not_their_path():
    first = load_task("mine").fingerprint()
    Path("tasks/mine.json").rename("tasks/moved.json")
    assert load_task("mine", ["process.path=moved.json"]).fingerprint() == first
    Path("tasks/moved.json").write_text(json.dumps(MATRICES | {"initial": [0.5, 0.5]}))
    assert load_task("mine", ["process.path=moved.json"]).fingerprint() != first


def test_invalid_matrices_are_reported_at_the_line_of_their_path(with_matrices):
    where = "override process.path=none.json: tasks/none.json: "
    assert load_error("process.path=none.json", text=with_matrices).startswith(where)
    Path("tasks/mine.json").write_text(json.dumps(MATRICES | {"initial": [1, 1]}))
    where = "tasks/mine.yaml:4: process.path: tasks/mine.json: initial must sum to 1"
    assert load_error(text=with_matrices).startswith(where)
    assert load_error("process.path=5", text=with_matrices) == (
        "override process.path=5: must be text (got 5)\n1 problem in the overrides; nothing was run."
    )
