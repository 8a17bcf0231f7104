"""A process is its labelled transition matrices: T[x, i, j] = P(emit x, go to j | in i)."""

from dataclasses import dataclass

import numpy as np
from annotated_types import Interval
from jaxtyping import Float
from scipy.sparse.csgraph import connected_components

ROW_SUM_TOLERANCE = 1e-9


def Between(low: float, high: float) -> Interval:  # capital: it reads as a type in annotations
    """Bounds of a family's parameter, both ends included, as in `Annotated[float, Between(0, 1)]`."""
    return Interval(ge=low, le=high)


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Process:
    """A hidden Markov process that emits one symbol with each move (an edge-emitting HMM).

    Both arrays are copied, and are read-only float64 afterwards, so a process can be shared freely. Where
    `initial` is omitted, it is the stationary distribution; names omitted are "0", "1", …

    Raises:
        ValueError: if `transitions` or `initial` holds no distributions; names the state and the sum.
    """

    transitions: Float[np.ndarray, "symbol state state"]
    initial: Float[np.ndarray, " state"]
    symbol_names: tuple[str, ...]
    state_names: tuple[str, ...]

    def __init__(
        self,
        transitions: np.ndarray,  # shapes are checked here by hand: a user's file deserves a message
        initial: np.ndarray | None = None,
        symbol_names: tuple[str, ...] = (),
        state_names: tuple[str, ...] = (),
    ) -> None:
        transitions = np.array(transitions, dtype=np.float64)
        _check_transitions(transitions)
        n_symbols, n_states, _ = transitions.shape
        if initial is None:
            initial = stationary_distribution(transitions.sum(axis=0))
        else:
            initial = np.array(initial, dtype=np.float64)
            _check_initial(initial, n_states)
        transitions.setflags(write=False)
        initial.setflags(write=False)
        object.__setattr__(self, "transitions", transitions)  # the way to fill a frozen dataclass
        object.__setattr__(self, "initial", initial)
        object.__setattr__(self, "symbol_names", _names("symbol_names", symbol_names, n_symbols))
        object.__setattr__(self, "state_names", _names("state_names", state_names, n_states))

    def __repr__(self) -> str:
        return f"Process({self.n_states} states, {self.n_symbols} symbols)"

    @property
    def n_symbols(self) -> int:
        return self.transitions.shape[0]

    @property
    def n_states(self) -> int:
        return self.transitions.shape[1]

    @property
    def emissions(self) -> Float[np.ndarray, "state symbol"]:
        """P(next symbol | state)."""
        return self.transitions.sum(axis=2).T

    @property
    def state_transitions(self) -> Float[np.ndarray, "state state"]:
        """P(next state | state), whatever is emitted."""
        return self.transitions.sum(axis=0)


def stationary_distribution(matrix: Float[np.ndarray, "state state"]) -> Float[np.ndarray, " state"]:
    """The one distribution that a Markov chain leaves as it is.

    Eliminates states one by one (Grassmann, Taksar & Heyman 1985): nothing is ever subtracted, so the result
    is accurate also for chains that almost fall apart, where eigenvectors are not.

    Raises:
        ValueError: if there are several, because the chain has several sets of states that it never leaves.
    """
    n_classes, label = connected_components(matrix > 0, directed=True, connection="strong")
    leaving = (matrix > 0) & (label[:, None] != label[None, :])
    closed = [states for states in range(n_classes) if not leaving[label == states].any()]
    if len(closed) > 1:
        examples = " and ".join(str(np.flatnonzero(label == states).tolist()) for states in closed[:2])
        raise ValueError(
            f"there are {len(closed)} sets of states that are never left, such as {examples}, "
            "so the stationary distribution is not unique: give `initial`"
        )
    members = np.flatnonzero(label == closed[0])
    chain = np.array(matrix[np.ix_(members, members)], dtype=np.float64)
    for last in range(len(members) - 1, 0, -1):  # leaves the chain as seen in states < last
        chain[:last, last] /= chain[last, :last].sum()
        chain[:last, :last] += np.outer(chain[:last, last], chain[last, :last])
    weights = np.ones(len(members))
    for state in range(1, len(members)):
        weights[state] = weights[:state] @ chain[:state, state]
    distribution = np.zeros(matrix.shape[0])
    distribution[members] = weights / weights.sum()
    return distribution


def _names(field: str, names: tuple[str, ...], count: int) -> tuple[str, ...]:
    if names and len(names) != count:
        raise ValueError(f"{field} must hold {count} names (got {len(names)})")
    return tuple(names) or tuple(str(index) for index in range(count))


def _check_transitions(transitions: np.ndarray) -> None:
    if transitions.ndim != 3 or transitions.shape[1] != transitions.shape[2] or 0 in transitions.shape:
        raise ValueError(f"transitions must have shape (symbols, states, states) (got {transitions.shape})")
    if not (transitions >= 0).all():  # written so that NaN fails too
        symbol, state, following = np.argwhere(~(transitions >= 0))[0].tolist()
        raise ValueError(
            f"transitions[{symbol}, {state}, {following}] must be a probability "
            f"(got {transitions[symbol, state, following]:g})"
        )
    sums = transitions.sum(axis=(0, 2))
    wrong = ~(np.abs(sums - 1) <= ROW_SUM_TOLERANCE)
    if wrong.any():
        state = int(np.argmax(wrong))
        raise ValueError(
            f"from state {state}, the probabilities of all symbols and next states must sum to 1 "
            f"(got {sums[state]:.12g}; {int(wrong.sum())} of {sums.size} states are wrong)"
        )


def _check_initial(initial: np.ndarray, n_states: int) -> None:
    if initial.shape != (n_states,):
        raise ValueError(f"initial must have shape ({n_states},), one number a state (got {initial.shape})")
    if not (initial >= 0).all():
        state = int(np.argmax(~(initial >= 0)))
        raise ValueError(f"initial[{state}] must be a probability (got {initial[state]:g})")
    if not abs(initial.sum() - 1) <= ROW_SUM_TOLERANCE:
        raise ValueError(f"initial must sum to 1 (got {initial.sum():.12g})")
