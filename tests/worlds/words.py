"""Probabilities of whole words, by enumerating every latent path or every product of matrices."""

import itertools
import math

import numpy as np
from scipy.special import entr

Word = tuple[int, ...]


def paths_and_words(transitions: np.ndarray, initial: np.ndarray, n_steps: int) -> dict[tuple[Word, Word], float]:
    """Return {(latent path s_0..s_n, word x_1..x_n): probability} for all possible ones."""
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


def block_entropy(process, n_steps: int, initial: np.ndarray | None = None) -> float:
    """Return the entropy of a word of n symbols, in nats."""
    readout = np.ones(process.n_states) if process.readout is None else process.readout
    vectors = (process.initial if initial is None else initial)[None]
    for _ in range(n_steps):
        vectors = np.einsum("bi,vij->bvj", vectors, process.transitions).reshape(-1, process.n_states)
    probability = vectors @ readout
    return float(entr(probability.clip(min=0)).sum())


def block_bits(process, n_steps: int) -> float:
    """Return the entropy of a word of n symbols, in bits."""
    return block_entropy(process, n_steps) / math.log(2)
