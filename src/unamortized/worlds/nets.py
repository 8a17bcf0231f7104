"""Bayes nets over discrete variables: random ones, ancestral samples, and exact marginals by elimination.

A net says how its variables arise, each from its parents; what one says about another far away is exact but
not local, and has to be put together from the tables in between.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int

Shape = Literal["chain", "tree"]


@dataclass(frozen=True, eq=False)
class BayesNet:
    """A directed acyclic graph with a table for each variable; all variables have equally many values."""

    parents: tuple[tuple[int, ...], ...]
    tables: tuple[Float[np.ndarray, "..."], ...]  # by variable: (value of each parent in turn, own value)

    def __post_init__(self) -> None:
        if len(self.parents) != len(self.tables) or not self.tables:
            raise ValueError(f"{len(self.parents)} lists of parents need as many tables (got {len(self.tables)})")
        for variable, (parents, table) in enumerate(zip(self.parents, self.tables, strict=True)):
            wanted = (self.n_values,) * (len(parents) + 1)
            if table.shape != wanted:
                raise ValueError(f"the table of variable {variable} must have shape {wanted} (got {table.shape})")
            if (table < 0).any() or not np.allclose(table.sum(axis=-1), 1):
                raise ValueError(f"the table of variable {variable} must hold distributions along its last axis")
        if len(self.order) < self.n_variables:
            raise ValueError("the parents form a circle; a Bayes net has none")

    @property
    def n_variables(self) -> int:
        """Number of variables."""
        return len(self.parents)

    @property
    def n_values(self) -> int:
        """Number of values of each variable."""
        return self.tables[0].shape[-1]

    @cached_property
    def order(self) -> tuple[int, ...]:
        """The variables, each after its parents; fewer than all of them if the parents form a circle."""
        placed: dict[int, None] = {}
        while ready := [v for v in range(len(self.parents)) if v not in placed and placed.keys() >= {*self.parents[v]}]:
            placed |= dict.fromkeys(ready)
        return tuple(placed)

    @cached_property
    def distances(self) -> Int[np.ndarray, "variable variable"]:
        """Fewest edges between two variables, whichever way they point; -1 where no path joins them."""
        return np.array([_breadth_first(self._neighbors, start)[0] for start in range(self.n_variables)])

    def path(self, start: int, stop: int) -> tuple[int, ...]:
        """The variables strictly between two, along a shortest path from ``start``.

        In a net without a variable of several parents it is the only path, and each variable on it separates
        the one before from the one after.

        Raises:
            ValueError: if no path joins them.
        """
        distances, reached_from = _breadth_first(self._neighbors, stop)
        if distances[start] < 0:
            raise ValueError(f"no path joins variables {start} and {stop}")
        between = [start]
        while between[-1] != stop:
            between.append(reached_from[between[-1]])
        return tuple(between[1:-1])

    @cached_property
    def _neighbors(self) -> tuple[tuple[int, ...], ...]:
        """Parents and children of each variable."""
        children = [[c for c, own in enumerate(self.parents) if v in own] for v in range(self.n_variables)]
        return tuple((*own, *below) for own, below in zip(self.parents, children, strict=True))


def random_net(
    shape: Shape, variables: int, values: int, concentration: float, generator: np.random.Generator
) -> BayesNet:
    """A net whose tables' rows are drawn from a symmetric Dirichlet, and a root's from a flat one.

    With two values and a concentration of 0.2 rows are as nearly deterministic as those of Prystawski et al.
    (2023). Unlike theirs, the rows of a table each favor another value: where rows agree, an edge tells
    nothing, and most variables a few steps apart would be independent.

    Args:
        shape: ``chain`` (X_0 → X_1 → …), or ``tree``: each variable's parent is any of those before it.
        variables: their number.
        values: number of values of each.
        concentration: of the Dirichlet; the smaller, the nearer to deterministic.
        generator: of the draw.
    """
    parents: list[tuple[int, ...]] = [()]
    for variable in range(1, variables):
        parents.append((variable - 1,) if shape == "chain" else (int(generator.integers(variable)),))
    tables = [generator.dirichlet(np.ones(values))]
    for _ in range(1, variables):
        rows = np.sort(generator.dirichlet(np.full(values, concentration), size=values), axis=1)
        rows[:, :-1] = generator.permuted(rows[:, :-1], axis=1)
        favorites = generator.permutation(values)
        rows[np.arange(values), favorites], rows[:, -1] = rows[:, -1].copy(), rows[np.arange(values), favorites]
        tables.append(rows)
    return BayesNet(tuple(parents), tuple(tables))


def sample(net: BayesNet, batch: int, generator: np.random.Generator) -> Int[np.ndarray, "batch variable"]:
    """Values of all variables, each drawn after its parents."""
    values = np.empty((batch, net.n_variables), dtype=np.int64)
    for variable in net.order:
        rows = net.tables[variable][tuple(values[:, net.parents[variable]].T)]
        values[:, variable] = draw_values(np.broadcast_to(rows, (batch, net.n_values)), generator)
    return values


def draw_values(rows: Float[np.ndarray, "batch value"], generator: np.random.Generator) -> Int[np.ndarray, " batch"]:
    """A value from each row of weights."""
    edges = rows.cumsum(axis=1)
    draws = generator.random(len(rows))[:, None] * edges[:, -1:]
    return (draws >= edges).sum(axis=1).clip(max=rows.shape[1] - 1)


class Factor(NamedTuple):
    """A table over some variables, one axis each."""

    variables: tuple[int, ...]
    table: Float[np.ndarray, "..."]


def joint(net: BayesNet, asked: Sequence[int], given: Mapping[int, int] | None = None) -> Float[np.ndarray, "..."]:
    r"""$p(x_{asked}, x_{given})$, one axis an asked variable, by variable elimination.

    Variables that are neither asked about, nor given, nor ancestors of one that is sum to one and are left
    out; the others are summed away one by one, first the one whose factor is smallest (Zhang & Poole 1994;
    Koller & Friedman 2009, section 9.3).

    Raises:
        ValueError: if a variable is asked about twice, or is both asked about and given.
    """
    given = given or {}
    if len({*asked, *given}) < len(asked) + len(given):
        raise ValueError(f"a variable may be asked about or given once (got {list(asked)}, given {sorted(given)})")
    factors = [_reduced(Factor((*net.parents[v], v), net.tables[v]), given) for v in _ancestral(net, {*asked, *given})]
    left = {variable for factor in factors for variable in factor.variables} - {*asked}
    while left:
        scopes = {v: {u for factor in factors if v in factor.variables for u in factor.variables} for v in left}
        variable = min(left, key=lambda v: (len(scopes[v]), v))
        touched = [factor for factor in factors if variable in factor.variables]
        factors = [factor for factor in factors if variable not in factor.variables]
        factors.append(_multiplied(touched, tuple(sorted(scopes[variable] - {variable}))))
        left.remove(variable)
    return _multiplied(factors, tuple(asked)).table


def conditional(net: BayesNet, target: int, given: Mapping[int, int]) -> Float[np.ndarray, " value"]:
    """p(target | given), exact, by variable elimination.

    Args:
        net: the net.
        target: the variable asked about.
        given: by variable, the value that it has.

    Raises:
        ValueError: if what is given has probability zero, or the target is among it.
    """
    weights = joint(net, (target,), given)
    if not weights.sum() > 0:
        raise ValueError(f"{dict(given)} has probability zero, so that nothing is defined given it")
    return weights / weights.sum()


def mutual_information(net: BayesNet, one: int, other: int) -> float:
    """What two variables say about each other, in nats."""
    both = joint(net, (one, other))
    independent = both.sum(axis=1, keepdims=True) * both.sum(axis=0, keepdims=True)
    possible = both > 0
    return float((both[possible] * np.log(both[possible] / independent[possible])).sum())


def _ancestral(net: BayesNet, variables: set[int]) -> list[int]:
    found, waiting = set(variables), list(variables)
    while waiting:
        above = set(net.parents[waiting.pop()]) - found
        found |= above
        waiting += above
    return sorted(found)


def _reduced(factor: Factor, given: Mapping[int, int]) -> Factor:
    """The factor at the given values, over what is left."""
    index = tuple(given.get(variable, slice(None)) for variable in factor.variables)
    return Factor(tuple(v for v in factor.variables if v not in given), factor.table[index])


def _multiplied(factors: Sequence[Factor], kept: tuple[int, ...]) -> Factor:
    """The product of factors, summed over all variables but those that are kept."""
    scope = sorted({variable for factor in factors for variable in factor.variables})
    axis = {variable: number for number, variable in enumerate(scope)}  # einsum knows but 52 axes
    operands = [part for factor in factors for part in (factor.table, [axis[v] for v in factor.variables])]
    return Factor(kept, np.einsum(*operands, [axis[v] for v in kept]))


def _breadth_first(neighbors: Sequence[Sequence[int]], start: int) -> tuple[list[int], list[int]]:
    """By variable, its distance from ``start`` and the next variable on the way there; -1 for none."""
    distances, back = [-1] * len(neighbors), [-1] * len(neighbors)
    distances[start] = 0
    waiting = deque([start])
    while waiting:
        here = waiting.popleft()
        for other in neighbors[here]:
            if distances[other] < 0:
                distances[other], back[other] = distances[here] + 1, here
                waiting.append(other)
    return distances, back
