"""A process is defined by its labeled transition matrices: T[x, i, j] = P(emit x, go to j | in i)."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from annotated_types import Interval
from jaxtyping import Float, Int
from scipy.linalg import null_space
from scipy.sparse.csgraph import connected_components

ROW_SUM_TOLERANCE = 1e-9
SHORT_WORD = 5  # symbols; the constructor of a generalized process checks all words up to this length


def Between(low: float, high: float) -> Interval:  # capital: it reads as a type in annotations
    """Bound a family's parameter, both ends included, as in `Annotated[float, Between(0, 1)]`."""
    return Interval(ge=low, le=high)


def check_size(symbols: int, states: int) -> None:
    """Refuse matrices of more than 1e8 numbers (0.8 GB) before allocating them."""
    if symbols * states**2 > 10**8:
        raise ValueError(f"symbols times states squared must be at most 1e8 (got {symbols * states**2:.1e})")


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Process:
    """A hidden Markov process that emits one symbol with each move (an edge-emitting HMM).

    With `readout` it is a generalized process (GHMM; Upper 1997): entries may be negative, predictive vectors replace
    distributions over states, and only readouts are probabilities: P(x_1..n) = eta_0 T[x_1] .. T[x_n] w.

    If transitions have a leading axis, each problem of a batch has its own; its prompt may state them as `rules`. The
    `sampler` of a process draws such batches, with the process itself as their mean.

    Arrays are copied and become read-only float64, so a process can be shared. `initial` defaults to the stationary
    distribution, names to "0", "1", …

    Raises:
        ValueError: if `transitions` or `initial` do not hold distributions; names the state and the sum.
    """

    transitions: Float[np.ndarray, "*problem symbol state state"]
    initial: Float[np.ndarray, "*problem state"]
    readout: Float[np.ndarray, " state"] | None  # w, the right eigenvector; None for all ones
    symbol_names: tuple[str, ...]
    state_names: tuple[str, ...]
    rules: Int[np.ndarray, "problem rule"] | None  # indices of the rules in each problem's prompt
    sampler: Callable[[np.random.Generator, int], "Process"] | None  # draws transitions for n problems

    def __init__(
        self,
        transitions: np.ndarray,  # checked by hand below, since a user's file deserves a readable message
        initial: np.ndarray | None = None,
        symbol_names: tuple[str, ...] = (),
        state_names: tuple[str, ...] = (),
        readout: np.ndarray | None = None,
        rules: np.ndarray | None = None,
        sampler: Callable[[np.random.Generator, int], "Process"] | None = None,
    ) -> None:
        transitions = np.array(transitions, dtype=np.float64)
        _check_shape(transitions)
        n_symbols, n_states, _ = transitions.shape[-3:]
        if readout is None:
            _check_transitions(transitions)
            if initial is None and transitions.ndim == 4:
                raise ValueError("initial is required if each problem has its own transitions")
            if initial is None:
                initial = stationary_distribution(transitions.sum(axis=0))
            initial = np.array(initial, dtype=np.float64)
            _check_initial(initial, transitions)
        else:
            readout = np.array(readout, dtype=np.float64)
            _check_generalized(transitions, readout)
            initial = stationary_vector(transitions.sum(axis=0), readout) if initial is None else np.array(initial)
            _check_words(transitions, initial, readout)
            readout.setflags(write=False)
        transitions.setflags(write=False)
        initial.setflags(write=False)
        for name, value in {
            "transitions": transitions,
            "initial": initial,
            "readout": readout,
            "symbol_names": _names("symbol_names", symbol_names, n_symbols),
            "state_names": _names("state_names", state_names, n_states),
            "rules": rules,
            "sampler": sampler,
        }.items():
            object.__setattr__(self, name, value)  # the dataclass is frozen

    def __repr__(self) -> str:
        return f"Process({self.n_states} states, {self.n_symbols} symbols)"

    @property
    def n_symbols(self) -> int:
        return self.transitions.shape[-3]

    @property
    def n_states(self) -> int:
        return self.transitions.shape[-1]

    @property
    def is_generalized(self) -> bool:
        """Whether beliefs are predictive vectors rather than distributions over states."""
        return self.readout is not None

    @property
    def per_problem(self) -> bool:
        """Whether each problem of a batch has its own transitions."""
        return self.transitions.ndim == 4

    @property
    def emissions(self) -> Float[np.ndarray, "*problem state symbol"]:
        """P(next symbol | state); for a generalized process, the map from vectors to next-symbol probabilities."""
        if self.readout is not None:
            return (self.transitions @ self.readout).swapaxes(-1, -2)
        return self.transitions.sum(axis=-1).swapaxes(-1, -2)

    @property
    def state_transitions(self) -> Float[np.ndarray, "*problem state state"]:
        """P(next state | state), summed over symbols."""
        return self.transitions.sum(axis=-3)

    def take(self, rows: np.ndarray | slice) -> "Process":
        """Select the processes of these problems; a shared process returns itself."""
        if not self.per_problem:
            return self
        initial = self.initial[rows] if self.initial.ndim == 2 else self.initial
        rules = None if self.rules is None else self.rules[rows]
        return Process(self.transitions[rows], initial, self.symbol_names, self.state_names, rules=rules)


