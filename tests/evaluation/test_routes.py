"""Routes find the heads that fetch the observation and the last code; corruptions change one input alone."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.evaluation.crafted import FETCHES_CODE, FETCHES_SYMBOL, parity_run, probabilities, scrambled_run
from tests.evaluation.oracle import slow_task
from tests.small_tasks import GENERALIZED, IN_CONTEXT
from unamortized.evaluation.metrics import METRICS
from unamortized.evaluation.protocol import SampleSize
from unamortized.evaluation.routes import (
    component_outputs,
    corruptions,
    forced_trace,
    groups,
    patchings,
    routes,
)
from unamortized.language.meanings import code_meanings
from unamortized.learning.runs import assemble, new_model
from unamortized.learning.specification import RunSpec
from unamortized.models.transformer import ModelSpec

FEW = SampleSize(problems=24)
OWN, OTHER = {"cot": ("observation", "own"), "cot_streaming": ("own", "last_code")}, "random_columns"


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.no_grad():
        yield


def values(rows, metric) -> dict[tuple[str, str], float]:
    """By site, or the control in its place, and layer."""
    return {(row["control"] or row["site"], row["layer"]): row["value"] for row in rows if row["metric"] == metric}


# ── heads that are known ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize("condition", ["cot", "cot_streaming"])
def test_the_head_that_fetches_the_observation_and_the_one_that_fetches_the_last_code_are_found(condition, layer):
    rows = routes(parity_run(condition, layer), SampleSize(problems=128))
    symbol, code = (f"L{layer}H{head}" for head in (FETCHES_SYMBOL, FETCHES_CODE))
    x, last = OWN[condition]  # the groups of columns where each of them is
    fetched = {(x, symbol), (last, code)}
    without = {(group, each) for group, head in fetched for each in (head, f"L{layer}", "all")}
    moved = values(rows, "route_tv")
    assert {place for place, value in moved.items() if value > 1e-3} == without
    assert all(0.35 < moved[place] < 0.65 for place in without)  # what stands next to it is as often right
    reliance, direct = values(rows, "route_reliance"), values(rows, "route_reliance_direct")
    holds = "last_code" if condition == "cot" else "observation"
    whole = {(name, each) for name in ("observation", "last_code") for each in ("all", f"L{layer}", f"L{layer}MLP")}
    whole |= {("observation", symbol), ("last_code", code), (holds, "embed")}
    assert {place: value > 0.5 for place, value in reliance.items()} == {place: place in whole for place in reliance}
    np.testing.assert_allclose([value - (place in whole) for place, value in reliance.items()], 0, atol=2e-3)
    assert {place for place, value in direct.items() if abs(value) > 1e-3} == {
        (name, f"L{layer}MLP") for name in ("observation", "last_code")
    }


def test_a_step_from_a_wrong_code_is_judged_by_the_exact_update_of_that_code():
    rows = routes(parity_run(begins=-1.0), SampleSize(problems=128))
    assert values(rows, "route_reliance")["last_code", "all"] == pytest.approx(1, abs=1e-3)


# ── groups of columns ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("start", ["fixed", "known"])
@pytest.mark.parametrize("condition", ["cot", "cot_streaming", "cot_copied", "cot_indexed", "cot_synonyms"])
def test_every_column_before_a_step_is_in_one_group(condition, start):
    trace = forced_trace(scrambled_run(condition, start=start), 4)
    for step in (2, 8):
        column = trace.column(step)
        found = groups(trace.examples, column)
        np.testing.assert_array_equal(np.sum([*found.values()], axis=0), 1)
        assert all(group.any() and len(group) == column + 1 for group in found.values())
        last, token = trace.column(step - 1) + 1, trace.examples.tokens[:, column + 1]
        assert found["own" if condition in ("cot", "cot_synonyms") else "last_code"][last]
        assert found["own" if condition == "cot_streaming" else "observation"][trace.observed_at(step)]
        block, stated = trace.rollout.run.vocabulary.blocks["code"], trace.rollout.response.stated[:, step - 1]
        np.testing.assert_array_equal((token - block.start) % trace.rollout.run.vocabulary.codebook.size, stated)
    assert "earlier_codes" in found
    assert "later_observations" not in found  # at the last step


# ── corruptions ──────────────────────────────────────────────────────────────────────────────────


def stepped(process, belief, symbol):
    """Bayes' rule for one problem."""
    joint = belief @ process.transitions[symbol]
    return joint / joint.sum()


