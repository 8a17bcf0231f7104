"""Windows: draw the variables of a net that training shows together, and their values.

Windows set how local the model's experience is. A *local* window shows the neighborhood of one variable, a *wrong*
window a neighborhood in the same net with relabeled variables, and a *full* window the whole net. No window of any
kind shows both variables of a held-out pair.
"""

from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from unamortized.worlds.net_tasks import NetTask
from unamortized.worlds.nets import sample
from unamortized.worlds.randomness import stream

Kind = Literal["local", "wrong", "full"]


class Windows(NamedTuple):
    """Windows of one size, each in its own random order; the last variable is the question."""

    variables: Int[np.ndarray, "batch shown"]
    values: Int[np.ndarray, "batch shown"]


def draw_windows(task: NetTask, kind: Kind, batch: int, seed: int, *keys: str | int) -> list[Windows]:
    """Draw windows of the net of a seed with fresh values, grouped by size, smallest first.

    ``batch`` counts windows of all sizes; ``keys`` name the random stream.
    """
    generator = stream("windows", task.fingerprint(), kind, seed, *keys)
    shown = visible(task, kind, batch, seed, generator)
    values = sample(task.build(seed), batch, generator)
    # a random order in which the hidden variables come last
    order = np.where(shown, generator.random(shown.shape), 2.0).argsort(axis=1)
    sizes = shown.sum(axis=1)
    grouped = []
    for size in np.unique(sizes):
        rows = sizes == size
        variables = order[rows, :size]
        grouped.append(Windows(variables, np.take_along_axis(values[rows], variables, axis=1)))
    return grouped


def visible(
    task: NetTask, kind: Kind, batch: int, seed: int, generator: np.random.Generator
) -> Bool[np.ndarray, "batch variable"]:
    """Choose the variables that each window shows; at least one.

    As in Prystawski et al. (2023), the center is uniform over variables, the radius is geometric, each variable within
    it drops out with a fixed probability, and one random variable of each held-out pair is removed. Full windows have
    no center and no dropout.
    """
    shown = np.ones((batch, task.net.variables), dtype=bool)
    if kind != "full":
        fewest, most = task.steps.train
        radius = np.minimum(fewest + generator.geometric(task.windows.stop, size=batch) - 1, most)
        distances = task.build(seed).distances
        if kind == "wrong":
            labels = stream("wrong windows", task.fingerprint(), seed).permutation(len(distances))
            distances = distances[np.ix_(labels, labels)]
        shown = distances[generator.integers(len(distances), size=batch)] <= radius[:, None]
        shown &= generator.random(shown.shape) >= task.windows.dropout
    for pair in generator.permutation(task.pairs(seed).held_out):
        both = shown[:, pair].all(axis=1)
        shown[both, generator.choice(pair, size=batch)[both]] = False
    if len(empty := np.flatnonzero(~shown.any(axis=1))):
        shown[empty] = visible(task, kind, len(empty), seed, generator)
    return shown