def concatenate_processes(processes: list[Process]) -> Process:
    """Concatenate the processes of several batches; if the batches share one process, return it."""
    first = processes[0]
    if not first.per_problem or len(processes) == 1:
        return first
    initial = np.concatenate([each.initial for each in processes]) if first.initial.ndim == 2 else first.initial
    rules = (
        None if first.rules is None else np.concatenate([each.rules for each in processes if each.rules is not None])
    )
    transitions = np.concatenate([each.transitions for each in processes])
    return Process(transitions, initial, first.symbol_names, first.state_names, rules=rules)


def stationary_distribution(matrix: Float[np.ndarray, "state state"]) -> Float[np.ndarray, " state"]:
    """Return the unique stationary distribution of a Markov chain.

    Eliminates states one by one (Grassmann, Taksar & Heyman 1985). The algorithm never subtracts, so it stays accurate
    for nearly reducible chains, for which eigenvectors do not.

    Raises:
        ValueError: if the chain has several closed sets of states, so that the distribution is not unique.
    """
    label, closed = closed_classes(matrix)
    if len(closed) > 1:
        examples = " and ".join(str(np.flatnonzero(label == states).tolist()) for states in closed[:2])
        raise ValueError(
            f"there are {len(closed)} closed sets of states, such as {examples}, "
            "so the stationary distribution is not unique; give `initial`"
        )
    members = np.flatnonzero(label == closed[0])
    chain = np.array(matrix[np.ix_(members, members)], dtype=np.float64)
    for last in range(len(members) - 1, 0, -1):  # keeps the chain watched only in states < last
        chain[:last, last] /= chain[last, :last].sum()
        chain[:last, :last] += np.outer(chain[:last, last], chain[last, :last])
    weights = np.ones(len(members))
    for state in range(1, len(members)):
        weights[state] = weights[:state] @ chain[:state, state]
    distribution = np.zeros(matrix.shape[0])
    distribution[members] = weights / weights.sum()
    return distribution


def closed_classes(matrix: Float[np.ndarray, "state state"]) -> tuple[Int[np.ndarray, " state"], list[int]]:
    """Label the communicating classes of a Markov chain; also list the labels of classes that it never leaves."""
    n_classes, label = connected_components(matrix > 0, directed=True, connection="strong")
    leaves = (matrix > 0) & (label[:, None] != label[None, :])
    return label, [each for each in range(n_classes) if not leaves[label == each].any()]


