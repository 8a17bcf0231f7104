"""Belief subspaces: the few directions of an activation that a belief probe reads; compared, erased and moved along."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from unamortized.evaluation.probes.fitting import FittedProbe
from unamortized.evaluation.probes.ridge import Probe

NO_DIRECTION = 1e-6  # singular values smaller than this share of the largest are rounding: beliefs sum to one
CANDIDATES = 256  # random subspaces to choose the one of the best matching variance from


@dataclass(frozen=True)
class Subspace:
    """Directions that are read (``across``), and directions in which activations then differ (``along``).

    Their product is an oblique projector of that rank: ``across @ along`` is the identity.
    """

    across: Float[np.ndarray, "rank width"]
    along: Float[np.ndarray, "width rank"]
    mean: Float[np.ndarray, " width"]

    @property
    def rank(self) -> int:
        """Number of directions."""
        return len(self.across)

    def part(self, activations: Float[np.ndarray, "*batch width"]) -> Float[np.ndarray, "*batch width"]:
        """Project activations, or changes of them, into the subspace."""
        return activations @ self.across.T @ self.along.T

    def erased(self, activations: Float[np.ndarray, "*batch width"]) -> Float[np.ndarray, "*batch width"]:
        """Set the part of activations in the subspace to its mean."""
        return activations - self.part(activations - self.mean)

    def variance(self, covariance: Float[np.ndarray, "width width"]) -> float:
        """Return the share of the total variance that lies in the subspace."""
        projector, total = self.along @ self.across, float(np.trace(covariance))
        return float(np.trace(projector @ covariance @ projector.T)) / total if total else 0.0


def belief_subspace(fitted: FittedProbe) -> Subspace:
    r"""Return the subspace that a probe reads; its rank is the dimension of beliefs, one less than states.

    With the probe's directions $W$ and the activations' covariance $\Sigma$, activations differ on average by
    $\Sigma W^\top (W \Sigma W^\top)^{-1}$ where readings differ by one. Setting the reading to its mean along these
    directions is, up to the ridge, the least change after which no affine probe reads anything (LEACE, Belrose et al.
    2023, theorem 4.3). The change of least Euclidean length moved no answer in pilot runs: it follows directions that
    hardly vary.
    """
    _, values, directions = np.linalg.svd(fitted.probe.weights.T, full_matrices=False)
    across = directions[values > NO_DIRECTION * max(values[0], np.finfo(float).tiny)]
    return _spanned(across, fitted.moments.covariance, fitted.moments.x_mean)


def random_subspace(
    like: Subspace, covariance: Float[np.ndarray, "width width"], generator: np.random.Generator
) -> Subspace:
    """Draw a random subspace of the same rank and, as nearly as possible, variance, uncorrelated with the other.

    Where the other holds most of the variance, it may hold less (``Subspace.variance``).
    """
    outside = np.eye(len(covariance)) - like.along @ like.across
    values, vectors = np.linalg.eigh(outside @ covariance @ outside.T)
    values = values.clip(min=values.max() * 1e-9) if values.max() > 0 else np.ones_like(values)
    wanted = like.variance(covariance)
    drawn = []
    for power in generator.uniform(-1.0, 1.5, size=CANDIDATES):
        weights = generator.standard_normal((like.rank, len(values))) * values**power
        drawn.append(_spanned(np.linalg.qr((weights @ vectors.T @ outside).T)[0].T, covariance, like.mean))
    return min(drawn, key=lambda each: abs(each.variance(covariance) - wanted))


def _spanned(
    across: Float[np.ndarray, "rank width"],
    covariance: Float[np.ndarray, "width width"],
    mean: Float[np.ndarray, " width"],
) -> Subspace:
    along = covariance @ across.T
    return Subspace(across, along @ np.linalg.pinv(across @ along, rcond=NO_DIRECTION, hermitian=True), mean)


def likeliest_change(
    probe: Probe,
    subspace: Subspace,
    activations: Float[np.ndarray, "batch width"],
    beliefs: Float[np.ndarray, "batch state"],
) -> Float[np.ndarray, "batch width"]:
    """Return the change within the subspace after which the probe reads these beliefs, as nearly as it can."""
    read_along = probe.weights.T @ subspace.along  # (state, rank)
    return (beliefs - probe.read(activations)) @ np.linalg.pinv(read_along, rcond=NO_DIRECTION).T @ subspace.along.T


def as_far(
    changes: Float[np.ndarray, "batch width"], subspace: Subspace, generator: np.random.Generator
) -> Float[np.ndarray, "batch width"]:
    """Draw changes of the same lengths, each in a random direction of a subspace."""
    directions = generator.standard_normal((len(changes), subspace.rank)) @ subspace.along.T
    lengths = np.linalg.norm(directions, axis=1, keepdims=True)
    units = np.divide(directions, lengths, out=np.zeros_like(directions), where=lengths > 0)  # zero where none vary
    return units * np.linalg.norm(changes, axis=1, keepdims=True)


def effective_dimension(covariance: Float[np.ndarray, "width width"]) -> float:
    r"""Return the participation ratio $(\sum \lambda)^2 / \sum \lambda^2$ of the variances along principal axes."""
    values = np.linalg.eigvalsh(covariance).clip(min=0)
    return float(values.sum() ** 2 / (values**2).sum()) if values.any() else 0.0


def angle_between(one: Float[np.ndarray, "width rank"], other: Float[np.ndarray, "width rank2"]) -> float:
    """Return the mean principal angle between two spans in degrees (Bjorck & Golub 1973); NaN if one is empty."""
    if not one.any() or not other.any():
        return np.nan
    bases = [np.linalg.qr(span)[0] for span in (one, other)]
    cosines = np.linalg.svd(bases[0].T @ bases[1], compute_uv=False)
    return float(np.degrees(np.arccos(cosines.clip(0, 1))).mean())
