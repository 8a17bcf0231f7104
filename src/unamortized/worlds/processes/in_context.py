"""Worlds told in the prompt: each problem brings its own table of moves, so none can be learned by heart."""

from functools import partial
from typing import Annotated, Literal

import numpy as np
from jaxtyping import Float

from unamortized.worlds.processes.permutations import random_emissions
from unamortized.worlds.processes.process import Between, Process, check_size

Moves = Literal["permutations", "functions"]


def in_context(
    states: Annotated[int, Between(2, 100)] = 4,
    symbols: Annotated[int, Between(2, 100)] = 3,
    slip: Annotated[float, Between(0, 1)] = 0.02,
    informativeness: Annotated[float, Between(0, 50)] = 0.0,
    moves: Moves = "permutations",
    seed: Annotated[int, Between(0, 2**32 - 1)] = 0,
) -> Process:
    r"""A state moved by symbols as a table says that each problem draws anew, and tells; at slip 0, an automaton.

    Problem b: $T^{(x)}_{ij} = E_{ix} ((1 - \epsilon) [j = \tau_b(x, i)] + \epsilon / S)$, from state 0. The table
    $\tau_b$ is for each symbol a permutation of the states, or any function of them, all alike. E is that of
    `noisy_permutation`, set by `informativeness` and `seed`, and is the same in all problems. The process returned
    is the mean over tables, from which batches are `drawn`; the prompt of problem b is `told` as V S numbers of
    rules, the one of (x, i) being $(x S + i) S + \tau_b(x, i)$, in the order of $x S + i$.

    Raises:
        ValueError: if the matrices would be too large.
    """
    check_size(symbols, states)
    emissions = random_emissions(states, symbols, informativeness, seed)
    mean = np.repeat(emissions.T[:, :, None] / states, states, axis=2)
    return Process(mean, initial=np.eye(states)[0], drawn=partial(_drawn, emissions, slip, moves))


def _drawn(
    emissions: Float[np.ndarray, "state symbol"], slip: float, moves: Moves, generator: np.random.Generator, batch: int
) -> Process:
    """One process a problem, each with its own table."""
    states, symbols = emissions.shape
    if moves == "permutations":
        table = generator.permuted(np.broadcast_to(np.arange(states), (batch, symbols, states)), axis=2)
    else:
        table = generator.integers(states, size=(batch, symbols, states))
    move = (1 - slip) * np.eye(states)[table] + slip / states
    rules = np.arange(symbols * states) * states + table.reshape(batch, -1)
    return Process(emissions.T[:, :, None] * move, initial=np.eye(states)[0], told=rules)
