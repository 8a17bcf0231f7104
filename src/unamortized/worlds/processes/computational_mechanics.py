"""The standard processes of computational mechanics, with the field's names, parameters and order of states."""

from typing import Annotated

import numpy as np

from unamortized.worlds.processes.process import Between, Process

Probability = Annotated[float, Between(0, 1)]


def coin(p: Probability = 0.5) -> Process:
    """Toss a coin: one state, two symbols, no memory. A zero has probability p."""
    return Process(np.array([[[p]], [[1 - p]]]))


def mess3(x: Annotated[float, Between(0, 0.5)] = 0.05, a: Probability = 0.85) -> Process:
    """Three states that each favor their own symbol (Marzen & Crutchfield 2017).

    From any state, move to each other state with probability x; then emit the symbol of the new state with probability
    a. Shai et al. (2024) use x=.05, a=.85.
    """
    move = np.full((3, 3), x)
    np.fill_diagonal(move, 1 - 2 * x)
    emit = np.full((3, 3), (1 - a) / 2)
    np.fill_diagonal(emit, a)
    uniform = np.full(3, 1 / 3)  # stationary for all x, and unique unless x = 0
    return Process(transitions=np.einsum("ij,jv->vij", move, emit), initial=uniform)


def zero_one_random(p: Probability = 0.5) -> Process:
    """Repeat a zero, a one and a random bit (zero with probability p): Z1R (Riechers & Crutchfield 2018)."""
    transitions = np.array([[[0, 1, 0], [0, 0, 0], [p, 0, 0]], [[0, 0, 0], [0, 0, 1], [1 - p, 0, 0]]])
    return Process(transitions, state_names=("zero", "one", "random"))


def rrxor(p1: Probability = 0.5, p2: Probability = 0.5) -> Process:
    """Repeat two random bits and their XOR: RRXOR (Riechers & Crutchfield 2018).

    The first bit is zero with probability p1, the second with p2. States: S, before the first bit; 0 and 1, the first
    bit; T and F, the XOR to emit next.
    """
    start, zero, one, true, false = range(5)
    transitions = np.zeros((2, 5, 5))
    transitions[0, start, zero] = p1
    transitions[1, start, one] = 1 - p1
    transitions[0, zero, false] = p2
    transitions[1, zero, true] = 1 - p2
    transitions[0, one, true] = p2
    transitions[1, one, false] = 1 - p2
    transitions[1, true, start] = 1
    transitions[0, false, start] = 1
    return Process(transitions, state_names=("S", "0", "1", "T", "F"))


def leaky_rrxor(p1: Probability = 0.5, p2: Probability = 0.5, epsilon: Probability = 0.1) -> Process:
    r"""RRXOR that, with probability epsilon at each step, emits a uniform symbol and goes to a uniform state.

    $T^{(x)}_{ij} = (1 - \epsilon) T^{(x)}_{ij}(\mathrm{RRXOR}) + \epsilon / 10$ (two symbols times five states), as in
    the process library simplexity. Every word is possible, so the phase is never certain.
    """
    exact = rrxor(p1, p2)
    leaky = (1 - epsilon) * exact.transitions + epsilon / exact.transitions[:, 0].size
    return Process(leaky, state_names=exact.state_names)


def even_ones(p: Probability = 0.5) -> Process:
    """Emit ones in blocks of even length: the even process (Marzen & Crutchfield 2014, arXiv:1412.2859, fig. 3).

    In A, begin a pair of ones with probability p, else emit a zero; in B, complete the pair.
    """
    return Process(np.array([[[1 - p, 0], [0, 0]], [[0, p], [1, 0]]]), state_names=("A", "B"))


def no_consecutive_ones(p: Probability = 0.5) -> Process:
    """Never emit two ones in a row: the golden mean process (Ara et al. 2015, arXiv:1507.00672, fig. 5a).

    In A, emit a one with probability p; in B, after a one, always emit a zero.
    """
    return Process(np.array([[[1 - p, 0], [1, 0]], [[0, p], [0, 0]]]), state_names=("A", "B"))


def sns(p: Probability = 0.5, q: Probability = 0.5) -> Process:
    """Simple nonunifilar source (Marzen & Crutchfield 2017, arXiv:1702.08565, fig. 2).

    A goes to B with probability p and emits a zero whether it moves or not; B returns to A with probability q, the only
    move that emits a one. Two states have infinitely many beliefs: one for each number of zeros since the last one.
    """
    if p == q == 0:
        raise ValueError("q must be positive if p is 0, so that the process can leave a state")
    return Process(np.array([[[1 - p, p], [0, 1 - q]], [[0, 0], [q, 0]]]), state_names=("A", "B"))


def mr_name(p: Probability = 0.4, q: Probability = 0.25) -> Process:
    """Follow Mr. by a name, always: the Mr. Dursley process of the library simplexity.

    The state is the last word. Something and Blah change into each other with probability p, and into Mr. with
    probability q; after a name, both are equally likely.
    """
    if p + q > 1:
        raise ValueError(f"p must be at most 1 - q = {1 - q:g} (got {p:g})")
    if p == q == 0:
        raise ValueError("q must be positive if p is 0, so that the process can leave Something and Blah")
    words = ("Mr.", "Something", "Blah", "name")
    chain = np.array([[0, 0, 0, 1], [q, 1 - p - q, p, 0], [q, p, 1 - p - q, 0], [0, 0.5, 0.5, 0]])
    reached = np.eye(4)[:, None, :]  # the symbol names the new state
    return Process(reached * np.maximum(chain, 0), symbol_names=words, state_names=words)


def days_of_week() -> Process:
    """Refer to days by name or as tomorrow, yesterday, weekend or weekday; the state is the last day referred to.

    From the library simplexity. The name of the following day has probability 5/15, each other name 1/15, and each of
    the four other words 1/15; "Wknd" moves uniformly to one of two days, "Wkdy" to one of five.
    """
    days = ("M", "Tu", "W", "Th", "F", "Sa", "Su")
    today = np.arange(7)
    named = np.eye(7)[:, None, :] * np.ones((7, 1))  # naming day x moves there from any day
    named[(today + 1) % 7, today, (today + 1) % 7] = 5
    tomorrow, yesterday = np.roll(np.eye(7), 1, axis=1), np.roll(np.eye(7), -1, axis=1)
    weekday = np.tile([1 / 5] * 5 + [0] * 2, (7, 1))
    weekend = np.tile([0] * 5 + [1 / 2] * 2, (7, 1))
    weights = np.concatenate([named, np.stack([tomorrow, yesterday, weekend, weekday])])
    return Process(weights / 15, symbol_names=(*days, "Tmrw", "Yest", "Wknd", "Wkdy"), state_names=days)
