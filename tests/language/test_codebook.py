"""Belief codes, compared with a search of every lattice point."""

from itertools import product
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.worlds.brute_force import random_distributions
from unamortized.language.codebook import Codebook

SIZES = [(1, 1), (1, 7), (2, 1), (2, 9), (3, 1), (3, 4), (3, 20), (4, 5), (5, 3), (6, 1)]
codebooks = st.sampled_from(SIZES).map(lambda size: Codebook(*size))


def lattice(codebook: Codebook) -> list[tuple[int, ...]]:
    """Every composition of the resolution over the states, by enumeration."""
    counts = product(range(codebook.resolution + 1), repeat=codebook.n_states)
    return [count for count in counts if sum(count) == codebook.resolution]


def beliefs(codebook: Codebook, seed: int, shape: tuple[int, ...], zeros: float = 0.2) -> np.ndarray:
    return random_distributions(np.random.default_rng(seed), (*shape, codebook.n_states), zeros)


@pytest.mark.parametrize(("states", "resolution"), SIZES)
def test_points_are_the_whole_lattice_in_descending_lexicographic_order(states, resolution):
    codebook = Codebook(states, resolution)
    expected = sorted(lattice(codebook), reverse=True)
    np.testing.assert_array_equal(codebook.points * resolution, expected)
    assert codebook.size == len(expected) == comb(resolution + states - 1, states - 1)


@pytest.mark.parametrize(("states", "resolution"), SIZES)
def test_every_code_is_the_code_of_its_own_point(states, resolution):
    codebook = Codebook(states, resolution)
    codes = np.arange(codebook.size)
    np.testing.assert_array_equal(codebook.encode(codebook.points), codes)
    np.testing.assert_array_equal(codebook.decode(codes), codebook.points)
    nudged = codebook.points + np.random.default_rng(0).uniform(-1e-12, 1e-12, codebook.points.shape)
    np.testing.assert_array_equal(codebook.encode(nudged), codes)  # floating-point noise does not change codes


def test_at_resolution_one_codes_are_states():
    codebook = Codebook(120, 1)
    assert codebook.size == 120
    np.testing.assert_array_equal(codebook.encode(np.eye(120)), np.arange(120))
    np.testing.assert_array_equal(codebook.decode(np.arange(120)), np.eye(120))


@given(codebooks, st.integers(0, 2**32 - 1))
def test_a_code_is_a_nearest_lattice_point_of_all(codebook, seed):
    drawn = beliefs(codebook, seed, (20,))
    distance = np.abs(drawn[:, None] - np.array(lattice(codebook)) / codebook.resolution).sum(axis=-1)
    own = np.abs(drawn - codebook.decode(codebook.encode(drawn))).sum(axis=-1)
    np.testing.assert_allclose(own, distance.min(axis=1), atol=1e-9)


@given(codebooks, st.integers(0, 2**32 - 1))
def test_rounding_moves_no_state_by_a_whole_unit(codebook, seed):
    drawn = beliefs(codebook, seed, (20,))
    moved = np.abs(codebook.decode(codebook.encode(drawn)) - drawn)
    assert (moved < 1 / codebook.resolution + 1e-9).all()


@given(codebooks, st.integers(0, 2**32 - 1), st.lists(st.integers(0, 3), max_size=3).map(tuple))
def test_beliefs_of_any_shape_are_encoded_one_by_one(codebook, seed, shape):
    drawn = beliefs(codebook, seed, shape)
    codes = codebook.encode(drawn)
    assert codes.shape == shape
    assert ((codes >= 0) & (codes < codebook.size)).all()
    decoded = codebook.decode(codes)
    assert decoded.shape == drawn.shape
    np.testing.assert_allclose(decoded.sum(axis=-1), 1)
    for index in np.ndindex(shape):
        assert codes[index] == codebook.encode(drawn[index])


def test_ties_go_to_the_lower_state_whatever_the_arithmetic():
    codebook = Codebook(3, 2)
    for third in (1 / 3, 1 - 2 / 3, 0.1 + 0.2 + 1 / 3 - 0.3):
        belief = np.array([third, third, 1 - 2 * third])
        np.testing.assert_array_equal(codebook.decode(codebook.encode(belief)), [0.5, 0.5, 0])
