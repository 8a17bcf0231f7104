"""Reference values for inference: every latent path enumerated, on small random processes."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from unamortized.worlds.processes import Process
from unamortized.worlds.tasks import Query

Joint = dict[tuple[int, ...], float]  # {latent path s_0..s_n: P(path, x_1..n)}


@dataclass(frozen=True)
class SmallBatch:
    """Arguments of the inference functions for a ragged batch; each sequence has positive probability."""

    transitions: np.ndarray  # shared, per problem, or per problem and time
    initial: np.ndarray  # shared or per problem
    observations: np.ndarray
    lengths: np.ndarray

    @property
    def arguments(self) -> dict[str, np.ndarray]:
        return vars(self)

    def problem(self, b: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return problem b alone: its matrices (n, V, S, S) of each step, its initial belief, and its observations."""
        n = int(self.lengths[b])
        per_problem = self.transitions if self.transitions.ndim == 3 else self.transitions[b]
        in_time = self.transitions.ndim == 5
        table = per_problem[:n] if in_time else np.broadcast_to(per_problem, (n, *per_problem.shape))
        initial = self.initial if self.initial.ndim == 1 else self.initial[b]
        return table, initial, self.observations[b, :n]


def enumerate_paths(table: np.ndarray, initial: np.ndarray, observations: np.ndarray) -> Joint:
    """Return the joint probability of each latent path and the observations, by multiplication along the path."""
    joint = {}
    for path in itertools.product(range(len(initial)), repeat=len(observations) + 1):
        probability = initial[path[0]]
        for t, symbol in enumerate(observations):
            probability *= table[t, symbol, path[t], path[t + 1]]
        joint[path] = float(probability)
    return joint


def marginal(joint: Joint, position: int, n_states: int) -> np.ndarray:
    """Return P(latent at a position | observations)."""
    weights = np.zeros(n_states)
    for path, probability in joint.items():
        weights[path[position]] += probability
    return weights / weights.sum()


def enumerated_answer(transitions: np.ndarray, start: np.ndarray, observed: np.ndarray, query: Query) -> np.ndarray:
    """Return the answer's distribution by enumerating every latent path, and for `predict` every future too."""

    def joint(symbols) -> Joint:
        table = np.broadcast_to(transitions, (len(symbols), *transitions.shape))
        return enumerate_paths(table, start, symbols)

    argument = query.argument or 0
    if query.kind != "predict":
        return marginal(joint(observed), len(observed) if query.kind == "filter" else argument, len(start))
    weights = np.zeros(len(transitions))
    for future in np.ndindex((len(transitions),) * argument):
        weights[future[-1]] += sum(joint([*observed, *future]).values())
    return weights / weights.sum()


def word_probability(process: Process, vector: np.ndarray, word: Sequence[int]) -> float:
    """Return P(word) given a belief or a predictive vector, by multiplying matrices."""
    for symbol in word:
        vector = vector @ process.transitions[symbol]
    return float(vector.sum() if process.readout is None else vector @ process.readout)


def predicted_by_words(process: Process, vector: np.ndarray, observed: np.ndarray, ahead: int) -> np.ndarray:
    """Return the distribution of the symbol `ahead` steps ahead, from the probabilities of all longer words."""
    weights = np.zeros(process.n_symbols)
    for future in np.ndindex((process.n_symbols,) * ahead):
        weights[future[-1]] += word_probability(process, vector, [*observed, *future])
    return weights / weights.sum()


def in_other_coordinates(process: Process, generator: np.random.Generator) -> tuple[Process, np.ndarray]:
    """Return a generalized process with the same words, and the matrix S: its vectors are beliefs @ S."""
    size = process.n_states
    s = np.linalg.qr(generator.standard_normal((size, size)))[0] + 0.2 * generator.standard_normal((size, size))
    if np.linalg.cond(s) > 20:
        return in_other_coordinates(process, generator)
    inverse = np.linalg.inv(s)
    readout = inverse @ np.ones(size)
    return Process(inverse @ process.transitions @ s, process.initial @ s, readout=readout), s


def random_distributions(generator: np.random.Generator, shape: tuple[int, ...], zeros: float) -> np.ndarray:
    """Draw distributions along the last axis; about a share `zeros` of entries is exactly zero."""
    weights = generator.exponential(size=shape) * (generator.random(shape) >= zeros)
    empty = weights.sum(axis=-1) == 0
    weights[empty, generator.integers(shape[-1])] = 1.0
    return weights / weights.sum(axis=-1, keepdims=True)


def random_transitions(
    generator: np.random.Generator, leading: tuple[int, ...], symbols: int, states: int, zeros: float
):
    """Draw labeled transition matrices (*leading, V, S, S)."""
    rows = random_distributions(generator, (*leading, states, symbols * states), zeros)
    return np.moveaxis(rows.reshape(*leading, states, symbols, states), -2, -3)


def possible_observations(generator: np.random.Generator, table: np.ndarray, initial: np.ndarray) -> list[int]:
    """Draw a sequence with one of `table`'s matrices per step."""
    state = generator.choice(initial.size, p=initial)
    symbols = []
    for matrices in table:
        moves = matrices[:, state, :].ravel()
        move = generator.choice(moves.size, p=moves / moves.sum())
        symbols.append(move // initial.size)
        state = move % initial.size
    return symbols


@st.composite
def small_batches(draw, kinds=("shared", "problem", "time"), max_batch=3, max_states=4, max_symbols=3, max_steps=4):
    """Draw ragged batches with or without hard zeros; `kinds` lists the allowed kinds of transitions."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    batch, steps = draw(st.integers(1, max_batch)), draw(st.integers(0, max_steps))
    states, symbols = draw(st.integers(1, max_states)), draw(st.integers(1, max_symbols))
    zeros = draw(st.sampled_from([0.0, 0.3, 0.8]))
    leading = {"shared": (), "problem": (batch,), "time": (batch, steps)}[draw(st.sampled_from(kinds))]
    transitions = random_transitions(generator, leading, symbols, states, zeros)
    initial = random_distributions(generator, (*draw(st.sampled_from([(), (batch,)])), states), zeros)
    lengths = generator.integers(0, steps + 1, size=batch)
    if draw(st.booleans()):
        lengths[:] = steps
    observations = generator.integers(
        -5, 9, size=(batch, steps)
    )  # beyond a problem's length, its row may hold anything
    small = SmallBatch(transitions, initial, observations, lengths)
    for b in range(batch):
        table, start, row = small.problem(b)
        row[:] = possible_observations(generator, table, start)
    return small


@st.composite
def small_processes(draw):
    """Draw a random process with or without hard zeros, from a random start."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    states, symbols = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    zeros = draw(st.sampled_from([0.0, 0.3, 0.8]))
    return random_transitions(generator, (), symbols, states, zeros), random_distributions(generator, (states,), zeros)
