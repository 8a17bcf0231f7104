"""The mixed states of a process: the belief after each word, and its probability.

Words that lead to the same belief have the same future, so their beliefs are merged. If words of all lengths lead to
few beliefs, these form a Markov chain that determines the process exactly. If they lead to infinitely many, as in a
fractal, the tree of beliefs is followed to a finite depth.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.special import entr

from unamortized.worlds.predictive_vectors import SMALLEST_EVIDENCE
from unamortized.worlds.processes import Process

SAME = 1e-9  # beliefs are merged if they are closer than this in every coordinate
LARGEST = 2 * 10**7  # numbers in memory, which bounds the beliefs of a level
ROUNDING = 1e-11  # the largest difference between computations of one belief; distinct beliefs in a cell differ more
CERTAIN = 1 - 1e-9


class Level(NamedTuple):
    """The distinct beliefs after all words of one length."""

    probability: Float[np.ndarray, " node"]
    beliefs: Float[np.ndarray, "node state"]
    dropped: float = 0.0  # total probability of the words that were not followed to this length


class Bounds(NamedTuple):
    """The bounds of a quantity; equal if no words were dropped."""

    low: float
    high: float


def unknown_start(belief: Float[np.ndarray, " state"]) -> Level:
    """Start from one belief over states."""
    return Level(np.ones(1), belief[None].astype(np.float64))


def known_start(distribution: Float[np.ndarray, " state"]) -> Level:
    """Start from a state that is drawn from a distribution and known: one certain belief per state."""
    possible = np.flatnonzero(distribution > 0)
    return Level(distribution[possible], np.eye(len(distribution))[possible])


def mixed_states(process: Process, start: Level, depth: int, smallest: float = 0.0) -> list[Level]:
    r"""Compute the beliefs after all words of 0, 1, .. `depth` symbols, level by level.

    $\eta_{wx} = \eta_w T^{(x)} / (\eta_w T^{(x)} \mathbf{1})$ with probability $P(wx) = P(w) \, \eta_w T^{(x)}
    \mathbf{1}$ (Shai et al. 2024; Upper 1997 for generalized processes). Beliefs less probable than `smallest` are not
    followed, nor the least probable ones if a level outgrows memory. `dropped` accumulates their probability, so it
    sums to one with the probabilities of the level.
    """
    if process.per_problem:
        raise ValueError("the process must be shared by all problems; pass one problem's process, or their mean")
    levels = [start]
    for _ in range(depth):
        levels.append(_extend(process, levels[-1], smallest))
    return levels


def pooled(levels: Sequence[Level]) -> Level:
    """Pool the beliefs of all levels; each gets its mean probability over levels."""
    probability = np.concatenate([level.probability for level in levels]) / len(levels)
    beliefs = np.concatenate([level.beliefs for level in levels])
    return Level(*_merge(probability, beliefs), dropped=sum(level.dropped for level in levels) / len(levels))


def _extend(process: Process, level: Level, smallest: float) -> Level:
    """Compute the level of words that are one symbol longer."""
    evidence, beliefs = _children(process, level.beliefs)
    possible = evidence > _impossible(process)
    probability = (level.probability[:, None] * evidence)[possible]
    probability, beliefs = _merge(probability, beliefs[possible])
    most = max(1, LARGEST // (process.n_symbols * process.n_states))
    kept = np.zeros(len(probability), dtype=bool)
    kept[np.argsort(-probability, kind="stable")[:most]] = True
    kept &= probability >= smallest
    return Level(probability[kept], beliefs[kept], level.dropped + float(probability[~kept].sum()))


def _impossible(process: Process) -> float:
    """Return the probability at or below which a symbol is impossible: the rounding error of sums that cancel, or 0."""
    return SMALLEST_EVIDENCE if process.is_generalized else 0.0


def _children(process: Process, beliefs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return P(symbol | belief) (node, symbol), and the belief after the symbol (node, symbol, state)."""
    moved = np.einsum("ni,vij->nvj", beliefs, process.transitions)
    evidence = moved.sum(axis=2) if process.readout is None else moved @ process.readout
    with np.errstate(divide="ignore", invalid="ignore"):
        return evidence, moved / evidence[:, :, None]


