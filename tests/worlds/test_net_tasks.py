"""Tasks about nets: validation, one net per seed, and pairs with high mutual information on separate paths."""

import re
from pathlib import Path

import numpy as np
import pytest

from tests.small_nets import small_net_task
from unamortized.configuration.document import SpecError
from unamortized.worlds.net_tasks import FARTHEST, NEAREST, NetTask
from unamortized.worlds.nets import mutual_information
from unamortized.worlds.task_files import load_task
from unamortized.worlds.tasks import Task, with_process

SHIPPED = Path(__file__).parents[2] / "tasks" / "local_chain.yaml"


def test_a_file_with_a_net_is_a_task_about_it_and_survives_serialization():
    task = load_task(SHIPPED)
    assert isinstance(task, NetTask)
    assert task.name == "local_chain"
    assert NetTask.model_validate(task.canonical()) == task
    assert isinstance(load_task(SHIPPED.with_name("mess3.yaml")), Task)


def test_the_shipped_file_explains_each_field():
    for line in SHIPPED.read_text().splitlines():
        assert not re.match(r" +\w+: ", line) or " # " in line, line


def test_a_task_about_a_net_is_an_error_if_a_process_is_needed():
    with pytest.raises(ValueError, match="local_chain has a net instead of a process"):
        with_process(load_task(SHIPPED))
    task = load_task(SHIPPED.with_name("mess3.yaml"))
    assert with_process(task) is task


def test_all_errors_are_reported_with_their_lines(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("bad.yaml").write_text(
        "net:\n  shape: chian\n  variables: 12\n  valuez: 2\nwindows:\n  stop: 0\n  dropout: 0.2\n"
        "held_out_pairs: 2\nsteps:\n  train: [1, 2]\n  test: [2]\n"
    )
    with pytest.raises(SpecError) as error:
        load_task("bad.yaml")
    assert str(error.value) == (
        "bad.yaml:2: net.shape: must be one of 'chain', 'tree' (got 'chian'); did you mean 'chain'?\n"
        "bad.yaml:4: net.valuez: unknown field; did you mean 'values'?\n"
        "bad.yaml:6: windows.stop: must be greater than 0 and at most 1 (got 0)\n"
        "3 problems in bad.yaml; nothing was run."
    )


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("steps.test=[1, 2]", "distances begin at 2, since neighbors are never held out"),
        ("held_out_pairs=16", "must be at most 15 for 32 variables"),
        ("name=Local", "must be lower_snake_case"),
        ("process.slip=0.1", "unknown field"),
    ],
)
def test_an_override_is_validated_like_the_file(override, message):
    with pytest.raises(SpecError, match=f"override {override.split('=')[0]}=.*{message}"):
        load_task(SHIPPED, [override])


def test_the_fingerprint_depends_on_net_windows_and_pairs_but_not_on_distances():
    task = small_net_task()
    same = (small_net_task(name="other"), small_net_task(steps={"train": [1, 2], "test": [2, 5]}))
    assert {each.fingerprint() for each in same} == {task.fingerprint()}
    others = (
        small_net_task(net={"shape": "chain", "variables": 14, "seed": 1}),
        small_net_task(windows={"stop": 0.5, "dropout": 0.3}),
        small_net_task(held_out_pairs=3),
        small_net_task(steps={"train": [1, 3], "test": [2, 3]}),
    )
    assert len({each.fingerprint() for each in (task, *others)}) == 5


def test_each_seed_always_has_the_same_net_of_its_own():
    one, other = (small_net_task().build(seed) for seed in (0, 1))
    assert not np.allclose(one.tables[3], other.tables[3])
    np.testing.assert_array_equal(small_net_task(held_out_pairs=2).build(0).tables[3], one.tables[3])
    another = small_net_task(net={"shape": "chain", "variables": 14, "seed": 1})
    assert not np.allclose(one.tables[3], another.build(0).tables[3])


@pytest.mark.parametrize("shape", ["chain", "tree"])
@pytest.mark.parametrize("seed", range(4))
def test_pairs_are_distant_distinct_and_none_lies_on_the_path_of_another(shape, seed):
    task = small_net_task(net={"shape": shape, "variables": 24}, held_out_pairs=6)
    net, pairs = task.build(seed), task.pairs(seed)
    chosen = [tuple(pair) for pair in (*pairs.held_out.tolist(), *pairs.seen.tolist())]
    assert 4 <= len(pairs.held_out) <= 6
    assert len(pairs.held_out) <= len(pairs.seen) <= len(pairs.held_out) + 1
    assert len({frozenset(pair) for pair in chosen}) == len(chosen)
    for pair in chosen:
        assert NEAREST <= net.distances[pair] <= FARTHEST
        span = {*pair, *net.path(*pair)}
        assert not any(set(other) <= span for other in chosen if other != pair)


def test_pairs_have_more_mutual_information_than_random_pairs():
    task = small_net_task(net={"shape": "tree", "variables": 40}, held_out_pairs=6)
    for seed in range(3):
        net, pairs = task.build(seed), task.pairs(seed)
        chosen = [mutual_information(net, *pair) for pair in (*pairs.held_out.tolist(), *pairs.seen.tolist())]
        distant = [(a, b) for a in range(40) for b in range(a) if net.distances[a, b] >= NEAREST]
        others = [mutual_information(net, *pair) for pair in distant[::7]]
        assert np.mean(chosen) > 3 * np.mean(others)


def test_held_out_pairs_are_chosen_regardless_of_mutual_information():
    shares = []
    for seed in range(30):
        task = small_net_task()
        net, pairs = task.build(seed), task.pairs(seed)
        held, seen = (np.mean([mutual_information(net, *p) for p in group.tolist()]) for group in pairs)
        shares.append(held > seen)
    assert 6 <= sum(shares) <= 24
