"""The mixed states of a process: what can be believed after each word, and how probable that is.

All words of a length lead to a set of beliefs; words that lead to the same belief have the same future, so they
are merged. Where the beliefs of all lengths together are few, they are a Markov chain that answers every question
about the process exactly; where they are infinitely many, as in a fractal, their tree is followed to some depth.
"""

from collections.abc import Sequence
from itertools import accumulate, repeat
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.special import entr

from unamortized.worlds.predictive_vectors import SMALLEST_EVIDENCE
from unamortized.worlds.processes import Process

SAME = 1e-9  # beliefs nearer than this, in every coordinate, are one
LARGEST = 2 * 10**7  # numbers held at a time, which bounds how many beliefs a level can have
ROUNDING = 1e-11  # of one belief that two words lead to; two beliefs in one cell differ by more
CERTAIN = 1 - 1e-9


class Level(NamedTuple):
    """The beliefs after all words of one length, equal ones merged."""

    probability: Float[np.ndarray, " node"]
    beliefs: Float[np.ndarray, "node state"]
    dropped: float = 0.0  # probability of the words that were not followed up to this length


class Bounds(NamedTuple):
    """What a quantity lies between; the same number twice where nothing was dropped."""

    low: float
    high: float


def unknown_start(belief: Float[np.ndarray, " state"]) -> Level:
    """The one belief before any symbol."""
    return Level(np.ones(1), belief[None].astype(np.float64))


def known_start(distribution: Float[np.ndarray, " state"]) -> Level:
    """Where the start state is drawn from a distribution, and known: one certain belief a state."""
    possible = np.flatnonzero(distribution > 0)
    return Level(distribution[possible], np.eye(len(distribution))[possible])


def mixed_states(process: Process, start: Level, depth: int, smallest: float = 0.0) -> list[Level]:
    r"""Beliefs after all words of 0, 1, .. `depth` symbols, level by level.

    $\eta_{wx} = \eta_w T^{(x)} / (\eta_w T^{(x)} \mathbf{1})$ with probability $P(wx) = P(w) \, \eta_w T^{(x)}
    \mathbf{1}$ (Shai et al. 2024; Upper 1997 for generalized processes). Beliefs less probable than `smallest` are
    not followed, nor are the least probable of more than memory holds; their mass is `dropped`, never lost: each
    level's probabilities and what was dropped before sum to one.

    Raises:
        ValueError: if each problem has transitions of its own.
    """
    if process.per_problem:
        raise ValueError("each problem has transitions of its own; describe one of them, or their mean")
    return list(accumulate(repeat(smallest, depth), lambda level, least: _extend(process, level, least), initial=start))


def pooled(levels: Sequence[Level]) -> Level:
    """The beliefs of all levels, each with its mean probability over the lengths of words."""
    probability = np.concatenate([level.probability for level in levels]) / len(levels)
    beliefs = np.concatenate([level.beliefs for level in levels])
    return Level(*_merge(probability, beliefs), dropped=sum(level.dropped for level in levels) / len(levels))


def _extend(process: Process, level: Level, smallest: float) -> Level:
    """The level below."""
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
    """The greatest number that is no evidence for a symbol: where it is a sum that cancels, its rounding."""
    return SMALLEST_EVIDENCE if process.is_generalized else 0.0


