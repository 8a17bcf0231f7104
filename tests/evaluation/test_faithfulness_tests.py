"""Tests of faithfulness find rho on readers, and nothing on untrained models."""

from dataclasses import replace

import numpy as np
import pytest

from tests.evaluation.oracle import oracle_run, slow_task
from tests.evaluation.untrained import by_step, untrained_run
from unamortized.evaluation import faithfulness
from unamortized.evaluation.baselines import blinded, window
from unamortized.evaluation.bayes_reader import reader_run
from unamortized.evaluation.distances import kl
from unamortized.evaluation.examples import EXAMPLE_COLUMNS
from unamortized.evaluation.faithfulness import FaithfulnessSettings
from unamortized.evaluation.faithfulness.early_decoding import expected_end, steps_ahead
from unamortized.evaluation.faithfulness.edits import abruptly, edit_step
from unamortized.evaluation.faithfulness.patching import shares
from unamortized.evaluation.faithfulness.rollout import roll_out
from unamortized.evaluation.faithfulness.simulation import with_another_end
from unamortized.evaluation.faithfulness.truncation import HORIZON, horizon
from unamortized.learning.rollouts import respond
from unamortized.worlds.splits import draw

FEW = FaithfulnessSettings(problems=256, lags=(0, 1, 4), draws=2)
SLIPS = [0.02, 0.2]


def task_with(slip=0.05, **fields):
    return slow_task(process=slow_task().process.model_dump() | {"slip": slip}, **fields)


# ── truncation ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("slip", SLIPS)
@pytest.mark.parametrize("rho", [0.0, 0.3, 1.0])
def test_an_early_answer_follows_the_stated_steps_as_far_as_the_reader_does(slip, rho):
    rows = faithfulness.truncation(reader_run(task_with(slip), rho), FEW)
    early = by_step(rows, "early_reliance")
    assert sorted(early) == list(range(1, 9))
    assert list(early.values()) == pytest.approx([rho] * 8, abs=0.02)
    assert by_step(rows, "posthocness")[None] == pytest.approx(1 - rho, abs=0.02)
    if rho in (0.0, 1.0):
        assert by_step(rows, "early_aoc")[None] == pytest.approx(rho * by_step(rows, "early_aoc_exact")[None], abs=0.02)


def test_necessity_is_the_loss_of_the_answer_in_bits():
    task = task_with()
    problems = draw(task, "test", 8, 256, 0)
    exact, prior = problems.answer_distribution, window(task, problems, 0)
    bits = (exact * np.log2(exact / prior)).sum(axis=1).mean()
    faithful, unfaithful = (faithfulness.truncation(reader_run(task, rho), FEW) for rho in (1.0, 0.0))
    assert by_step(faithful, "necessity")[None] == pytest.approx(bits, abs=1e-4)
    assert by_step(faithful, "necessity_exact")[None] == pytest.approx(bits, abs=1e-12)
    assert by_step(unfaithful, "necessity")[None] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(("slip", "steps"), [(0.02, 0), (0.9, 8)])
def test_a_faithful_reader_can_leave_out_as_many_steps_as_bayes_and_an_unfaithful_one_all(slip, steps):
    task = task_with(slip)
    problems = draw(task, "test", 8, 256, 0)
    early = {left_out: blinded(task, problems, np.arange(8) >= 8 - left_out) for left_out in range(1, 9)}
    losses = {left_out: kl(problems.answer_distribution, each).mean() for left_out, each in early.items()}
    assert horizon({left_out: bool(loss > HORIZON) for left_out, loss in losses.items()}) == steps
    faithful, unfaithful = (faithfulness.truncation(reader_run(task, rho), FEW) for rho in (1.0, 0.0))
    assert by_step(faithful, "internal_horizon")[None] == steps
    assert by_step(unfaithful, "internal_horizon")[None] == 8


def test_an_oracle_that_follows_the_question_from_the_end_of_its_trace_needs_no_trace():
    assert by_step(faithfulness.truncation(oracle_run(slow_task()), FEW), "internal_horizon")[None] == 8


@pytest.mark.parametrize(
    ("lost", "steps"),
    [
        ({3: False, 2: False, 1: False}, 3),
        ({3: True, 2: False, 1: False}, 2),
        ({3: False, 2: True, 1: False}, 1),
        ({3: False, 2: False, 1: True}, 0),
        ({8: True, 4: False}, 4),
        ({8: False, 4: True}, 0),
    ],
)
def test_the_horizon_is_the_longest_before_the_first_loss(lost, steps):
    assert horizon(lost) == steps


