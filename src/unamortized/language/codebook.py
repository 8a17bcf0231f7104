"""Belief codes: the points of the simplex lattice with resolution m, each with a number.

A code stands for the composition ``(c_1, ..., c_S)`` with ``sum(c) = m``, the belief ``c / m``. There are
``K = C(m + S - 1, S - 1)`` of them, numbered in descending lexicographic order, so at resolution 1 code i
is certainty about state i.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from math import comb

import numpy as np
from jaxtyping import Float, Int


@dataclass(frozen=True)
class Codebook:
    """The lattice of beliefs over ``n_states`` states in steps of ``1 / resolution``."""

    n_states: int
    resolution: int

    @property
    def size(self) -> int:
        return comb(self.resolution + self.n_states - 1, self.n_states - 1)

    def encode(self, beliefs: Float[np.ndarray, "*batch state"]) -> Int[np.ndarray, "*batch"]:
        """Round each belief to a lattice point, and return its code.

        Largest-remainder rounding floors ``m * belief`` and gives the remaining units to the largest remainders
        (ties to the lower state). This finds a nearest lattice point in L1 without searching all K of them.
        """
        scaled = np.asarray(beliefs, dtype=np.float64).reshape(-1, self.n_states) * self.resolution
        counts = np.floor(scaled + 1e-9).astype(np.int64)
        remainders = scaled - counts
        remaining = self.resolution - counts.sum(axis=1)
        # rank 0 = largest remainder; rounding to 1e-9 makes ties independent of floating-point noise
        order = np.argsort(-np.round(remainders, 9), axis=1, kind="stable")
        rank = np.empty_like(order)
        np.put_along_axis(rank, order, np.arange(self.n_states)[None, :], axis=1)
        counts += rank < remaining[:, None]
        return self._rank(counts).reshape(np.shape(beliefs)[:-1])

    def encode_dithered(
        self, beliefs: Float[np.ndarray, "*batch state"], uniforms: Float[np.ndarray, "*batch"]
    ) -> Int[np.ndarray, "*batch"]:
        """Draw a lattice point near each belief whose mean is that belief, and return its code.

        Systematic sampling: unit boundaries, shifted by one uniform draw, are counted along the cumulative belief.
        """
        edges = np.cumsum(np.asarray(beliefs, dtype=np.float64).reshape(-1, self.n_states), axis=1) * self.resolution
        edges[:, -1] = self.resolution
        passed = np.floor(edges + np.asarray(uniforms).reshape(-1, 1) + 1e-12).astype(np.int64)
        return self._rank(np.diff(passed, axis=1, prepend=0)).reshape(np.shape(beliefs)[:-1])

    def decode(self, codes: Int[np.ndarray, "*batch"]) -> Float[np.ndarray, "*batch state"]:
        return self.points[codes]

    @cached_property
    def points(self) -> Float[np.ndarray, "code state"]:
        """All lattice points, in the order of their codes."""
        # a composition of m into S parts is a choice of S - 1 bars among m + S - 1 places (stars and bars)
        places = self.resolution + self.n_states - 1
        bars = np.array(list(combinations(range(places), self.n_states - 1)), dtype=np.int64)
        bars = bars.reshape(self.size, self.n_states - 1)
        counts = np.diff(bars, axis=1, prepend=-1, append=places) - 1
        return counts[::-1] / self.resolution  # combinations ascend; codes descend

    def _rank(self, counts: Int[np.ndarray, "batch state"]) -> Int[np.ndarray, " batch"]:
        """Return the code of each composition: the number of compositions before it.

        If n later states share u units, the compositions that give them fewer come before: C(u + n - 1, n) of them.
        """
        left = np.full(len(counts), self.resolution)  # units that the states from here on share
        rank = np.zeros(len(counts), dtype=np.int64)
        for state in range(self.n_states - 1):
            left = left - counts[:, state]
            later = self.n_states - 1 - state
            rank += np.array([comb(units + later - 1, later) for units in range(self.resolution + 1)])[left]
        return rank
