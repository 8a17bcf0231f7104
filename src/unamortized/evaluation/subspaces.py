"""Belief subspaces: the few directions of an activation that a belief probe reads, to be compared, erased and moved."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from unamortized.evaluation.probes import Moments, Probe, apply, ridge_probe

NO_DIRECTION = 1e-6  # singular values smaller than this, of the largest, are rounding: beliefs sum to one
TRIED = 256  # random subspaces, of which the one whose variance is nearest is taken


@dataclass(frozen=True)
class Subspace:
    """Directions that are read (``across``), and those along which activations then differ (``along``).

    Their product is an oblique projector of that rank: ``across @ along`` is one.
    """

    across: Float[np.ndarray, "rank width"]
    along: Float[np.ndarray, "width rank"]
    mean: Float[np.ndarray, " width"]

    @property
    def rank(self) -> int:
        """How many directions."""
        return len(self.across)

    def part(self, activations: Float[np.ndarray, "*batch width"]) -> Float[np.ndarray, "*batch width"]:
        """What of an activation, or of a change of it, lies in the subspace."""
        return activations @ self.across.T @ self.along.T

    def erased(self, activations: Float[np.ndarray, "*batch width"]) -> Float[np.ndarray, "*batch width"]:
        """Activations whose part in the subspace is the average one."""
        return activations - self.part(activations - self.mean)

    def alone(self, activations: Float[np.ndarray, "*batch width"]) -> Float[np.ndarray, "*batch width"]:
        """Activations that are the average one but for their part in the subspace."""
        return self.mean + self.part(activations - self.mean)

    def variance(self, covariance: Float[np.ndarray, "width width"]) -> float:
        """The share of all variance that lies in the subspace."""
        projector, total = self.along @ self.across, float(np.trace(covariance))
        return float(np.trace(projector @ covariance @ projector.T)) / total if total else 0.0


def belief_subspace(
    probe: Probe, covariance: Float[np.ndarray, "width width"], mean: Float[np.ndarray, " width"]
) -> Subspace:
    r"""The subspace that a probe reads: as large as beliefs have dimensions, one less than states.

    With the probe's directions $W$ and the activations' covariance $\Sigma$, activations differ on average by
    $\Sigma W^\top (W \Sigma W^\top)^{-1}$ where readings differ by one. To put the reading at its mean along these
    directions is, up to the ridge, the least change after which no affine probe reads anything (LEACE, Belrose et al.
    2023, theorem 4.3); to put it elsewhere along them is the likeliest change. The change that is least in plain length
    follows directions that hardly vary, and nothing reads them: in pilot runs it moved no answer at all.
    """
    _, values, directions = np.linalg.svd(probe.weights.T, full_matrices=False)
    return _spanned(directions[values > NO_DIRECTION * max(values[0], np.finfo(float).tiny)], covariance, mean)


class FittedSubspace(NamedTuple):
    """A probe, the subspace that it reads, and what both were fitted to."""

    probe: Probe
    subspace: Subspace
    moments: Moments


def fitted(found: Moments, ridge: float) -> FittedSubspace:
    """The ridge probe of what was gathered, and its belief subspace."""
    probe = ridge_probe(found, ridge)
    return FittedSubspace(probe, belief_subspace(probe, found.covariance, found.x_mean), found)


def random_subspace(
    like: Subspace, covariance: Float[np.ndarray, "width width"], generator: np.random.Generator
) -> Subspace:
    """A random subspace of the same rank that tells nothing of what the other holds, nearest to it in variance.

    Activations are uncorrelated between the two, so that to erase or move one leaves what is read off the other. Where
    the other holds most of the variance, what is left may hold less: see its ``variance``. Each direction is drawn as
    activations vary, or evenly, or in between.
    """
    outside = np.eye(len(covariance)) - like.along @ like.across
    values, vectors = np.linalg.eigh(outside @ covariance @ outside.T)
    values = values.clip(min=values.max() * 1e-9) if values.max() > 0 else np.ones_like(values)
    wanted = like.variance(covariance)
    drawn = []
    for power in generator.uniform(-1.0, 1.5, size=TRIED):
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
    """The change within the subspace after which the probe reads these beliefs, as nearly as it can."""
    read_along = probe.weights.T @ subspace.along  # (state, rank)
    return (beliefs - apply(probe, activations)) @ np.linalg.pinv(read_along, rcond=NO_DIRECTION).T @ subspace.along.T


def as_far(
    changes: Float[np.ndarray, "batch width"], subspace: Subspace, generator: np.random.Generator
) -> Float[np.ndarray, "batch width"]:
    """Changes as long as these, each in a random direction of a subspace."""
    directions = generator.standard_normal((len(changes), subspace.rank)) @ subspace.along.T
    lengths = np.linalg.norm(directions, axis=1, keepdims=True)
    units = np.divide(directions, lengths, out=np.zeros_like(directions), where=lengths > 0)  # nothing where none vary
    return units * np.linalg.norm(changes, axis=1, keepdims=True)


def effective_dimension(covariance: Float[np.ndarray, "width width"]) -> float:
    r"""Participation ratio $(\sum \lambda)^2 / \sum \lambda^2$ of the variances along principal components."""
    values = np.linalg.eigvalsh(covariance).clip(min=0)
    return float(values.sum() ** 2 / (values**2).sum()) if values.any() else 0.0


def angle_between(one: Float[np.ndarray, "width rank"], other: Float[np.ndarray, "width rank2"]) -> float:
    """Mean principal angle between two spans, in degrees (Bjorck & Golub 1973); not a number if one is empty."""
    if not one.any() or not other.any():
        return np.nan
    bases = [np.linalg.qr(span)[0] for span in (one, other)]
    cosines = np.linalg.svd(bases[0].T @ bases[1], compute_uv=False)
    return float(np.degrees(np.arccos(cosines.clip(0, 1))).mean())
