"""Compile kernels, and run them on several threads."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from threading import Lock
from typing import Any

from numba import config, njit

NANOSECONDS_PER_THREAD = 200_000  # the least work worth a thread, a few times the cost of waking it
PARTS_PER_THREAD = 2  # more than one, so that threads finish at about the same time

# A step depends on the one before it. Kernels interleave this many problems, so the processor can work on one while
# another waits.
INTERLEAVED = 4

compiled = njit(cache=True, nogil=True, error_model="numpy")


def threads_for(nanoseconds: int) -> int:
    """Return the number of threads for work that takes about this long.

    NUMBA_NUM_THREADS is the upper limit; it is one in worker processes, which already use every core.
    """
    allowed: int = config.NUMBA_NUM_THREADS  # pyright: ignore[reportAttributeAccessIssue] (set by numba's import)
    return max(1, min(allowed, nanoseconds // NANOSECONDS_PER_THREAD))


def slices(rows: int, size: int) -> Iterator[slice]:
    """Divide the rows of a batch into parts of one size; an empty batch gives one empty part."""
    return (slice(first, min(first + size, rows)) for first in range(0, max(rows, 1), max(size, 1)))


def in_threads(kernel: Callable[..., None], calls: Iterator[tuple[Any, ...]], threads: int) -> None:
    """Call the kernel with each tuple of arguments; a lock keeps the order in which arguments are generated."""
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
    futures = [pool(threads - 1).submit(work) for _ in range(threads - 1)]
    work()
    for future in futures:
        future.result()


@cache
def pool(threads: int) -> ThreadPoolExecutor:
    """Return a pool of waiting threads; starting new ones each time would take as long as a small batch."""
    return ThreadPoolExecutor(threads)


if hasattr(os, "register_at_fork"):  # a forked process lacks its parent's threads
    os.register_at_fork(after_in_child=pool.cache_clear)
