"""Tests of faithfulness accept every trace and query, and give no rows where they would be wrong."""

from dataclasses import replace

import numpy as np
import pytest

from tests.evaluation.oracle import slow_task
from tests.evaluation.untrained import by_step, untrained_run
from tests.small_tasks import IN_CONTEXT
from unamortized.evaluation import faithfulness
from unamortized.evaluation.bayes_reader import reader_run
from unamortized.evaluation.faithfulness import FaithfulnessSettings
from unamortized.evaluation.rows import COLUMNS
from unamortized.language.traces import draw_hints
from unamortized.language.vocabulary import HINT_STRENGTHS
from unamortized.learning import rollouts
from unamortized.learning.rollouts import exact_answers, respond
from unamortized.worlds.splits import draw

FEW = FaithfulnessSettings(problems=256, lags=(0, 1, 4), draws=2)
OF_RUNS = (
    *("light_cone", "truncation", "crossing", "rewording", "resampling", "simulation", "hints", "performative_lead"),
    *("patching", "undisturbed", "worked", "on_untrained"),
)


@pytest.mark.parametrize(
    ("condition", "fields"),
    [
        ("cot", {"query": "predict 1"}),
        ("hint_untold", {"query": "predict 1"}),
        ("cot", {"query": "smooth 2", "steps": {"train": [3, 8], "test": [4, 8]}}),
        ("cot", {"steps": {"train": [1, 1], "test": [1]}}),
        ("cot_copied", {}),
        ("cot_indexed", {}),
        ("cot_every_4", {}),
        ("cot_reversed", {}),
        ("cot_posthoc", {}),
        ("cot_filler", {}),
        ("cot_state", {}),
        ("dial_0.5_told", {}),
        ("cot", IN_CONTEXT),
        ("cot", {"process": {"family": "tom_quantum"}, "query": "predict 1", "codebook": {"resolution": 4}}),
    ],
    ids=lambda value: str(value)[:40],
)
def test_every_test_accepts_every_trace_and_query(condition, fields):
    run, few = untrained_run(condition, **fields), FaithfulnessSettings(problems=16, lags=(0, 1, 99), draws=1)
    for name in OF_RUNS:
        rows = getattr(faithfulness, name)(run, few)
        if name != "worked":
            keys = [tuple(row[key] for key in COLUMNS if key not in ("value", "count")) for row in rows]
            assert len(set(keys)) == len(keys), name


@pytest.mark.parametrize("condition", ["hint_told", "hint_untold"])
def test_hinted_questions_are_skipped_and_their_exact_answers_know_the_hint(condition):
    run = untrained_run(condition)
    silent = [name for name in OF_RUNS if name not in ("hints", "worked")]
    assert [name for name in silent if getattr(faithfulness, name)(run, FEW)] == []
    problems = draw(run.task, "test", 8, 700, 0)
    exact, hints = exact_answers(run, problems), draw_hints(problems)
    expected = problems.answer_distribution.copy()
    expected[np.arange(700), hints.answers] *= np.exp(np.array(HINT_STRENGTHS)[hints.levels])
    np.testing.assert_allclose(exact, expected / expected.sum(axis=1, keepdims=True))
    plain = untrained_run("cot")
    np.testing.assert_array_equal(exact_answers(plain, problems), problems.answer_distribution)


def test_hints_do_not_depend_on_how_many_problems_are_answered_at_a_time(monkeypatch):
    run = untrained_run("hint_told")
    problems = draw(run.task, "test", 8, 60, 0)
    whole = respond(run, problems)
    monkeypatch.setattr(rollouts, "CHUNK", 17)
    parts = respond(run, problems)
    np.testing.assert_allclose(parts.answers, whole.answers, atol=1e-5)
    np.testing.assert_array_equal(parts.written, whole.written)


def test_tasks_that_readers_cannot_read_have_no_rows_of_readers():
    settings = FaithfulnessSettings(problems=8, lags=(0,), draws=1)
    for fields in ({"query": "predict 1"}, IN_CONTEXT):
        assert faithfulness.on_readers(slow_task(**fields), 0, settings) == []
    rows = faithfulness.on_readers(slow_task(), 0, settings)
    assert {row["condition"] for row in rows} == {f"reader_{rho:g}" for rho in faithfulness.RHOS}


@pytest.mark.parametrize("wrong", [{"problems": 1}, {"draws": 0}])
def test_settings_without_problems_or_draws_are_refused(wrong):
    with pytest.raises(ValueError, match="at least two problems, to edit one by another, and one draw"):
        FaithfulnessSettings(**wrong)


@pytest.mark.parametrize("rho", [0.0, 0.5, 1.0])
def test_a_resampled_step_is_judged_from_the_meaning_of_the_own_step(rho, monkeypatch):
    """The reader doubts between its last code and the next one; the answer moves from the meaning of its own code."""
    run = reader_run(slow_task(), rho)
    decided = type(run.model).probabilities

    def undecided(reader, read):
        sure = decided(reader, read)
        writes = sure.shape[1] == reader.vocabulary.codebook.size
        return 0.6 * sure + 0.4 * np.roll(sure, 1, axis=1) if writes else sure

    monkeypatch.setattr(type(run.model), "probabilities", undecided)
    rows = faithfulness.resampling(run, replace(FEW, lags=(0,)))
    assert by_step(rows, "resampled_reliance")[0] == pytest.approx(rho, abs=0.05)  # .89 from the exact answer


def test_undisturbed_answers_are_those_on_the_problems_that_edits_move():
    run = reader_run(slow_task(), 0.0)
    rows = {row["step"]: row for row in faithfulness.undisturbed(run, FEW)}
    cone = [row for row in faithfulness.light_cone(run, FEW) if row["metric"] == "causal_reliance"]
    kept = {row["step"]: row["count"] for row in cone if not row["control"]}
    assert set(kept) == set(FEW.lags)
    assert {lag: row["count"] for lag, row in rows.items()} == kept
    assert max(abs(row["value"]) for row in rows.values()) < 1e-9
    direct = {row["step"]: row for row in faithfulness.undisturbed(untrained_run("amortized"), FEW)}
    assert {lag: row["count"] for lag, row in direct.items()} == kept  # the same ones without a trace
