"""Random processes, drawn from a seed: sticky hidden Markov models, noisy permutations, and tables in the prompt."""

import math
from functools import partial
from typing import Annotated, Literal

import numpy as np
from jaxtyping import Float
from scipy.special import softmax

from unamortized.worlds.processes.process import Between, Process, check_size

Seed = Annotated[int, Between(0, 2**32 - 1)]
Moves = Literal["permutations", "functions"]


def random_hmm(
    states: Annotated[int, Between(1, 1000)] = 4,
    symbols: Annotated[int, Between(1, 1000)] = 4,
    concentration: Annotated[float, Between(0.1, 1000)] = 1.0,
    stickiness: Annotated[float, Between(0, 0.999)] = 0.0,
    seed: Seed = 0,
) -> Process:
    r"""Move by a random transition matrix, then emit from the random distribution of the new state.

    $T^{(x)}_{ij} = A_{ij} E_{jx}$ with $A = \rho I + (1 - \rho) D$ for stickiness $\rho$. The rows of D and E are
    symmetric Dirichlet draws: uniform on the simplex at concentration 1, sparse below it, nearly equal far above it.
    Since the new state emits, the belief after x_t is that of the textbook HMM, p(z_t | x_1..t). D and E do not depend
    on the stickiness, so sweeping it leaves all else equal; near 1 the process is a sticky HMM.
    """
    check_size(symbols, states)
    moving, emitting = (np.random.default_rng(stream) for stream in np.random.SeedSequence(seed).spawn(2))
    move = (1 - stickiness) * moving.dirichlet(np.full(states, concentration), size=states)
    move += stickiness * np.eye(states)
    emit = emitting.dirichlet(np.full(symbols, concentration), size=states)
    return Process(move[None] * emit.T[:, None, :])


def noisy_permutation(
    states: Annotated[int, Between(2, 1000)] = 5,
    symbols: Annotated[int, Between(2, 1000)] = 4,
    slip: Annotated[float, Between(0, 1)] = 0.02,
    informativeness: Annotated[float, Between(0, 50)] = 0.0,
    seed: Seed = 0,
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


def in_context(
    states: Annotated[int, Between(2, 100)] = 4,
    symbols: Annotated[int, Between(2, 100)] = 3,
    slip: Annotated[float, Between(0, 1)] = 0.02,
    informativeness: Annotated[float, Between(0, 50)] = 0.0,
    moves: Moves = "permutations",
    seed: Seed = 0,
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
