"""All kernels of filtering and sampling give the same numbers: wide, sparse, dense, or in threads."""

import os

import numpy as np
import pytest
from numba import config

from tests.worlds.brute_force import enumerate_paths, marginal, random_distributions, random_transitions
from unamortized.worlds.inference import ImpossibleObservation, filter_beliefs, random_paths
from unamortized.worlds.kernels import filters, paths, running

WIDE = 17  # states; two steps have 17³ paths, which can still be enumerated


def wide_process(zeros: float, symbols: int = 3) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    return random_transitions(generator, (), symbols, WIDE, zeros), random_distributions(generator, (WIDE,), 0.0)


@pytest.mark.parametrize("zeros", [0.0, 0.5, 0.9], ids=["dense", "half", "sparse"])
def test_wide_processes_have_the_enumerated_beliefs(zeros):
    transitions, initial = wide_process(zeros)
    copies = 300  # enough that listing entries pays off; all copies are the same
    observations = np.tile([[0, 0], [1, 2], [2, 1], [1, 2], [0, 7]], (copies, 1))
    lengths = np.tile([2, 2, 1, 0, 1], copies)
    filtered = filter_beliefs(transitions, initial, observations, lengths)
    for b, length in enumerate(lengths[:5]):
        np.testing.assert_array_equal(filtered.beliefs[b::5], np.broadcast_to(filtered.beliefs[b], (copies, 3, WIDE)))
        for t in range(3):
            steps = min(t, length)
            joint = enumerate_paths(
                np.broadcast_to(transitions, (steps, *transitions.shape)), initial, observations[b, :steps]
            )
            np.testing.assert_allclose(filtered.beliefs[b, t], marginal(joint, -1, WIDE), atol=1e-12)
        joint = enumerate_paths(
            np.broadcast_to(transitions, (length, *transitions.shape)), initial, observations[b, :length]
        )
        np.testing.assert_allclose(filtered.log_probability[b], np.log(sum(joint.values())), atol=1e-12)


@pytest.mark.parametrize("zeros", [0.0, 0.9], ids=["dense", "sparse"])
def test_all_kernels_give_the_same_beliefs(zeros, monkeypatch):
    """Shared matrices use grouped products or lists of entries; matrices per problem never do."""
    transitions, initial = wide_process(zeros)
    observations = random_paths(transitions, initial, 9, 150, seed=1).observations
    own = np.broadcast_to(transitions, (150, *transitions.shape))
    one, other = filter_beliefs(transitions, initial, observations), filter_beliefs(own, initial, observations)
    np.testing.assert_allclose(one.beliefs, other.beliefs, atol=1e-14)
    np.testing.assert_allclose(one.log_probability, other.log_probability, rtol=1e-13)
    alone = [filter_beliefs(transitions, initial, row[None]).beliefs[0] for row in observations[:20]]
    np.testing.assert_array_equal(one.beliefs[:20], alone)  # independent of the rest of the batch


def test_a_wide_process_reports_the_impossible_step():
    transitions, initial = wide_process(0.0)
    transitions = np.concatenate([transitions, np.zeros((1, WIDE, WIDE))])
    observations = np.zeros((70, 5), dtype=np.int64)
    observations[66, 3] = 3
    with pytest.raises(ImpossibleObservation, match="problem 66, step 4: symbol 3"):
        filter_beliefs(transitions, initial, observations)


@pytest.mark.parametrize("states", [2, 12, WIDE])
def test_every_kernel_detects_an_underflow(states):
    """The belief in one state falls by 1e-3 per step, until only that state can emit the next symbol."""
    transitions = np.full((2, states, states), 0.0)
    transitions[0] = np.diag(np.r_[1e-3, np.ones(states - 1)])
    transitions[1, 0] = (1 - 1e-3) / states
    if states == WIDE:  # dense, but no other state leads to or from the first one
        transitions[0, 1:, 1:] = 1 / (states - 1)
    observations = np.array([[0] * 200 + [1]])
    filtered = filter_beliefs(transitions, np.full(states, 1 / states), observations)
    expected = 200 * np.log(1e-3) + np.log(1 - 1e-3) - np.log(states)
    np.testing.assert_allclose(filtered.log_probability, [expected], rtol=1e-12)
    np.testing.assert_allclose(filtered.beliefs[0, -1], 1 / states, atol=1e-12)


