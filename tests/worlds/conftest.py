"""Fixtures for tests of worlds."""

from pathlib import Path

import pytest

from tests.worlds.written_tasks import MINE, write


@pytest.fixture
def task_folder(tmp_path, monkeypatch):
    """Change into a folder whose `tasks/` holds one task, so that error messages have short paths."""
    monkeypatch.chdir(tmp_path)
    Path("tasks").mkdir()
    write(MINE)
    return tmp_path
