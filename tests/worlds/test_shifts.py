"""The shifts that task files may declare, and the errors of invalid ones."""

import re

import numpy as np
import pytest

from tests.worlds.written_tasks import load_error, replaced, write
from unamortized.worlds.shifts import AXES, Shifts
from unamortized.worlds.task_files import load_task
from unamortized.worlds.tasks import Task

MINE = (
    replaced("start: fixed", "start: known")
    .replace("resolution: 8", "resolution: 4")
    .removeprefix("# a task of my own\n")
)
GOLDEN = re.sub(r"process:\n(  .*\n)+", "process:\n  family: no_consecutive_ones\n", MINE)
GROUP = re.sub(r"process:\n(  .*\n)+", "process:\n  family: group_word\n  group: S3\n", MINE)
TABLES = MINE.replace("noisy_permutation", "in_context")
QUBIT = re.sub(r"process:\n(  .*\n)+query: .*\nstart: .*\n", "process:\n  family: tom_quantum\nQ\nstart: fixed\n", MINE)
QUBIT = QUBIT.replace("Q", "query: predict 1")
MIXED = "process:\n  family: mixture\n  components:\n    - family: mess3\n    - {family: mess3, x: 0.1}\n"
MIXED = re.sub(r"process:\n(  .*\n)+", MIXED, MINE)

pytestmark = pytest.mark.usefixtures("task_folder")


def loaded(shifts: str, text: str = MINE) -> Task:
    write(text + shifts)
    return load_task("mine")


def errors(shifts: str, text: str = MINE) -> list[str]:
    *lines, last = load_error(text=text + shifts).splitlines()
    assert last.endswith("in tasks/mine.yaml; nothing was run.")
    return lines


def test_a_task_may_declare_shifts():
    task = loaded(
        "shifts:\n  parameters: {slip: 0.1}\n  start: [1, 4]\n  rare: 0.1\n  composition: [[0, 1], [2, 2]]\n"
        "  crossed: [[length, parameters], [start, composition]]\n"
    )
    assert task.shifts.declared == ("parameters", "start", "rare", "composition") == AXES
    assert task.shifts.withheld == ("start", "rare", "composition")
    assert task.shifts.crossed == (("length", "parameters"), ("start", "composition"))
    assert task.shifted_process().emissions == pytest.approx(task.build().emissions)
    assert Task.model_validate(task.canonical()) == task
    assert Task.model_validate_json(task.model_dump_json()) == task
    with_tables = loaded("shifts:\n  parameters: tables\n", TABLES.replace("known", "fixed"))
    assert with_tables.shifts.withheld == with_tables.shifts.declared == ("parameters",)


@pytest.mark.parametrize("shifts", ["", "shifts: {}\n", "shifts:\n  rare: null\n", "shifts:\n  crossed: []\n"])
def test_undeclared_shifts_are_not_serialized(shifts):
    task = loaded(shifts)
    assert task.shifts == Shifts()
    assert "shifts" not in task.canonical()
    assert "shifts" not in task.model_dump()
    assert task == loaded("")


def test_the_fingerprint_changes_with_withheld_shifts_only():
    plain = loaded("").fingerprint()
    assert loaded("shifts:\n  parameters: {slip: 0.5}\n  crossed: [[length, parameters]]\n").fingerprint() == plain
    withheld = ["start: [1]", "start: [2]", "rare: 0.1", "rare: 0.2", "composition: [[0, 1]]", "composition: [[1, 0]]"]
    prints = [loaded(f"shifts:\n  {line}\n").fingerprint() for line in withheld]
    text = TABLES.replace("known", "fixed")
    prints += [loaded("", text).fingerprint(), loaded("shifts:\n  parameters: tables\n", text).fingerprint()]
    assert len({plain, *prints}) == 1 + len(prints)
    crossed = loaded("shifts:\n  start: [1]\n  crossed: [[length, start]]\n").fingerprint()
    assert crossed == prints[0]  # a crossed test is no other problem