# ── crossing ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("slip", SLIPS)
@pytest.mark.parametrize("rho", [0.0, 0.3, 1.0])
def test_the_trace_carries_rho_of_the_effect_and_the_question_the_rest(slip, rho):
    rows = faithfulness.crossing(reader_run(task_with(slip), rho), FEW)
    assert by_step(rows, "indirect_effect")[None] == pytest.approx(rho, abs=0.05)
    assert by_step(rows, "direct_effect")[None] == pytest.approx(1 - rho, abs=0.05)
    assert by_step(rows, "mediated_share")[None] == pytest.approx(rho, abs=0.05)
    sufficiency = by_step(rows, "sufficiency")[None]
    assert sufficiency > 0.9 if rho == 1 else sufficiency < 0.9


def test_without_any_effect_there_are_no_shares_of_it():
    assert np.isnan(by_step(faithfulness.crossing(untrained_run(), FEW), "mediated_share")[None])


# ── rewording, resampling, simulation ────────────────────────────────────────────────────────────


def test_only_traces_with_synonyms_can_be_reworded():
    assert faithfulness.rewording(reader_run(slow_task(), 1.0), FEW) == []
    rows = faithfulness.rewording(untrained_run("cot_synonyms"), FEW)
    assert [(row["condition"], row["control"]) for row in rows] == [
        ("cot_synonyms", ""),
        ("cot_synonyms", "other_trace"),
    ]


def test_a_reader_without_doubt_never_writes_another_step_and_an_untrained_model_mostly_does():
    assert faithfulness.resampling(reader_run(slow_task(), 1.0), FEW) == []
    rows = faithfulness.resampling(untrained_run(), FEW)
    counts = [row["count"] for row in rows if row["metric"] == "resampled_reliance"]
    assert len(counts) == len(FEW.lags)
    assert min(counts) > 0.9 * FEW.draws * FEW.problems
    assert max(map(abs, by_step(rows, "resampled_reliance").values())) < 0.1


@pytest.mark.parametrize("rho", [0.0, 1.0])
def test_an_exact_trace_predicts_answers_to_other_ends_even_if_the_reader_ignores_it(rho):
    gains = by_step(faithfulness.simulation(reader_run(slow_task(), rho), FEW), "simulatability")
    assert set(gains) == {0, 1, 4}
    assert min(gains.values()) > 0.85


def test_another_end_keeps_the_beginning_and_is_solved_exactly():
    run = reader_run(slow_task(), 1.0)
    problems = draw(run.task, "test", 8, 100, 0)
    other = with_another_end(run, problems, 5)
    np.testing.assert_array_equal(other.observations[:, :5], problems.observations[:, :5])
    assert (other.observations[:, 5:] != problems.observations[:, 5:]).any(axis=1).mean() > 0.9
    belief, process = problems.beliefs[:, 5], run.task.build()
    for t in range(5, 8):
        belief = np.einsum("bi,bij->bj", belief, process.transitions[other.observations[:, t]])
    np.testing.assert_allclose(other.answer_distribution, belief / belief.sum(axis=1, keepdims=True), atol=1e-12)


# ── activations ──────────────────────────────────────────────────────────────────────────────────


def test_the_weights_of_two_sources_are_found():
    first, second = np.random.default_rng(0).standard_normal((2, 300, 3))
    assert shares(0.7 * first + 0.2 * second, first, second) == pytest.approx([0.7, 0.2])


def test_patching_changes_activations_and_those_of_an_untrained_model_move_nothing():
    with pytest.raises(AssertionError, match="an oracle has no activations to patch"):
        faithfulness.patching(oracle_run(slow_task()), FEW)
    rows = faithfulness.patching(untrained_run(), FEW)
    reliances = [row["value"] for row in rows if row["metric"].endswith("reliance")]
    assert len(reliances) == 2 * 2 * 3
    assert max(map(abs, reliances)) < 0.1


def test_the_expected_end_is_the_conditional_mean_of_the_ends():
    informative = slow_task().process.model_dump() | {"slip": 0.02, "informativeness": 1.0}
    problems = draw(slow_task(process=informative), "test", 8, 4000, 0)
    end = problems.beliefs[:, -1]
    np.testing.assert_allclose(expected_end(problems, 8), end)
    for step in (6, 7):  # by then the beginning has decided the split, which selects no ends
        expected = expected_end(problems, step)
        spread = expected - expected.mean(axis=0)
        assert (spread * (end - end.mean(axis=0))).sum() / (spread**2).sum() == pytest.approx(1, abs=0.05)
        np.testing.assert_allclose(expected.mean(axis=0), end.mean(axis=0), atol=0.02)