def _cells(beliefs: Float[np.ndarray, "node state"]) -> Int[np.ndarray, "node state"]:
    """Assign beliefs to cells of a lattice; the offset keeps simple fractions away from edges, despite rounding."""
    return np.floor(beliefs / SAME + 1 / np.e).astype(np.int64)


def _merge(probability: np.ndarray, beliefs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Merge equal beliefs into their mean, and add their probabilities."""
    _, first, node = np.unique(_cells(beliefs), axis=0, return_index=True, return_inverse=True)
    node = node.reshape(-1)
    merged = np.bincount(node, weights=probability, minlength=len(first))
    shift = probability[:, None] * (beliefs - beliefs[first][node])
    shifts = np.stack([np.bincount(node, weights=column, minlength=len(first)) for column in shift.T], axis=1)
    return merged, beliefs[first] + shifts / merged[:, None]


# ── expectations over a level ────────────────────────────────────────────────────────────────────


def next_symbol_entropy(process: Process, level: Level) -> Bounds:
    """Return H[X_{n+1} | X_1..n], in nats."""
    symbols = (level.beliefs @ process.emissions).clip(min=0.0)
    return _expected(level, entr(symbols).sum(axis=1), float(np.log(process.n_symbols)))


def belief_entropy(level: Level) -> Bounds:
    """Return H[S_n | X_1..n], in nats; for distributions over states, not for predictive vectors."""
    return _expected(level, entr(level.beliefs.clip(min=0.0)).sum(axis=1), float(np.log(level.beliefs.shape[1])))


def certainty(level: Level) -> Bounds:
    """Return the probability that the belief is certain of the state."""
    return _expected(level, (level.beliefs.max(axis=1) >= CERTAIN).astype(np.float64), 1.0)


def _expected(level: Level, values: np.ndarray, largest: float) -> Bounds:
    """Bound the expectation of values between zero and `largest`; dropped words may have any of them."""
    kept = float(level.probability @ values)
    return Bounds(kept, kept + level.dropped * largest)


# ── finitely many beliefs ────────────────────────────────────────────────────────────────────────


class MixedStateChain(NamedTuple):
    """All mixed states that a start leads to, if they are finitely many."""

    share: Float[np.ndarray, " node"]  # probability before the first symbol
    beliefs: Float[np.ndarray, "node state"]
    emissions: Float[np.ndarray, "node symbol"]  # P(symbol | belief)
    following: Int[np.ndarray, "node symbol"]  # node of the belief after a symbol; -1 if the symbol is impossible

    @property
    def transitions(self) -> Float[np.ndarray, "node node"]:
        """P(next mixed state | mixed state), summed over symbols."""
        matrix = np.zeros((len(self.beliefs), len(self.beliefs)))
        node, symbol = np.nonzero(self.following >= 0)
        np.add.at(matrix, (node, self.following[node, symbol]), self.emissions[node, symbol])
        return matrix / matrix.sum(axis=1, keepdims=True)


def mixed_state_chain(process: Process, start: Level, most: int) -> MixedStateChain | None:
    """Return the chain of mixed states, or None if there are more than `most`.

    Given a mixed state, the symbol determines the next one. Beliefs that converge to a limit are infinitely many;
    merging them with the limit would give a wrong chain, so their convergence also returns None.
    """
    node_of_cell = {cell.tobytes(): node for node, cell in enumerate(_cells(start.beliefs))}
    beliefs = list(start.beliefs)
    emissions, following = [], []
    n_expanded = 0
    while n_expanded < len(beliefs) <= most:
        evidence, children = _children(process, np.stack(beliefs[n_expanded:]))
        n_expanded = len(beliefs)
        possible = evidence > _impossible(process)
        nodes = [node_of_cell.setdefault(cell.tobytes(), len(node_of_cell)) for cell in _cells(children[possible])]
        for node, child in zip(nodes, children[possible], strict=True):
            if node == len(beliefs):
                beliefs.append(child)
            elif np.abs(beliefs[node] - child).max() > ROUNDING:
                return None
        reached = np.full(evidence.shape, -1)
        reached[possible] = nodes
        emissions.append(np.where(possible, evidence, 0.0))
        following.append(reached)
    if len(beliefs) > most:
        return None
    share = np.zeros(len(beliefs))
    share[: len(start.probability)] = start.probability
    return MixedStateChain(share, np.stack(beliefs), np.concatenate(emissions), np.concatenate(following))
