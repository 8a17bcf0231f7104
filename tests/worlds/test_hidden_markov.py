"""Random hidden Markov models factor into transitions and emissions, and stickiness changes nothing else."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unamortized.worlds.processes import build_process

seeds = st.integers(0, 2**32 - 1)


def factors(process):
    """Return A[i, j] and E[j, x] with T[x, i, j] = A[i, j] E[j, x], by marginalization."""
    move = process.transitions.sum(axis=0)
    emit = process.transitions.sum(axis=1).T / move.sum(axis=0)[:, None]
    return move, emit


@given(
    states=st.integers(1, 6),
    symbols=st.integers(1, 5),
    concentration=st.floats(0.1, 10),
    stickiness=st.floats(0, 0.999),
    seed=seeds,
)
def test_the_new_state_emits(states, symbols, concentration, stickiness, seed):
    parameters = {"states": states, "symbols": symbols, "concentration": concentration, "seed": seed}
    process = build_process("random_hmm", **parameters, stickiness=stickiness)
    move, emit = factors(process)
    for x, i, j in np.ndindex(symbols, states, states):
        assert abs(process.transitions[x, i, j] - move[i, j] * emit[j, x]) < 1e-12
    np.testing.assert_allclose(process.initial @ move, process.initial, atol=1e-12)
    loose_move, loose_emit = factors(build_process("random_hmm", **parameters, stickiness=0.0))
    np.testing.assert_allclose(move, stickiness * np.eye(states) + (1 - stickiness) * loose_move, atol=1e-12)
    np.testing.assert_allclose(emit, loose_emit, atol=1e-9)  # stickiness does not change emissions


@pytest.mark.parametrize("concentration", [0.2, 1.0, 20.0])
def test_rows_are_symmetric_dirichlet_draws(concentration):
    """Entries of K have mean 1 / K and variance (K - 1) / (K^2 (K concentration + 1))."""
    process = build_process("random_hmm", states=60, symbols=40, concentration=concentration, seed=1)
    for rows in factors(process):
        count = rows.shape[1]
        variance = (count - 1) / (count**2 * (count * concentration + 1))
        np.testing.assert_allclose(rows.sum(axis=1), 1, atol=1e-12)
        assert np.abs(rows.mean(axis=0) - 1 / count).max() < 5 * np.sqrt(variance / len(rows))
        assert 0.75 < rows.var() / variance < 1.25
        assert np.abs(np.corrcoef(rows[:-1].ravel(), rows[1:].ravel())[0, 1]) < 0.1


def test_transitions_and_emissions_are_independent_and_repeat_with_their_seed():
    first, again, other = (build_process("random_hmm", seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.transitions, again.transitions)
    assert (first.transitions != other.transitions).any()
    move, emit = factors(first)
    assert (np.abs(move - emit) > 1e-3).any()


def test_a_sticky_process_stays():
    process = build_process("random_hmm", states=5, stickiness=0.95)
    assert (np.diag(process.state_transitions) >= 0.95).all()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"stickiness": 1.0}, "random_hmm.stickiness: must be between 0 and 0.999 (got 1.0)"),
        ({"concentration": 0.0}, "random_hmm.concentration: must be between 0.1 and 1000"),
        ({"states": 1000, "symbols": 101}, "symbols times states squared must be at most 1e8 (got 1.0e+08)"),
    ],
)
def test_invalid_parameters_are_an_error(parameters, message):
    with pytest.raises(ValueError) as raised:
        build_process("random_hmm", **parameters)
    assert str(raised.value).startswith(message)