@pytest.mark.parametrize("condition", ["cot", "cot_streaming", "cot_copied"])
def test_a_corruption_changes_its_input_alone_and_moves_the_belief_by_bayes_rule(condition):
    trace = forced_trace(scrambled_run(condition), 16)
    process, meanings = trace.rollout.run.task.build(), code_meanings(trace.rollout.run.task)
    vocabulary, own, step = trace.rollout.run.vocabulary, trace.rollout.response.stated, 5
    observation, last_code = corruptions(trace, step).values()
    clean, x = trace.examples.tokens, trace.rollout.problems.observations[:, step - 1]
    copy = [trace.column(step)] if condition == "cot_copied" else []
    changed = np.flatnonzero((observation.tokens != clean).any(axis=0))
    assert changed.tolist() == sorted([trace.observed_at(step), *copy])
    assert np.flatnonzero((last_code.tokens != clean).any(axis=0)).tolist() == [trace.column(step - 1) + 1]
    for problem in range(16):
        before = meanings[own[problem, step - 2]]
        usual = stepped(process, before, x[problem])
        moves = [stepped(process, before, symbol) - usual for symbol in range(5)]
        furthest = int(np.argmax([np.abs(move).sum() for move in moves]))
        symbols = observation.tokens[problem, changed] - vocabulary.blocks["observation"].start
        assert (symbols == furthest).all()
        np.testing.assert_allclose(observation.should[problem], moves[furthest], atol=1e-9)
        lent = last_code.tokens[problem, trace.column(step - 1) + 1] - vocabulary.blocks["code"].start
        np.testing.assert_allclose(
            last_code.should[problem], stepped(process, meanings[lent], x[problem]) - usual, atol=1e-9
        )


def test_the_direct_route_is_what_a_head_adds_to_the_residual_stream_without_later_layers():
    run = scrambled_run()
    trace = forced_trace(run, 16)
    model, step = run.model, 5
    corruption = corruptions(trace, step)["observation"]
    names = ["blocks.0.attn.hook_z", "blocks.1.hook_resid_post"]
    held = trace.read_before(step).activations(names)
    put = trace.read_before(step, corruption.tokens).activations(names)
    change = torch.zeros_like(held[names[0]])
    change[:, :, 2] = (put[names[0]] - held[names[0]])[:, :, 2]
    added = change.flatten(2) @ model.blocks[0].attention.out.weight.T
    codes = probabilities(run, model.unembed(model.norm(held[names[1]] + added))[:, 0])
    clean = trace.read_before(step).codes()
    moved = (codes - clean) @ code_meanings(run.task)
    expected = (moved * corruption.should).sum() / (corruption.should**2).sum()
    rows = patchings(trace, [step])
    assert values(rows, "route_reliance_direct")["observation", "L0H2"] == pytest.approx(expected, rel=1e-3)
    assert values(rows, "route_reliance")["observation", "L0H2"] != pytest.approx(expected, rel=0.1)


def test_later_outputs_are_all_that_can_read_a_patched_one():
    parts = component_outputs(ModelSpec(layers=2, width=16, heads=2))
    assert [*parts] == ["embed", "L0H0", "L0H1", "L0", "L0MLP", "L1H0", "L1H1", "L1", "L1MLP"]
    after = {name: len(part.later) for name, part in parts.items()}
    assert after == {"embed": 4, "L0H0": 3, "L0H1": 3, "L0": 3, "L0MLP": 2, "L1H0": 1, "L1H1": 1, "L1": 1, "L1MLP": 0}


# ── eligible runs ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("condition", "fields"),
    [
        ("cot", {}),
        ("cot", IN_CONTEXT),
        ("cot", GENERALIZED | {"codebook": {"resolution": 8}}),
        ("cot", {"start": "known"}),
        ("cot_streaming", {}),
        ("cot_copied", {}),
        ("cot_indexed", {}),
        ("cot_synonyms", {}),
        ("dial_0.5_told", {}),
    ],
    ids=lambda value: str(value)[:40],
)
def test_every_transformer_that_states_each_step_has_rows(condition, fields):
    rows = routes(scrambled_run(condition, **fields), FEW)
    keys = [tuple(row[key] for key in ("control", "site", "metric", "layer")) for row in rows]
    assert len(set(keys)) == len(keys)
    assert {row["metric"] for row in rows} <= set(METRICS)
    assert {(row["n_steps"], row["split"]) for row in rows} == {(8, "in_distribution")}
    assert np.isfinite([row["value"] for row in rows]).all()
    assert {row["count"] for row in rows if row["control"] == OTHER} == {3 * 24}
    units = {row["layer"] for row in rows if row["metric"] == "route_tv"}
    assert units == {f"L{layer}H{head}" for layer in (0, 1) for head in range(4)} | {"L0", "L1", "all"}


@pytest.mark.parametrize(
    "condition",
    ["amortized", "cot_every_4", "cot_state", "cot_reversed", "cot_posthoc", "cot_filler", "cot_shuffled", "hint_told"],
)
def test_no_rows_unless_every_belief_is_stated_in_turn(condition):
    assert routes(scrambled_run(condition), FEW) == []


def test_no_rows_of_a_recurrent_net():
    spec = RunSpec(task=slow_task(), condition="cot", model=ModelSpec(architecture="gru", layers=1, width=16))
    assert routes(assemble(spec, new_model(spec).eval(), Path("no folder")), FEW) == []
