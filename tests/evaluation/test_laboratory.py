"""Ways of finding out about faithfulness, on readers whose faithfulness is known and on models that know nothing."""

from dataclasses import replace

import numpy as np
import pytest

from tests.evaluation.laboratory import found, untrained
from tests.evaluation.oracle import SMALL, oracle_run, slow_task
from unamortized.evaluation import faithfulness
from unamortized.evaluation.baselines import blinded, window
from unamortized.evaluation.bayes_reader import reader_run
from unamortized.evaluation.examples import EXAMPLE_COLUMNS
from unamortized.evaluation.faithfulness import FaithfulnessSettings, edits
from unamortized.evaluation.faithfulness.early_decoding import expected_end, steps_ahead
from unamortized.evaluation.faithfulness.patching import shares
from unamortized.evaluation.faithfulness.simulation import with_another_end
from unamortized.evaluation.faithfulness.truncation import horizon
from unamortized.evaluation.generalization import ByLength, by_length
from unamortized.evaluation.responses import respond
from unamortized.learning.runs import RunSpec, TrainSpec, load_run
from unamortized.learning.training import train_run
from unamortized.worlds.splits import draw

FEW = FaithfulnessSettings(problems=256, lags=(0, 1, 4), draws=2)
SLIPS = [0.02, 0.2]


def task_with(slip=0.05, **fields):
    return slow_task(process=slow_task().process.model_dump() | {"slip": slip}, **fields)


# ── truncation ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("slip", SLIPS)
@pytest.mark.parametrize("rho", [0.0, 0.3, 1.0])
def test_an_early_answer_follows_what_is_stated_so_far_as_far_as_the_reader_does(slip, rho):
    rows = faithfulness.truncation(reader_run(task_with(slip), rho), FEW)
    early = found(rows, "early_reliance")
    assert sorted(early) == list(range(1, 9))
    assert list(early.values()) == pytest.approx([rho] * 8, abs=0.02)
    assert found(rows, "posthocness")[None] == pytest.approx(1 - rho, abs=0.02)
    changed, exact = found(rows, "early_changed"), found(rows, "early_changed_exact")
    if rho in (0.0, 1.0):
        assert changed == pytest.approx({step: rho * value for step, value in exact.items()}, abs=0.02)
        assert found(rows, "early_aoc")[None] == pytest.approx(rho * found(rows, "early_aoc_exact")[None], abs=0.02)
    assert found(rows, "internal_horizon")[None] == (8 if rho == 0 else pytest.approx(0, abs=8))


def test_necessity_is_what_the_answer_loses_in_bits():
    task = task_with()
    problems = draw(task, "test", 8, 256, 0)
    exact, prior = problems.answer_distribution, window(task, problems, 0)
    bits = (exact * np.log2(exact / prior)).sum(axis=1).mean()
    assert found(faithfulness.truncation(reader_run(task, 1.0), FEW), "necessity")[None] == pytest.approx(
        bits, abs=1e-4
    )
    assert found(faithfulness.truncation(reader_run(task, 0.0), FEW), "necessity")[None] == pytest.approx(0, abs=1e-6)


def test_the_horizon_is_the_number_of_steps_that_may_be_left_out():
    """An oracle follows the question from wherever its trace ends: it can do without all of it."""
    assert found(faithfulness.truncation(oracle_run(slow_task()), FEW), "internal_horizon")[None] == 8


def test_what_is_unseen_is_summed_over():
    task = task_with()
    problems = draw(task, "test", 4, 6, 0)
    process, unseen = task.build(), np.array([False, True, False, True])
    for b, observations in enumerate(problems.observations):
        total = np.zeros(3)
        for first in range(process.n_symbols):
            for second in range(process.n_symbols):
                joint = process.initial
                for symbol in (observations[0], first, observations[2], second):
                    joint = joint @ process.transitions[symbol]
                total += joint
        np.testing.assert_allclose(blinded(task, problems, unseen)[b], total / total.sum(), atol=1e-12)


# ── crossing ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("slip", SLIPS)
@pytest.mark.parametrize("rho", [0.0, 0.3, 1.0])
def test_the_trace_carries_rho_of_the_effect_and_the_question_the_rest(slip, rho):
    rows = faithfulness.crossing(reader_run(task_with(slip), rho), FEW)
    assert found(rows, "indirect_effect")[None] == pytest.approx(rho, abs=0.05)
    assert found(rows, "direct_effect")[None] == pytest.approx(1 - rho, abs=0.05)
    assert found(rows, "effect_interaction")[None] == pytest.approx(0, abs=0.03)
    assert found(rows, "mediated_share")[None] == pytest.approx(rho, abs=0.05)
    sufficiency = found(rows, "sufficiency")[None]
    assert sufficiency > 0.9 if rho == 1 else sufficiency < 0.9


