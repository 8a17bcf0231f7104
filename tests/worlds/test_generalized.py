"""Generalized processes match the quantum systems and intervals that define them."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.worlds.words import all_words, block_bits
from unamortized.worlds.inference import filter_beliefs
from unamortized.worlds.processes import build_process

PAULI_X, PAULI_Z = np.array([[0, 1], [1, 0]]), np.diag([1, -1])


def vectors(process, word):
    return np.linalg.multi_dot([process.initial[None], *(process.transitions[x] for x in word), process.readout])


@pytest.mark.parametrize("family", ["tom_quantum", "fanizza", "post_quantum"])
def test_start_and_readout_are_the_eigenvectors_of_eigenvalue_one(family):
    process = build_process(family)
    np.testing.assert_allclose(process.initial @ process.state_transitions, process.initial, atol=1e-12)
    np.testing.assert_allclose(process.state_transitions @ process.readout, process.readout, atol=1e-12)
    assert abs(process.initial @ process.readout - 1) < 1e-12
    assert abs(np.abs(np.linalg.eigvals(process.state_transitions)).max() - 1) < 1e-12


# ── a qubit ──────────────────────────────────────────────────────────────────────────────────────


@given(alpha=st.floats(0.01, 10), beta=st.floats(-10, 10))
def test_tom_quantum_has_the_published_matrices(alpha, beta):
    gamma2 = 1 / (4 * (alpha**2 + beta**2))
    m, o = (alpha**2 - beta**2) * gamma2, 2 * alpha * beta * gamma2
    published = [
        [[1 / 4, 0, o], [0, m, 0], [o, 0, 1 / 4]],
        [[1 / 4, 0, -o], [0, m, 0], [-o, 0, 1 / 4]],
        [[1 / 4, o, 0], [o, 1 / 4, 0], [0, 0, m]],
        [[1 / 4, -o, 0], [-o, 1 / 4, 0], [0, 0, m]],
    ]
    np.testing.assert_allclose(build_process("tom_quantum", alpha=alpha, beta=beta).transitions, published, atol=1e-14)


@given(alpha=st.floats(0.1, 10), beta=st.floats(-10, 10), word=st.lists(st.integers(0, 3), min_size=1, max_size=6))
def test_tom_quantum_measures_a_qubit(alpha, beta, word):
    """Kraus operators on the density matrix give the probability of the word and the Bloch vector after it."""
    process = build_process("tom_quantum", alpha=alpha, beta=beta)
    gamma = 1 / (2 * math.sqrt(alpha**2 + beta**2))
    kraus = [gamma * (alpha * np.eye(2) + sign * beta * pauli) for pauli in (PAULI_Z, PAULI_X) for sign in (1, -1)]
    density = np.eye(2) / 2
    for symbol in word:
        density = kraus[symbol] @ density @ kraus[symbol]
    probability = np.trace(density)
    assert abs(vectors(process, word) - probability) < 1e-12
    assume(probability > 1e-6)
    belief = filter_beliefs(process.transitions, process.initial, np.array([word]), readout=process.readout).beliefs
    bloch = np.array([1, np.trace(density @ PAULI_X) / probability, np.trace(density @ PAULI_Z) / probability])
    np.testing.assert_allclose(belief[0, -1], bloch, atol=1e-8)
    assert np.linalg.norm(belief[0, -1, 1:]) < 1 + 1e-8  # within the Bloch disk


def test_only_the_ratio_of_alpha_and_beta_matters():
    one, other = build_process("tom_quantum", alpha=1.0, beta=3.0), build_process("tom_quantum", alpha=2.0, beta=6.0)
    np.testing.assert_allclose(one.transitions, other.transitions, atol=1e-15)
    assert block_bits(one, 1) == pytest.approx(2)


# ── a renewal process ────────────────────────────────────────────────────────────────────────────


@given(alpha=st.floats(-3000, 3000), lam=st.floats(0, 0.5))
def test_fanizza_renews_after_oscillating_intervals(alpha, lam):
    """n symbols b between two a have probability lambda^n sin^2(n alpha / 2); n = 0 has the rest."""
    process = build_process("fanizza", alpha=alpha, lam=lam)
    ends = process.transitions[0] @ process.readout
    renewed = process.transitions[0][0] / ends[0]  # the first row is never zero: its readout is 1
    for row, end in zip(process.transitions[0], ends, strict=True):
        np.testing.assert_allclose(row, end * renewed, atol=1e-12)  # an a erases the past
    interval = [lam**n * math.sin(n * alpha / 2) ** 2 for n in range(60)]
    interval[0] = 1 - sum(interval)
    vector = renewed
    for n in range(12):
        assert abs(vector @ ends - interval[n]) < 1e-10
        vector = vector @ process.transitions[1]
    mean = 1 + sum(n * share for n, share in enumerate(interval))
    assert abs(vectors(process, [0]) - 1 / mean) < 1e-10


def test_the_entropy_rate_of_fanizza_follows_from_its_intervals():
    process = build_process("fanizza")
    interval = np.array([0.49**n * math.sin(n * 1000) ** 2 for n in range(200)])
    interval[0] = 1 - interval.sum()
    possible = interval[interval > 0]
    rate = -(possible * np.log2(possible)).sum() / (1 + np.arange(200) @ interval)
    assert abs(block_bits(process, 16) - block_bits(process, 15) - rate) < 1e-3


# ── a reset and two moves along a curve ──────────────────────────────────────────────────────────


@given(log_alpha=st.floats(0.05, 3), beta=st.floats(0.05, 0.95))
def test_post_quantum_has_the_published_matrices_up_to_scale(log_alpha, beta):
    assume(abs(math.exp(log_alpha) + beta - 2) > 1e-6)
    process = build_process("post_quantum", log_alpha=log_alpha, beta=beta)
    alpha, scale = math.exp(log_alpha), process.transitions[1, 1, 1]
    published = [
        [[1, -1, -1], [1, -1, -1], [0, 0, 0]],
        [[alpha, 0, 0], [0, 1, 0], [0, log_alpha, 1]],
        [[beta, 0, 0], [0, 1, 0], [0, math.log(beta), 1]],
    ]
    np.testing.assert_allclose(process.transitions / scale, published, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(np.array([1, -1, -1]) @ process.readout, 1, atol=1e-12)


def test_between_resets_only_the_sum_of_moves_matters():
    """P(a w a) is proportional to e^t - 1 - t, where t sums ln alpha and ln beta over w."""
    process = build_process("post_quantum", log_alpha=1.0, beta=0.5)
    scale = process.transitions[1, 1, 1]
    reset = vectors(process, [0])
    for length in range(5):
        for word in (w for w in all_words(3, length) if 0 not in w):
            t = sum(1.0 if symbol == 1 else math.log(0.5) for symbol in word)
            expected = reset * scale ** (length + 1) * (math.exp(t) - 1 - t)
            assert abs(vectors(process, [0, *word, 0]) - expected) < 1e-12


@pytest.mark.parametrize(
    ("family", "parameters", "message"),
    [
        ("tom_quantum", {"alpha": 0.0, "beta": 0.0}, "alpha must be positive"),
        ("fanizza", {"lam": 0.6}, "fanizza.lam: must be between 0 and 0.5 (got 0.6)"),
        ("post_quantum", {"log_alpha": math.log(1.25), "beta": 0.75}, "log_alpha must not be 0.223144, ln(2 - beta)"),
        ("post_quantum", {"log_alpha": math.log(2), "beta": 0.5}, "log_alpha must not be a rational multiple"),
        ("post_quantum", {"log_alpha": math.log(2) * 1.5, "beta": 0.5}, "log_alpha must not be a rational multiple"),
        ("post_quantum", {"beta": 1.0}, "post_quantum.beta: must be between 0.01 and 0.99 (got 1.0)"),
    ],
)
def test_invalid_parameters_are_an_error(family, parameters, message):
    with pytest.raises(ValueError) as raised:
        build_process(family, **parameters)
    assert str(raised.value).startswith(message)
