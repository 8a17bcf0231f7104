"""Provenance: the versions and the commit that produced a run."""

import platform
import subprocess
from functools import cache
from importlib.metadata import version
from pathlib import Path


@cache
def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that determine the numbers."""
    packages = ("unamortized", "torch", "lightning", "numpy", "numba")
    return {"python": platform.python_version()} | {name: version(name) for name in packages}


@cache
def git_commit() -> str | None:
    """Return the commit of the running code, with ``-dirty`` if files differ from it; None outside a checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
