"""How kernels are compiled, and run on as many cores as there are for them."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
from numba import config, njit

NANOSECONDS_A_THREAD = 150_000  # of work, a few times what it costs to begin one

# A step has to wait for the one before it, so a few problems are taken through each step together: while one
# waits, the processor works on the others.
TOGETHER = 8

compiled = njit(cache=True, nogil=True, error_model="numpy")


def in_threads(kernel: Callable[..., None], nanoseconds: int, shared: tuple[Any, ...], *batch: np.ndarray) -> None:
    """Calls ``kernel(*shared, *batch)`` with a part of the rows of every array of ``batch`` in each thread.

    There are as many as numba may use (NUMBA_NUM_THREADS: one in a worker, as each core has a worker of its
    own), but fewer where the work, which takes about so many ``nanoseconds``, is not worth them.
    """
    rows = len(batch[0])
    allowed: int = config.NUMBA_NUM_THREADS  # pyright: ignore[reportAttributeAccessIssue] (set as numba is imported)
    threads = max(1, min(allowed, nanoseconds // NANOSECONDS_A_THREAD, rows))
    if threads == 1:
        kernel(*shared, *batch)
        return
    edges = [rows * part // threads for part in range(threads + 1)]
    parts = [[array[first:last] for array in batch] for first, last in pairwise(edges)]
    with ThreadPoolExecutor(threads - 1) as pool:
        others = [pool.submit(kernel, *shared, *part) for part in parts[1:]]
        kernel(*shared, *parts[0])
    for other in others:
        other.result()
