"""What a process says of whole words, by writing out every latent path or every product of matrices."""

import itertools

import numpy as np

Word = tuple[int, ...]


def paths_and_words(transitions: np.ndarray, initial: np.ndarray, n_steps: int) -> dict[tuple[Word, Word], float]:
    """{(latent path s_0..s_n, word x_1..x_n): probability}, of all that are possible."""
    joint: dict[tuple[Word, Word], float] = {
        ((state,), ()): float(share) for state, share in enumerate(initial) if share > 0
    }
    for _ in range(n_steps):
        longer = {}
        for (path, word), probability in joint.items():
            for symbol, state in np.argwhere(transitions[:, path[-1], :] > 0).tolist():
                move = float(transitions[symbol, path[-1], state])
                longer[(*path, state), (*word, symbol)] = probability * move
        joint = longer
    return joint


def all_words(n_symbols: int, n_steps: int) -> list[Word]:
    return list(itertools.product(range(n_symbols), repeat=n_steps))


def block_entropy(process, n_steps: int) -> float:
    """Bits of a word of n symbols."""
    readout = np.ones(process.n_states) if process.readout is None else process.readout
    vectors = process.initial[None]
    for _ in range(n_steps):
        vectors = np.einsum("bi,vij->bvj", vectors, process.transitions).reshape(-1, process.n_states)
    probability = vectors @ readout
    probability = probability[probability > 1e-300]
    return float(-(probability * np.log2(probability)).sum())
