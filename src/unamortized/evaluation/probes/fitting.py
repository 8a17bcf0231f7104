"""The one way to fit probes: draw problems, read activations, fit a map from activations to targets at each layer."""

from collections.abc import Callable, Hashable, Iterable
from typing import NamedTuple, TypeVar

import numpy as np
from jaxtyping import Float

from unamortized.evaluation.probes.activations import Activations, read_activations
from unamortized.evaluation.probes.ridge import Moments, Probe, moments, ridge_probe
from unamortized.evaluation.protocol import test_problems
from unamortized.learning.specification import Run
from unamortized.worlds.problems import Problems
from unamortized.worlds.splits import apart, draw

Key = TypeVar("Key", bound=Hashable)
Features = Float[np.ndarray, "... width"]
Targets = Float[np.ndarray, "... option"]
Solver = Callable[[Moments], Probe]  # ``ridge_probe`` or ``discriminant``


class FittedProbe(NamedTuple):
    """A probe, and the moments of the activations and targets that it was fitted to."""

    probe: Probe
    moments: Moments


def fitting_problems(run: Run, size: int, name: str, n_steps: int | None = None) -> Problems:
    """Draw validation problems, at the longest training length by default.

    Splits share short questions. Of those only a part is returned, which ``scoring_problems`` leaves out.
    """
    drawn = draw(run.task, "validation", n_steps or run.task.steps.train[1], size, run.spec.seed, name)
    return apart(run.task, drawn, "validation")


def scoring_problems(run: Run, size: int) -> Problems:
    """Draw test problems of the longest training length that share no question with ``fitting_problems``."""
    return apart(run.task, test_problems(run.task, run.task.steps.train[1], size, run.spec.seed), "test")


def fit_probes(samples: Iterable[tuple[Key, Features, Targets]], solve: Solver = ridge_probe) -> dict[Key, FittedProbe]:
    """Fit one probe for each key to its samples, pooled as running moments: memory does not grow with their number."""
    gathered: dict[Key, Moments] = {}
    for key, features, targets in samples:
        found = moments(features, targets)
        gathered[key] = gathered[key].merge(found) if key in gathered else found
    return {key: FittedProbe(solve(found), found) for key, found in gathered.items()}


def fit_by_layer(
    seen: Activations, targets: Targets | None = None, place: int | slice = slice(None), solve: Solver = ridge_probe
) -> dict[str, FittedProbe]:
    """Fit one probe for each layer of a site: of exact beliefs, with all steps pooled, by default.

    ``targets`` are shaped as the activations at ``place``, the step among those of the site.
    """
    targets = seen.beliefs[:, place] if targets is None else targets
    return fit_probes(((layer, features[:, place], targets) for layer, features in seen.features.items()), solve)


def belief_probes(run: Run, size: int, name: str, site: str) -> dict[str, FittedProbe]:
    """Fit one probe of the exact belief for each layer of a site, all steps of the longest training length pooled."""
    return fit_by_layer(read_activations(run, fitting_problems(run, size, name))[site])
