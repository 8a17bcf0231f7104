"""What is read off activations as a belief: projected to the simplex, and compared as a distribution."""

import numpy as np
from jaxtyping import Float

from unamortized.learning.runs import Run


def to_simplex(points: Float[np.ndarray, "*batch state"]) -> Float[np.ndarray, "*batch state"]:
    """Euclidean projection on the simplex (Duchi et al. 2008)."""
    descending = -np.sort(-points, axis=-1)
    ranks = np.arange(1, points.shape[-1] + 1)
    shift = (descending.cumsum(axis=-1) - 1) / ranks
    support = (descending > shift).sum(axis=-1, keepdims=True)
    return np.maximum(points - np.take_along_axis(shift, support - 1, axis=-1), 0)


def as_distribution(run: Run, beliefs: Float[np.ndarray, "*batch state"]) -> Float[np.ndarray, "*batch option"]:
    """Beliefs as they are or, of a generalized process, what its predictive vectors say of the next symbol."""
    coded = run.vocabulary.coded
    return beliefs if coded is None else beliefs @ coded


def as_belief(points: Float[np.ndarray, "*batch state"]) -> Float[np.ndarray, "*batch state"]:
    """A probe's output as a belief that rules nothing out: projected, with 1 % spread evenly."""
    return 0.99 * to_simplex(points) + 0.01 / points.shape[-1]
