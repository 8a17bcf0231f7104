"""Windows: which variables of a net are seen together, and draws of their values.

The locality of experience is all in here: a *local* window shows the surroundings of one variable, a *wrong*
one the surroundings of a variable in the same net with its variables relabeled, a *full* one everything. No
window of any kind shows both variables of a held-out pair.
"""

from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from unamortized.worlds.net_tasks import NetTask
from unamortized.worlds.nets import sample
from unamortized.worlds.randomness import stream

Kind = Literal["local", "wrong", "full"]


class Windows(NamedTuple):
    """Windows of one size, each in an order of its own; the last variable is the one asked about."""

    variables: Int[np.ndarray, "batch shown"]
    values: Int[np.ndarray, "batch shown"]


def draw_windows(task: NetTask, kind: Kind, batch: int, seed: int, *keys: str | int) -> list[Windows]:
    """Windows on the net of a seed with fresh values, grouped by size, smallest first.

    Args:
        task: the net and how far windows reach.
        kind: which windows.
        batch: their number in all.
        seed: chooses the net.
        keys: name the draw.
    """
    generator = stream("windows", task.fingerprint(), kind, seed, *keys)
    shown = visible(task, kind, batch, seed, generator)
    values = sample(task.build(seed), batch, generator)
    # a random order of all variables in which those that are not shown come last
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
    """Which variables each window shows; at least one.

    As in Prystawski et al. (2023): the center is any variable, the radius geometric, each variable within it
    is left out with a fixed probability, and of a held-out pair one variable, either, is taken out. Full
    windows have no center and leave nothing else out.
    """
    shown = np.zeros((batch, task.net.variables), dtype=bool)
    while len(empty := np.flatnonzero(~shown.any(axis=1))):
        shown[empty] = _once(task, kind, len(empty), seed, generator)
    return shown


def _once(task: NetTask, kind: Kind, batch: int, seed: int, generator: np.random.Generator) -> np.ndarray:
    shown = np.ones((batch, task.net.variables), dtype=bool)
    if kind != "full":
        fewest, most = task.steps.train
        radius = np.minimum(fewest + generator.geometric(task.windows.stop, size=batch) - 1, most)
        distances = task.build(seed).distances
        if kind == "wrong":
            labels = stream("wrong windows", task.fingerprint(), seed).permutation(len(distances))
            distances = distances[np.ix_(labels, labels)]
        around = distances[generator.integers(len(distances), size=batch)]
        shown = (around >= 0) & (around <= radius[:, None])
        shown &= generator.random(shown.shape) >= task.windows.dropout
    for pair in generator.permutation(task.pairs(seed).held_out):
        both = shown[:, pair].all(axis=1)
        shown[both, generator.choice(pair, size=batch)[both]] = False
    return shown