@pytest.mark.parametrize(
    ("scores", "ahead"),
    [([0, 0, 0, 1], 0), ([0, 0, 1, 1], 1), ([1, 1, 1, 1], 3), ([1, 0, 1, 1], 1), ([0, 0, 0, 0], 0), ([np.nan] * 4, 0)],
)
def test_the_lead_counts_from_the_step_after_which_the_end_stays_decodable(scores, ahead):
    assert steps_ahead(np.array([1, 2, 3, 4]), scores) == ahead


def test_an_oracle_that_holds_each_belief_only_before_it_states_it_has_no_lead():
    rows = faithfulness.performative_lead(oracle_run(slow_task()), replace(FEW, problems=512))
    leads = {row["layer"]: row["value"] for row in rows if row["metric"] == "performative_lead"}
    assert leads == {"0": 0, "1": 0, "all": 0}
    last = [row for row in rows if row["metric"] == "last_belief_r2" and row["step"] == 8]
    scores = {row["layer"] or "known by then": row["value"] for row in last}
    assert scores["1"] > 0.99
    assert scores["known by then"] == pytest.approx(1)
    assert abs(scores["0"]) < 0.2


# ── models without a trace, and untrained ones ───────────────────────────────────────────────────


@pytest.mark.parametrize("test", ["light_cone", "truncation", "crossing", "resampling", "simulation", "patching"])
def test_a_model_without_a_trace_has_none_to_be_faithful_to(test):
    assert getattr(faithfulness, test)(untrained_run("amortized"), FEW) == []


@pytest.mark.parametrize("condition", ["cot", "cot_shuffled", "cot_filler", "cot_posthoc", "cot_reversed"])
def test_an_untrained_model_comes_out_at_the_null_value_of_each_reliance(condition):
    tests = (faithfulness.light_cone, faithfulness.truncation, faithfulness.crossing, faithfulness.resampling)
    run = untrained_run(condition)
    rows = [row for test in tests for row in test(run, FEW)]
    nulls = [row for row in rows if row["metric"].endswith("effect") or "_reliance" in row["metric"]]
    assert sum(row["count"] > 0 for row in nulls) > 5
    assert max(abs(row["value"]) for row in nulls if row["count"]) < 0.1


# ── abrupt ends, worked problems ─────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("rho", [0.0, 0.3, 1.0])
def test_a_reader_follows_a_wrong_end_as_far_without_the_way_to_it(rho):
    rows = faithfulness.light_cone(reader_run(task_with(), rho), FEW)
    assert list(by_step(rows, "causal_reliance_abrupt").values()) == pytest.approx([rho] * 3, abs=0.1)


def test_an_abrupt_end_takes_the_last_step_of_the_edited_trace_and_no_other():
    rollout = roll_out(reader_run(slow_task(), 1.0), FEW)
    base, edit = rollout.response, edit_step(rollout, 5)
    edited = respond(rollout.run, rollout.problems, forced=edit.forced, n_forced=edit.place + 1)
    forced = abruptly(base, edited)
    np.testing.assert_array_equal(forced[:, :-1], base.written[:, :-1])
    np.testing.assert_array_equal(forced[:, -1], edited.written[:, -1])
    assert (forced[:, -1] != base.written[:, -1]).any()


def test_a_worked_problem_shows_every_test_as_it_is_measured():
    run = reader_run(task_with(), 1.0)
    table = faithfulness.worked(run, FEW)
    assert list(table.columns) == list(EXAMPLE_COLUMNS)
    assert table["problem"].nunique() == 1
    assert set(table["condition"]) == {"cot"}

    def shown(control, source):
        return table[(table["control"] == control) & (table["source"] == source)]

    for control in ("edited", "early", "without", "another_trace", "another_end"):
        answer, should = (shown(control, source)["value"] for source in ("answer", "should"))
        assert answer.sum() == pytest.approx(1)
        np.testing.assert_allclose(answer, should, atol=0.12)  # codes are coarse
    assert shown("edited", "changed")["step"].tolist() == [6]
    assert {control: shown(control, "stated")["step"].nunique() for control in ("early", "edited")} == {
        "early": 6,
        "edited": 8,
    }
    kept, own = (shown(control, "answer")["value"] for control in ("frozen", "undisturbed"))
    np.testing.assert_allclose(kept, own, atol=0.02)  # the last code states it, up to rounding


def test_traces_that_leave_steps_out_are_not_shown_and_synonyms_and_hints_are():
    assert faithfulness.worked(reader_run(slow_task(), 1.0, "cot_every_4"), FEW).empty
    for condition, control in (("cot_synonyms", "reworded"), ("hint_untold", "hinted")):
        assert control in set(faithfulness.worked(untrained_run(condition), FEW)["control"])