def stationary_vector(
    matrix: Float[np.ndarray, "state state"], readout: Float[np.ndarray, " state"]
) -> Float[np.ndarray, " state"]:
    """Return the left eigenvector of eigenvalue 1, scaled to a readout of 1; a ValueError if it is not unique."""
    left = null_space((matrix - np.eye(len(matrix))).T, rcond=1e-9)
    if left.shape[1] != 1:
        raise ValueError(f"the stationary vector is not unique (got {left.shape[1]}); give `initial`")
    return left[:, 0] / (left[:, 0] @ readout)


def _check_shape(transitions: np.ndarray) -> None:
    square = transitions.ndim in (3, 4) and transitions.shape[-2] == transitions.shape[-1]
    if not square or 0 in transitions.shape[-3:]:
        raise ValueError(f"transitions must have shape (symbols, states, states) (got {transitions.shape})")


def _check_transitions(transitions: np.ndarray) -> None:
    if not (transitions >= 0).all():  # written so that NaN fails too
        *_, symbol, state, following = where = tuple(np.argwhere(~(transitions >= 0))[0].tolist())
        raise ValueError(
            f"transitions[{symbol}, {state}, {following}] must be a probability (got {transitions[where]:g})"
        )
    sums = transitions.sum(axis=(-3, -1))
    wrong = ~(np.abs(sums - 1) <= ROW_SUM_TOLERANCE)
    if wrong.any():
        first = tuple(np.argwhere(wrong)[0].tolist())
        raise ValueError(
            f"transitions from state {first[-1]} must sum to 1 over symbols and next states "
            f"(got {sums[first]:.12g}; {int(wrong.sum())} of {sums.size} states have a wrong sum)"
        )


def _check_initial(initial: np.ndarray, transitions: np.ndarray) -> None:
    n_states = transitions.shape[-1]
    if initial.shape not in ((n_states,), (*transitions.shape[:-3], n_states)):
        raise ValueError(f"initial must have shape ({n_states},), one number per state (got {initial.shape})")
    if not (initial >= 0).all():
        where = tuple(np.argwhere(~(initial >= 0))[0].tolist())
        raise ValueError(f"initial[{where[-1]}] must be a probability (got {initial[where]:g})")
    sums = np.atleast_1d(initial.sum(axis=-1))
    if not (np.abs(sums - 1) <= ROW_SUM_TOLERANCE).all():
        raise ValueError(f"initial must sum to 1 (got {sums[np.argmax(np.abs(sums - 1))]:.12g})")


def _check_generalized(transitions: np.ndarray, readout: np.ndarray) -> None:
    if transitions.ndim != 3 or readout.shape != transitions.shape[-1:]:
        raise ValueError(
            "a generalized process must have transitions (symbols, states, states) and a readout (states,) "
            f"(got {transitions.shape} and {readout.shape})"
        )
    if not np.allclose(transitions.sum(axis=0) @ readout, readout, atol=ROW_SUM_TOLERANCE):
        raise ValueError("readout must be a right eigenvector of eigenvalue 1 of the transitions' sum over symbols")


def _check_words(transitions: np.ndarray, initial: np.ndarray, readout: np.ndarray) -> None:
    """Refuse a generalized process that gives a short word a negative probability."""
    vectors = initial[None]
    if not abs(float(initial @ readout) - 1) <= ROW_SUM_TOLERANCE:
        raise ValueError(f"initial must read out as 1 (got {float(initial @ readout):.12g})")
    for length in range(1, SHORT_WORD + 1):
        vectors = np.einsum("bi,vij->bvj", vectors, transitions).reshape(-1, len(readout))
        if (vectors @ readout).min() < -ROW_SUM_TOLERANCE:
            worst = (vectors @ readout).min()
            raise ValueError(f"words of {length} symbols must not have negative probabilities (got {worst:g})")


def _names(field: str, names: tuple[str, ...], count: int) -> tuple[str, ...]:
    if names and len(names) != count:
        raise ValueError(f"{field} must hold {count} names (got {len(names)})")
    return tuple(names) or tuple(str(index) for index in range(count))
