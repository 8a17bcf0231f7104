"""Run functions in other processes, for tests of races and of processes that are killed."""

import multiprocessing
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from typing import Any

# A server process imports torch once; workers are forked from it and start at once.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["unamortized.learning.training"])


def begin(function: Callable[..., Any], *arguments: Any) -> BaseProcess:
    """Call a function in another process, which must be able to import it."""
    process = CONTEXT.Process(target=function, args=arguments, daemon=True)
    process.start()
    return process


def finish(process: BaseProcess) -> None:
    """Wait for a process, and check that it succeeded."""
    process.join(timeout=60)
    assert process.exitcode == 0, f"exit code {process.exitcode}"
