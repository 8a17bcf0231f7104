"""Linear discriminant: a probe of classes, for targets with more classes than the activations have dimensions.

Regression fails there: of S one-hot classes, d < S - 1 dimensions explain only a part, however well they separate them.
"""

import numpy as np
from scipy.linalg import solve

from unamortized.evaluation.probes.ridge import CONSTANT, Moments, Probe

SHRINKAGE = 0.1  # lambda


def discriminant(given: Moments, shrinkage: float = SHRINKAGE) -> Probe:
    r"""Fit the log-odds of normal classes with one covariance, which are affine in the features (Fisher 1936).

    $\log p_c - \frac12 \mu_c^\top \Sigma^{-1} \mu_c + \mu_c^\top \Sigma^{-1} x$ up to a constant, with the covariance
    within classes regularized by $\lambda$ times the diagonal of the total covariance (as in Friedman 1989). A feature
    that does not vary gets no weight, and a class that does not occur has probability zero.
    """
    deviation = np.sqrt(given.xx.diagonal() / given.rows)
    scale = np.where(deviation > CONSTANT * (1 + np.abs(given.x_mean)), deviation, np.inf)
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
