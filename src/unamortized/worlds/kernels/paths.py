"""Draws from the process itself."""

import numpy as np

from unamortized.worlds.kernels.running import TOGETHER, compiled, in_threads


@compiled
def search(cumulative, uniform):
    """The first index whose cumulative probability exceeds uniform, by bisection."""
    low, high = 0, cumulative.size - 1
    while low < high:
        middle = (low + high) // 2
        if cumulative[middle] > uniform:
            high = middle
        else:
            low = middle + 1
    return low


@compiled
def guides(cumulative, buckets):
    """For each row of running sums (R, S, N), the first index whose sum exceeds g / buckets, g = 0, 1, ..."""
    rows, states, _ = cumulative.shape
    guide = np.empty((rows, states, buckets), dtype=np.int32)
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
    row: np.ndarray,
    cumulative_initial: np.ndarray,
    uniforms: np.ndarray,
    observations: np.ndarray,
    latents: np.ndarray,
) -> None:
    """Fills observations (B, n) and latents (B, n+1) with draws from the process itself, one a uniform (B, n+1).

    cumulative_moves (R, S, V*S) holds running sums over (symbol, next state) from each state; row (B,) says
    which of the R sets of transitions is problem b's. They are inverted with a guide table (Chen & Asau 1974),
    where there are enough draws to make one for.
    """
    rows, states, moves = cumulative_moves.shape
    buckets = 4 << (moves - 1).bit_length()  # a power of two, so that uniform * buckets is exact
    worth_it = rows * states * buckets <= 8 * uniforms.size
    guide = guides(cumulative_moves, buckets) if worth_it else np.empty((0, 0, 0), dtype=np.int32)
    symbol = np.arange(moves) // states
    shared = (cumulative_moves, guide, symbol)
    in_threads(walk_in_step, uniforms.size * 5, shared, row, cumulative_initial, uniforms, observations, latents)


@compiled
def walk_in_step(cumulative_moves, guide, symbol, row, cumulative_initial, uniforms, observations, latents):
    batch, positions = uniforms.shape
    states = cumulative_moves.shape[1]
    buckets = guide.shape[2]
    for first in range(0, batch, TOGETHER):
        last = min(first + TOGETHER, batch)
        for b in range(first, last):
            latents[b, 0] = search(cumulative_initial[b], uniforms[b, 0])
        for t in range(positions - 1):
            for b in range(first, last):
                uniform, r, state = uniforms[b, t + 1], row[b], latents[b, t]
                if buckets:
                    move = guide[r, state, int(uniform * buckets)]
                    while cumulative_moves[r, state, move] <= uniform:
                        move += 1
                else:
                    move = search(cumulative_moves[r, state], uniform)
                observations[b, t] = symbol[move]
                latents[b, t + 1] = move - symbol[move] * states
