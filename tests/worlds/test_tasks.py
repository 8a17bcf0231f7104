"""Task files: what they may hold, what is said when they do not, and what identifies their problems."""

import hashlib
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from unamortized.configuration.document import SpecError
from unamortized.worlds import tasks
from unamortized.worlds.processes import FAMILIES
from unamortized.worlds.steps import Steps
from unamortized.worlds.task_files import load_task
from unamortized.worlds.tasks import LARGEST_CODEBOOK, CodebookSpec, Query, Task

FILES = Path(__file__).parents[2].joinpath("tasks").glob("*.yaml")
SHIPPED = sorted(file for file in FILES if "\nprocess:" in file.read_text())  # those about nets have tests of their own

MINE = """\
# a task of my own
process:
  family: noisy_permutation
  states: 5
  symbols: 4
  slip: 0.02
query: filter
start: fixed
steps:
  train: [1, 16]
  test: [4, 64]
codebook:
  resolution: 8
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty folder with one task in `tasks/`, as the current one, so that messages have short paths."""
    monkeypatch.chdir(tmp_path)
    Path("tasks").mkdir()
    write(MINE)
    return tmp_path


def write(text: str) -> None:
    Path("tasks/mine.yaml").write_text(text)


def complaint(*overrides: str, text: str = MINE) -> str:
    write(text)
    with pytest.raises(SpecError) as caught:
        load_task("mine", overrides)
    return str(caught.value)


def changed(old: str, new: str) -> str:
    assert MINE.count(old) == 1
    return MINE.replace(old, new)


def only(message: str) -> str:
    return f"{message}\n1 problem in tasks/mine.yaml; nothing was run."


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_every_shipped_task_loads_builds_and_is_explained(file):
    task = load_task(file)
    process = task.build()
    assert task.name == file.stem
    assert process.is_generalized or process.transitions.sum(axis=(0, 2)) == pytest.approx(1)
    assert Task.model_validate(task.canonical()) == task
    assert task.steps.beyond_training
    assert any(length <= task.steps.train[1] for length in task.steps.test)
    for line in file.read_text().splitlines():  # each field says what it is
        if re.match(r" +\w+: ", line) and "family:" not in line:
            assert " # " in line, line
    says = re.search(r"here (\d+)", file.read_text())
    assert says
    assert int(says[1]) == task.codebook.size(process.n_symbols if process.is_generalized else process.n_states)


def test_there_are_shipped_tasks():
    names = {file.stem for file in SHIPPED}
    assert names >= {
        "noisy_permutation",
        "mess3",
        "group_word_s3",
        "group_word_s5",
        "zero_one_random",
        "rrxor",
    }


def test_a_task_holds_what_its_file_says_with_defaults_filled_in():
    task = load_task("mine")
    assert task.canonical() == {
        "name": "mine",
        "process": {
            "family": "noisy_permutation",
            "states": 5,
            "symbols": 4,
            "slip": 0.02,
            "informativeness": 0.0,
            "seed": 0,
        },
        "query": "filter",
        "start": "fixed",
        "steps": {"train": [1, 16], "test": [4, 64]},
        "codebook": {"resolution": 8},
    }
    assert task.process.family == "noisy_permutation"
    assert task.process.parameters["slip"] == 0.02
    assert task.query == Query(kind="filter")
    assert task.steps == Steps(train=(1, 16), test=(4, 64))
    assert task.steps.beyond_training == (64,)
    assert task.codebook.size(5) == 495
    assert task.build().transitions.shape == (4, 5, 5)


def test_a_task_is_found_by_name_by_path_and_may_name_itself():
    assert load_task("mine") == load_task("tasks/mine.yaml") == load_task(Path("tasks/mine.yaml").resolve())
    write("name: other\n" + MINE)
    assert load_task("mine").name == "other"


def test_a_task_does_not_change_after_it_was_checked():
    task = load_task("mine")
    for part, field, value in [
        (task, "start", "known"),
        (task.process, "family", "x"),
        (task.steps, "test", ()),
    ]:
        with pytest.raises(ValidationError):
            setattr(part, field, value)
    task.process.parameters["slip"] = 1.0
    assert task.process.parameters["slip"] == 0.02


