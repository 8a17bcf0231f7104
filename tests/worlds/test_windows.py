"""Windows show neighborhoods with values drawn from the net, and never both variables of a held-out pair."""

import numpy as np
import pytest

from tests.small_nets import small_net_task
from unamortized.worlds.nets import joint
from unamortized.worlds.windows import draw_windows, visible

KINDS = ("local", "wrong", "full")
TREE = {"net": {"shape": "tree", "variables": 20}, "held_out_pairs": 5}


@pytest.mark.parametrize("kind", KINDS)
def test_windows_show_either_variable_of_a_held_out_pair_but_never_both(kind):
    task = small_net_task(**TREE)
    shown = visible(task, kind, 4000, 0, np.random.default_rng(0))
    assert shown.any(axis=1).all()
    for pair in task.pairs(0).held_out:
        assert not shown[:, pair].all(axis=1).any()
        assert shown[:, pair].mean(axis=0).min() > 0.01


def test_local_windows_lie_within_the_largest_radius_of_some_center():
    task = small_net_task(**TREE)
    distances = task.build(0).distances
    shown = visible(task, "local", 500, 0, np.random.default_rng(0))
    for window in shown:
        assert (distances[:, window].max(axis=1) <= task.steps.train[1]).any()
    far = visible(task, "wrong", 500, 0, np.random.default_rng(0))
    assert np.mean([distances[np.ix_(w, w)].max() for w in far]) > 1.5 * np.mean(
        [distances[np.ix_(w, w)].max() for w in shown]
    )


def test_wrong_windows_are_local_in_one_relabeled_net():
    task = small_net_task(net={"shape": "chain", "variables": 12}, windows={"stop": 1.0, "dropout": 0.0})
    shown = visible(task, "wrong", 3000, 0, np.random.default_rng(0)).astype(int)
    shown_together = shown.T @ shown > 0
    # as in a chain, a variable appears only with itself, its two neighbors, and their neighbors
    assert shown_together.sum(axis=1).max() <= 5


def test_radius_is_geometric_and_variables_drop_out_at_the_rate_of_the_task():
    task = small_net_task(
        net={"shape": "chain", "variables": 60},
        windows={"stop": 0.5, "dropout": 0.2},
        held_out_pairs=1,
        steps={"train": [1, 3], "test": [2]},
    )
    shown = visible(task, "local", 20000, 0, np.random.default_rng(0))
    # away from the ends, a window of radius r has 2r + 1 variables; r = 1, 2, 3 with probability 1/2, 1/4, 1/4
    assert shown.sum(axis=1).mean() == pytest.approx(0.8 * (3 / 2 + 5 / 4 + 7 / 4), rel=0.05)
    sizes = visible(task, "full", 500, 0, np.random.default_rng(0)).sum(axis=1)
    assert set(sizes.tolist()) == {60 - len(task.pairs(0).held_out)}


@pytest.mark.parametrize("kind", KINDS)
def test_a_draw_is_keyed_and_grouped_by_size(kind):
    task = small_net_task()
    groups = draw_windows(task, kind, 64, 0, "step", 3)
    again = draw_windows(task, kind, 64, 0, "step", 3)
    other = draw_windows(task, kind, 64, 0, "step", 4)
    sizes = [group.variables.shape[1] for group in groups]
    assert sizes == sorted(set(sizes))
    assert sum(len(group.values) for group in groups) == 64
    for one, same in zip(groups, again, strict=True):
        np.testing.assert_array_equal(one.variables, same.variables)
        np.testing.assert_array_equal(one.values, same.values)
    assert any(a.values.tolist() != b.values.tolist() for a, b in zip(groups, other, strict=False))
    for group in groups:
        assert all(len(set(window)) == len(window) for window in group.variables.tolist())


def test_values_belong_to_their_variables_and_any_variable_may_be_the_question():
    task = small_net_task(held_out_pairs=1)
    net = task.build(0)
    counts, last = np.zeros((2, 2)), np.zeros(14)
    for group in draw_windows(task, "full", 6000, 0):
        np.add.at(last, group.variables[:, -1], 1)
        four, five = (group.variables == variable for variable in (4, 5))
        rows = four.any(axis=1) & five.any(axis=1)
        np.add.at(counts, (group.values[four & rows[:, None]], group.values[five & rows[:, None]]), 1)
    np.testing.assert_allclose(counts / counts.sum(), joint(net, (4, 5)), atol=0.03)
    assert last.min() > 0.5 * 6000 / 14
