"""Predictive vectors of generalized hidden Markov processes: filtered and sampled, batched, one step at a time.

Their entries may be negative and what they read out can cancel, so nothing can be skipped or taken into
logarithms as with distributions; each step is renormalized, eta <- eta T[x] / (eta T[x] w).
"""

import numpy as np
from jaxtyping import Float, Int

SMALLEST_EVIDENCE = 1e-12  # of one symbol; below, what is left is the rounding of a sum that cancels


def filter_vectors(
    stack: Float[np.ndarray, "matrix state state"],
    choice: Int[np.ndarray, "batch step"],
    lengths: Int[np.ndarray, " batch"],
    initial: Float[np.ndarray, "batch state"],
    readout: Float[np.ndarray, " state"],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Predictive vectors (B, n+1, S), log P(x_1..n) (B,), and the first impossible step or 0 (B,)."""
    batch, steps = choice.shape
    vectors = np.empty((batch, steps + 1, len(readout)))
    vectors[:, 0] = initial
    log_probability, impossible = np.zeros(batch), np.zeros(batch, dtype=np.int64)
    for step in range(steps):
        within = np.flatnonzero((step < lengths) & (impossible == 0))
        vectors[:, step + 1] = vectors[:, step]
        moved = np.einsum("bi,bij->bj", vectors[within, step], stack[choice[within, step]])
        evidence = moved @ readout
        possible = evidence > SMALLEST_EVIDENCE
        impossible[within[~possible]] = step + 1
        kept = within[possible]
        log_probability[kept] += np.log(evidence[possible])
        vectors[kept, step + 1] = moved[possible] / evidence[possible, None]
    return vectors, log_probability, impossible


def walk_vectors(
    transitions: Float[np.ndarray, "symbol state state"],
    initial: Float[np.ndarray, "batch state"],
    readout: Float[np.ndarray, " state"],
    uniforms: Float[np.ndarray, "batch step"],
) -> Int[np.ndarray, "batch step"]:
    """Observations drawn symbol by symbol, one of ``uniforms`` each."""
    vectors = initial
    observations = np.empty(uniforms.shape, dtype=np.int64)
    for step in range(uniforms.shape[1]):
        moved = np.einsum("bi,vij->bvj", vectors, transitions)
        probability = moved @ readout
        probability[probability < SMALLEST_EVIDENCE] = 0.0
        edges = probability.cumsum(axis=1)
        symbols = (uniforms[:, step, None] * edges[:, -1:] >= edges).sum(axis=1)
        observations[:, step] = symbols
        vectors = moved[np.arange(len(symbols)), symbols]
        vectors = vectors / (vectors @ readout)[:, None]
    return observations