def test_all_mistakes_come_at_once_with_line_field_and_fix():
    text = (
        changed("slip: 0.02", "slip: 1.2")
        .replace("symbols: 4", "simbols: 4")
        .replace("start: fixed", "start: fxed")
        .replace("query: filter\n", "")
        .replace("[1, 16]", "[16, 1]")
        .replace("[4, 64]", "[8, 4, 8]")
        .replace("resolution: 8", "resolution: five")
    )
    assert complaint("process.seed=true", text=text) == (
        "tasks/mine.yaml:2: query: missing; write for example 'query: filter'\n"
        "tasks/mine.yaml:5: process.simbols: unknown field; did you mean 'symbols'?\n"
        "tasks/mine.yaml:6: process.slip: must be between 0 and 1 (got 1.2)\n"
        "tasks/mine.yaml:7: start: must be one of 'fixed', 'known', 'belief' (got 'fxed'); did you mean 'fixed'?\n"
        "tasks/mine.yaml:9: steps.train: the first length must not exceed the last (got [16, 1])\n"
        "tasks/mine.yaml:10: steps.test: must ascend without repeats; write [4, 8] (got [8, 4, 8])\n"
        "tasks/mine.yaml:12: codebook.resolution: must be a whole number (got 'five')\n"
        "override process.seed=true: must be a whole number (got true)\n"
        "8 problems in tasks/mine.yaml and its overrides; nothing was run."
    )


@pytest.mark.parametrize(
    "old, new, expected",
    [
        ("slip: 0.02", "slip: 0.02\n  slip: 1", "7: process.slip: written twice (first in line 6); keep one"),
        ("states: 5", "states: '5'", "4: process.states: must be a whole number (got '5')"),
        ("states: 5", "states: 1", "4: process.states: must be between 2 and 1000 (got 1)"),
        ("slip: 0.02", "slip: .nan", "6: process.slip: must be a finite number (got nan)"),
        ("family: noisy_permutation", "family: 3", "3: process.family: must be text (got 3)"),
        (
            "  family: noisy_permutation\n",
            "",
            "2: process.family: missing; write for example 'family: noisy_permutation'",
        ),
        ("train: [1, 16]", "train: [0, 16]", "10: steps.train[0]: must be at least 1 (got 0)"),
        ("train: [1, 16]", "train: 16", "10: steps.train: must be a list (got 16)"),
        ("train: [1, 16]", "train: [1]", "10: steps.train: must be a list of 2 values (got [1])"),
        ("train: [1, 16]", "train: [1, 1.5]", "10: steps.train[1]: must be a whole number (got 1.5)"),
        ("test: [4, 64]", "test: [6.5]", "11: steps.test[0]: must be a whole number (got 6.5)"),
        ("test: [4, 64]", "test: []", "11: steps.test: must have at least 1 entry (got [])"),
        ("[4, 64]", "[4, 4]", "11: steps.test: must ascend without repeats; write [4] (got [4, 4])"),
        ("  train: [1, 16]\n", "", "9: steps.train: missing; write for example 'train: [1, 16]'"),
        ("resolution: 8", "resolution: 0", "13: codebook.resolution: must be at least 1 (got 0)"),
        (
            "resolution: 8",
            "resolution: 20",
            "13: codebook.resolution: 20 gives 10626 codes for 5 states, more than 5000; write 16 or less",
        ),
        (
            "query: filter",
            "query: smooth 1",
            "7: query: asks for state 1, so every length must be greater; steps.train has 1",
        ),
        ("# a", "name: my-x #", "1: name: must be lower_snake_case, for example 'my_task' (got 'my-x')"),
        ("# a task", "nmae: x #", "1: nmae: unknown field; did you mean 'name'?"),
    ],
)
def test_each_kind_of_mistake_has_its_words(old, new, expected):
    assert complaint(text=changed(old, new)) == only(f"tasks/mine.yaml:{expected}")


def test_an_unknown_family_lists_those_there_are():
    options = ", ".join(repr(family) for family in sorted(FAMILIES))
    assert complaint(text=changed("noisy_permutation", "noisy_permutations")) == only(
        f"tasks/mine.yaml:3: process.family: must be one of {options} (got 'noisy_permutations'); "
        "did you mean 'noisy_permutation'?"
    )


def test_what_only_building_shows_is_reported_at_the_parameter_it_is_about():
    assert complaint("process.symbols=121").startswith("override process.symbols=121: must be at most 120")
    text = changed("symbols: 4", "symbols: 121")
    assert complaint(text=text).startswith("tasks/mine.yaml:5: process.symbols: must be at most 120")
    spec, message = (
        tasks.ProcessSpec(family="noisy_permutation"),
        "there are 2 sets of states that are never left",
    )
    assert tasks._unbuildable(spec, message) == (("process",), message)


