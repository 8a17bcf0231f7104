"""A task file to edit, and the error that loading it raises."""

from pathlib import Path

import pytest

from unamortized.configuration.document import SpecError
from unamortized.worlds.task_files import load_task

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


def write(text: str) -> None:
    """Write `tasks/mine.yaml`."""
    Path("tasks/mine.yaml").write_text(text)


def replaced(old: str, new: str) -> str:
    """Return the task with one passage replaced."""
    assert MINE.count(old) == 1
    return MINE.replace(old, new)


def load_error(*overrides: str, text: str = MINE) -> str:
    """Write a task that does not load, and return the error's text."""
    write(text)
    with pytest.raises(SpecError) as caught:
        load_task("mine", overrides)
    return str(caught.value)


def single_error(message: str) -> str:
    """Return the whole text of an error about one field."""
    return f"{message}\n1 problem in tasks/mine.yaml; nothing was run."
