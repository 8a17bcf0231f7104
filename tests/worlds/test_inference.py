"""Every function of inference matches the enumeration of all latent paths, also at the limits of float64."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from tests.worlds.brute_force import (
    SmallBatch,
    enumerate_paths,
    marginal,
    random_distributions,
    random_transitions,
    small_batches,
)
from unamortized.worlds.inference import (
    ImpossibleObservation,
    filter_beliefs,
    most_likely_latents,
    predict,
    random_paths,
    sample_latents,
    smooth_beliefs,
)

# Two coins of different bias; one of them is tossed forever, and each symbol is evidence for one or the other.
TWO_COINS = np.array([[[0.9, 0.0], [0.0, 0.2]], [[0.1, 0.0], [0.0, 0.8]]])


def evidence(joint):
    return np.log(sum(joint.values()))


def cut(small: SmallBatch, b: int, n: int):
    """Enumerate problem b, cut after n steps."""
    table, initial, observations = small.problem(b)
    return enumerate_paths(table[:n], initial, observations[:n])


# ── against enumeration ──────────────────────────────────────────────────────────────────────────


@given(small_batches())
def test_filtered_belief_is_the_conditional_of_the_enumerated_joint(small):
    filtered = filter_beliefs(**small.arguments)
    states = small.initial.shape[-1]
    for b, length in enumerate(small.lengths):
        for t in range(small.observations.shape[1] + 1):
            expected = marginal(cut(small, b, min(t, length)), -1, states)
            np.testing.assert_allclose(filtered.beliefs[b, t], expected, atol=1e-12)
        np.testing.assert_allclose(filtered.log_probability[b], evidence(cut(small, b, length)), atol=1e-10)


@given(small_batches())
def test_smoothed_belief_is_the_marginal_of_the_enumerated_joint(small):
    smoothed = smooth_beliefs(**small.arguments)
    states = small.initial.shape[-1]
    for b, length in enumerate(small.lengths):
        joint = cut(small, b, length)
        for t in range(small.observations.shape[1] + 1):
            expected = marginal(joint, min(t, length), states)
            np.testing.assert_allclose(smoothed.beliefs[b, t], expected, atol=1e-12)
        np.testing.assert_allclose(smoothed.log_probability[b], evidence(joint), atol=1e-10)


@settings(max_examples=25)
@given(small_batches(max_batch=2, max_states=3, max_steps=3))
def test_sampled_paths_follow_the_enumerated_joint(small):
    draws = 3000
    sampled = sample_latents(**small.arguments, seed=5, samples=draws)
    for b, length in enumerate(small.lengths):
        joint = {path: p for path, p in cut(small, b, length).items() if p > 0}
        total = sum(joint.values())
        counts = dict.fromkeys(joint, 0)
        for path in sampled.latents[:, b, : length + 1].tolist():
            counts[tuple(path)] += 1  # raises a KeyError for an impossible path
        expected = np.array([draws * p / total for p in joint.values()])
        frequent = expected > 5  # chi-square needs several draws per path
        excess = (np.array(list(counts.values())) - expected)[frequent]
        assert (excess**2 / expected[frequent]).sum() < chi2.isf(1e-6, frequent.sum())
        assert (sampled.latents[:, b, length:] == sampled.latents[:, b, length, None]).all()
        np.testing.assert_allclose(sampled.log_probability[b], evidence(joint), atol=1e-10)


@pytest.mark.parametrize("leading", [(), (1,), (1, 4)], ids=["shared", "per problem", "in time"])
def test_pairs_of_sampled_latents_follow_the_enumerated_joint(leading):
    generator = np.random.default_rng(1)
    transitions = random_transitions(generator, leading, symbols=2, states=3, zeros=0.0)
    initial = random_distributions(generator, (3,), zeros=0.0)
    small = SmallBatch(transitions, initial, np.array([[0, 1, 1, 0]]), np.array([4]))
    joint = enumerate_paths(*small.problem(0))
    draws = 200_000
    latents = sample_latents(**small.arguments, seed=7, samples=draws).latents[:, 0]
    for first, second in [(0, 1), (1, 2), (3, 4), (0, 4)]:
        exact = np.zeros((3, 3))
        for path, probability in joint.items():
            exact[path[first], path[second]] += probability / sum(joint.values())
        counts = np.zeros((3, 3))
        np.add.at(counts, (latents[:, first], latents[:, second]), 1)
        assert ((counts - draws * exact) ** 2 / (draws * exact)).sum() < chi2.isf(1e-5, 8)


@given(small_batches())
def test_most_likely_path_has_the_largest_enumerated_joint(small):
    found = most_likely_latents(**small.arguments)
    for b, length in enumerate(small.lengths):
        joint = cut(small, b, length)
        path = tuple(found.latents[b, : length + 1].tolist())
        np.testing.assert_allclose(found.log_joint[b], np.log(max(joint.values())), atol=1e-10)
        np.testing.assert_allclose(joint[path], max(joint.values()), rtol=1e-10)
        assert (found.latents[b, length:] == path[-1]).all()


@given(small_batches(kinds=("shared", "problem"), max_steps=3, max_states=3), st.integers(1, 3))
def test_prediction_is_the_conditional_of_the_enumerated_future(small, steps_ahead):
    predicted = predict(**small.arguments, steps_ahead=steps_ahead)
    symbols = small.transitions.shape[-3]
    for b in range(len(small.lengths)):
        matrices = small.transitions if small.transitions.ndim == 3 else small.transitions[b]
        _, initial, observations = small.problem(b)
        weights = np.zeros(symbols)
        for future in np.ndindex(*[symbols] * steps_ahead):
            longer = np.concatenate([observations, np.array(future, dtype=int)])
            table = np.broadcast_to(matrices, (len(longer), *matrices.shape))
            weights[future[-1]] += sum(enumerate_paths(table, initial, longer).values())
        np.testing.assert_allclose(predicted.distribution[b], weights / weights.sum(), atol=1e-12)
        np.testing.assert_allclose(predicted.log_probability[b], np.log(weights.sum()), atol=1e-10)


# ── composition, raggedness, edges ───────────────────────────────────────────────────────────────


@given(small_batches(kinds=("shared",), max_steps=6), st.integers(0, 6))
def test_filtering_in_two_parts_equals_filtering_at_once(small, split):
    whole = filter_beliefs(**small.arguments)
    split = min(split, small.observations.shape[1])
    head, tail = np.split(small.observations, [split], axis=1)
    first = filter_beliefs(small.transitions, small.initial, head, np.minimum(small.lengths, split))
    rest = filter_beliefs(small.transitions, first.beliefs[:, -1], tail, np.maximum(small.lengths - split, 0))
    np.testing.assert_allclose(np.hstack([first.beliefs, rest.beliefs[:, 1:]]), whole.beliefs, atol=1e-12)
    np.testing.assert_allclose(first.log_probability + rest.log_probability, whole.log_probability, atol=1e-10)


@pytest.mark.parametrize("function", [filter_beliefs, smooth_beliefs, most_likely_latents])
@settings(max_examples=15)
@given(small=small_batches())
def test_a_ragged_batch_equals_its_problems_one_by_one(function, small):
    together = function(**small.arguments)
    for b, length in enumerate(small.lengths):
        table, initial, observations = small.problem(b)
        alone = function(table[None], initial, observations[None])
        np.testing.assert_array_equal(together[0][b, : length + 1], alone[0][0])
        np.testing.assert_array_equal(
            together[0][b, length:], np.broadcast_to(alone[0][0, -1], together[0][b, length:].shape)
        )
        assert together[1][b] == alone[1][0]


@pytest.mark.parametrize("shape", [(0, 5), (3, 0), (0, 0)])
@pytest.mark.parametrize("leading", [0, 1, 2])
def test_batches_may_have_no_problems_or_no_steps(shape, leading):
    transitions = np.broadcast_to(TWO_COINS, (*shape[:leading], *TWO_COINS.shape))
    arguments = {
        "transitions": transitions,
        "initial": np.array([0.25, 0.75]),
        "observations": np.zeros(shape, dtype=np.int64),
    }
    batch, steps = shape
    for beliefs in (filter_beliefs(**arguments).beliefs, smooth_beliefs(**arguments).beliefs):
        assert beliefs.shape == (batch, steps + 1, 2)
        assert (beliefs[:, 0] == [0.25, 0.75]).all()
    assert (most_likely_latents(**arguments).latents == np.ones((batch, steps + 1))).all()
    assert sample_latents(**arguments, seed=0).latents.shape == (batch, steps + 1)
    assert sample_latents(**arguments, seed=0, samples=2).latents.shape == (2, batch, steps + 1)
    if leading < 2:
        np.testing.assert_allclose(predict(**arguments).distribution, np.broadcast_to([0.375, 0.625], (batch, 2)))
        assert random_paths(transitions, arguments["initial"], steps, batch, seed=0).observations.shape == shape


def test_a_seed_repeats_the_draws_and_a_generator_continues():
    arguments = (np.full((2, 3, 3), 1 / 6), np.full(3, 1 / 3), np.zeros((4, 9), dtype=np.int64))
    first = sample_latents(*arguments, seed=3).latents
    np.testing.assert_array_equal(first, sample_latents(*arguments, seed=3).latents)
    generator = np.random.default_rng(3)
    np.testing.assert_array_equal(first, sample_latents(*arguments, seed=generator).latents)
    assert (first != sample_latents(*arguments, seed=generator).latents).any()


# ── the limits of float64 ────────────────────────────────────────────────────────────────────────


def test_ten_thousand_steps_keep_evidence_and_beliefs_exact():
    """Fair symbols have a known evidence at any length, and carry no information about the start."""
    transitions = np.stack([np.eye(3), np.roll(np.eye(3), 1, axis=1)]) / 2
    observations = np.random.default_rng(0).integers(2, size=(20, 10_000))
    initial = np.array([0.7, 0.2, 0.1])
    filtered = filter_beliefs(transitions, initial, observations)
    np.testing.assert_allclose(filtered.log_probability, -10_000 * np.log(2), rtol=1e-12)
    turns = observations.sum(axis=1) % 3
    expected = np.stack([np.roll(initial, turn) for turn in turns])
    np.testing.assert_allclose(filtered.beliefs[:, -1], expected, atol=1e-9)
    smoothed = smooth_beliefs(transitions, initial, observations)
    np.testing.assert_allclose(smoothed.beliefs[:, 0], np.broadcast_to(initial, (20, 3)), atol=1e-9)
    np.testing.assert_allclose(
        most_likely_latents(transitions, initial, observations).log_joint,
        np.log(0.7) - 10_000 * np.log(2),
        rtol=1e-12,
    )


@pytest.mark.parametrize("turn", [400, 3000])
def test_a_hypothesis_that_underflows_can_recover(turn):
    """Evidence favors one coin by more than float64 can represent, then the other coin by even more."""
    zeros, ones = turn, 2 * turn
    observations = np.array([[0] * zeros + [1] * ones])
    log_first = zeros * np.log(0.9) + ones * np.log(0.1)
    log_second = zeros * np.log(0.2) + ones * np.log(0.8)
    assert zeros * np.log(0.9 / 0.2) > 600
    arguments = (TWO_COINS, np.array([0.5, 0.5]), observations)
    filtered = filter_beliefs(*arguments)
    expected = np.array([1, 0]) if log_first > log_second else np.array([0, 1])
    np.testing.assert_allclose(filtered.beliefs[0, -1], expected, atol=1e-12)
    np.testing.assert_allclose(filtered.beliefs[0, zeros], [1, 0], atol=1e-12)
    np.testing.assert_allclose(filtered.log_probability, [np.logaddexp(log_first, log_second) - np.log(2)], rtol=1e-12)
    np.testing.assert_allclose(
        smooth_beliefs(*arguments).beliefs[0], np.broadcast_to(expected, (zeros + ones + 1, 2)), atol=1e-9
    )
    assert (sample_latents(*arguments, seed=0, samples=20).latents == expected[1]).all()
    assert (most_likely_latents(*arguments).latents == expected[1]).all()


def test_a_last_hypothesis_of_tiny_probability_is_not_impossible():
    """After a thousand zeros, only the second state can emit a one, and its belief is 1e-600."""
    transitions = np.array([[[1.0, 0.0], [0.0, 0.25]], [[0.0, 0.0], [0.0, 0.75]]])
    filtered = filter_beliefs(transitions, np.array([0.5, 0.5]), np.array([[0] * 1000 + [1]]))
    np.testing.assert_array_equal(filtered.beliefs[0, -1], [0, 1])
    np.testing.assert_allclose(filtered.log_probability, [np.log(0.375) + 1000 * np.log(0.25)], rtol=1e-12)


def test_two_moves_of_tiny_probability_are_not_impossible():
    """Each step is within float64, but their product of 1e-400 is not; no other path emits a one."""
    leap = 1e-200
    transitions = np.array([[[1, leap, 0], [0, 1, leap], [0, 0, 0.5]], [[0, 0, 0], [0, 0, 0], [0, 0, 0.5]]])
    arguments = (transitions, np.array([1.0, 0, 0]), np.array([[0, 0, 1]]))
    filtered = filter_beliefs(*arguments)
    np.testing.assert_array_equal(filtered.beliefs[0, -1], [0, 0, 1])
    np.testing.assert_allclose(filtered.log_probability, [np.log(0.5) - 400 * np.log(10)], rtol=1e-12)
    np.testing.assert_array_equal(sample_latents(*arguments, seed=0).latents, [[0, 1, 2, 2]])
    np.testing.assert_array_equal(smooth_beliefs(*arguments).beliefs[0].argmax(axis=1), [0, 1, 2, 2])


@settings(max_examples=20)
@given(small_batches())
def test_filtering_in_logs_gives_the_same_beliefs(small):
    """An entry of 1e-300, in a symbol that never occurs, sends every problem through logarithms."""
    tiny = np.zeros((*small.transitions.shape[:-3], 1, *small.transitions.shape[-2:]))
    tiny[..., 0, 0] = 1e-300
    arguments = small.arguments | {"transitions": np.concatenate([small.transitions, tiny], axis=-3)}
    np.testing.assert_allclose(
        filter_beliefs(**arguments).beliefs, filter_beliefs(**small.arguments).beliefs, atol=1e-12
    )
    states = small.initial.shape[-1]
    smoothed = smooth_beliefs(**arguments)
    for b, length in enumerate(small.lengths):
        joint = cut(small, b, length)
        for t in range(length + 1):
            np.testing.assert_allclose(smoothed.beliefs[b, t], marginal(joint, t, states), atol=1e-12)
        path = sample_latents(**arguments, seed=1).latents[b, : length + 1]
        assert joint[tuple(path.tolist())] > 0


def test_hard_zeros_stay_zero():
    transitions = np.array([[[0, 1, 0], [0, 0, 0], [0.5, 0, 0]], [[0, 0, 0], [0, 0, 1], [0.5, 0, 0]]])
    observations = random_paths(transitions, np.full(3, 1 / 3), 200, 50, seed=0)
    beliefs = filter_beliefs(transitions, np.full(3, 1 / 3), observations.observations).beliefs
    np.testing.assert_array_equal(np.sort(beliefs[:, -1], axis=1), np.broadcast_to([0, 0, 1], (50, 3)))
    np.testing.assert_array_equal(beliefs[:, -1].argmax(axis=1), observations.latents[:, -1])


# ── sampling the process ─────────────────────────────────────────────────────────────────────────


@settings(max_examples=15)
@given(small_batches(kinds=("shared", "problem"), max_batch=1, max_states=3, max_symbols=2, max_steps=0))
def test_random_paths_have_the_enumerated_frequencies(small):
    draws, steps = 4000, 2
    per_problem = small.transitions.ndim == 4
    matrices = small.transitions[0] if per_problem else small.transitions
    initial = small.initial if small.initial.ndim == 1 else small.initial[0]
    transitions = np.broadcast_to(matrices, (draws, *matrices.shape)) if per_problem else matrices
    drawn = random_paths(transitions, initial, steps, draws, seed=11)
    counts = {}
    for path in np.hstack([drawn.observations, drawn.latents]).tolist():
        counts[tuple(path)] = counts.get(tuple(path), 0) + 1
    table = np.stack([matrices] * steps)
    for observations in np.ndindex(*[len(matrices)] * steps):
        for path, p in enumerate_paths(table, initial, np.array(observations)).items():
            count = counts.pop((*observations, *path), 0)
            assert abs(count - draws * p) <= 6 * np.sqrt(draws * p * (1 - p)) + (8 if p > 0 else 0)
    assert not counts


def test_random_paths_of_each_problem_follow_its_own_transitions():
    cycle = np.roll(np.eye(3), 1, axis=1)[None]
    transitions = np.stack([np.eye(3)[None], cycle, cycle @ cycle])
    latents = random_paths(transitions, np.array([0.0, 1.0, 0.0]), 4, 3, seed=0).latents
    np.testing.assert_array_equal(latents, [[1, 1, 1, 1, 1], [1, 2, 0, 1, 2], [1, 0, 2, 1, 0]])


# ── errors ───────────────────────────────────────────────────────────────────────────────────────

ALTERNATING = np.array([[[0.0, 1.0], [0.0, 0.0]], [[0.0, 0.0], [1.0, 0.0]]])  # only emits 0 1 0 1 …


@pytest.mark.parametrize(
    "function",
    [filter_beliefs, smooth_beliefs, most_likely_latents, predict, lambda *a: sample_latents(*a, seed=0)],
)
def test_an_impossible_observation_is_named_by_problem_step_and_symbol(function):
    observations = np.array([[0, 1, 0, 1], [0, 1, 1, 0], [1, 1, 1, 1]])
    with pytest.raises(ImpossibleObservation, match="problem 1, step 3: symbol 1 has probability zero") as raised:
        function(ALTERNATING, np.array([1.0, 0.0]), observations)
    assert (raised.value.problem, raised.value.step, raised.value.symbol) == (1, 3, 1)


def test_filtering_in_logs_reports_an_impossible_observation():
    transitions = np.concatenate([TWO_COINS, np.zeros((1, 2, 2))])
    observations = np.zeros((2, 2001), dtype=np.int64)
    observations[1, -1] = 2
    with pytest.raises(ImpossibleObservation, match="problem 1, step 2001: symbol 2"):
        filter_beliefs(transitions, np.array([0.5, 0.5]), observations)


def test_symbols_beyond_a_length_are_ignored():
    observations = np.array([[0, 1, 1, 99], [0, -7, 5, 5]])
    filtered = filter_beliefs(ALTERNATING, np.array([1.0, 0.0]), observations, np.array([2, 1]))
    np.testing.assert_array_equal(filtered.beliefs[:, -1], [[1, 0], [0, 1]])


@pytest.mark.parametrize("symbol", [2, -1])
def test_an_unknown_symbol_is_named_by_problem_and_step(symbol):
    observations = np.array([[0, 1, 0], [0, 1, symbol]])
    with pytest.raises(ValueError, match=rf"problem 1, step 3: .* from 0 to 1 \(got {symbol}\)"):
        filter_beliefs(ALTERNATING, np.array([1.0, 0.0]), observations)


def test_prediction_with_transitions_that_vary_in_time_is_an_error():
    changing = np.broadcast_to(TWO_COINS, (1, 2, 2, 2, 2))
    with pytest.raises(ValueError, match="vary in time"):
        predict(changing, np.array([0.5, 0.5]), np.array([[0, 1]]))
    with pytest.raises(ValueError, match="steps_ahead must be at least 1"):
        predict(TWO_COINS, np.array([0.5, 0.5]), np.array([[0, 1]]), steps_ahead=0)


def test_errors_name_the_invalid_argument():
    observations = np.array([[0, 1], [0, 1]])
    uniform = np.array([0.5, 0.5])
    with pytest.raises(ValueError, match="lengths must be 2 integers from 0 to 2"):
        filter_beliefs(TWO_COINS, uniform, observations, np.array([1, 3]))
    with pytest.raises(ValueError, match="initial of problem 1 must be a distribution"):
        filter_beliefs(TWO_COINS, np.array([[0.5, 0.5], [0.5, 0.6]]), observations)
    with pytest.raises(ValueError, match="transitions from state 1 must sum to 1"):
        random_paths(TWO_COINS * [[1.0], [0.5]], uniform, 3, 2, seed=0)