@pytest.mark.parametrize("wrong", ["fliter", "predict", "predict 0", "smooth -1", "filter 2", "3"])
def test_a_query_is_one_of_three_forms(wrong):
    need = "must be 'filter', 'predict 1' (or more) or 'smooth 0' (or more)"
    written = f"(got {wrong if wrong == '3' else repr(wrong)})"
    near = "; did you mean 'filter'?" if wrong == "fliter" else ""
    assert complaint(f"query={wrong}") == (
        f"override query={wrong}: {need} {written}{near}\n1 problem in the overrides; nothing was run."
    )


@pytest.mark.parametrize("kind, argument", [("filter", 0), ("predict", None), ("predict", 0), ("smooth", -1)])
def test_a_query_made_in_code_is_checked_alike(kind, argument):
    with pytest.raises(ValidationError):
        Query(kind=kind, argument=argument)


@given(k=st.integers(1, 999), j=st.integers(0, 999))
def test_a_query_is_written_as_it_is_read(k, j):
    for text in ("filter", f"predict {k}", f"smooth {j}"):
        query = Query.model_validate(text)
        assert str(query) == query.model_dump() == text
    assert Query.model_validate(f"predict {k}") == Query(kind="predict", argument=k)


def test_smoothing_needs_every_length_to_be_greater_than_its_state():
    overrides = ["query=smooth 3", "steps.train=[4, 8]"]
    assert load_task("mine", overrides).query.argument == 3
    assert complaint(*overrides, "steps.test=[3, 9]") == (
        "override query=smooth 3: asks for state 3, so every length must be greater; steps.test has 3\n"
        "1 problem in the overrides; nothing was run."
    )


@given(states=st.integers(1, 12), resolution=st.integers(1, 60))
@example(states=2, resolution=5000)
def test_the_largest_resolution_that_is_named_is_the_largest_that_fits(states, resolution):
    size = CodebookSpec(resolution=resolution).size(states)
    assert size == math.comb(resolution + states - 1, resolution)
    if size > LARGEST_CODEBOOK:
        message = tasks._too_many_codes(resolution, states, size)
        named = int(message.removesuffix(" or less").split()[-1])
        assert CodebookSpec(resolution=named).size(states) <= LARGEST_CODEBOOK
        assert CodebookSpec(resolution=named + 1).size(states) > LARGEST_CODEBOOK


def test_codebooks_that_never_fit_say_so():
    assert tasks._too_many_codes(1, 6000, 6000) == (
        "1 gives 6000 codes for 6000 states, more than 5000; this process has too many states for a codebook"
    )
    huge = "9" * 200
    assert complaint(f"codebook.resolution={huge}", "process.states=500").startswith(
        f"override codebook.resolution={huge}: {huge} gives over a billion codes for 500 states, "
        "more than 5000; write 1 or less\n"
    )


def test_an_unknown_task_lists_those_there_are():
    Path("tasks/mess3.yaml").write_text(MINE)
    for wanted, expected in [
        ("mes3", "tasks/mes3.yaml: no such task; the tasks here are mess3, mine; did you mean 'mess3'?"),
        ("tasks/no.yaml", "tasks/no.yaml: no such task; the tasks here are mess3, mine"),
        ("elsewhere/mine.yaml", "elsewhere/mine.yaml: no such task; there are no tasks in elsewhere/"),
    ]:
        with pytest.raises(SpecError) as caught:
            load_task(wanted)
        assert str(caught.value).splitlines()[0] == expected


def test_overrides_are_checked_like_the_file():
    task = load_task("mine", ["process.slip=0.1", "steps.test=[2, 4]", "name=other", "query=predict 2"])
    assert (task.process.parameters["slip"], task.steps.test, task.name) == (0.1, (2, 4), "other")
    assert str(task.query) == "predict 2"
    assert complaint("process.slip=1.2", "proces.slip=1", "steps.tests=[1]") == (
        "override process.slip=1.2: must be between 0 and 1 (got 1.2)\n"
        "override steps.tests=[1]: unknown field; did you mean 'test'?\n"
        "override proces.slip=1: proces: unknown field; did you mean 'process'?\n"
        "3 problems in the overrides; nothing was run."
    )


def test_a_process_is_built_once_for_equal_specs():
    assert load_task("mine").build() is load_task("mine", ["name=other", "steps.test=[9]"]).build()
    assert load_task("mine").build() is not load_task("mine", ["process.seed=1"]).build()


