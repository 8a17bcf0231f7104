"""Tasks: their fields, the errors of invalid ones, and the fields that decide their fingerprint."""

import hashlib
import json
import math
import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.worlds.written_tasks import MINE, load_error, replaced, single_error
from unamortized.worlds.steps import Steps
from unamortized.worlds.task_files import load_task
from unamortized.worlds.tasks import LARGEST_CODEBOOK, CodebookSpec, Query, Task

pytestmark = pytest.mark.usefixtures("task_folder")

FILES = Path(__file__).parents[2].joinpath("tasks").glob("*.yaml")
SHIPPED = sorted(file for file in FILES if "\nprocess:" in file.read_text())  # test_net_tasks tests those about nets


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_every_shipped_task_loads_and_builds_and_its_file_explains_each_field(file):
    task = load_task(file)
    process = task.build()
    assert task.name == file.stem
    assert process.is_generalized or process.transitions.sum(axis=(0, 2)) == pytest.approx(1)
    assert Task.model_validate(task.canonical()) == task
    assert task.steps.beyond_training
    assert any(length <= task.steps.train[1] for length in task.steps.test)
    for line in file.read_text().splitlines():
        if re.match(r" +\w+: ", line) and "family:" not in line:
            assert " # " in line, line
    size = re.search(r"here (\d+)", file.read_text())
    assert size
    assert int(size[1]) == task.codebook.size(process.n_symbols if process.is_generalized else process.n_states)


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


def test_a_task_holds_the_fields_of_its_file_and_the_defaults():
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


def test_a_task_is_immutable():
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


def test_all_errors_come_at_once_with_line_field_and_remedy():
    text = (
        replaced("slip: 0.02", "slip: 1.2")
        .replace("symbols: 4", "simbols: 4")
        .replace("start: fixed", "start: fxed")
        .replace("query: filter\n", "")
        .replace("[1, 16]", "[16, 1]")
        .replace("[4, 64]", "[8, 4, 8]")
        .replace("resolution: 8", "resolution: five")
    )
    assert load_error("process.seed=true", text=text) == (
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
        ("slip: 0.02", "slip: 0.02\n  slip: 1", "7: process.slip: written twice (first on line 6); keep one"),
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
def test_each_kind_of_error_names_line_field_and_requirement(old, new, expected):
    assert load_error(text=replaced(old, new)) == single_error(f"tasks/mine.yaml:{expected}")


@pytest.mark.parametrize("text", ["fliter", "predict", "predict 0", "smooth -1", "filter 2", "3"])
def test_a_query_has_one_of_three_forms(text):
    requirement = "must be 'filter', 'predict 1' (or more) or 'smooth 0' (or more)"
    written = f"(got {text if text == '3' else repr(text)})"
    hint = "; did you mean 'filter'?" if text == "fliter" else ""
    assert load_error(f"query={text}") == (
        f"override query={text}: {requirement} {written}{hint}\n1 problem in the overrides; nothing was run."
    )


@pytest.mark.parametrize("kind, argument", [("filter", 0), ("predict", None), ("predict", 0), ("smooth", -1)])
def test_a_query_from_code_is_validated_too(kind, argument):
    with pytest.raises(ValidationError):
        Query(kind=kind, argument=argument)


@given(k=st.integers(1, 999), j=st.integers(0, 999))
def test_a_query_is_written_in_the_form_it_is_read(k, j):
    for text in ("filter", f"predict {k}", f"smooth {j}"):
        query = Query.model_validate(text)
        assert str(query) == query.model_dump() == text
    assert Query.model_validate(f"predict {k}") == Query(kind="predict", argument=k)


def test_smoothing_needs_every_length_to_be_greater_than_its_state():
    overrides = ["query=smooth 3", "steps.train=[4, 8]"]
    assert load_task("mine", overrides).query.argument == 3
    assert load_error(*overrides, "steps.test=[3, 9]") == (
        "override query=smooth 3: asks for state 3, so every length must be greater; steps.test has 3\n"
        "1 problem in the overrides; nothing was run."
    )


@given(states=st.integers(1, 12), resolution=st.integers(1, 60))
@example(states=2, resolution=5000)
def test_an_error_about_the_codebook_names_the_largest_resolution_that_fits(states, resolution):
    size = CodebookSpec(resolution=resolution).size(states)
    assert size == math.comb(resolution + states - 1, resolution)
    message = CodebookSpec(resolution=resolution).violation(states)
    assert bool(message) == (size > LARGEST_CODEBOOK)
    if message:
        named = int(message.removesuffix(" or less").split()[-1])
        assert CodebookSpec(resolution=named).size(states) <= LARGEST_CODEBOOK
        assert CodebookSpec(resolution=named + 1).size(states) > LARGEST_CODEBOOK


def test_a_process_with_too_many_states_for_any_codebook_is_an_error():
    assert CodebookSpec(resolution=1).violation(6000) == (
        "1 gives 6000 codes for 6000 states, more than 5000; this process has too many states for a codebook"
    )
    huge = "9" * 200
    assert load_error(f"codebook.resolution={huge}", "process.states=500").startswith(
        f"override codebook.resolution={huge}: {huge} gives over a billion codes for 500 states, "
        "more than 5000; write 1 or less\n"
    )


@pytest.mark.parametrize("part", ["process.slip=0.1", "process.seed=1", "query=predict 1", "start=known"])
def test_the_fingerprint_changes_with_each_field_that_affects_the_problems(part):
    assert load_task("mine", [part]).fingerprint() != load_task("mine").fingerprint()


SAME = ["name=other", "steps.test=[4]", "steps.train=[2, 9]", "codebook.resolution=3", "process.slip=2e-2"]


@pytest.mark.parametrize("part", [*SAME, "process.seed=0", "process.informativeness=0"])
def test_the_fingerprint_does_not_change_with_other_fields(part):
    assert load_task("mine", [part]).fingerprint() == load_task("mine").fingerprint()


def test_the_fingerprint_is_the_hash_of_canonical_json():
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
