"""Probes fitted to running moments, by ridge regression or as a linear discriminant, one chunk in memory at a time."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.linalg import solve
from scipy.special import softmax

CONSTANT = 1e-12  # a feature with a smaller standard deviation, relative to its mean, does not vary
NEGLIGIBLE = 1e-4  # nor does one with a smaller standard deviation, relative to the largest
RIDGE = 1.0  # penalty of all probes
SHRINKAGE = 0.1  # lambda of all discriminants


class Moments(NamedTuple):
    """Counts, means and centered sums of squares and products of features x and targets y."""

    rows: int
    x_mean: Float[np.ndarray, " width"]
    y_mean: Float[np.ndarray, " option"]
    xx: Float[np.ndarray, "width width"]
    xy: Float[np.ndarray, "width option"]

    def merge(self, other: "Moments") -> "Moments":
        """Return the moments of both together (Chan, Golub & LeVeque 1983), without the cancellation of raw sums."""
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

    @property
    def covariance(self) -> Float[np.ndarray, "width width"]:
        """Covariance of the features."""
        return self.xx / self.rows


class Probe(NamedTuple):
    """An affine map from activations to readings, or to the log-odds of classes."""

    weights: Float[np.ndarray, "width option"]
    offset: Float[np.ndarray, " option"]
    classifies: bool = False

    def read(self, features: Float[np.ndarray, "... width"]) -> Float[np.ndarray, "... option"]:
        """Return the probe's readings; probabilities if it classifies."""
        readings = features @ self.weights + self.offset
        return softmax(readings, axis=-1) if self.classifies else readings


def moments(features: Float[np.ndarray, "... width"], targets: Float[np.ndarray, "... option"]) -> Moments:
    """Compute the moments of one chunk in float64; leading axes are pooled."""
    x = features.reshape(-1, features.shape[-1]).astype(np.float64)
    y = targets.reshape(-1, targets.shape[-1]).astype(np.float64)
    x_mean, y_mean = x.mean(axis=0), y.mean(axis=0)
    x, y = x - x_mean, y - y_mean
    return Moments(len(x), x_mean, y_mean, x.T @ x, x.T @ y)


def standard_deviations(given: Moments) -> Float[np.ndarray, " width"]:
    """Return the standard deviation of each feature; infinity if it does not vary, so that it gets no weight.

    A feature that hardly varies here may vary in other problems: standardized, it would then be enormous.
    """
    deviation = np.sqrt(given.xx.diagonal() / given.rows)
    varies = (deviation > CONSTANT * (1 + np.abs(given.x_mean))) & (deviation > NEGLIGIBLE * deviation.max())
    return np.where(varies, deviation, np.inf)


def ridge_probe(given: Moments, ridge: float = RIDGE) -> Probe:
    r"""Fit a ridge regression on standardized features; the intercept is not penalized.

    $\min_W \|Y - X W\|^2 + \alpha \|W\|^2$ where the columns of X have mean 0 and standard deviation 1. A feature that
    does not vary gets no weight.
    """
    scale = standard_deviations(given)
    correlated = given.xx / np.outer(scale, scale) + ridge * np.eye(len(scale))
    weights = solve(correlated, given.xy / scale[:, None], assume_a="pos") / scale[:, None]
    return Probe(weights, given.y_mean - given.x_mean @ weights)


def discriminant(given: Moments, shrinkage: float = SHRINKAGE) -> Probe:
    r"""Fit the log-odds of normal classes with one covariance, which are affine in the features (Fisher 1936).

    For classes that outnumber the dimensions of activations, where regression on one-hot classes fails.

    $\log p_c - \frac12 \mu_c^\top \Sigma^{-1} \mu_c + \mu_c^\top \Sigma^{-1} x$ up to a constant, with the covariance
    within classes regularized by $\lambda$ times the diagonal of the total covariance (as in Friedman 1989). A feature
    that does not vary gets no weight, and a class that does not occur has probability zero.
    """
    scale = standard_deviations(given)
    occurs = given.y_mean > 0
    share = given.y_mean[occurs]
    offsets = given.xy[:, occurs] / scale[:, None] / (given.rows * share)  # of class means from the mean of all
    within = given.covariance / np.outer(scale, scale) - (offsets * share) @ offsets.T
    weights = solve(within + shrinkage * np.eye(len(scale)), offsets, assume_a="sym")
    odds = np.log(share) - (offsets * weights).sum(axis=0) / 2
    probe = Probe(np.zeros_like(given.xy), np.full(len(occurs), -np.inf), classifies=True)
    probe.weights[:, occurs] = weights / scale[:, None]
    probe.offset[occurs] = odds - given.x_mean @ probe.weights[:, occurs]
    return probe


def r2(targets: Float[np.ndarray, "... option"], readings: Float[np.ndarray, "... option"]) -> float:
    """Return the share of the targets' variance that readings explain, all options pooled.

    Problems are drawn, so that each counts by its probability. Not a number where the targets do not vary.
    """
    return explained(float(((targets - readings) ** 2).sum()), targets)


def explained(error: float, targets: Float[np.ndarray, "... option"]) -> float:
    """Return R2 from the sum of squared errors and the targets."""
    flat = targets.reshape(-1, targets.shape[-1])
    spread = float(((flat - flat.mean(axis=0)) ** 2).sum())
    return 1 - error / spread if spread > 1e-12 else np.nan
