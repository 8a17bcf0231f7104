"""Worlds that the prompt describes: each problem has its own table of moves, so the model cannot memorize one."""

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
    r"""Move the state by symbols, according to a table that each problem draws and shows; an automaton at slip 0.

    In problem b, $T^{(x)}_{ij} = E_{ix} ((1 - \epsilon) [j = \tau_b(x, i)] + \epsilon / S)$, from state 0. For each
    symbol, the table $\tau_b$ is a uniformly random permutation or function of the states. All problems share the
    emissions E of `noisy_permutation`, set by `informativeness` and `seed`. The process returned is the mean over
    tables; its `sampler` draws batches. The `rules` of problem b are V S indices in the order of $x S + i$, where rule
    (x, i) has index $(x S + i) S + \tau_b(x, i)$.
    """
    check_size(symbols, states)
    emissions = random_emissions(states, symbols, informativeness, seed)
    mean = np.repeat(emissions.T[:, :, None] / states, states, axis=2)
    return Process(mean, initial=np.eye(states)[0], sampler=partial(_draw_tables, emissions, slip, moves))


def _draw_tables(
    emissions: Float[np.ndarray, "state symbol"], slip: float, moves: Moves, generator: np.random.Generator, batch: int
) -> Process:
    """Draw one process per problem, each with its own table."""
    states, symbols = emissions.shape
    if moves == "permutations":
        table = generator.permuted(np.broadcast_to(np.arange(states), (batch, symbols, states)), axis=2)
    else:
        table = generator.integers(states, size=(batch, symbols, states))
    move = (1 - slip) * np.eye(states)[table] + slip / states
    rules = np.arange(symbols * states) * states + table.reshape(batch, -1)
    return Process(emissions.T[:, :, None] * move, initial=np.eye(states)[0], rules=rules)
