"""A probe's readings as beliefs: projected to the simplex, and compared as distributions."""

import numpy as np
from jaxtyping import Float

from unamortized.learning.runs import Run


def to_simplex(points: Float[np.ndarray, "*batch state"]) -> Float[np.ndarray, "*batch state"]:
    """Project points to the nearest point of the simplex (Duchi et al. 2008)."""
    descending = -np.sort(-points, axis=-1)
    ranks = np.arange(1, points.shape[-1] + 1)
    shift = (descending.cumsum(axis=-1) - 1) / ranks
    support = (descending > shift).sum(axis=-1, keepdims=True)
    return np.maximum(points - np.take_along_axis(shift, support - 1, axis=-1), 0)


def as_distribution(run: Run, beliefs: Float[np.ndarray, "*batch state"]) -> Float[np.ndarray, "*batch option"]:
    """Return beliefs unchanged; for a generalized process, the next symbol's distribution by each predictive vector."""
    coded = run.vocabulary.coded
    return beliefs if coded is None else beliefs @ coded


def as_belief(readings: Float[np.ndarray, "*batch state"]) -> Float[np.ndarray, "*batch state"]:
    """Turn readings into beliefs without zeros: project them to the simplex, and spread 1 % evenly."""
    return 0.99 * to_simplex(readings) + 0.01 / readings.shape[-1]
