"""Predictive vectors: ragged batches, impossible observations, and sampling."""

import itertools

import numpy as np
import pytest

from tests.worlds.brute_force import word_probability
from unamortized.worlds.inference import ImpossibleObservation, filter_beliefs, predict, random_paths
from unamortized.worlds.predictive_vectors import SMALLEST_EVIDENCE, sample_symbols
from unamortized.worlds.processes import Process, build_process

FIRST = np.eye(3)[0]
PROJECTIVE = build_process("tom_quantum", beta=1.0)  # outcomes 0 and 1, up and down, never follow each other


def rotated(seed: int) -> Process:
    """Return the same process in other coordinates, in which impossible symbols get rounding errors."""
    s = np.linalg.qr(np.random.default_rng(seed).standard_normal((3, 3)))[0]
    return Process(s.T @ PROJECTIVE.transitions @ s, PROJECTIVE.initial @ s, readout=s.T @ PROJECTIVE.readout)


FAMILIES = ["tom_quantum", "fanizza", "post_quantum"]


def filtered(process, observations, lengths=None):
    return filter_beliefs(process.transitions, process.initial, np.array(observations), lengths, process.readout)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_ragged_batch_equals_its_problems_one_by_one(family):
    process = build_process(family)
    drawn = random_paths(process.transitions, process.initial, 6, 7, 0, process.readout).observations
    lengths = np.array([6, 0, 3, 1, 5, 6, 2])
    ragged = drawn.copy()
    ragged[np.arange(6) >= lengths[:, None]] = 99  # symbols beyond a length are never looked up
    together = filtered(process, ragged, lengths)
    for b, length in enumerate(lengths):
        alone = filtered(process, drawn[b : b + 1, :length])
        np.testing.assert_allclose(together.beliefs[b, : length + 1], alone.beliefs[0], atol=1e-12)
        assert (together.beliefs[b, length:] == together.beliefs[b, length]).all()
        np.testing.assert_allclose(together.log_probability[b], alone.log_probability[0], atol=1e-12)
    np.testing.assert_allclose(together.beliefs @ process.readout, 1, atol=1e-12)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_thousand_steps_stay_vectors_of_the_process(family):
    process = build_process(family)
    drawn = random_paths(process.transitions, process.initial, 1000, 20, 1, process.readout).observations
    found = filtered(process, drawn)
    np.testing.assert_allclose(found.beliefs @ process.readout, 1, atol=1e-9)
    assert (found.beliefs @ process.emissions).min() > -1e-9
    halves = filter_beliefs(process.transitions, found.beliefs[:, 500], drawn[:, 500:], readout=process.readout)
    np.testing.assert_allclose(halves.beliefs, found.beliefs[:, 500:], atol=1e-9)
    first = filtered(process, drawn[:, :500]).log_probability
    np.testing.assert_allclose(first + halves.log_probability, found.log_probability, rtol=1e-9)


def test_an_impossible_observation_is_named_by_problem_step_and_symbol():
    with pytest.raises(ImpossibleObservation, match="problem 1, step 3: symbol 1 has probability zero") as raised:
        filtered(PROJECTIVE, [[0, 2, 1, 1], [2, 0, 1, 3], [0, 1, 0, 1]])
    assert (raised.value.problem, raised.value.step, raised.value.symbol) == (1, 3, 1)


@pytest.mark.parametrize("seed", range(6))
def test_the_predicted_probability_of_an_impossible_symbol_is_zero_and_never_negative(seed):
    process = rotated(seed)
    words = [word for word in itertools.product(range(4), repeat=3) if word_probability(PROJECTIVE, FIRST, word) > 0.01]
    known = np.array(words)
    for ahead in (1, 2):
        arguments = process.transitions, process.initial, known, ahead
        predicted = predict(*arguments, readout=process.readout).distribution
        assert predicted.min() >= 0
        np.testing.assert_allclose(predicted.sum(axis=1), 1, atol=1e-12)
    predicted = predict(process.transitions, process.initial, known, readout=process.readout).distribution
    opposite = known[:, -1] ^ 1
    np.testing.assert_allclose(predicted[np.arange(len(known)), opposite], 0, atol=1e-12)


@pytest.mark.parametrize("seed", range(6))
def test_no_uniform_number_draws_an_impossible_symbol(seed):
    process, last = rotated(seed), np.nextafter(1, 0)
    levels = [0.0, 1e-18, 1e-16, 0.25, 0.5, 0.75, last]
    uniforms = np.array(list(itertools.product(levels, repeat=3)))
    start = np.tile(process.initial, (len(uniforms), 1))
    for word in sample_symbols(process.transitions, start, process.readout, uniforms):
        assert word_probability(process, process.initial, word) > SMALLEST_EVIDENCE
    many = random_paths(process.transitions, process.initial, 40, 2000, 0, process.readout).observations
    follows = set(zip(many[:, :-1].ravel().tolist(), many[:, 1:].ravel().tolist(), strict=True))
    assert follows == {(a, b) for a in range(4) for b in range(4)} - {(0, 1), (1, 0), (2, 3), (3, 2)}


def test_an_initial_vector_without_a_readout_of_one_is_an_error():
    starts = np.stack([PROJECTIVE.initial, 2 * PROJECTIVE.initial])
    with pytest.raises(ValueError, match="initial of problem 1 must have a readout of 1"):
        filter_beliefs(PROJECTIVE.transitions, starts, np.zeros((2, 1), dtype=np.int64), readout=PROJECTIVE.readout)
