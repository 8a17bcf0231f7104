"""Bayes nets over discrete variables: random nets, ancestral sampling, and exact marginals by variable elimination.

A net specifies each variable given its parents. The conditional of one variable given a distant one is exact but not
local: it has to be composed from the tables in between.
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
    """A directed acyclic graph with a table for each variable; all variables have the same number of values."""

    parents: tuple[tuple[int, ...], ...]
    tables: tuple[Float[np.ndarray, "..."], ...]  # of each variable; axes: the value of each parent, then its own

    @property
    def n_variables(self) -> int:
        return len(self.parents)

    @property
    def n_values(self) -> int:
        return self.tables[0].shape[-1]

    @cached_property
    def order(self) -> tuple[int, ...]:
        """The variables in topological order."""
        placed: dict[int, None] = {}
        while ready := [v for v in range(len(self.parents)) if v not in placed and placed.keys() >= {*self.parents[v]}]:
            placed |= dict.fromkeys(ready)
        return tuple(placed)

    @cached_property
    def distances(self) -> Int[np.ndarray, "variable variable"]:
        """Number of edges on the shortest undirected path between two variables."""
        return np.array([_breadth_first(self._neighbors, start)[0] for start in range(self.n_variables)])

    def path(self, start: int, stop: int) -> tuple[int, ...]:
        """Return the variables strictly between two others, along a shortest path from ``start``.

        If no variable has several parents, the path is unique, and each variable on it separates its two neighbors.
        """
        _, next_towards_stop = _breadth_first(self._neighbors, stop)
        path = [start]
        while path[-1] != stop:
            path.append(next_towards_stop[path[-1]])
        return tuple(path[1:-1])

    @cached_property
    def _neighbors(self) -> tuple[tuple[int, ...], ...]:
        """Parents and children of each variable."""
        children = [[c for c, own in enumerate(self.parents) if v in own] for v in range(self.n_variables)]
        return tuple((*own, *below) for own, below in zip(self.parents, children, strict=True))


def random_net(
    shape: Shape, variables: int, values: int, concentration: float, generator: np.random.Generator
) -> BayesNet:
    """Draw a net: rows of tables from a symmetric Dirichlet distribution, and the root's from a flat one.

    With two values and a concentration of 0.2, rows are as close to deterministic as those of Prystawski et al. (2023).
    Unlike theirs, each row of a table favors a different value: rows that agree carry no information along the edge,
    and most variables a few steps apart would be independent. In a ``chain``, X_0 → X_1 → …; in a ``tree``, the parent
    of a variable is any earlier one.
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
    """Draw values of all variables, parents first."""
    values = np.empty((batch, net.n_variables), dtype=np.int64)
    for variable in net.order:
        rows = net.tables[variable][tuple(values[:, net.parents[variable]].T)]
        values[:, variable] = draw_values(np.broadcast_to(rows, (batch, net.n_values)), generator)
    return values


def draw_values(rows: Float[np.ndarray, "batch value"], generator: np.random.Generator) -> Int[np.ndarray, " batch"]:
    """Draw a value from each row of unnormalized weights."""
    edges = rows.cumsum(axis=1)
    draws = generator.random(len(rows))[:, None] * edges[:, -1:]
    return (draws >= edges).sum(axis=1).clip(max=rows.shape[1] - 1)


class Factor(NamedTuple):
    """A table over some variables, one axis per variable."""

    variables: tuple[int, ...]
    table: Float[np.ndarray, "..."]


def joint(net: BayesNet, targets: Sequence[int], given: Mapping[int, int] | None = None) -> Float[np.ndarray, "..."]:
    r"""Return $p(x_{targets}, x_{given})$ by variable elimination, with one axis per target.

    Variables other than the targets, the given ones and their ancestors sum to one and are left out. The rest are
    summed out one by one, the one with the smallest factor first (Zhang & Poole 1994; Koller & Friedman 2009,
    section 9.3).
    """
    given = given or {}
    relevant = _with_ancestors(net, {*targets, *given})
    factors = [_condition(Factor((*net.parents[v], v), net.tables[v]), given) for v in relevant]
    remaining = {variable for factor in factors for variable in factor.variables} - {*targets}
    while remaining:
        scopes = {v: {u for factor in factors if v in factor.variables for u in factor.variables} for v in remaining}
        variable = min(remaining, key=lambda v: (len(scopes[v]), v))
        touched = [factor for factor in factors if variable in factor.variables]
        factors = [factor for factor in factors if variable not in factor.variables]
        factors.append(_multiply(touched, tuple(sorted(scopes[variable] - {variable}))))
        remaining.remove(variable)
    return _multiply(factors, tuple(targets)).table


def conditional(net: BayesNet, target: int, given: Mapping[int, int]) -> Float[np.ndarray, " value"]:
    """Return the exact p(target | given), by variable elimination; a ValueError if p(given) is zero."""
    weights = joint(net, (target,), given)
    if not weights.sum() > 0:
        raise ValueError(f"given must have a positive probability (got {dict(given)})")
    return weights / weights.sum()


def mutual_information(net: BayesNet, one: int, other: int) -> float:
    """Return the mutual information of two variables, in nats."""
    both = joint(net, (one, other))
    independent = both.sum(axis=1, keepdims=True) * both.sum(axis=0, keepdims=True)
    possible = both > 0
    return float((both[possible] * np.log(both[possible] / independent[possible])).sum())


def _with_ancestors(net: BayesNet, variables: set[int]) -> list[int]:
    found, frontier = set(variables), list(variables)
    while frontier:
        parents = set(net.parents[frontier.pop()]) - found
        found |= parents
        frontier += parents
    return sorted(found)


def _condition(factor: Factor, given: Mapping[int, int]) -> Factor:
    """Fix the given variables of a factor at their values."""
    index = tuple(given.get(variable, slice(None)) for variable in factor.variables)
    return Factor(tuple(v for v in factor.variables if v not in given), factor.table[index])


def _multiply(factors: Sequence[Factor], kept: tuple[int, ...]) -> Factor:
    """Multiply factors and sum out all variables except the kept ones."""
    scope = sorted({variable for factor in factors for variable in factor.variables})
    axis = {variable: number for number, variable in enumerate(scope)}  # einsum has at most 52 axis labels
    operands = [part for factor in factors for part in (factor.table, [axis[v] for v in factor.variables])]
    return Factor(kept, np.einsum(*operands, [axis[v] for v in kept]))


def _breadth_first(neighbors: Sequence[Sequence[int]], start: int) -> tuple[list[int], list[int]]:
    """Return each variable's distance from ``start``, and the next variable towards it."""
    distances, towards_start = [-1] * len(neighbors), [-1] * len(neighbors)
    distances[start] = 0
    queue = deque([start])
    while queue:
        here = queue.popleft()
        for other in neighbors[here]:
            if distances[other] < 0:
                distances[other], towards_start[other] = distances[here] + 1, here
                queue.append(other)
    return distances, towards_start