@pytest.mark.parametrize("part", ["process.slip=0.1", "process.seed=1", "query=predict 1", "start=known"])
def test_the_fingerprint_changes_with_what_decides_the_problems(part):
    assert load_task("mine", [part]).fingerprint() != load_task("mine").fingerprint()


SAME = ["name=other", "steps.test=[4]", "steps.train=[2, 9]", "codebook.resolution=3", "process.slip=2e-2"]


@pytest.mark.parametrize("part", [*SAME, "process.seed=0", "process.informativeness=0"])
def test_the_fingerprint_does_not_change_with_anything_else(part):
    assert load_task("mine", [part]).fingerprint() == load_task("mine").fingerprint()


def test_the_fingerprint_is_that_of_a_text_that_is_the_same_on_every_machine_and_day():
    process = "process: {a: 0.85, family: mess3, x: 5e-2}\n"
    Path("tasks/mess3.yaml").write_text(re.sub(r"process:\n(  .*\n)+", process, MINE))
    text = '{"process":{"a":0.85,"family":"mess3","x":0.05},"query":"filter","start":"fixed"}'
    assert load_task("mess3").fingerprint() == hashlib.sha256(text.encode()).hexdigest()[:16]


@given(
    slip=st.floats(0, 1),
    seed=st.integers(0, 2**32 - 1),
    query=st.sampled_from(["filter", "predict 7", "smooth 1"]),
    start=st.sampled_from(["fixed", "known"]),
    train=st.tuples(st.integers(2, 30), st.integers(2, 30)).map(sorted),
    test=st.sets(st.integers(2, 99), min_size=1).map(sorted),
    resolution=st.integers(1, 16),
)
def test_a_canonical_task_survives_json(slip, seed, query, start, train, test, resolution):
    task = Task.model_validate(
        {
            "name": "mine",
            "process": {"family": "noisy_permutation", "slip": slip, "seed": seed},
            "query": query,
            "start": start,
            "steps": {"train": train, "test": test},
            "codebook": {"resolution": resolution},
        }
    )
    again = Task.model_validate(json.loads(json.dumps(task.canonical())))
    assert again == task
    assert again.canonical() == task.canonical()
    assert again.fingerprint() == task.fingerprint()


MATRICES = {"transitions": [[[0.5, 0.0], [0.25, 0.25]], [[0.0, 0.5], [0.25, 0.25]]], "initial": [0.25, 0.75]}


@pytest.fixture
def with_matrices():
    Path("tasks/mine.json").write_text(json.dumps(MATRICES))
    text = re.sub(r"process:\n(  .*\n)+", "process:\n  family: matrices\n  path: mine.json\n", MINE)
    write(text)
    return text


@pytest.mark.usefixtures("with_matrices")
def test_matrices_are_read_beside_the_task_file_and_then_belong_to_the_task(monkeypatch):
    task = load_task("mine")
    Path("tasks/mine.json").unlink()
    monkeypatch.chdir("tasks")
    again = Task.model_validate(json.loads(json.dumps(task.canonical())))
    assert again == task
    assert again.fingerprint() == task.fingerprint()
    assert "tasks" not in json.dumps(task.canonical())
    tasks._build.cache_clear()
    process = again.build()
    np.testing.assert_array_equal(process.transitions, MATRICES["transitions"])
    np.testing.assert_array_equal(process.initial, MATRICES["initial"])


@pytest.mark.usefixtures("with_matrices")
def test_the_fingerprint_of_matrices_is_that_of_their_content_not_their_path():
    first = load_task("mine").fingerprint()
    Path("tasks/mine.json").rename("tasks/moved.json")
    assert load_task("mine", ["process.path=moved.json"]).fingerprint() == first
    Path("tasks/moved.json").write_text(json.dumps(MATRICES | {"initial": [0.5, 0.5]}))
    assert load_task("mine", ["process.path=moved.json"]).fingerprint() != first


def test_wrong_matrices_are_reported_at_the_line_of_their_path(with_matrices):
    where = "override process.path=none.json: tasks/none.json: "
    assert complaint("process.path=none.json", text=with_matrices).startswith(where)
    Path("tasks/mine.json").write_text(json.dumps(MATRICES | {"initial": [1, 1]}))
    where = "tasks/mine.yaml:4: process.path: tasks/mine.json: initial must sum to 1"
    assert complaint(text=with_matrices).startswith(where)
    assert complaint("process.path=5", text=with_matrices) == (
        "override process.path=5: must be text (got 5)\n1 problem in the overrides; nothing was run."
    )
