"""Ridge regression from running moments: however many activations there are, a chunk of them is held at a time."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.linalg import solve

CONSTANT = 1e-12  # standard deviation, beside the mean, of a feature that does not vary


class Moments(NamedTuple):
    """Counts, means and centered sums of squares and products of features x and targets y; chunks are merged."""

    rows: int
    x_mean: Float[np.ndarray, " width"]
    y_mean: Float[np.ndarray, " option"]
    xx: Float[np.ndarray, "width width"]
    xy: Float[np.ndarray, "width option"]

    def merge(self, other: "Moments") -> "Moments":
        """The moments of both together (Chan, Golub & LeVeque 1983), without the cancellation of raw sums."""
        count = self.rows + other.rows
        share, weight = other.rows / count, self.rows * other.rows / count
        x, y = other.x_mean - self.x_mean, other.y_mean - self.y_mean
        return Moments(
            count,
            self.x_mean + share * x,
            self.y_mean + share * y,
            self.xx + other.xx + weight * np.outer(x, x),
            self.xy + other.xy + weight * np.outer(x, y),
        )

    def options(self, which: slice) -> "Moments":
        """The moments with some of the targets alone."""
        return self._replace(y_mean=self.y_mean[which], xy=self.xy[:, which])

    @property
    def covariance(self) -> Float[np.ndarray, "width width"]:
        """Of the features."""
        return self.xx / self.rows


class Probe(NamedTuple):
    """An affine map from activations to what is read off them."""

    weights: Float[np.ndarray, "width option"]
    offset: Float[np.ndarray, " option"]

    def options(self, which: slice) -> "Probe":
        """The probe of some of the targets it was fitted to."""
        return Probe(self.weights[:, which], self.offset[which])


def moments(features: Float[np.ndarray, "... width"], targets: Float[np.ndarray, "... option"]) -> Moments:
    """The moments of one chunk, in float64; leading axes are pooled."""
    x = features.reshape(-1, features.shape[-1]).astype(np.float64)
    y = targets.reshape(-1, targets.shape[-1]).astype(np.float64)
    x_mean, y_mean = x.mean(axis=0), y.mean(axis=0)
    x, y = x - x_mean, y - y_mean
    return Moments(len(x), x_mean, y_mean, x.T @ x, x.T @ y)


def ridge_probe(given: Moments, ridge: float) -> Probe:
    r"""Ridge regression on standardized features, with an intercept that is not penalised.

    $\min_W \|Y - X W\|^2 + \alpha \|W\|^2$ where the columns of X have mean 0 and standard deviation 1; a feature that
    does not vary is left out.

    Args:
        given: moments of what is fitted on.
        ridge: alpha.
    """
    deviation = np.sqrt(given.xx.diagonal() / given.rows)
    varies = deviation > CONSTANT * (1 + np.abs(given.x_mean))
    scale = np.where(varies, deviation, np.inf)
    correlated = given.xx / np.outer(scale, scale) + ridge * np.eye(len(scale))
    weights = solve(correlated, given.xy / scale[:, None], assume_a="pos") / scale[:, None]
    return Probe(weights, given.y_mean - given.x_mean @ weights)


def fit(features: Float[np.ndarray, "... width"], targets: Float[np.ndarray, "... option"], ridge: float) -> Probe:
    """The ridge probe of activations that are all at hand; leading axes are pooled."""
    return ridge_probe(moments(features, targets), ridge)


def apply(probe: Probe, features: Float[np.ndarray, "... width"]) -> Float[np.ndarray, "... option"]:
    """What a probe reads."""
    return features @ probe.weights + probe.offset


def r2(targets: Float[np.ndarray, "... option"], read_off: Float[np.ndarray, "... option"]) -> float:
    """Share of the targets' variance explained, all options pooled; problems are drawn, so P-weighted.

    Not a number where the targets do not vary.
    """
    flat = targets.reshape(-1, targets.shape[-1])
    spread = ((flat - flat.mean(axis=0)) ** 2).sum()
    missed = ((targets - read_off) ** 2).sum()
    return float(1 - missed / spread) if spread > 1e-12 else np.nan
