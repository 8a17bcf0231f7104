"""Composition finds the steps that a layer has composed, at the token that holds them."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from tests.evaluation.found_rows import value
from tests.evaluation.oracle import Reading, oracle_run, slow_task
from tests.small_tasks import GENERALIZED, small_task
from tests.worlds.brute_force import enumerate_paths, marginal
from unamortized.evaluation.composition import composition, start_states, steps_read, window_beliefs
from unamortized.evaluation.probes.ridge import discriminant, moments, r2
from unamortized.evaluation.protocol import SampleSize
from unamortized.learning.runs import assemble, new_model
from unamortized.learning.specification import RunSpec
from unamortized.models.transformer import ModelSpec, Output, Transformer
from unamortized.worlds.splits import draw

N_STEPS = 8
QUESTION, END = "question", "about_to_state"
FEW = SampleSize(512)
GROUP = {
    "process": {"family": "group_word", "group": "S3", "elements": ["213", "231"]},
    "steps": {"train": [1, N_STEPS], "test": [4]},
    "codebook": {"resolution": 1},
}


# ── windows ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("start", ["fixed", "known"])
@pytest.mark.parametrize("length", [1, 3])
def test_window_beliefs_match_enumeration_from_each_start_state(start, length):
    problems = draw(slow_task(start=start), "test", 4, 6, 0)
    transitions, seen = problems.process.transitions, problems.observations[:, 4 - length :]
    table = np.broadcast_to(transitions, (length, *transitions.shape))
    windows = window_beliefs(problems, length)
    assert len(windows) == 3
    for state, window in enumerate(windows):
        for problem, symbols in enumerate(seen):
            joint = enumerate_paths(table, np.eye(3)[state], symbols)
            np.testing.assert_allclose(window[problem], marginal(joint, length, 3), atol=1e-7)


def test_the_image_of_the_identity_determines_a_group_element():
    task = small_task(**GROUP | {"process": {"family": "group_word", "group": "A5", "elements": ["23451", "23145"]}})
    problems = draw(task, "test", 5, 32, 0)
    assert start_states(problems.process).tolist() == [0]  # 60 states are too many for all of them
    names = problems.process.state_names
    (window,) = window_beliefs(problems, 3)
    for row, symbols in zip(window, problems.observations, strict=True):
        image = tuple(range(5))  # of each thing under the element so far: first that, then the next
        for symbol in symbols[-3:]:
            element = [int(digit) - 1 for digit in problems.process.symbol_names[symbol]]
            image = tuple(element[place] for place in image)
        assert names[row.argmax()] == "".join(str(place + 1) for place in image)
        assert row.max() == pytest.approx(1, abs=1e-6)


def test_windows_that_are_impossible_from_a_state_have_the_belief_given_any():
    task = small_task(process={"family": "no_consecutive_ones", "p": 0.5}, steps={"train": [6, 6], "test": [6]})
    problems = draw(task, "validation", 6, 16, 0)
    assert all(np.isfinite(window).all() for length in range(1, 7) for window in window_beliefs(problems, length))


# ── the discriminant ─────────────────────────────────────────────────────────────────────────────


def test_the_discriminant_is_bayes_rule_for_normal_classes_of_one_covariance():
    draws = np.random.default_rng(0)
    classes = draws.choice(4, size=400, p=[0.1, 0.2, 0.3, 0.4])
    features = draws.standard_normal((400, 3)) @ draws.standard_normal((3, 3)) + draws.standard_normal((4, 3))[classes]
    means = np.array([features[classes == c].mean(axis=0) for c in range(4)])
    within = np.cov((features - means[classes]).T, bias=True)
    shrunk = within + 0.1 * np.diag(features.var(axis=0))
    density = np.stack([multivariate_normal(mean, shrunk).pdf(features) for mean in means], axis=1)
    expected = density * np.bincount(classes) / 400
    with_constant = np.concatenate([features, np.ones((400, 1))], axis=1)  # a feature that does not vary gets no weight
    never = np.eye(5)[classes]  # the last class does not occur
    read = discriminant(moments(with_constant, never), 0.1).read(with_constant)
    np.testing.assert_allclose(read[:, :4], expected / expected.sum(axis=1, keepdims=True), atol=1e-9)
    assert (read[:, 4] == 0).all()


def test_the_discriminant_tells_more_classes_apart_than_there_are_dimensions():
    """Regression explains d of S - 1 equally likely classes, however far apart they are."""
    draws = np.random.default_rng(1)
    classes, centers = np.arange(3000) % 60, 10 * draws.standard_normal((60, 8))
    features = centers[classes] + 0.1 * draws.standard_normal((3000, 8))
    probe = discriminant(moments(features, np.eye(60)[classes]), 0.01)
    assert r2(np.eye(60)[classes], probe.read(features)) > 0.9


# ── what is read ─────────────────────────────────────────────────────────────────────────────────


class Doubler(Transformer):
    """Holds, where the question ends, the beliefs after the last 2^l observations from known states, after layer l."""

    def __init__(self, task, spec):
        torch.nn.Module.__init__(self)
        self.spec, self.process, self.samples = spec, task.build(), False
        self.vocabulary = oracle_run(task, "amortized").vocabulary
        states = self.process.n_states
        self.map = np.random.default_rng(0).standard_normal((states**2, spec.width))

    def new_cache(self, capacity):
        return []

    def forward(self, tokens, positions, *, taps=(), patches=None, cache=None, select=None):
        reading = Reading(self, tokens.numpy())
        transitions = self.process.transitions
        taken = {tap: torch.zeros(*tokens.shape, self.spec.width) for tap in taps}
        for layer in range(self.spec.layers):
            length = min(2 ** (layer + 1), N_STEPS)
            product = np.eye(self.process.n_states)
            for symbols in reading.symbols[:, -length:].T:
                product = product @ transitions[symbols]
            held = (product / product.sum(axis=2, keepdims=True)).reshape(len(tokens), -1) @ self.map
            taken[f"blocks.{layer}.hook_resid_post"][:, -1] = torch.from_numpy(held).float()  # at the answer mark
        return Output(torch.zeros(len(tokens), self.vocabulary.size), taken)


@pytest.mark.parametrize("task", [slow_task(), small_task(**GROUP)], ids=["beliefs", "elements"])
def test_a_model_that_doubles_its_windows_is_found_to_do_so(task):
    spec = RunSpec(task=task, condition="amortized", model=ModelSpec(layers=3, width=40, heads=4))
    rows = composition(assemble(spec, Doubler(task, spec.model).eval(), Path("no folder")), FEW)
    for layer, length in (("1", 2), ("2", 4), ("3", 8)):
        assert value(rows, "composed_steps", layer=layer) == length
        assert value(rows, "window_r2", site=END, layer=layer, step=length) > 0.97
        longer = [value(rows, "window_r2", site=END, layer=layer, step=k) for k in range(length + 1, 9)]
        assert max(longer, default=0) < 0.9
        assert value(rows, "window_r2", site=QUESTION, layer=layer, step=length) < 0.1  # nothing is held there
        assert value(rows, "path_steps", site=QUESTION, layer=layer) == 0
    assert value(rows, "composed_steps", layer="0") == 0
    wholes = [value(rows, "path_r2", site=END, layer="3", step=k) for k in (1, 4)]
    assert max(wholes) < 0.7


@pytest.mark.parametrize("start", ["fixed", "known"])
def test_beliefs_of_the_path_are_read_at_their_own_observation(start):
    rows = composition(oracle_run(slow_task(start=start), "amortized"), FEW)
    for step in range(1, N_STEPS + 1):
        assert value(rows, "path_r2", site=QUESTION, layer="1", step=step) > 0.99
        assert value(rows, "path_r2", control="untrained", site=QUESTION, layer="1", step=step) < 1.0
    assert value(rows, "path_r2", site=END, layer="1", step=N_STEPS) > 0.99
    assert value(rows, "path_r2", site=END, layer="1", step=N_STEPS - 2) < 0.8
    assert value(rows, "path_steps", site=QUESTION, layer="1") == N_STEPS
    assert value(rows, "path_steps", site=QUESTION, layer="0") == 0


def test_steps_that_any_network_holds_do_not_count_as_composed():
    """An untrained network in place of the trained one has composed nothing beyond the words that it holds anyway."""
    spec = RunSpec(task=slow_task(), condition="amortized", model=ModelSpec(layers=2, width=32))
    rows = composition(assemble(spec, new_model(spec).eval(), Path("no folder")), FEW)
    for (metric, site), layer in itertools.product((("composed_steps", ""), ("path_steps", QUESTION)), "012"):
        steps = value(rows, metric, site=site, layer=layer)
        assert steps == value(rows, metric, control="untrained", site=site, layer=layer) <= 3


def test_steps_count_that_close_half_of_what_the_untrained_network_leaves_open():
    at = ("window_r2", QUESTION, "1")
    own = {(*at, 1): 0.6, (*at, 2): 0.9, (*at, 3): 0.65, ("window_r2", END, "1", 4): 0.5}
    untrained = dict(zip(own, (0.6, 0.9, 0.4, -0.3), strict=True))
    assert steps_read(own, untrained, "window_r2", (QUESTION,), "1") == 2  # the first is held before training, too
    assert steps_read(own, untrained | {(*at, 3): 0.3}, "window_r2", (QUESTION,), "1") == 3
    assert steps_read(own, untrained, "window_r2", (QUESTION, END), "1") == 4
    assert steps_read(own, untrained, "window_r2", (QUESTION,), "2") == 0
    assert steps_read(own, untrained, "path_r2", (QUESTION,), "1") == 0
    forgotten = own | {(*at, 2): 0.4}
    assert steps_read(forgotten, untrained, "window_r2", (QUESTION,), "1") == 1  # held before training, and no longer


def test_each_metric_has_each_layer_and_step_once():
    rows = composition(oracle_run(slow_task(), "amortized"), SampleSize(64))
    for where in itertools.product(("", "untrained"), (QUESTION, END), ("path_r2", "window_r2")):
        own = [(row["layer"], row["step"]) for row in rows if (row["control"], row["site"], row["metric"]) == where]
        assert sorted(own) == [(layer, step) for layer in "01" for step in range(1, N_STEPS + 1)]
    assert {row["condition"] for row in rows} == {"amortized"}
    assert {row["n_steps"] for row in rows} == {N_STEPS}
    assert {row["split"] for row in rows} == {"in_distribution"}
    assert {row["count"] for row in rows} == {64}


def test_runs_with_a_trace_or_without_states_are_left_out():
    assert composition(oracle_run(slow_task(), "cot"), FEW) == []
    spec = RunSpec(task=small_task(**GENERALIZED), condition="amortized", model=ModelSpec(layers=1, width=16))
    assert composition(assemble(spec, new_model(spec).eval(), Path("no folder")), FEW) == []
