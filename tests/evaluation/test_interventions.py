"""Interventions change what they name and nothing else."""

import numpy as np
import pytest
import torch

from tests.evaluation.crafted import probabilities, scrambled_run
from unamortized.evaluation.interventions import answers_under, cut_edges, held_belief, replaced
from unamortized.evaluation.probes.activations import layers, read_activations, respond_with_activations
from unamortized.evaluation.probes.fitting import belief_probes
from unamortized.evaluation.routes import forced_trace, groups
from unamortized.learning.rollouts import respond
from unamortized.worlds.splits import draw

SITE, STEP = "about_to_state", 5


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.no_grad():
        yield


# ── held beliefs ─────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def held():
    run = scrambled_run()
    seen = read_activations(run, draw(run.task, "test", 8, 64, 0))[SITE]
    fitted = belief_probes(run, 256, "interventions", SITE)["1"]
    return held_belief(fitted, seen.features["1"][:, STEP - 1], np.random.default_rng(0))


def test_a_moved_belief_is_read_as_asked_and_a_random_move_is_as_long_and_not_read(held):
    wanted = np.random.default_rng(1).dirichlet([1, 1, 1], size=64)
    moved, random = held.moved_to(wanted), held.moved_randomly(wanted)
    np.testing.assert_allclose(held.probe.read(moved), wanted, atol=1e-6)
    np.testing.assert_allclose(held.probe.read(random), held.probe.read(held.activations), atol=1e-6)
    lengths = [np.linalg.norm(each - held.activations, axis=1) for each in (moved, random)]
    np.testing.assert_allclose(*lengths)


def test_a_donors_part_is_read_as_the_donors_belief_and_the_random_part_is_not(held):
    donors = np.roll(np.arange(64), 1)
    own = held.probe.read(held.activations)
    np.testing.assert_allclose(held.probe.read(held.with_part_of(donors, held.subspace)), own[donors], atol=1e-6)
    np.testing.assert_allclose(held.probe.read(held.with_part_of(donors, held.random)), own, atol=1e-6)


def test_an_activation_replaced_by_itself_changes_no_answer_and_by_another_does():
    run = scrambled_run()
    problems = draw(run.task, "test", 8, 16, 0)
    own = respond_with_activations(run, problems)
    column = int(own.columns[SITE][STEP - 1])
    for tap in layers(run).values():
        activations = own.taps[tap][:, column].astype(np.float64)
        same, other = (
            answers_under(run, problems, tap, column, each, forced=own.written, n_forced=STEP - 1)
            for each in (activations, np.roll(activations, 1, axis=0))
        )
        np.testing.assert_allclose(same, respond(run, problems).answers, atol=1e-5)
        assert np.abs(other - same).max() > 1e-3


# ── the last column ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("condition", ["cot", "cot_streaming", "cot_copied"])
def test_in_one_layer_a_cut_edge_removes_the_column(condition):
    trace = forced_trace(scrambled_run(condition, layers=1), 8)
    column = trace.column(5)
    last = trace.read_before(5)
    for name, group in groups(trace.examples, column).items():
        if name == "own":
            continue  # the query comes from there
        left = ~group
        tokens = torch.from_numpy(trace.examples.tokens[:, : column + 1][:, left])
        positions = torch.from_numpy(trace.examples.positions[: column + 1][left])[None]
        expected = probabilities(trace.rollout.run, trace.rollout.run.model(tokens, positions).logits[:, -1])
        cut_off = last.codes(cut_edges(group[None], {0: range(4)}))
        np.testing.assert_allclose(cut_off, expected, atol=1e-5)
        assert np.abs(cut_off - last.codes()).max() > 1e-4, name


def test_cutting_at_the_last_column_is_cutting_one_row_of_scores_in_the_whole_sequence():
    trace = forced_trace(scrambled_run(), 8)
    last, column = trace.read_before(5), trace.column(5)
    tokens = torch.from_numpy(trace.examples.tokens)
    positions = torch.from_numpy(trace.examples.positions)[None]
    clean = probabilities(trace.rollout.run, trace.rollout.run.model(tokens, positions).logits[:, column])
    rng = np.random.default_rng(0)
    for heads in ({0: [2]}, {1: [0, 3]}, {0: [0, 1, 2, 3], 1: [1]}):
        mask = rng.random((8, column + 1)) < 0.4
        mask[:, column] = False

        def one_row(scores, chosen, mask=mask):
            scores = scores.clone()
            for head in chosen:
                scores[:, head, column, : column + 1][torch.from_numpy(mask)] = -torch.inf
            return scores

        patches = {
            f"blocks.{layer}.attn.hook_attn_scores": lambda scores, chosen=chosen: one_row(scores, chosen)
            for layer, chosen in heads.items()
        }
        expected = probabilities(
            trace.rollout.run, trace.rollout.run.model(tokens, positions, patches=patches).logits[:, column]
        )
        np.testing.assert_allclose(last.codes(cut_edges(mask, heads)), expected, atol=1e-5)
        np.testing.assert_allclose(last.codes(), clean, atol=1e-5)  # the last reading is forgotten


def test_scores_stay_where_nothing_would_be_left_to_attend_to():
    trace = forced_trace(scrambled_run(), 8)
    last = trace.read_before(5)
    everything = np.ones((8, trace.column(5) + 1), dtype=bool)
    everything[0, 0] = False  # of the first problem alone
    codes, clean = last.codes(cut_edges(everything, {0: [1]})), last.codes()
    np.testing.assert_allclose(codes[1:], clean[1:], atol=1e-6)
    assert np.abs(codes[0] - clean[0]).max() > 1e-4


def test_one_heads_output_is_replaced_and_the_others_stay():
    own, other = torch.randn(2, 4, 1, 3, 5)
    np.testing.assert_array_equal(replaced(other)(own), other)
    one = replaced(other, head=1)(own)
    np.testing.assert_array_equal(one[:, :, 1], other[:, :, 1])
    np.testing.assert_array_equal(one[:, :, [0, 2]], own[:, :, [0, 2]])
