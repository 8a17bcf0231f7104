"""Draws from the process itself."""

import numpy as np

from unamortized.worlds.kernels.running import TOGETHER, compiled, in_threads, slices, threads_for

DRAWS = 2**15  # held at a time: they stay in the cache until they are used


@compiled
def search(cumulative, row, state, uniform):
    """The first index whose running sum exceeds uniform, by bisection."""
    low, high = 0, cumulative.shape[2] - 1
    while low < high:
        middle = (low + high) // 2
        if cumulative[row, state, middle] > uniform:
            high = middle
        else:
            low = middle + 1
    return np.uint64(low)


@compiled
def guides(cumulative, buckets):
    """For each row of running sums (R, S, N), the first index whose sum exceeds g / buckets, g = 0, 1, ..."""
    rows, states, _ = cumulative.shape
    guide = np.empty((rows, states, buckets), dtype=np.uint32)
    for r in range(rows):
        for s in range(states):
            k = 0
            for g in range(buckets):
                while cumulative[r, s, k] <= g / buckets:
                    k += 1
                guide[r, s, g] = k
    return guide


def walk(
    cumulative_moves: np.ndarray,
    cumulative_initial: np.ndarray,
    row: np.ndarray,
    initial_row: np.ndarray,
    generator: np.random.Generator,
    observations: np.ndarray,
    latents: np.ndarray,
) -> None:
    """Fills observations (B, n) and latents (B, n+1) with draws from the process itself.

    cumulative_moves (R, S, V*S) holds running sums over (symbol, next state) from each state, cumulative_initial
    (I, 1, S) those over the first state; row and initial_row (B,) say which of them are problem b's. They are
    inverted with a guide table (Chen & Asau 1974), where there are enough draws to make one for. What is drawn
    does not depend on the number of threads.
    """
    rows, states, moves = cumulative_moves.shape
    batch, positions = latents.shape
    buckets = 4 << (moves - 1).bit_length()  # a power of two, so that uniform * buckets is exact
    worth_it = rows * states * buckets <= 8 * latents.size
    guide = guides(cumulative_moves, buckets) if worth_it else np.empty((0, 0, 0), dtype=np.uint32)
    shared = (cumulative_moves, guide, cumulative_initial)
    calls = (
        (
            *shared,
            row[part],
            initial_row[part],
            generator.random((len(row[part]), positions)),
            observations[part],
            latents[part],
        )
        for part in slices(batch, max(TOGETHER, DRAWS // positions))
    )
    in_threads(walk_in_step, calls, threads_for(5 * latents.size))


@compiled
def walk_in_step(cumulative_moves, guide, cumulative_initial, row, initial_row, uniforms, observations, latents):
    batch, positions = uniforms.shape
    _, states, moves = cumulative_moves.shape
    buckets = guide.shape[2]
    # Indices without a sign are not looked at for being negative, which makes this a third faster.
    one, first_row = np.uint64(1), np.uint64(0)
    symbol, after = np.empty(moves, dtype=np.int64), np.empty(moves, dtype=np.uint64)
    for move in range(moves):
        symbol[move], after[move] = move // states, move % states
    state, which = np.empty(TOGETHER, dtype=np.uint64), np.empty(TOGETHER, dtype=np.uint64)
    for first in range(0, batch, TOGETHER):
        last = min(first + TOGETHER, batch)
        for b in range(first, last):
            which[b - first] = row[b]
            state[b - first] = search(cumulative_initial, initial_row[b], first_row, uniforms[b, 0])
            latents[b, 0] = state[b - first]
        for t in range(positions - 1):
            for b in range(first, last):
                uniform, r, before = uniforms[b, t + 1], which[b - first], state[b - first]
                if buckets:
                    chosen = np.uint64(guide[r, before, np.uint64(uniform * buckets)])
                    while cumulative_moves[r, before, chosen] <= uniform:
                        chosen += one
                else:
                    chosen = search(cumulative_moves, r, before, uniform)
                observations[b, t] = symbol[chosen]
                state[b - first] = after[chosen]
                latents[b, t + 1] = after[chosen]
