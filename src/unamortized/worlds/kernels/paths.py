"""Sample paths of a process."""

import numpy as np

from unamortized.worlds.kernels.running import INTERLEAVED, compiled, in_threads, slices, threads_for

ENTRIES_PER_DRAW = 8  # of a guide table; a larger table takes longer to build than it saves
DRAWS = 2**15  # generated at a time, few enough to stay in the cache


@compiled
def possible_moves(transitions):
    """Return the symbols and next states of each state's possible moves, and running sums of their probabilities.

    All have shape (R, S, most moves of any state); a state with fewer moves repeats its last sum.
    """
    rows, symbols, states, _ = transitions.shape
    most = 1
    for r in range(rows):
        for i in range(states):
            count = 0
            for x in range(symbols):
                for j in range(states):
                    count += transitions[r, x, i, j] > 0.0
            most = max(most, count)
    emitted = np.zeros((rows, states, most), dtype=np.uint32)
    reached = np.zeros((rows, states, most), dtype=np.uint32)
    sums = np.zeros((rows, states, most))
    for r in range(rows):
        for i in range(states):
            total, k = 0.0, 0
            for x in range(symbols):
                for j in range(states):
                    if transitions[r, x, i, j] > 0.0:
                        total += transitions[r, x, i, j]
                        emitted[r, i, k], reached[r, i, k], sums[r, i, k] = x, j, total
                        k += 1
            sums[r, i, k:] = total
    return emitted, reached, sums


@compiled
def search(sums, begin, count, uniform):
    """Find by bisection the first of ``count`` indices from ``begin`` whose running sum exceeds uniform."""
    low, high = begin, begin + count - 1
    while low < high:
        middle = (low + high) // 2
        if sums[middle] > uniform:
            high = middle
        else:
            low = middle + 1
    return np.uint64(low)


@compiled
def guides(sums, count, buckets):
    """Find, for each line of ``count`` running sums, the first index whose sum exceeds g / buckets, g = 0, 1, ..."""
    guide = np.empty(sums.size // count * buckets, dtype=np.uint32)
    for line in range(sums.size // count):
        k = line * count
        for g in range(buckets):
            while sums[k] <= g / buckets:
                k += 1
            guide[line * buckets + g] = k
    return guide


def walk(
    emitted: np.ndarray,
    reached: np.ndarray,
    sums: np.ndarray,
    initial_sums: np.ndarray,
    row: np.ndarray,
    initial_row: np.ndarray,
    generator: np.random.Generator,
    observations: np.ndarray,
    latents: np.ndarray,
) -> None:
    """Fill observations (B, n) and latents (B, n+1) with paths of the process.

    emitted, reached and sums (R, S, K) come from ``possible_moves``; initial_sums (I, S) are the running sums over the
    first state. All sums end at exactly 1, which no uniform draw reaches. row and initial_row (B,) index the
    distributions of each problem. A guide table inverts the sums (Chen & Asau 1974) if there are enough draws to
    justify building one. The paths do not depend on the number of threads.
    """
    rows, states, most = sums.shape
    batch, positions = latents.shape
    buckets = 4 << (most - 1).bit_length()  # a power of two, so that uniform * buckets is exact
    if rows * states * buckets > ENTRIES_PER_DRAW * latents.size:
        buckets = 0
    flat = [array.reshape(-1) for array in (emitted, reached, sums, initial_sums)]
    guide = guides(flat[2], most, buckets) if buckets else np.empty(0, dtype=np.uint32)
    shared = (*flat, guide, states, most, buckets)
    calls = (
        (*shared, row[p], initial_row[p], generator.random((len(row[p]), positions)), observations[p], latents[p])
        for p in slices(batch, max(INTERLEAVED, DRAWS // positions))
    )
    in_threads(walk_in_step, calls, threads_for(5 * latents.size))


@compiled
def walk_in_step(
    emitted, reached, sums, starts, guide, states, most, buckets, row, initial_row, uniforms, observations, latents
):
    batch, positions = uniforms.shape
    # numba skips the check for negative indices if they are unsigned, which makes this a third faster
    one, wide, long = np.uint64(1), np.uint64(states), np.uint64(buckets)
    state, which = np.empty(INTERLEAVED, dtype=np.uint64), np.empty(INTERLEAVED, dtype=np.uint64)
    for first in range(0, batch, INTERLEAVED):
        last = min(first + INTERLEAVED, batch)
        for b in range(first, last):
            which[b - first] = np.uint64(row[b]) * wide
            begin = initial_row[b] * states
            state[b - first] = search(starts, begin, states, uniforms[b, 0]) - np.uint64(begin)
            latents[b, 0] = state[b - first]
        for t in range(positions - 1):
            for b in range(first, last):
                uniform, line = uniforms[b, t + 1], which[b - first] + state[b - first]
                if buckets:
                    k = np.uint64(guide[line * long + np.uint64(uniform * buckets)])
                    while sums[k] <= uniform:
                        k += one
                else:
                    k = search(sums, np.int64(line) * most, most, uniform)
                observations[b, t] = emitted[k]
                state[b - first] = reached[k]
                latents[b, t + 1] = reached[k]
