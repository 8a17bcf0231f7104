"""Word problems: the state is the running product of group elements."""

import itertools
import re
from typing import Annotated

import numpy as np

from unamortized.worlds.processes.process import Between, Process

MAX_ORDER = 120  # of S5; the dense matrices of all its elements hold 1.7 million numbers


def group_word(
    group: str = "S3",
    generators: Annotated[int, Between(1, MAX_ORDER)] | None = None,
    seed: Annotated[int, Between(0, 2**32 - 1)] = 0,
    elements: list[str] | None = None,
) -> Process:
    r"""Multiply uniformly drawn group elements, starting from the identity.

    $T^{(x)}_{ij} = [j = i \cdot g_x] / V$, where $i \cdot g$ means first i, then g. Groups: Z2 to Z120 (cyclic), D3 to
    D60 (dihedral), S2 to S5 (all permutations), A3 to A5 (even permutations). The symbols are the named `elements`, or
    `generators` distinct elements drawn with `seed`, or by default all elements. They must generate the group. Their
    choice sets how hard words are: with an inverse among them, words cancel and are shorter than they look.

    State 0 is the identity. State names are permutations in one-line notation ("21345" swaps the first two), numbers
    modulo k, or in D_k rotations ("r1", by 2 pi / k) and reflections ("s1", in the line at angle pi / k). S5 and A5 are
    not solvable, so their products are conjectured to need depth that grows with length (Barrington 1989; Liu et al.
    2023).
    """
    names, product = _multiplication_table(group)
    order = len(names)
    chosen = np.arange(order)
    if elements is not None:
        if generators is not None:
            raise ValueError("elements and generators exclude each other: name the symbols, or the number to draw")
        chosen = _named_elements(group, names, product, elements)
    elif generators is not None:
        chosen = _generating_elements(group, product, generators, seed)
    symbols = len(chosen)
    transitions = np.zeros((symbols, order, order))
    for symbol, element in enumerate(chosen):
        transitions[symbol, np.arange(order), product[:, element]] = 1 / symbols
    symbol_names = tuple(names[element] for element in chosen)
    return Process(transitions, initial=np.eye(order)[0], symbol_names=symbol_names, state_names=names)


def _multiplication_table(group: str) -> tuple[tuple[str, ...], np.ndarray]:
    """Return the names of the elements, identity first, and the table of products: `product[i, g]` is i, then g."""
    match = re.fullmatch(r"([ZDSA])([1-9]\d{0,2})", group)
    letter, size = (match[1], int(match[2])) if match else ("", 0)
    if letter == "Z" and 2 <= size <= MAX_ORDER:
        numbers = np.arange(size)
        return tuple(str(number) for number in numbers), (numbers[:, None] + numbers[None, :]) % size
    if letter == "D" and 3 <= size <= MAX_ORDER // 2:
        return _dihedral(size)
    if (letter == "S" and 2 <= size <= 5) or (letter == "A" and 3 <= size <= 5):
        elements = [p for p in itertools.permutations(range(size)) if letter == "S" or _is_even(p)]
        position = {element: index for index, element in enumerate(elements)}
        product = [[position[tuple(g[image] for image in i)] for g in elements] for i in elements]
        return tuple("".join(str(image + 1) for image in element) for element in elements), np.array(product)
    raise ValueError(f"group must be Z2 to Z{MAX_ORDER}, D3 to D{MAX_ORDER // 2}, S2 to S5 or A3 to A5 (got {group!r})")


def _dihedral(size: int) -> tuple[tuple[str, ...], np.ndarray]:
    """Return the symmetries of a polygon; as matrices, s_b s_a = r_{b-a}, s_b r_a = s_{b-a}, r_b s_a = s_{a+b}."""
    is_reflection, turn = np.divmod(np.arange(2 * size), size)
    names = tuple(f"{letter}{number}" for letter in "rs" for number in range(size))
    direction = np.where(is_reflection, -1, 1)  # a reflection reverses the turn before it
    total_turn = (turn[:, None] * direction[None, :] + turn[None, :]) % size
    return names, total_turn + size * (is_reflection[:, None] ^ is_reflection[None, :])


def _is_even(permutation: tuple[int, ...]) -> bool:
    return sum(i > j for i, j in itertools.combinations(permutation, 2)) % 2 == 0


def _generating_elements(group: str, product: np.ndarray, count: int, seed: int) -> np.ndarray:
    order = len(product)
    if count > order:
        raise ValueError(f"generators must be at most {order}, the elements of {group} (got {count})")
    # cyclic groups need one generator, all other groups here two
    if count == 1 and not any(_generated(product, [element]) == order for element in range(order)):
        raise ValueError(f"generators must be at least 2: no single element generates {group}")
    generator = np.random.default_rng(np.random.SeedSequence(seed))
    while True:
        chosen = generator.choice(order, size=count, replace=False)
        if _generated(product, chosen.tolist()) == order:
            return chosen


def _named_elements(group: str, names: tuple[str, ...], product: np.ndarray, elements: list[str]) -> np.ndarray:
    unknown = [element for element in elements if element not in names]
    if unknown or not elements or len(set(elements)) < len(elements):
        example = ", ".join(map(repr, names[:3]))
        raise ValueError(f"elements must be distinct elements of {group}, such as {example} (got {elements})")
    chosen = np.array([names.index(element) for element in elements])
    if (reached := _generated(product, chosen.tolist())) < len(names):
        raise ValueError(f"elements must generate {group} (got {reached} of its {len(names)} elements)")
    return chosen


def _generated(product: np.ndarray, elements: list[int]) -> int:
    """Count the elements that are products of the given ones; in a finite group these include inverses."""
    reached, frontier = {0}, [0]
    while frontier:
        following = {int(product[i, g]) for i in frontier for g in elements} - reached
        reached |= following
        frontier = list(following)
    return len(reached)