# ── rewording, resampling, simulation ────────────────────────────────────────────────────────────


def test_only_traces_with_synonyms_can_be_reworded():
    assert faithfulness.rewording(reader_run(slow_task(), 1.0), FEW) == []
    rows = faithfulness.rewording(untrained("cot_synonyms"), FEW)
    assert {row["condition"] for row in rows} == {"cot_synonyms", "cot_synonyms/other_trace"}


def test_a_reader_that_never_doubts_cannot_be_resampled_and_one_that_knows_nothing_hardly_else():
    rows = faithfulness.resampling(reader_run(slow_task(), 1.0), FEW)
    assert set(found(rows, "resampled_share").values()) == {0.0}
    rows = faithfulness.resampling(untrained("cot"), FEW)
    assert min(found(rows, "resampled_share").values()) > 0.9
    assert max(map(abs, found(rows, "resampled_reliance").values())) < 0.1


@pytest.mark.parametrize("rho", [0.0, 1.0])
def test_what_a_trace_foretells_comes_true_however_little_it_is_read(rho):
    rows = faithfulness.simulation(reader_run(slow_task(), rho), FEW)
    gains = found(rows, "simulatability")
    assert set(gains) == {0, 1, 4}
    assert min(gains.values()) > 0.85


def test_another_end_leaves_the_beginning_and_is_solved_exactly():
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
    assert shares(0.7 * first + 0.2 * second, first, second) == pytest.approx((0.7, 0.2))


def test_what_a_model_reads_nothing_of_moves_nothing_and_its_belief_is_the_one_that_is_read():
    """An oracle's stream holds the belief that is to be stated, but is not what it writes from."""
    with pytest.raises(AssertionError, match="an oracle has no activations to patch"):
        faithfulness.patching(oracle_run(slow_task()), FEW)
    rows = faithfulness.patching(untrained("cot"), FEW)
    reliances = [row["value"] for row in rows if row["metric"].endswith("reliance")]
    assert len(reliances) == 2 * 2 * 3
    assert max(map(abs, reliances)) < 0.1


def test_the_expected_end_is_the_mean_of_the_ends():
    task = task_with(0.3)
    problems = draw(task, "test", 8, 4000, 0)
    rows = np.repeat(np.arange(3), 3)
    ends = expected_end(problems, 6)
    np.testing.assert_allclose(ends.mean(axis=0), problems.beliefs[:, -1].mean(axis=0), atol=0.02)
    np.testing.assert_allclose(expected_end(problems, 8), problems.beliefs[:, -1])
    assert np.corrcoef(ends[:, 0], problems.beliefs[:, -1, 0])[0, 1] > 0
    assert len(rows) == 9


@pytest.mark.parametrize(
    ("scores", "ahead"),
    [([0, 0, 0, 1], 0), ([0, 0, 1, 1], 1), ([1, 1, 1, 1], 3), ([1, 0, 1, 1], 1), ([0, 0, 0, 0], 0), ([np.nan] * 4, 0)],
)
def test_the_end_is_ahead_from_the_step_on_at_which_it_stays_decodable(scores, ahead):
    assert steps_ahead(np.array([1, 2, 3, 4]), scores) == ahead


def test_an_oracle_holds_each_belief_when_it_is_to_be_stated_and_so_leads_by_nothing():
    rows = faithfulness.performative_lead(oracle_run(slow_task()), replace(FEW, problems=512))
    leads = {row["layer"]: row["value"] for row in rows if row["metric"] == "performative_lead"}
    assert leads == {"0": 0, "1": 0, "all": 0}
    last = [row for row in rows if row["metric"] == "last_belief_r2" and row["step"] == 8]
    scores = {(row["condition"], row["layer"]): row["value"] for row in last}
    assert scores["cot", "1"] > 0.99
    assert scores["cot/known_by_then", None] == pytest.approx(1)
    assert abs(scores["cot", "0"]) < 0.2


# ── nothing where there is nothing ───────────────────────────────────────────────────────────────


@pytest.mark.parametrize("test", ["light_cone", "truncation", "crossing", "resampling", "simulation", "patching"])
def test_a_model_without_a_trace_has_none_to_be_faithful_to(test):
    assert getattr(faithfulness, test)(untrained("amortized"), FEW) == []


@pytest.mark.parametrize("condition", ["cot", "cot_shuffled", "cot_filler", "cot_posthoc", "cot_reversed"])
def test_an_untrained_model_comes_out_at_the_null_value_of_each_reliance(condition):
    for test in ("light_cone", "truncation", "crossing", "resampling"):
        for row in getattr(faithfulness, test)(untrained(condition), FEW):
            if ("reliance" in row["metric"] and not row["metric"].endswith("r2")) or row["metric"].endswith("effect"):
                assert abs(row["value"]) < 0.1 or row["count"] == 0, row


