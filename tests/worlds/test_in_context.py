"""In-context worlds: transitions follow the rules in the prompt, and exact inference uses each problem's table."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.worlds.brute_force import enumerate_paths, marginal
from unamortized.worlds.inference import filter_beliefs, predict, random_paths
from unamortized.worlds.processes import build_process

PARAMETERS = {
    "states": st.integers(2, 4),
    "symbols": st.integers(2, 3),
    "slip": st.integers(0, 10).map(lambda n: n / 10),
    "informativeness": st.floats(0, 3),
    "moves": st.sampled_from(["permutations", "functions"]),
    "seed": st.integers(0, 2**32 - 1),
}


def draw(process, batch, seed=0):
    return process.sampler(np.random.default_rng(seed), batch)


def tables(process):
    """Decode table[b, x, i] from the indices of the rules alone."""
    symbols, states = process.n_symbols, process.n_states
    table = np.full((len(process.rules), symbols, states), -1)
    for problem, rules in enumerate(process.rules):
        for rule in rules.tolist():
            symbol, state, following = rule // states**2, rule // states % states, rule % states
            assert table[problem, symbol, state] == -1  # each rule occurs once
            table[problem, symbol, state] = following
    return table


@given(st.fixed_dictionaries(PARAMETERS))
def test_transitions_follow_the_rules_in_the_prompt(parameters):
    mean = build_process("in_context", **parameters)
    batch, slip, states = draw(mean, 5), parameters["slip"], mean.n_states
    assert batch.per_problem
    assert batch.rules.dtype == np.int64
    assert batch.rules.shape == (5, mean.n_symbols * states)
    table = tables(batch)
    for b, x, i, j in np.ndindex(batch.transitions.shape):
        expected = mean.emissions[i, x] * ((1 - slip) * (table[b, x, i] == j) + slip / states)
        assert abs(batch.transitions[b, x, i, j] - expected) < 1e-14
    if parameters["moves"] == "permutations":
        assert (np.sort(table, axis=2) == np.arange(states)).all()
    np.testing.assert_array_equal(batch.rules // states, np.tile(np.arange(table[0].size), (5, 1)))  # in a fixed order
    for process in (mean, batch):
        np.testing.assert_array_equal(process.initial, np.eye(states)[0])


@settings(max_examples=10)
@given(st.fixed_dictionaries(PARAMETERS))
def test_inference_with_each_problems_own_table_matches_enumeration(parameters):
    batch = draw(build_process("in_context", **parameters), 4)
    observations = random_paths(batch.transitions, batch.initial, 3, 4, seed=1).observations
    filtered = filter_beliefs(batch.transitions, batch.initial, observations)
    predicted = predict(batch.transitions, batch.initial, observations[:, :2]).distribution
    for b, word in enumerate(observations):
        table = np.broadcast_to(batch.transitions[b], (3, *batch.transitions[b].shape))
        joint = enumerate_paths(table, batch.initial, word)
        np.testing.assert_allclose(filtered.beliefs[b, -1], marginal(joint, -1, batch.n_states), atol=1e-10)
        np.testing.assert_allclose(np.exp(filtered.log_probability[b]), sum(joint.values()), atol=1e-10)
        words = [[*word[:2], x] for x in range(batch.n_symbols)]
        following = np.array([sum(enumerate_paths(table, batch.initial, each).values()) for each in words])
        np.testing.assert_allclose(predicted[b], following / following.sum(), atol=1e-10)


def test_at_slip_zero_the_process_is_an_automaton():
    batch = draw(build_process("in_context", slip=0.0, moves="functions"), 50)
    paths = random_paths(batch.transitions, batch.initial, 10, 50, seed=3)
    table = tables(batch)
    state = np.zeros(50, dtype=int)
    for step in range(10):
        state = table[np.arange(50), paths.observations[:, step], state]
        np.testing.assert_array_equal(paths.latents[:, step + 1], state)
    beliefs = filter_beliefs(batch.transitions, batch.initial, paths.observations).beliefs
    np.testing.assert_array_equal(beliefs, np.eye(4)[paths.latents])


@pytest.mark.parametrize("moves", ["permutations", "functions"])
def test_the_process_is_the_mean_over_tables(moves):
    mean = build_process("in_context", informativeness=1.0, moves=moves)
    batch = draw(mean, 20_000)
    np.testing.assert_allclose(batch.transitions.mean(axis=0), mean.transitions, atol=0.01)
    table = tables(batch.take(slice(1000)))
    possible = 24 if moves == "permutations" else 256
    assert len(np.unique(table[:, 0], axis=0)) > 0.9 * possible
    correlation = np.corrcoef(table[:, 0, 1], table[:, 1, 1])[0, 1]
    assert abs(correlation) < 0.12  # symbols draw their moves independently


def test_functions_merge_states():
    batch = draw(build_process("in_context", moves="functions"), 200)
    assert any(len(set(row)) < 4 for row in tables(batch).reshape(-1, 4).tolist())


def test_all_problems_share_the_emissions_of_noisy_permutation():
    parameters = {"states": 4, "symbols": 3, "informativeness": 1.5, "seed": 7}
    noisy = build_process("noisy_permutation", **parameters)
    in_context = build_process("in_context", **parameters)
    np.testing.assert_allclose(in_context.emissions, noisy.emissions, atol=1e-14)
    batch = draw(in_context, 3)
    np.testing.assert_allclose(batch.emissions, np.tile(noisy.emissions, (3, 1, 1)), atol=1e-14)


def test_draws_repeat_with_the_generator_and_processes_can_be_pickled():
    mean = build_process("in_context")
    first, again, other = (
        draw(mean, 8, seed=1),
        draw(pickle.loads(pickle.dumps(mean)), 8, seed=1),
        draw(mean, 8, seed=2),
    )
    np.testing.assert_array_equal(first.rules, again.rules)
    assert (first.rules != other.rules).any()
    taken = first.take(np.array([3, 5]))
    np.testing.assert_array_equal(taken.rules, first.rules[[3, 5]])
    np.testing.assert_array_equal(taken.transitions, first.transitions[[3, 5]])


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"moves": "swaps"}, "in_context.moves: must be one of 'permutations', 'functions' (got 'swaps')"),
        ({"slip": 1.5}, "in_context.slip: must be between 0 and 1 (got 1.5)"),
        ({"states": 1}, "in_context.states: must be between 2 and 100 (got 1)"),
    ],
)
def test_invalid_parameters_are_an_error(parameters, message):
    with pytest.raises(ValueError) as raised:
        build_process("in_context", **parameters)
    assert str(raised.value).startswith(message)