def test_evidence_outside_the_range_of_a_product_is_exact():
    """Unnormalized transitions multiply the evidence by 1e-200 or 1e200 at each step."""
    transitions = np.array([[[1e-200]], [[1e200]]])
    filtered = filter_beliefs(transitions, np.array([1.0]), np.array([[0, 0, 0, 1, 0], [1, 1, 1, 1, 0]]))
    np.testing.assert_allclose(filtered.log_probability, np.array([-3, 3]) * 200 * np.log(10), rtol=1e-12)


@pytest.mark.parametrize("states", [3, WIDE])
def test_threads_change_nothing(states, monkeypatch):
    generator = np.random.default_rng(2)
    transitions = random_transitions(generator, (), 3, states, 0.0)
    initial = random_distributions(generator, (states,), 0.0)

    def both():
        drawn = random_paths(transitions, initial, 5, 301, seed=4)
        return *drawn, *filter_beliefs(transitions, initial, drawn.observations)

    alone = both()
    called = []
    monkeypatch.setattr(running, "NANOSECONDS_PER_THREAD", 1)
    monkeypatch.setattr(config, "NUMBA_NUM_THREADS", 3)
    monkeypatch.setattr(paths, "DRAWS", 64)
    pool = running.pool
    monkeypatch.setattr(running, "pool", lambda size: called.append(size) or pool(size))
    for one, other in zip(alone, both(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert called == [2] * 4  # two threads besides this one, for paths and for beliefs


def test_the_number_of_threads_is_limited_by_work_and_by_numba(monkeypatch):
    monkeypatch.setattr(config, "NUMBA_NUM_THREADS", 4)
    enough = running.NANOSECONDS_PER_THREAD
    assert [running.threads_for(n) for n in (0, enough, 2 * enough, 100 * enough)] == [1, 1, 2, 4]
    monkeypatch.setattr(config, "NUMBA_NUM_THREADS", 1)
    assert running.threads_for(100 * enough) == 1


def test_a_guide_table_draws_what_bisection_draws(monkeypatch):
    transitions, initial = wide_process(0.7)
    guided = []
    guides = paths.guides
    monkeypatch.setattr(paths, "guides", lambda *arguments: guided.append(1) or guides(*arguments))
    many = random_paths(transitions, initial, 40, 500, seed=3)
    assert guided == [1]
    monkeypatch.setattr(paths, "ENTRIES_PER_DRAW", 0)
    for drawn, again in zip(many, random_paths(transitions, initial, 40, 500, seed=3), strict=True):
        np.testing.assert_array_equal(drawn, again)
    assert guided == [1]


def test_random_paths_start_in_the_initial_state_of_each_problem():
    transitions, _ = wide_process(0.0)
    starts = np.array([3, 0, 16, 3, 7, 7])
    latents = random_paths(transitions, np.eye(WIDE)[starts], 2, 6, seed=0).latents
    np.testing.assert_array_equal(latents[:, 0], starts)


def test_each_small_number_of_states_has_its_own_kernel():
    assert filters.filter_kernel(3) is filters.filter_kernel(3)
    assert filters.filter_kernel(3) is not filters.filter_kernel(0)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # Python 3.12 advises against it
def test_a_forked_process_has_its_own_threads():
    running.pool(1).submit(int).result()
    child = os.fork()
    if child == 0:
        os._exit(0 if running.pool(1).submit(lambda: 7).result(timeout=20) == 7 else 1)
    assert os.waitpid(child, 0)[1] == 0
