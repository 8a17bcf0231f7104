"""Work done in other processes, for what only shows where they race or are killed."""

import multiprocessing
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from typing import Any

# One process imports torch once; those that work are forked from it, and so begin at once.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["unamortized.learning.training"])


def begin(function: Callable[..., Any], *arguments: Any) -> BaseProcess:
    """Call a function in another process; its name must be importable there."""
    process = CONTEXT.Process(target=function, args=arguments, daemon=True)
    process.start()
    return process


def finish(process: BaseProcess) -> None:
    """Wait for a process, which must end well."""
    process.join(timeout=60)
    assert process.exitcode == 0, f"exit code {process.exitcode}"
