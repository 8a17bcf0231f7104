"""Noisy permutations: the slip rate interpolates between exact state tracking and fast forgetting."""

import math
from typing import Annotated

import numpy as np
from jaxtyping import Float
from scipy.special import softmax

from unamortized.worlds.processes.process import Between, Process, check_size


def noisy_permutation(
    states: Annotated[int, Between(2, 1000)] = 5,
    symbols: Annotated[int, Between(2, 1000)] = 4,
    slip: Annotated[float, Between(0, 1)] = 0.02,
    informativeness: Annotated[float, Between(0, 50)] = 0.0,
    seed: Annotated[int, Between(0, 2**32 - 1)] = 0,
) -> Process:
    r"""Move the state by the symbol's own random permutation, or slip to a random state with probability `slip`.

    $T^{(x)}_{ij} = E_{ix} ((1 - \epsilon) [j = \pi_x(i)] + \epsilon / S)$ with slip $\epsilon$, and
    $E_{i \cdot} = \mathrm{softmax}(\kappa z_{i \cdot})$ over symbols, with z standard normal. At informativeness
    $\kappa = 0$, a symbol carries no information about the state that emits it, only about where the state goes. Slip
    sets the mixing time, hence how many steps have to be composed. The permutations depend on `states`, `symbols` and
    `seed` alone, so sweeping slip leaves all else equal. Together they connect all states, so the stationary start is
    unique even at slip 0.
    """
    if states < 7 and symbols > math.factorial(states):
        most = math.factorial(states)
        raise ValueError(f"symbols must be at most {most}, the permutations of {states} states (got {symbols})")
    check_size(symbols, states)
    permutation_seed, _ = np.random.SeedSequence(seed).spawn(2)  # the other seeds the emissions
    permutations = _distinct_permutations(states, symbols, np.random.default_rng(permutation_seed))
    emissions = random_emissions(states, symbols, informativeness, seed)
    move = np.full((symbols, states, states), slip / states)
    move[np.arange(symbols)[:, None], np.arange(states), permutations] += 1 - slip
    return Process(transitions=emissions.T[:, :, None] * move)


def random_emissions(states: int, symbols: int, informativeness: float, seed: int) -> Float[np.ndarray, "state symbol"]:
    """Draw P(symbol | state), the E of `noisy_permutation`: a softmax of informativeness times standard normals."""
    _, emission_seed = np.random.SeedSequence(seed).spawn(2)
    scores = np.random.default_rng(emission_seed).standard_normal((states, symbols))
    return softmax(informativeness * scores, axis=1)


def _distinct_permutations(states: int, symbols: int, generator: np.random.Generator) -> np.ndarray:
    """Draw distinct permutations (symbols, states), again until they connect all states."""
    while True:
        drawn: dict[tuple[int, ...], None] = {}
        while len(drawn) < symbols:
            drawn.setdefault(tuple(generator.permutation(states).tolist()))
        permutations = np.array(list(drawn))
        reached = np.zeros(states, dtype=bool)
        frontier = np.array([0])
        while frontier.size:
            reached[frontier] = True
            following = np.unique(permutations[:, frontier])
            frontier = following[~reached[following]]
        if reached.all():  # one start is enough, since repeating a permutation undoes it
            return permutations
