"""Descriptions of processes match closed forms, published values and enumerated words."""

import numpy as np
import pytest
from hypothesis import given, settings

from tests.worlds.brute_force import small_processes
from tests.worlds.words import block_entropy
from unamortized.worlds.description import (
    describe_process,
    entropy_rate,
    forgetting_time,
    long_run,
    mean_process,
    mixing_time,
    myopic_entropy,
    stationary_start,
)
from unamortized.worlds.inference import filter_beliefs, random_paths
from unamortized.worlds.mixed_states import known_start, unknown_start
from unamortized.worlds.processes import Process, build_process

LN2 = np.log(2)


def described(process, depth=6, smallest=0.0):
    return describe_process(process, depth, np.random.default_rng(0), smallest)


def iid(probabilities):
    return Process(np.array(probabilities)[:, None, None])


def entropy(probabilities):
    return float(-sum(p * np.log(p) for p in probabilities))


# ── entropy rate ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("process", "nats"),
    [
        (build_process("no_consecutive_ones"), 2 / 3 * LN2),  # the golden mean: a fair coin in 2 of 3 steps
        (build_process("zero_one_random"), LN2 / 3),
        (build_process("zero_one_random", p=0.2), entropy([0.2, 0.8]) / 3),
        (build_process("rrxor"), 2 / 3 * LN2),
        (build_process("rrxor", p1=0.3, p2=0.4), (entropy([0.3, 0.7]) + entropy([0.4, 0.6])) / 3),
        (iid([0.1, 0.2, 0.7]), entropy([0.1, 0.2, 0.7])),
        (build_process("group_word", group="S3"), np.log(6)),
        (build_process("group_word", group="S5", elements=["21345", "23451"]), LN2),
        (build_process("noisy_permutation"), np.log(4)),  # its symbols carry no information about the state
        (iid([1.0]), 0.0),
    ],
)
def test_the_entropy_rate_is_exact_with_few_mixed_states(process, nats):
    rate = described(process, depth=2).entropy_rate
    assert rate.n_mixed_states is not None
    assert rate.bounds.low == rate.bounds.high == rate.estimate
    assert abs(rate.estimate - nats) < 1e-9
    assert rate.error == 0


@pytest.mark.parametrize(
    ("family", "position", "printed"),
    [
        ("mess3", 10, 0.793),
        ("rrxor", 40, 0.460),
        ("zero_one_random", 40, 0.233),
        ("no_consecutive_ones", 40, 0.463),
    ],
)
def test_the_myopic_entropy_equals_published_values(family, position, printed):
    """Published values are means over sampled words and differ from exact ones by up to .002."""
    process = build_process(family)
    curve = myopic_entropy(process, unknown_start(process.initial), position - 1)
    assert curve[-1].low == curve[-1].high
    assert abs(curve[-1].low - printed) < 0.0025
    exact = {"mess3": 0.79346, "rrxor": 0.46215, "zero_one_random": 0.23105, "no_consecutive_ones": 0.46210}[family]
    assert abs(curve[-1].low - exact) < 1e-5


def test_position_counts_from_one_and_the_start_is_stationary():
    process = build_process("no_consecutive_ones")
    first, second, third = (bounds.low for bounds in myopic_entropy(process, unknown_start(process.initial), 2))
    assert abs(first - entropy([1 / 3, 2 / 3])) < 1e-12
    assert abs(second - 2 / 3 * LN2) < 1e-12  # one symbol reveals the state
    assert abs(third - second) < 1e-12


@settings(max_examples=25)
@given(arrays=small_processes())
def test_bounds_contain_the_entropy_rate_and_tighten(arrays):
    process = Process(*arrays)
    start = stationary_start(process)
    above = [bounds.low for bounds in myopic_entropy(process, unknown_start(start), 5)]
    below = [bounds.low for bounds in myopic_entropy(process, known_start(start), 5)]
    assert (np.diff(above) <= 1e-9).all()
    assert (np.diff(below) >= -1e-9).all()
    assert below[-1] <= above[-1] + 1e-9
    assert above[3] == pytest.approx(block_entropy(process, 4, start) - block_entropy(process, 3, start), abs=1e-9)


@pytest.mark.parametrize("family", ["mess3", "noisy_permutation"])
def test_sampled_and_proven_entropy_rates_agree(family):
    parameters = {"informativeness": 1.0} if family == "noisy_permutation" else {}
    rate = described(build_process(family, **parameters)).entropy_rate
    assert rate.n_mixed_states is None
    assert rate.bounds.low < rate.bounds.high
    assert 0 < rate.error < 0.002
    assert rate.bounds.low - 4 * rate.error < rate.estimate < rate.bounds.high + 4 * rate.error


def test_the_standard_error_equals_the_spread_of_estimates():
    process = build_process("mess3", x=0.1, a=0.6)
    above = myopic_entropy(process, unknown_start(process.initial), 1)
    rates = [entropy_rate(process, process.initial, above, None, np.random.default_rng(seed)) for seed in range(12)]
    spread = np.std([rate.estimate for rate in rates], ddof=1)
    assert 0.5 < spread / np.mean([rate.error for rate in rates]) < 2


