"""Task files are found by name or path, and overrides change what they hold."""

from pathlib import Path

import pytest

from tests.worlds.written_tasks import MINE, load_error, write
from unamortized.configuration.document import SpecError
from unamortized.worlds.task_files import load_task

pytestmark = pytest.mark.usefixtures("task_folder")


def test_a_task_is_found_by_name_or_path_and_may_name_itself():
    assert load_task("mine") == load_task("tasks/mine.yaml") == load_task(Path("tasks/mine.yaml").resolve())
    write("name: other\n" + MINE)
    assert load_task("mine").name == "other"


def test_an_unknown_task_is_an_error_that_lists_the_tasks():
    Path("tasks/mess3.yaml").write_text(MINE)
    for path, expected in [
        ("mes3", "tasks/mes3.yaml: no such task; the tasks here are mess3, mine; did you mean 'mess3'?"),
        ("tasks/no.yaml", "tasks/no.yaml: no such task; the tasks here are mess3, mine"),
        ("elsewhere/mine.yaml", "elsewhere/mine.yaml: no such task; there are no tasks in elsewhere/"),
    ]:
        with pytest.raises(SpecError) as caught:
            load_task(path)
        assert str(caught.value).splitlines()[0] == expected


def test_overrides_are_validated_like_the_file():
    task = load_task("mine", ["process.slip=0.1", "steps.test=[2, 4]", "name=other", "query=predict 2"])
    assert (task.process.parameters["slip"], task.steps.test, task.name) == (0.1, (2, 4), "other")
    assert str(task.query) == "predict 2"
    assert load_error("process.slip=1.2", "proces.slip=1", "steps.tests=[1]") == (
        "override process.slip=1.2: must be between 0 and 1 (got 1.2)\n"
        "override steps.tests=[1]: unknown field; did you mean 'test'?\n"
        "override proces.slip=1: proces: unknown field; did you mean 'process'?\n"
        "3 problems in the overrides; nothing was run."
    )