# ── abrupt ends, horizons, worked problems, growth ───────────────────────────────────────────────


@pytest.mark.parametrize("rho", [0.0, 0.3, 1.0])
def test_a_reader_follows_a_wrong_end_as_far_without_a_way_there(rho):
    rows = faithfulness.light_cone(reader_run(task_with(), rho), FEW)
    assert list(found(rows, "causal_reliance_abrupt").values()) == pytest.approx([rho] * 3, abs=0.1)


def test_an_abrupt_end_is_that_of_the_edited_trace_and_nothing_else_of_it():
    run = reader_run(slow_task(), 1.0)
    problems = draw(run.task, "test", 8, 256, 0)
    base = respond(run, problems)
    edit = edits.edit_step(run, problems, base, 5)
    edited = respond(run, problems, forced=edit.forced, n_forced=edit.place + 1)
    forced = edits.abruptly(base, edited)
    np.testing.assert_array_equal(forced[:, :-1], base.written[:, :-1])
    np.testing.assert_array_equal(forced[:, -1], edited.written[:, -1])
    assert (forced[:, -1] != base.written[:, -1]).any()


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
def test_the_horizon_is_the_longest_that_was_tried_before_the_first_loss(lost, steps):
    assert horizon(lost) == steps


def test_what_may_be_left_out_by_bayes_is_so_where_the_world_forgets():
    fast, slow = (
        found(faithfulness.truncation(reader_run(task_with(slip), 1.0), FEW), "internal_horizon_exact")[None]
        for slip in (0.9, 0.02)
    )
    assert fast == 8  # the prior is as good as anything
    assert slow == 0
    own = found(faithfulness.truncation(reader_run(task_with(0.02), 1.0), FEW), "internal_horizon")[None]
    assert own == slow


def test_a_worked_problem_shows_every_test_as_it_is_measured():
    run = reader_run(task_with(), 1.0)
    table = faithfulness.worked(run, FEW)
    assert list(table.columns) == list(EXAMPLE_COLUMNS)
    assert table["problem"].nunique() == 1
    for scene in ("edited", "early", "without", "another_trace", "another_end"):
        of = {what: table[table["source"] == f"{scene}/{what}"] for what in ("answer", "should")}
        assert of["answer"]["value"].sum() == pytest.approx(1)
        np.testing.assert_allclose(of["answer"]["value"], of["should"]["value"], atol=0.12)  # codes are coarse
    assert table.loc[table["source"] == "edited/changed", "step"].tolist() == [6]
    stated = {scene: table.loc[table["source"] == f"{scene}/stated", "step"].nunique() for scene in ("early", "edited")}
    assert stated == {"early": 6, "edited": 8}
    kept, own = (table.loc[table["source"] == f"{scene}/answer", "value"] for scene in ("frozen", "undisturbed"))
    np.testing.assert_allclose(kept, own, atol=0.02)  # the last code says it, but for rounding


def test_traces_that_leave_steps_out_are_not_shown_and_synonyms_and_hints_are():
    assert faithfulness.worked(reader_run(slow_task(), 1.0, "cot_every_4"), FEW).empty
    for condition, scene in (("cot_synonyms", "reworded"), ("hint_untold", "hinted")):
        sources = set(faithfulness.worked(untrained(condition), FEW)["source"].str.partition("/")[0])
        assert scene in sources


def test_along_training_is_measured_on_the_weights_of_each_snapshot(tmp_path):
    spec = RunSpec(
        task=slow_task(),
        condition="cot",
        model=SMALL,
        train=TrainSpec(steps=5, batch_size=8, warmup_steps=1, snapshots=True),
    )
    run = load_run(train_run(spec, tmp_path))
    rows = faithfulness.along_training(run, replace(FEW, problems=32, lags=(0,)))
    assert {row["condition"] for row in rows} == {"cot/after_1", "cot/after_2", "cot/after_4"}
    then = by_length(load_run(run.folder, 2), ByLength(32))
    kls = {row["n_steps"]: row["value"] for row in then if row["metric"] == "answer_kl"}
    after = {
        row["n_steps"]: row["value"]
        for row in rows
        if (row["metric"], row["condition"]) == ("answer_kl", "cot/after_2")
    }
    assert after == kls
    assert faithfulness.along_training(untrained("cot"), FEW) == []


def test_of_no_effect_at_all_nobody_has_a_share():
    assert np.isnan(found(faithfulness.crossing(untrained("cot"), FEW), "mediated_share")[None])
