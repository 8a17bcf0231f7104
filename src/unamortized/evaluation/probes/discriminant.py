"""Linear discriminant: which of many classes an activation belongs to, where there are more of them than dimensions.

Regression cannot tell: of S one-hot classes, d < S - 1 dimensions explain but a part, however well they separate them.
"""

import numpy as np
from jaxtyping import Float
from scipy.linalg import solve
from scipy.special import softmax

from unamortized.evaluation.probes.ridge import CONSTANT, Moments, Probe, apply


def discriminant(given: Moments, shrinkage: float) -> Probe:
    r"""Log-odds of classes that are normal with one covariance, affine in the features (Fisher 1936).

    $\log p_c - \frac12 \mu_c^\top \Sigma^{-1} \mu_c + \mu_c^\top \Sigma^{-1} x$ up to a constant, with the covariance
    within classes regularized by $\lambda$ times the diagonal of the whole one (as in Friedman 1989); a feature that
    does not vary is left out. Classes that do not occur have no chance.

    Args:
        given: moments of what is fitted on; the targets are one-hot.
        shrinkage: lambda.
    """
    deviation = np.sqrt(given.xx.diagonal() / given.rows)
    scale = np.where(deviation > CONSTANT * (1 + np.abs(given.x_mean)), deviation, np.inf)
    occurs = given.y_mean > 0
    share = given.y_mean[occurs]
    away = given.xy[:, occurs] / scale[:, None] / (given.rows * share)  # of each class's mean from that of all
    within = given.covariance / np.outer(scale, scale) - (away * share) @ away.T
    weights = solve(within + shrinkage * np.eye(len(scale)), away, assume_a="sym")
    odds = np.log(share) - (away * weights).sum(axis=0) / 2
    probe = Probe(np.zeros_like(given.xy), np.full(len(occurs), -np.inf))
    probe.weights[:, occurs] = weights / scale[:, None]
    probe.offset[occurs] = odds - given.x_mean @ probe.weights[:, occurs]
    return probe


def classify(probe: Probe, features: Float[np.ndarray, "... width"]) -> Float[np.ndarray, "... option"]:
    """The probability of each class."""
    return softmax(apply(probe, features), axis=-1)
