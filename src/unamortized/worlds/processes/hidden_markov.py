"""Random hidden Markov models: generic processes, whose stickiness sets how fast they forget."""

from typing import Annotated

import numpy as np

from unamortized.worlds.processes.process import Between, Process, check_size


def random_hmm(
    states: Annotated[int, Between(1, 1000)] = 4,
    symbols: Annotated[int, Between(1, 1000)] = 4,
    concentration: Annotated[float, Between(0.1, 1000)] = 1.0,
    stickiness: Annotated[float, Between(0, 0.999)] = 0.0,
    seed: Annotated[int, Between(0, 2**32 - 1)] = 0,
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
