"""The tree of beliefs matches the enumeration of every word, and its probability is one."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.worlds.brute_force import small_processes
from tests.worlds.words import block_entropy
from unamortized.worlds import mixed_states as module
from unamortized.worlds.mixed_states import (
    Level,
    belief_entropy,
    certainty,
    known_start,
    mixed_state_chain,
    mixed_states,
    next_symbol_entropy,
    pooled,
    unknown_start,
)
from unamortized.worlds.processes import Process, build_process

DEPTH = 4
KINDS = ("mess3", "rrxor", "zero_one_random", "tom_quantum", "fanizza", "post_quantum", "noisy_permutation")


def enumerate_words(process: Process, initial: np.ndarray, length: int) -> list[tuple[float, np.ndarray]]:
    """Return (probability, belief) of each possible word, by multiplication along the word."""
    readout = np.ones(process.n_states) if process.readout is None else process.readout
    found = []
    for word in itertools.product(range(process.n_symbols), repeat=length):
        vector = np.asarray(initial)
        for symbol in word:
            vector = vector @ process.transitions[symbol]
        probability = float(vector @ readout)
        if probability > 1e-12:
            found.append((probability, vector / probability))
    return found


@given(arrays=small_processes())
def test_levels_hold_every_word_and_nothing_else(arrays):
    process = Process(*arrays)
    for length, level in enumerate(mixed_states(process, unknown_start(process.initial), DEPTH)):
        words = enumerate_words(process, process.initial, length)
        left = level.probability.copy()
        for probability, belief in words:
            node = int(np.abs(level.beliefs - belief).max(axis=1).argmin())
            np.testing.assert_allclose(level.beliefs[node], belief, atol=1e-8)
            left[node] -= probability
        np.testing.assert_allclose(left, 0, atol=1e-11)
        assert abs(level.probability.sum() - 1) < 1e-12
        assert level.dropped == 0


@given(arrays=small_processes())
def test_next_symbol_entropies_add_up_to_block_entropies(arrays):
    process = Process(*arrays)
    curve = [
        next_symbol_entropy(process, level) for level in mixed_states(process, unknown_start(process.initial), DEPTH)
    ]
    total = 0.0
    for length, bounds in enumerate(curve, start=1):
        total += bounds.low
        assert bounds.low == bounds.high
        assert abs(total - block_entropy(process, length)) < 1e-9


@pytest.mark.parametrize("family", KINDS)
def test_next_symbol_entropies_of_families_add_up_to_block_entropies(family):
    process = build_process(family)
    levels = mixed_states(process, unknown_start(process.initial), 3)
    total = sum(next_symbol_entropy(process, level).low for level in levels)
    assert abs(total - block_entropy(process, 4)) < 1e-8


@given(arrays=small_processes())
def test_merging_changes_no_expectation(arrays):
    process = Process(*arrays)
    for length, level in enumerate(mixed_states(process, unknown_start(process.initial), DEPTH)):
        words = enumerate_words(process, process.initial, length)
        unmerged = Level(np.array([p for p, _ in words]), np.stack([belief for _, belief in words]))
        for expected in (belief_entropy, certainty):
            assert abs(expected(level).low - expected(unmerged).low) < 1e-9
        np.testing.assert_allclose(level.probability @ level.beliefs, unmerged.probability @ unmerged.beliefs)


def test_words_with_the_same_belief_are_merged():
    process = build_process("zero_one_random")
    levels = mixed_states(process, unknown_start(process.initial), 40)
    assert [len(level.probability) for level in levels[:5]] == [1, 2, 4, 3, 3]
    assert len(levels[40].probability) == 3  # of more than a thousand words


@given(arrays=small_processes(), smallest=st.sampled_from([0.01, 0.05, 0.2]))
def test_dropped_probability_is_accumulated_and_widens_the_bounds(arrays, smallest):
    process = Process(*arrays)
    start = unknown_start(process.initial)
    full, cut = mixed_states(process, start, DEPTH), mixed_states(process, start, DEPTH, smallest)
    for whole, part in zip(full, cut, strict=True):
        assert abs(part.probability.sum() + part.dropped - 1) < 1e-12
        assert (part.probability >= smallest).all()
        for low, high, value in (
            (*next_symbol_entropy(process, part), next_symbol_entropy(process, whole).low),
            (*belief_entropy(part), belief_entropy(whole).low),
            (*certainty(part), certainty(whole).low),
        ):
            assert low - 1e-12 <= value <= high + 1e-12
    assert [level.dropped for level in cut] == sorted(level.dropped for level in cut)


def test_only_the_most_probable_beliefs_are_kept_at_the_memory_limit(monkeypatch):
    process = build_process("mess3")
    everything = mixed_states(process, unknown_start(process.initial), 3)[-1]
    monkeypatch.setattr(module, "LARGEST", 10 * process.n_states * process.n_symbols)
    level = mixed_states(process, unknown_start(process.initial), 3)[-1]
    assert len(level.probability) <= 10
    assert level.probability.min() >= np.sort(everything.probability)[-12]
    assert abs(level.probability.sum() + level.dropped - 1) < 1e-12


def test_a_known_start_is_one_certain_belief_per_state():
    level = known_start(np.array([0.25, 0.0, 0.75]))
    np.testing.assert_array_equal(level.beliefs, [[1, 0, 0], [0, 0, 1]])
    np.testing.assert_array_equal(level.probability, [0.25, 0.75])
    assert certainty(level) == (1.0, 1.0)


def test_pooled_beliefs_have_their_mean_probability():
    process = build_process("group_word", group="Z2", elements=["1"])  # alternates between two states
    level = pooled(mixed_states(process, unknown_start(process.initial), 2))
    assert {tuple(belief): round(p, 12) for p, belief in zip(level.probability, level.beliefs, strict=True)} == {
        (1.0, 0.0): round(2 / 3, 12),
        (0.0, 1.0): round(1 / 3, 12),
    }


def test_mixed_states_need_a_shared_process():
    process = Process(np.ones((2, 1, 1, 1)), np.ones(1))
    with pytest.raises(ValueError, match="must be shared by all problems"):
        mixed_states(process, unknown_start(np.ones(1)), 1)


# ── the chain ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("family", "count"), [("zero_one_random", 7), ("rrxor", 36), ("no_consecutive_ones", 3)])
def test_the_chain_has_the_probabilities_of_the_tree(family, count):
    process = build_process(family)
    chain = mixed_state_chain(process, unknown_start(process.initial), 100)
    assert chain is not None
    assert len(chain.beliefs) == count
    share = chain.share
    for level in mixed_states(process, unknown_start(process.initial), 8):
        for probability, belief in zip(level.probability, level.beliefs, strict=True):
            node = int(np.abs(chain.beliefs - belief).max(axis=1).argmin())
            np.testing.assert_allclose(chain.beliefs[node], belief, atol=1e-9)
            assert abs(share[node] - probability) < 1e-12
        share = share @ chain.transitions


def test_the_chain_moves_to_the_belief_after_the_symbol():
    process = build_process("rrxor")
    chain = mixed_state_chain(process, unknown_start(process.initial), 100)
    assert chain is not None
    for node, symbol in np.ndindex(chain.following.shape):
        vector = chain.beliefs[node] @ process.transitions[symbol]
        assert abs(chain.emissions[node, symbol] - vector.sum()) < 1e-12
        if chain.following[node, symbol] < 0:
            assert vector.sum() == 0
        else:
            np.testing.assert_allclose(chain.beliefs[chain.following[node, symbol]], vector / vector.sum(), atol=1e-9)


def test_a_fractal_has_no_chain():
    process = build_process("mess3")
    assert mixed_state_chain(process, unknown_start(process.initial), 500) is None


def test_the_chain_of_a_unifilar_process_from_a_known_start_is_the_process():
    process = build_process("rrxor", p1=0.3, p2=0.4)
    assert mixed_state_chain(process, unknown_start(process.initial), 500) is None
    chain = mixed_state_chain(process, known_start(process.initial), 500)
    assert chain is not None
    np.testing.assert_array_equal(chain.beliefs, np.eye(5))
    np.testing.assert_allclose(chain.transitions, process.state_transitions, atol=1e-12)
    np.testing.assert_array_equal(chain.share, process.initial)


def test_beliefs_that_converge_are_not_merged_with_their_limit():
    transitions = np.zeros((2, 2, 2))
    transitions[0, 0, 0] = 1  # constant zeros or a coin: zeros never make the belief certain
    transitions[:, 1, 1] = 0.5
    process = Process(transitions, np.array([0.5, 0.5]))
    assert mixed_state_chain(process, unknown_start(process.initial), 500) is None
