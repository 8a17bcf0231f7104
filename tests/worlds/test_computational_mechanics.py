"""Ordinary processes match independent definitions and published values."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.worlds.words import block_bits, paths_and_words
from unamortized.worlds.inference import filter_beliefs
from unamortized.worlds.processes import build_process

probability = st.floats(0, 1)
positive = st.floats(1e-6, 1)


def matrices(process, edges):
    """Return labeled matrices from {(state, symbol, next state): probability}, all by name."""
    transitions = np.zeros_like(process.transitions)
    for (state, symbol, following), share in edges.items():
        where = process.symbol_names.index(symbol), process.state_names.index(state)
        transitions[(*where, process.state_names.index(following))] += share
    return transitions


# ── matrices, entry by entry ─────────────────────────────────────────────────────────────────────


@given(p=probability)
def test_coin(p):
    np.testing.assert_array_equal(build_process("coin", p=p).transitions, [[[p]], [[1 - p]]])


@given(p=probability)
def test_even_ones(p):
    process = build_process("even_ones", p=p)
    edges = {("A", "0", "A"): 1 - p, ("A", "1", "B"): p, ("B", "1", "A"): 1}
    np.testing.assert_array_equal(process.transitions, matrices(process, edges))
    np.testing.assert_allclose(process.initial, np.array([1, p]) / (1 + p), atol=1e-15)


@given(p=probability)
def test_no_consecutive_ones(p):
    process = build_process("no_consecutive_ones", p=p)
    edges = {("A", "0", "A"): 1 - p, ("A", "1", "B"): p, ("B", "0", "A"): 1}
    np.testing.assert_array_equal(process.transitions, matrices(process, edges))
    np.testing.assert_allclose(process.initial, np.array([1, p]) / (1 + p), atol=1e-15)


@given(p=probability, q=positive)
def test_sns(p, q):
    process = build_process("sns", p=p, q=q)
    edges = {("A", "0", "A"): 1 - p, ("A", "0", "B"): p, ("B", "0", "B"): 1 - q, ("B", "1", "A"): q}
    np.testing.assert_array_equal(process.transitions, matrices(process, edges))
    np.testing.assert_allclose(process.initial, np.array([q, p]) / (p + q), atol=1e-12)


@given(p=st.floats(0, 0.5), q=st.floats(1e-6, 0.5))
def test_mr_name(p, q):
    process = build_process("mr_name", p=p, q=q)
    edges = {("Mr.", "name", "name"): 1, ("name", "Something", "Something"): 0.5, ("name", "Blah", "Blah"): 0.5}
    for one, other in [("Something", "Blah"), ("Blah", "Something")]:
        edges |= {(one, one, one): 1 - p - q, (one, other, other): p, (one, "Mr.", "Mr."): q}
    np.testing.assert_allclose(process.transitions, matrices(process, edges), atol=1e-15)


def test_days_of_week():
    process = build_process("days_of_week")
    week = ["M", "Tu", "W", "Th", "F", "Sa", "Su"]
    assert process.symbol_names == (*week, "Tmrw", "Yest", "Wknd", "Wkdy")
    edges = {}
    for number, today in enumerate(week):
        after, before = week[(number + 1) % 7], week[(number - 1) % 7]
        edges |= {(today, day, day): (5 if day == after else 1) / 15 for day in week}
        edges |= {(today, "Tmrw", after): 1 / 15, (today, "Yest", before): 1 / 15}
        edges |= {(today, "Wknd", day): 1 / 30 for day in ("Sa", "Su")}
        edges |= {(today, "Wkdy", day): 1 / 75 for day in week[:5]}
    np.testing.assert_allclose(process.transitions, matrices(process, edges), atol=1e-15)


@given(p1=probability, p2=probability, epsilon=probability)
def test_leaky_rrxor(p1, p2, epsilon):
    process = build_process("leaky_rrxor", p1=p1, p2=p2, epsilon=epsilon)
    edges = {("S", "0", "0"): p1, ("S", "1", "1"): 1 - p1, ("T", "1", "S"): 1, ("F", "0", "S"): 1}
    edges |= {("0", "0", "F"): p2, ("0", "1", "T"): 1 - p2, ("1", "0", "T"): p2, ("1", "1", "F"): 1 - p2}
    for (x, i, j), share in np.ndenumerate(matrices(process, edges)):
        assert abs(process.transitions[x, i, j] - ((1 - epsilon) * share + epsilon * 0.1)) < 1e-14


def test_a_leak_of_zero_gives_rrxor_and_a_leak_of_one_gives_noise():
    exact, all_leaks = build_process("rrxor"), build_process("leaky_rrxor", epsilon=1.0)
    np.testing.assert_array_equal(build_process("leaky_rrxor", epsilon=0.0).transitions, exact.transitions)
    assert block_bits(all_leaks, 6) == pytest.approx(6)


# ── published values ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("family", "parameters", "stationary"),
    [
        ("coin", {}, [1]),
        ("even_ones", {}, [2 / 3, 1 / 3]),
        ("no_consecutive_ones", {}, [2 / 3, 1 / 3]),
        ("mr_name", {"p": 0.4, "q": 0.25}, [1 / 6, 1 / 3, 1 / 3, 1 / 6]),
        ("zero_one_random", {}, [1 / 3, 1 / 3, 1 / 3]),
        ("rrxor", {}, [1 / 3, 1 / 6, 1 / 6, 1 / 6, 1 / 6]),
        ("sns", {}, [1 / 2, 1 / 2]),
    ],
)
def test_stationary_distributions_equal_published_values(family, parameters, stationary):
    np.testing.assert_allclose(build_process(family, **parameters).initial, stationary, atol=1e-15)


@pytest.mark.parametrize(
    ("family", "n_steps", "bits", "tolerance"),
    [
        ("coin", 3, 1, 1e-12),
        ("no_consecutive_ones", 8, 2 / 3, 1e-12),
        ("even_ones", 16, 2 / 3, 2e-3),
        ("zero_one_random", 14, 1 / 3, 1e-12),
        ("sns", 16, 0.677867, 1e-6),
    ],
)
def test_entropy_rates_equal_published_values(family, n_steps, bits, tolerance):
    process = build_process(family)
    assert abs(block_bits(process, n_steps) - block_bits(process, n_steps - 1) - bits) < tolerance


@pytest.mark.parametrize(
    ("family", "n_steps", "rate", "excess", "tolerance"),
    [
        ("no_consecutive_ones", 8, 2 / 3, 0.2516, 1e-4),
        ("even_ones", 16, 2 / 3, 0.9183, 5e-3),
        ("zero_one_random", 14, 1 / 3, np.log2(3), 1e-6),
    ],
)
def test_excess_entropies_equal_published_values(family, n_steps, rate, excess, tolerance):
    assert abs(block_bits(build_process(family), n_steps) - n_steps * rate - excess) < tolerance


@given(p=positive, q=positive)
def test_intervals_between_ones_of_sns_are_sums_of_two_waiting_times(p, q):
    process = build_process("sns", p=p, q=q)
    after_a_one = np.array([1.0, 0.0])
    for zeros in range(5):
        word = (*[0] * zeros, 1)
        expected = sum((1 - p) ** k * p * (1 - q) ** (zeros - 1 - k) * q for k in range(zeros))
        joint = paths_and_words(process.transitions, after_a_one, zeros + 1)
        found = sum(share for (_, symbols), share in joint.items() if symbols == word)
        assert abs(found - expected) < 1e-12


def test_beliefs_of_sns_count_zeros():
    """At p = q = 1/2 the probability of A after n zeros is 1 / (n + 1)."""
    process = build_process("sns")
    observations = np.array([[1, 0, 0, 0, 0, 0]])
    beliefs = filter_beliefs(process.transitions, process.initial, observations).beliefs[0, 1:]
    np.testing.assert_allclose(beliefs[:, 0], 1 / np.arange(1, 7), atol=1e-12)


@pytest.mark.parametrize(
    ("family", "parameters", "message"),
    [
        ("sns", {"p": 0.0, "q": 0.0}, "q must be positive if p is 0"),
        ("mr_name", {"p": 0.0, "q": 0.0}, "q must be positive if p is 0"),
        ("mr_name", {"p": 0.6, "q": 0.5}, "p must be at most 1 - q = 0.5 (got 0.6)"),
        ("coin", {"p": 1.5}, "coin.p: must be between 0 and 1 (got 1.5)"),
        ("days_of_week", {"p": 0.5}, "days_of_week.p: unknown field"),
    ],
)
def test_invalid_parameters_are_an_error(family, parameters, message):
    with pytest.raises(ValueError) as raised:
        build_process(family, **parameters)
    assert str(raised.value).startswith(message)