def test_a_generalized_process_has_an_entropy_rate_but_no_start_state():
    found = described(build_process("tom_quantum"), depth=5)
    assert found.given_start is None
    assert found.entropy_rate.bounds.low == 0
    assert found.entropy_rate.estimate < found.entropy_rate.bounds.high
    # the same rate by another estimator: -log P of sampled words per symbol
    process = build_process("tom_quantum")
    words = random_paths(process.transitions, process.initial, 600, 200, 1, process.readout).observations
    late, early = (
        filter_beliefs(process.transitions, process.initial, words[:, :n], readout=process.readout).log_probability
        for n in (600, 100)
    )
    cost = (early - late) / 500
    assert abs(cost.mean() - found.entropy_rate.estimate) < 4 * cost.std() / np.sqrt(200) + 4 * found.entropy_rate.error


def test_a_mixture_has_the_mean_entropy_rate_of_its_parts():
    transitions = np.zeros((2, 3, 3))
    transitions[0, 0, 0] = 1  # constant zeros
    transitions[:, 1:, 1:] = 0.25  # a fair coin, on two states
    process = Process(transitions, np.array([0.4, 0.3, 0.3]))
    found = described(process)
    assert abs(found.entropy_rate.estimate - 0.6 * LN2) < 1e-9
    assert found.mixing.components == 2


# ── starts ───────────────────────────────────────────────────────────────────────────────────────


def test_the_long_run_is_the_average_over_many_steps():
    chain = np.array(
        [[0.5, 0.2, 0.3, 0, 0], [0, 0, 1, 0, 0], [0, 1, 0, 0, 0], [0, 0, 0, 0.9, 0.1], [0, 0, 0, 0.3, 0.7]]
    )
    start = np.array([0.5, 0, 0, 0.1, 0.4])
    power, total = start, np.zeros(5)
    for _ in range(20_000):
        total, power = total + power, power @ chain
    np.testing.assert_allclose(long_run(chain, start), total / 20_000, atol=1e-4)


def test_the_stationary_start_of_a_group_is_uniform():
    process = build_process("group_word", group="S3")
    np.testing.assert_allclose(stationary_start(process), 1 / 6)
    np.testing.assert_array_equal(stationary_start(build_process("mess3")), build_process("mess3").initial)


def test_the_mean_process_averages_transitions_over_problems():
    transitions = np.stack([np.eye(2)[None], np.array([[[0.0, 1.0], [1.0, 0.0]]])])
    process = Process(transitions, np.array([[1.0, 0.0], [0.5, 0.5]]))
    mean = mean_process(process)
    np.testing.assert_array_equal(mean.transitions, np.full((1, 2, 2), 0.5))
    np.testing.assert_array_equal(mean.initial, [0.75, 0.25])
    assert mean_process(mean) is mean


# ── mixing and forgetting ────────────────────────────────────────────────────────────────────────


def test_the_mixing_time_is_the_time_scale_of_the_slowest_decay():
    process = build_process("mess3", x=0.05)
    mixing = mixing_time(process.state_transitions)
    power = np.linalg.matrix_power(process.state_transitions, 40)
    later = np.linalg.matrix_power(process.state_transitions, 50)
    decay = np.log((power[0, 0] - 1 / 3) / (later[0, 0] - 1 / 3)) / 10
    assert abs(mixing.steps - 1 / decay) < 1e-6
    assert (mixing.period, mixing.components) == (1, 1)


@pytest.mark.parametrize(
    ("process", "period"),
    [
        (build_process("zero_one_random"), 3),
        (build_process("rrxor"), 3),
        (build_process("group_word", group="Z7", elements=["1"]), 7),
        (build_process("group_word", group="S3", elements=["213", "132"]), 2),  # two swaps: odd, even, odd
        (build_process("group_word", group="S3", elements=["213", "231"]), 1),
        (build_process("no_consecutive_ones"), 1),
    ],
)
def test_periods_are_found(process, period):
    mixing = mixing_time(process.state_transitions)
    assert (mixing.period, mixing.components) == (period, 1)


def test_a_group_never_forgets_and_the_golden_mean_process_forgets_at_once():
    for elements in (["213", "231"], None):
        process = build_process("group_word", group="S3", elements=elements)
        forgetting = forgetting_time(process, stationary_start(process), np.random.default_rng(0))
        assert forgetting.steps == np.inf
    process = build_process("no_consecutive_ones")
    assert forgetting_time(process, process.initial, np.random.default_rng(0)).steps == 0
    assert forgetting_time(iid([0.5, 0.5]), np.ones(1), np.random.default_rng(0)).steps == 0


@pytest.mark.parametrize("slip", [0.02, 0.3])
def test_the_forgetting_time_of_uninformative_permutations_follows_from_slip(slip):
    process = build_process("noisy_permutation", slip=slip)
    forgetting = forgetting_time(process, process.initial, np.random.default_rng(0))
    assert abs(forgetting.steps + 1 / np.log(1 - slip)) < 1e-6
    assert forgetting.error < 1e-6


def test_two_filters_with_different_starts_approach_at_the_forgetting_rate():
    process = build_process("noisy_permutation", states=3, symbols=3, slip=0.1, informativeness=0.5)
    forgetting = forgetting_time(process, process.initial, np.random.default_rng(0))
    words = random_paths(process.transitions, process.initial, 90, 400, 5).observations
    one, other = (filter_beliefs(process.transitions, start, words).beliefs for start in np.eye(3)[:2])
    log_distance = np.log(np.abs(one - other).sum(axis=2))
    rates = (log_distance[:, 30] - log_distance[:, 90]) / 60
    error = rates.std() / np.sqrt(400)
    assert abs(1 / forgetting.steps - rates.mean()) < 4 * (error + forgetting.error / forgetting.steps**2)


def test_the_same_stream_gives_the_same_description():
    process = build_process("mess3")
    assert str(described(process, 3)) == str(described(process, 3))
