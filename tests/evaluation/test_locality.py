"""Each estimator finds what a model knows: its local steps, and nothing beyond."""

from functools import partial
from pathlib import Path
from weakref import WeakKeyDictionary

import numpy as np
import pytest
import torch
from torch import nn

from tests.small_nets import small_net_task
from unamortized.evaluation.locality import (
    Locality,
    PairQuestions,
    errors,
    estimates,
    exact_scaffold,
    freely,
    locality,
    locality_baselines,
    pair_questions,
)
from unamortized.evaluation.metrics import METRICS
from unamortized.evaluation.rows import row
from unamortized.language.vocabulary import BOS
from unamortized.language.windows import NetVocabulary
from unamortized.learning.runs import assemble
from unamortized.learning.specification import Run, RunSpec
from unamortized.models.transformer import Cache, ModelSpec, Output, Transformer
from unamortized.studies.figures.locality import ESTIMATORS
from unamortized.worlds.net_tasks import NetTask
from unamortized.worlds.nets import conditional

SMALL = ModelSpec(layers=1, width=16)
SAMPLES = 100
SAMPLER = torch.Generator().manual_seed(0)


class NetOracle(Transformer):
    """Knows the exact conditional of a variable given the nearest one shown within ``reach``, else its marginal.

    Left to itself it walks the path to the target, if ``walks``, and else names the target at once.
    """

    def __init__(self, task: NetTask, seed: int, reach: int, walks: bool = True) -> None:
        nn.Module.__init__(self)
        self.spec, self.net, self.reach, self.walks = SMALL, task.build(seed), reach, walks
        self.vocabulary = NetVocabulary(self.net.n_variables, self.net.n_values)
        self.read: WeakKeyDictionary[Cache, torch.Tensor] = WeakKeyDictionary()
        self.known: dict[tuple[int, ...], np.ndarray] = {}

    def forward(self, tokens, positions, *, taps=(), patches=None, cache=None, select=None):
        first = self.read.get(cache)
        self.read[cache] = tokens if first is None else torch.cat([first, tokens], dim=1)
        rows, which = np.unique(self.read[cache].numpy(), axis=0, return_inverse=True)
        logits = np.array([self.after(row) for row in rows.tolist()])[which.ravel()]
        return Output(torch.from_numpy(logits), {})

    def after(self, tokens: list[int]) -> np.ndarray:
        """Log-weights of the next token of one sequence."""
        net, start = self.net, self.vocabulary.blocks["assignment"].start
        shown = {(token - start) // net.n_values: (token - start) % net.n_values for token in tokens[2:]}
        target, last = tokens[1] - self.vocabulary.blocks["ask"].start, (tokens[-1] - start) // net.n_values
        weights = np.full(self.vocabulary.size, -np.inf)
        way = (*net.path(last, target), target) if last != target else (target,)
        for variable in range(net.n_variables):
            chosen = 0.0 if variable == (way[0] if self.walks else target) else -40.0
            with np.errstate(divide="ignore"):
                value = np.log(self.belief(variable, shown))
            weights[start + variable * net.n_values : start + (variable + 1) * net.n_values] = chosen + value
        return weights

    def belief(self, variable: int, shown: dict[int, int]) -> np.ndarray:
        near = [other for other in shown if 0 < self.net.distances[variable, other] <= self.reach]
        nearest = sorted(near, key=lambda other: int(self.net.distances[variable, other]))[:1]
        key = (variable, *((other, shown[other]) for other in nearest))
        if key not in self.known:
            self.known[key] = conditional(self.net, variable, {other: shown[other] for other in nearest})
        return self.known[key]


def oracle_run(task: NetTask, reach: int, walks: bool = True, seed: int = 0) -> Run:
    spec = RunSpec(task=task, condition="local_windows", seed=seed, model=SMALL)
    return assemble(spec, NetOracle(task, seed, reach, walks).eval(), Path("no folder"))


def pooled(rows, metric="conditional_mse", split="composition"):
    return {
        row["variant"] or row["condition"]: row["value"]
        for row in rows
        if row["metric"] == metric and row["split"] == split and row["step"] is None
    }


@pytest.fixture(scope="module")
def task():
    return small_net_task()


def held_out(task):
    net = task.build(0)
    return net, pair_questions(net, task.pairs(0).held_out)


def written(oracle, answer):
    """The variables of every sequence that an oracle reads, target first, while it answers."""
    read: list[list[int]] = []
    forward = oracle.forward

    def spied(tokens, *rest, cache, **more):
        output = forward(tokens, *rest, cache=cache, **more)
        read.extend(oracle.read[cache].tolist())
        return output

    oracle.forward = spied
    answer(oracle)
    assert {tokens[0] for tokens in read} == {BOS}
    return {(asked - 1, *((token - 15) // 2 for token in rest)) for _, asked, *rest in read}


def test_each_pair_is_asked_both_ways_and_for_each_value(task):
    net, questions = held_out(task)
    pairs = task.pairs(0).held_out
    assert len(questions.target) == 4 * len(pairs)
    seen = {frozenset(pair) for pair in pairs.tolist()}
    for target, known, value, distance, exact in zip(*questions, strict=True):
        assert frozenset((target, known)) in seen
        assert distance == net.distances[target, known]
        np.testing.assert_allclose(exact, conditional(net, int(target), {int(known): int(value)}), atol=1e-12)


def test_a_model_of_local_steps_is_right_when_it_walks_and_knows_only_the_marginal_at_once(task):
    found = pooled(locality(oracle_run(task, reach=1), Locality(SAMPLES)))
    beside = pooled(locality_baselines(task, 0, Locality(SAMPLES)))
    assert found["direct"] == pytest.approx(beside["marginal"], abs=1e-9)
    assert beside["marginal"] > 0.02
    for estimator in ("scaffolded", "free"):  # what is left is the error of averaging SAMPLES
        assert found[estimator] < 0.5 / SAMPLES
    assert found["negative_scaffold"] > 10 * found["scaffolded"]


def test_a_model_that_knows_everything_is_right_at_once(task):
    found = pooled(locality(oracle_run(task, reach=99, walks=False), Locality(4)))
    assert found["direct"] == pytest.approx(0, abs=1e-12)
    assert found["free"] == pytest.approx(0, abs=1e-12)  # it names the target at once


def test_the_error_of_a_walk_falls_with_the_number_of_samples(task):
    net, questions = held_out(task)

    def error(samples):
        walked = exact_scaffold(net, questions, samples, np.random.default_rng(0))
        return ((walked - questions.exact) ** 2).mean()

    assert error(400) < error(25) / 8 < error(1) / 64
    # of one sample: the variance that exact conditionals of the target have over the draw of the last in between
    beside = pooled(locality_baselines(task, 0, Locality(10)))
    assert beside["exact_scaffolded"] == pytest.approx(error(1) / 10, rel=0.8)


def test_left_to_itself_a_model_that_walks_writes_the_path_before_the_target(task):
    net, questions = held_out(task)
    sequences = written(
        NetOracle(task, 0, reach=1), lambda oracle: freely(oracle, oracle.vocabulary, questions, SAMPLER)
    )
    for target, known in zip(questions.target.tolist(), questions.known.tolist(), strict=True):
        assert (target, known, *net.path(known, target), target) in sequences


def test_a_model_that_never_comes_to_the_target_is_asked_for_it_in_the_end(task):
    net, questions = held_out(task)
    oracle = NetOracle(task, 0, reach=1)

    def elsewhere(tokens):
        weights = oracle.__class__.after(oracle, tokens)
        first = 15 + 2 * (tokens[1] - 1)  # of the target's assignments
        weights[first : first + 2] -= 1000.0
        return weights - weights.max()

    oracle.after = elsewhere
    answers = {}

    def answer(oracle):
        answers["free"] = freely(oracle, oracle.vocabulary, questions, SAMPLER)

    assert max(map(len, written(oracle, answer))) == 2 + net.n_variables
    np.testing.assert_allclose(answers["free"].sum(axis=1), 1, atol=1e-9)


def test_scaffolds_hold_the_path_and_negative_ones_as_many_others(task):
    net, questions = held_out(task)
    sequences = written(
        NetOracle(task, 0, reach=1),
        lambda oracle: estimates(oracle, net, questions, 1, SAMPLER, np.random.default_rng(0)),
    )
    for target, known in zip(questions.target.tolist(), questions.known.tolist(), strict=True):
        path = net.path(known, target)
        assert (target, known, *path) in sequences
        off = [s for s in sequences if s[:2] == (target, known) and len(s) == 2 + len(path)]
        assert any(not {*s[2:]} & {target, known, *path} and len({*s[2:]}) == len(path) for s in off)


def test_rows_are_pooled_and_by_distance_under_each_estimators_name(task):
    task = task.model_copy(update={"steps": task.steps.model_copy(update={"test": (2, 3, 4)})})
    rows = locality(oracle_run(task, reach=1), Locality(2))
    rows += locality_baselines(task, 0, Locality(2))
    assert {(row["condition"], row["variant"]) for row in rows} == {
        *(("local_windows", name) for name in ESTIMATORS),
        ("marginal", ""),
        ("exact_scaffolded", ""),
    }
    assert {row["split"] for row in rows} == {"composition", "in_distribution"}
    assert all(row["unit"] == METRICS[row["metric"]].unit for row in rows)
    _, questions = held_out(task)
    by_distance = {row["step"]: row for row in rows if row["condition"] == "marginal" and row["split"] == "composition"}
    assert by_distance[None]["count"] == len(questions.target)
    for distance in (2, 3, 4):
        there = int((questions.distance == distance).sum())
        assert (by_distance[distance]["count"] == there) if there else (distance not in by_distance)


def test_an_error_is_the_mean_square_over_questions_and_values(task):
    exact = np.array([[0.2, 0.8], [0.5, 0.5]])
    questions = PairQuestions(np.array([0, 1]), np.array([2, 3]), np.array([0, 1]), np.array([2, 2]), exact)
    answers = np.array([[0.3, 0.7], [0.5, 0.5]])
    record = partial(row, task.name, "x", 0, "composition")
    (everything, near) = errors(record, task, questions, answers)
    assert everything["value"] == near["value"] == pytest.approx(0.005)
    assert (everything["step"], near["step"]) == (None, 2)


def test_a_run_measures_alike_every_time_and_each_seed_its_own_net(task):
    one, again = (locality(oracle_run(task, 1), Locality(3)) for _ in range(2))
    assert one == again
    other = locality(oracle_run(task, 1, seed=1), Locality(3))
    assert pooled(other)["direct"] != pooled(one)["direct"]


def test_a_run_without_a_net_is_refused():
    from tests.evaluation.oracle import oracle_run as with_process
    from tests.small_tasks import small_task

    with pytest.raises(ValueError, match="locality needs a task with a Bayes net .got small"):
        locality(with_process(small_task()), Locality(2))
