"""The standard processes of computational mechanics, with the field's names and parameters."""

from typing import Annotated

import numpy as np

from unamortized.worlds.processes.process import Between, Process


def mess3(x: Annotated[float, Between(0, 0.5)] = 0.05, a: Annotated[float, Between(0, 1)] = 0.85) -> Process:
    """Three states, three symbols; each symbol favours its own state (Marzen & Crutchfield 2017).

    From any state, move to each other state with probability x; then emit the symbol of the state reached
    with probability a. Shai et al. (2024) use x=.05, a=.85.
    """
    move = np.full((3, 3), x)
    np.fill_diagonal(move, 1 - 2 * x)
    emit = np.full((3, 3), (1 - a) / 2)
    np.fill_diagonal(emit, a)
    uniform = np.full(3, 1 / 3)  # stationary whatever x is, and the only such one unless x = 0
    return Process(transitions=np.einsum("ij,jv->vij", move, emit), initial=uniform)


def zero_one_random(p: Annotated[float, Between(0, 1)] = 0.5) -> Process:
    """A zero, a one, a random bit (zero with probability p), and again: Z1R (Riechers & Crutchfield 2018)."""
    zero, one, random = range(3)
    transitions = np.zeros((2, 3, 3))
    transitions[0, zero, one] = 1
    transitions[1, one, random] = 1
    transitions[0, random, zero] = p
    transitions[1, random, zero] = 1 - p
    return Process(transitions, state_names=("zero", "one", "random"))


def rrxor(p1: Annotated[float, Between(0, 1)] = 0.5, p2: Annotated[float, Between(0, 1)] = 0.5) -> Process:
    """Two random bits, then their XOR, and again (RRXOR; Riechers & Crutchfield 2018).

    The first bit is zero with probability p1, the second with p2. States: S, nothing emitted yet; 0 and 1,
    the first bit; T and F, the XOR that comes next.
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