def _children(process: Process, beliefs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """P(symbol | belief), (node, symbol), and the belief after it, (node, symbol, state)."""
    moved = np.einsum("ni,vij->nvj", beliefs, process.transitions)
    evidence = moved.sum(axis=2) if process.readout is None else moved @ process.readout
    with np.errstate(divide="ignore", invalid="ignore"):
        return evidence, moved / evidence[:, :, None]


def _cells(beliefs: Float[np.ndarray, "node state"]) -> Int[np.ndarray, "node state"]:
    """Cells of a lattice; its edges lie where no simple fraction does, which rounding could put on either side."""
    return np.floor(beliefs / SAME + 1 / np.e).astype(np.int64)


def _merge(probability: np.ndarray, beliefs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each distinct belief once, as the mean of those that are the same, with their probabilities added."""
    _, first, node = np.unique(_cells(beliefs), axis=0, return_index=True, return_inverse=True)
    node = node.reshape(-1)
    merged = np.bincount(node, weights=probability, minlength=len(first))
    shift = probability[:, None] * (beliefs - beliefs[first][node])
    shifts = np.stack([np.bincount(node, weights=column, minlength=len(first)) for column in shift.T], axis=1)
    return merged, beliefs[first] + shifts / merged[:, None]


# ── what is expected over a level ────────────────────────────────────────────────────────────────


def next_symbol_entropy(process: Process, level: Level) -> Bounds:
    """H[X_{n+1} | X_1..n], nats."""
    symbols = (level.beliefs @ process.emissions).clip(min=0.0)
    return _expected(level, entr(symbols).sum(axis=1), float(np.log(process.n_symbols)))


def belief_entropy(level: Level) -> Bounds:
    """H[S_n | X_1..n], nats; of distributions over states, not of predictive vectors."""
    return _expected(level, entr(level.beliefs.clip(min=0.0)).sum(axis=1), float(np.log(level.beliefs.shape[1])))


def certainty(level: Level) -> Bounds:
    """The probability that the state is known after n symbols."""
    return _expected(level, (level.beliefs.max(axis=1) >= CERTAIN).astype(np.float64), 1.0)


def _expected(level: Level, values: np.ndarray, largest: float) -> Bounds:
    """Of values that lie between zero and `largest`, also where they were dropped."""
    kept = float(level.probability @ values)
    return Bounds(kept, kept + level.dropped * largest)


# ── where there are few ──────────────────────────────────────────────────────────────────────────


class MixedStateChain(NamedTuple):
    """All mixed states of a process that has finitely many, from a start on."""

    share: Float[np.ndarray, " node"]  # probability of each before the first symbol
    beliefs: Float[np.ndarray, "node state"]
    emissions: Float[np.ndarray, "node symbol"]  # P(symbol | belief)
    following: Int[np.ndarray, "node symbol"]  # the belief after a symbol; -1 where it is impossible

    @property
    def transitions(self) -> Float[np.ndarray, "node node"]:
        """P(next mixed state | mixed state), whatever is emitted."""
        matrix = np.zeros((len(self.beliefs), len(self.beliefs)))
        node, symbol = np.nonzero(self.following >= 0)
        np.add.at(matrix, (node, self.following[node, symbol]), self.emissions[node, symbol])
        return matrix / matrix.sum(axis=1, keepdims=True)


def mixed_state_chain(process: Process, start: Level, most: int) -> MixedStateChain | None:
    """The chain that the mixed states form, or nothing if there are more than `most`.

    Given the mixed state, the symbol determines the next one. Beliefs that come ever nearer to a limit are
    infinitely many: to take them for it would let what they less and less allow happen again and again.
    """
    numbers = {cell.tobytes(): number for number, cell in enumerate(_cells(start.beliefs))}
    known = list(start.beliefs)
    emissions, following = [], []
    done = 0
    while done < len(known) <= most:
        evidence, children = _children(process, np.stack(known[done:]))
        done = len(known)
        possible = evidence > _impossible(process)
        reached = np.full(evidence.shape, -1)
        reached[possible] = [numbers.setdefault(cell.tobytes(), len(numbers)) for cell in _cells(children[possible])]
        for number, child in zip(reached[possible].tolist(), children[possible], strict=True):
            if number == len(known):
                known.append(child)
            elif np.abs(known[number] - child).max() > ROUNDING:
                return None
        emissions.append(np.where(possible, evidence, 0.0))
        following.append(reached)
    if len(known) > most:
        return None
    share = np.zeros(len(known))
    share[: len(start.probability)] = start.probability
    return MixedStateChain(share, np.stack(known), np.concatenate(emissions), np.concatenate(following))
