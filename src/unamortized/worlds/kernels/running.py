"""How kernels are compiled, and run on as many cores as there are for them."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from threading import Lock
from typing import Any

from numba import config, njit

NANOSECONDS_A_THREAD = 200_000  # of work, a few times what it costs to wake one
PARTS_A_THREAD = 2  # so that none waits long for the last

# A step has to wait for the one before it, so a few problems are taken through each step together: while one
# waits, the processor works on the others.
TOGETHER = 4

compiled = njit(cache=True, nogil=True, error_model="numpy")


def threads_for(nanoseconds: int) -> int:
    """How many threads work that takes about so long is worth.

    They are at most as many as numba may use (NUMBA_NUM_THREADS): one in a worker process, as every core has
    a worker of its own.
    """
    allowed: int = config.NUMBA_NUM_THREADS  # pyright: ignore[reportAttributeAccessIssue] (set by numba's import)
    return max(1, min(allowed, nanoseconds // NANOSECONDS_A_THREAD))


def slices(rows: int, size: int) -> Iterator[slice]:
    """The rows of a batch in parts of one size; a batch without rows is a part too."""
    return (slice(first, min(first + size, rows)) for first in range(0, max(rows, 1), max(size, 1)))


def in_threads(kernel: Callable[..., None], calls: Iterator[tuple[Any, ...]], threads: int) -> None:
    """Calls the kernel with each tuple of arguments; these are made one after the other, whoever asks for them."""
    lock = Lock()

    def work() -> None:
        while True:
            with lock:
                arguments = next(calls, None)
            if arguments is None:
                return
            kernel(*arguments)

    if threads == 1:
        work()
        return
    others = [pool(threads - 1).submit(work) for _ in range(threads - 1)]
    work()
    for other in others:
        other.result()


@cache
def pool(threads: int) -> ThreadPoolExecutor:
    """Threads that wait for work: to begin new ones each time would take as long as a small batch."""
    return ThreadPoolExecutor(threads)


if hasattr(os, "register_at_fork"):  # a forked process has none of its parent's threads
    os.register_at_fork(after_in_child=pool.cache_clear)
