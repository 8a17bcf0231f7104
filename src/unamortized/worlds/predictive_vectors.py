"""Filter and sample generalized hidden Markov processes with predictive vectors, one step of a batch at a time.

The entries of a predictive vector may be negative and cancel, so, unlike with distributions, no entry can be skipped
and logarithms do not apply. Each step renormalizes: eta <- eta T[x] / (eta T[x] w).
"""

import numpy as np
from jaxtyping import Float, Int

SMALLEST_EVIDENCE = 1e-12  # for one symbol; less is the rounding error of a sum that cancels


def filter_vectors(
    stack: Float[np.ndarray, "matrix state state"],
    choice: Int[np.ndarray, "batch step"],
    lengths: Int[np.ndarray, " batch"],
    initial: Float[np.ndarray, "batch state"],
    readout: Float[np.ndarray, " state"],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return predictive vectors (B, n+1, S), log P(x_1..n) (B,), and the first impossible step or 0 (B,)."""
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


def sample_symbols(
    transitions: Float[np.ndarray, "symbol state state"],
    initial: Float[np.ndarray, "batch state"],
    readout: Float[np.ndarray, " state"],
    uniforms: Float[np.ndarray, "batch step"],
) -> Int[np.ndarray, "batch step"]:
    """Draw observations symbol by symbol, each from one of the ``uniforms``."""
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