SOME = "must be some, not all, of the states that problems start in:"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("strat: [1]", "strat: unknown field; did you mean 'start'?"),
        ("length: 3", "length: unknown field; the fields here are " + ", ".join(map(repr, Shifts.model_fields))),
        ("start: 1", "start: must be a list (got 1)"),
        ("start: []", "start: must have at least 1 entry (got [])"),
        ("start: [1.0]", "start[0]: must be a whole number (got 1.0)"),
        ("start: [0, -1]", "start[1]: must be at least 0 (got -1)"),
        ("start: [2, 1, 2]", "start: must ascend without repeats; write [1, 2] (got [2, 1, 2])"),
        ("start: [5]", f"start: {SOME} 0 to 4 (got [5])"),
        ("start: [0, 1, 2, 3, 4]", f"start: {SOME} 0 to 4 (got [0, 1, 2, 3, 4])"),
        ("rare: 0", "rare: must be greater than 0 and at most 0.5 (got 0)"),
        ("rare: 0.9", "rare: must be greater than 0 and at most 0.5 (got 0.9)"),
        ("rare: often", "rare: must be a number (got 'often')"),
        ("composition: 3", "composition: must be a list (got 3)"),
        ("composition: []", "composition: must have at least 1 entry (got [])"),
        ("composition: [[0]]", "composition[0]: must be a list of 2 values (got [0])"),
        ("composition: [[0, 1, 2]]", "composition[0]: must be a list of 2 values (got [0, 1, 2])"),
        ("composition: [[0, -1]]", "composition[0][1]: must be at least 0 (got -1)"),
        ("composition: [[0, 0], [0, 4]]", "composition[1]: must be two of the symbols 0 to 3 (got [0, 4])"),
        (
            "composition: [[1, 0], [0, 1]]",
            "composition: must ascend without repeats; write [[0, 1], [1, 0]] (got [[1, 0], [0, 1]])",
        ),
        (
            "parameters: tables",
            "parameters: this process has no tables; write the parameters that change and their new values",
        ),
        ("parameters: table", "parameters: must be a block of fields or 'tables' (got 'table')"),
        ("parameters: {}", "parameters: must change the process; these values leave it as it is"),
        ("parameters: {slip: 0.02}", "parameters: must change the process; these values leave it as it is"),
        ("parameters: {slp: 0.1}", "parameters.slp: unknown field; did you mean 'slip'?"),
        ("parameters: {slip: 1.2}", "parameters.slip: must be between 0 and 1 (got 1.2)"),
        (
            "parameters: {symbols: 121}",
            "parameters.symbols: must be at most 120, the permutations of 5 states (got 121)",
        ),
        ("parameters: {states: 6}", "parameters: must keep 4 symbols and 5 states (got 4 and 6)"),
        ("parameters: {family: sns}", "parameters.family: another family is another task; leave this out (got 'sns')"),
        ("crossed: [[length]]", "crossed[0]: must have at least 2 entries (got ['length'])"),
        (
            "crossed: [[lenght, start]]",
            "crossed[0][0]: must be one of 'length', 'parameters', 'start', 'rare', 'composition' (got 'lenght'); "
            "did you mean 'length'?",
        ),
        (
            "crossed: [[length, rare]]",
            "crossed[0]: must name different axes of those declared here: length (got ['length', 'rare'])",
        ),
    ],
)
def test_each_error_names_line_field_and_remedy(line, expected):
    assert errors(f"shifts:\n  {line}\n") == [f"tasks/mine.yaml:14: shifts.{expected}"]


@pytest.mark.parametrize(
    ("crossed", "expected"),
    [
        ("[start, start]", "crossed[1]: must name different axes of those declared here: length, start"),
        ("[start, length]", "crossed[1]: names the same axes as an entry before it"),
    ],
)
def test_a_crossed_shift_names_each_axis_once_and_is_unique(crossed, expected):
    found = errors(f"shifts:\n  start: [1]\n  crossed: [[length, start], {crossed}]\n")
    written = re.sub(r"(\w+)", r"'\1'", crossed)
    assert found == [f"tasks/mine.yaml:15: shifts.{expected} (got {written})"]


@pytest.mark.parametrize(
    ("text", "line", "expected"),
    [
        (
            MINE.replace("known", "fixed"),
            "start: [9]",
            "14: shifts.start: needs starts that vary; write 'start: known' or 'start: belief' above",
        ),
        (GROUP, "start: [1]", f"12: shifts.start: {SOME} 0 (got [1])"),  # all begin with the unit
        (
            GOLDEN,
            "composition: [[1, 1]]",
            "11: shifts.composition[0]: symbol 1 never follows symbol 1 in this process; name pairs that occur",
        ),
        (TABLES, "parameters: {slip: 0.1}", "14: shifts.parameters: each problem has its own table; write 'tables'"),
        (TABLES, "parameters: {slp: 0.1}", "14: shifts.parameters: each problem has its own table; write 'tables'"),
        (
            QUBIT,
            "parameters: {alpha: 0.0, beta: 0.0}",
            "11: shifts.parameters.alpha: must be positive if beta is 0",
        ),
        (
            MIXED,
            "parameters: {weights: [0.9]}",
            "14: shifts.parameters.weights: must hold 2 shares, one per component, that sum to 1 (got [0.9])",
        ),
        (
            MIXED,
            "parameters: {components: [{family: mess3}, {family: mess3, x: 7}]}",
            "14: shifts.parameters.components[1].x: must be between 0 and 0.5 (got 7)",
        ),
    ],
)
def test_shifts_that_the_process_does_not_have_are_errors(text, line, expected):
    assert errors(f"shifts:\n  {line}\n", text) == [f"tasks/mine.yaml:{expected}"]


def test_matrices_have_no_parameters_to_shift():
    np.save("tasks/mine.npy", np.full((2, 2, 2), 0.25))
    text = re.sub(r"process:\n(  .*\n)+", "process:\n  family: matrices\n  path: mine.npy\n", MINE)
    expected = "matrices from a file have no parameters; make the other file a task of its own"
    found = errors("shifts:\n  parameters: {path: other.npy}\n", text)
    assert found == [f"tasks/mine.yaml:12: shifts.parameters: {expected}"]


def test_all_errors_in_shifts_come_at_once():
    found = errors("shifts:\n  start: [7]\n  composition:\n    - [0, 9]\n    - [9, 0]\n  parameters:\n    slip: 3\n")
    fields = ["14: start", "16: composition[0]", "17: composition[1]", "19: parameters.slip"]
    found = [line.replace("shifts.", "").removeprefix("tasks/mine.yaml:") for line in found]
    assert [line.partition(": must")[0] for line in found] == fields
