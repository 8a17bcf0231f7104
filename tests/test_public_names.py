"""The public names of `unamortized`, and imports that wait until a name is used."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import unamortized


def fresh_python(code):
    """Run code in a new interpreter and return its output."""
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return finished.stdout.strip()


@pytest.mark.parametrize("name", unamortized.__all__)
def test_every_public_name_can_be_imported(name):
    assert getattr(unamortized, name) is not None
    assert name in dir(unamortized)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'unamortized' has no attribute 'filter_belief'"):
        unamortized.filter_belief  # noqa: B018


def test_exact_inference_does_not_import_torch():
    used = "u.sample_problems(u.build_process('mess3', x=0.05, a=0.85), 4, 2, 0); u.load_task"
    code = f"import sys, unamortized as u; {used}; print('torch' in sys.modules)"
    assert fresh_python(code) == "False"
    assert fresh_python("import sys, unamortized; print({'numpy', 'torch', 'pydantic'} & set(sys.modules))") == "set()"


def test_help_does_not_import_torch():
    code = "import sys, unamortized.cli; print({'torch', 'lightning', 'matplotlib'} & set(sys.modules))"
    assert fresh_python(code) == "set()"


def test_the_version_equals_that_of_the_distribution():
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    assert unamortized.__version__ == project["version"]
