"""Bayes nets: exact marginals equal sums over all joint assignments, and samples follow them."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2

from tests.worlds.brute_force import random_distributions
from unamortized.worlds.nets import BayesNet, conditional, draw_values, joint, mutual_information, random_net, sample

SEEDS = st.integers(0, 2**32 - 1)


def small_net(seed, zeros=False):
    """Draw a net of up to six variables of up to three values, with any acyclic parents in any order."""
    generator = np.random.default_rng(seed)  # not a strategy, since type checks use `random`
    variables, values = int(generator.integers(2, 7)), int(generator.integers(2, 4))
    names = generator.permutation(variables)
    parents = [()] * variables
    for place, name in enumerate(names):
        before = generator.permutation(names[:place])[:3]
        parents[name] = tuple(int(v) for v in before[: generator.integers(len(before) + 1)])
    tables = [random_distributions(generator, (values,) * (len(own) + 1), 0.3 * zeros) for own in parents]
    return BayesNet(tuple(parents), tuple(tables))


def every_assignment(net):
    """Return {values of all variables: their probability}."""
    found = {}
    for values in itertools.product(range(net.n_values), repeat=net.n_variables):
        probability = 1.0
        for variable, parents in enumerate(net.parents):
            probability *= net.tables[variable][tuple(values[p] for p in parents)][values[variable]]
        found[values] = float(probability)
    return found


@given(SEEDS, st.data())
def test_the_joint_of_targets_is_the_sum_over_all_other_variables(seed, data):
    net = small_net(seed)
    mixed = data.draw(st.permutations(range(net.n_variables)))
    n_targets = data.draw(st.integers(1, min(3, net.n_variables)))
    targets = mixed[:n_targets]
    observed = mixed[n_targets : n_targets + data.draw(st.integers(0, 2))]
    known = {v: data.draw(st.integers(0, net.n_values - 1)) for v in observed}
    expected = np.zeros((net.n_values,) * len(targets))
    for values, probability in every_assignment(net).items():
        if all(values[v] == value for v, value in known.items()):
            expected[tuple(values[v] for v in targets)] += probability
    np.testing.assert_allclose(joint(net, targets, known), expected, atol=1e-12)


@given(SEEDS, st.data())
def test_a_conditional_is_the_enumerated_one_or_an_error(seed, data):
    net = small_net(seed, zeros=True)
    target, *others = data.draw(st.permutations(range(net.n_variables)))
    known = {v: data.draw(st.integers(0, net.n_values - 1)) for v in others[:2]}
    expected = np.zeros(net.n_values)
    for values, probability in every_assignment(net).items():
        if all(values[v] == value for v, value in known.items()):
            expected[values[target]] += probability
    if expected.sum() == 0:
        with pytest.raises(ValueError, match="must have a positive probability"):
            conditional(net, target, known)
    else:
        np.testing.assert_allclose(conditional(net, target, known), expected / expected.sum(), atol=1e-10)


@given(SEEDS)
def test_mutual_information_equals_that_of_the_enumerated_pair(seed):
    net = small_net(seed)
    both = np.zeros((net.n_values, net.n_values))
    for values, probability in every_assignment(net).items():
        both[values[0], values[1]] += probability
    independent = both.sum(axis=1)[:, None] * both.sum(axis=0)[None]
    expected = sum(p * np.log(p / q) for p, q in zip(both.flat, independent.flat, strict=True))
    assert mutual_information(net, 0, 1) == pytest.approx(expected, abs=1e-12)


@given(SEEDS)
def test_samples_follow_the_enumerated_joint(seed):
    net, draws = small_net(seed), 2000
    drawn = sample(net, draws, np.random.default_rng(0))
    powers = net.n_values ** np.arange(net.n_variables)[::-1]
    counts = np.bincount(drawn @ powers, minlength=net.n_values**net.n_variables)
    expected = draws * np.array(list(every_assignment(net).values()))
    common = expected >= 5
    statistic = ((counts - expected)[common] ** 2 / expected[common]).sum()
    assert statistic < chi2.isf(1e-6, max(1, common.sum()))


def test_a_value_without_weight_is_never_drawn():
    rows = np.array([[0.0, 1.0, 0.0], [2.0, 0.0, 0.0]])
    drawn = [draw_values(rows, np.random.default_rng(seed)).tolist() for seed in range(50)]
    assert drawn == [[1, 0]] * 50


# ── graphs ───────────────────────────────────────────────────────────────────────────────────────


def test_distances_and_paths_of_a_chain_and_of_a_fork():
    chain = random_net("chain", 6, 2, 0.2, np.random.default_rng(0))
    assert chain.parents == ((), (0,), (1,), (2,), (3,), (4,))
    np.testing.assert_array_equal(chain.distances, np.abs(np.subtract.outer(np.arange(6), np.arange(6))))
    assert chain.path(4, 1) == (3, 2)
    assert chain.path(2, 3) == ()
    half = np.full((2, 2), 0.5)
    fork = BayesNet(((2,), (2,), ()), (half, half, half[0]))
    assert fork.path(0, 1) == (2,)
    assert fork.distances[0].tolist() == [0, 2, 1]


@given(st.integers(2, 30), st.integers(2, 4), st.integers(0, 99))
def test_a_random_tree_is_connected_with_one_edge_fewer_than_variables(variables, values, seed):
    net = random_net("tree", variables, values, 0.2, np.random.default_rng(seed))
    assert sum(map(len, net.parents)) == variables - 1
    assert (net.distances >= 0).all()
    assert sorted(net.order) == list(range(variables))
    for start, stop in ((0, variables - 1), (variables - 1, 0)):
        path = (start, *net.path(start, stop), stop) if start != stop else (start,)
        assert len(path) == net.distances[start, stop] + 1
        assert all(net.distances[a, b] == 1 for a, b in itertools.pairwise(path))


@given(st.integers(2, 5), st.integers(0, 99))
def test_rows_of_a_random_table_favor_different_values(values, seed):
    net = random_net("chain", 10, values, 0.3, np.random.default_rng(seed))
    for table in net.tables[1:]:
        assert sorted(table.argmax(axis=1).tolist()) == list(range(values))


def test_every_row_favors_every_value_equally_often():
    generator = np.random.default_rng(0)
    tables = [table for _ in range(20) for table in random_net("chain", 20, 3, 0.5, generator).tables[1:]]
    means = np.mean(tables, axis=0)
    np.testing.assert_allclose(means, 1 / 3, atol=0.06)
