"""A response holds the trace that the model writes, or the edited one, and the columns of its steps."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.evaluation.oracle import SMALL, oracle_run, slow_task
from tests.evaluation.untrained import untrained_run
from unamortized.language.layout import Examples
from unamortized.language.vocabulary import ANSWER
from unamortized.learning import rollouts
from unamortized.learning.rollouts import respond, sites
from unamortized.models.decoding import Patch
from unamortized.worlds.splits import draw

CONDITIONS = ("amortized", "cot", "cot_every_4", "cot_state")
LAST = "blocks.0.hook_resid_post"


def random_codes(run, problems):
    return np.random.default_rng(0).integers(run.vocabulary.codebook.size, size=problems.observations.shape)


# ── sites ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("start", ["fixed", "known"])
@pytest.mark.parametrize("condition", CONDITIONS)
def test_the_sites_of_a_step_are_its_observation_and_the_column_before_its_statement(condition, start):
    run = oracle_run(slow_task(start=start), condition)
    problems = draw(run.task, "test", 9, 8, 0)
    examples: Examples = run.render(problems)
    trace = run.language.kind(problems, run.vocabulary)
    columns = sites(examples)
    np.testing.assert_array_equal(
        examples.tokens[:, columns["question"]], run.vocabulary.observation(problems.observations)
    )
    if condition == "amortized":
        assert (examples.tokens[:, columns["about_to_state"]] == ANSWER).all()
    else:
        np.testing.assert_array_equal(examples.tokens[:, columns["about_to_state"] + 1], trace.tokens)


@pytest.mark.parametrize("start", ["fixed", "known"])
@pytest.mark.parametrize("condition", CONDITIONS)
def test_activations_taken_at_a_site_hold_the_belief_of_its_step(condition, start):
    run = oracle_run(slow_task(start=start), condition)
    problems = draw(run.task, "test", 9, 8, 0)
    response = respond(run, problems, taps=[LAST])
    at_answer = np.array([9])
    steps = {"question": np.arange(1, 10), "about_to_state": at_answer if condition == "amortized" else None}
    for site, columns in response.columns.items():
        wanted = response.trace_steps if steps[site] is None else steps[site]
        expected = problems.beliefs[:, wanted] @ run.model.map
        np.testing.assert_allclose(response.taps[LAST][:, columns], expected, atol=1e-5)


def test_a_trace_too_short_for_a_step_is_read_at_the_answer_mark():
    run = oracle_run(slow_task(), "cot_every_4")
    problems = draw(run.task, "test", 3, 8, 0)
    response = respond(run, problems)
    assert response.trace_steps.size == 0
    assert run.render(problems).tokens[0, response.columns["about_to_state"]].tolist() == [ANSWER]


# ── what is written ──────────────────────────────────────────────────────────────────────────────


def test_the_model_writes_its_own_trace_and_is_never_shown_the_exact_one():
    run, other = oracle_run(slow_task()), draw(slow_task(), "test", 8, 64, 1)
    problems = draw(run.task, "test", 8, 64, 0)
    blind = replace(problems, beliefs=other.beliefs, latents=other.latents, answers=other.answers)
    np.testing.assert_array_equal(respond(run, blind).written, respond(run, problems).written)
    np.testing.assert_array_equal(respond(run, blind).answers, respond(run, problems).answers)


def test_a_known_start_reaches_the_model():
    run = oracle_run(slow_task(start="known"), "amortized")
    problems = draw(run.task, "test", 8, 64, 0)
    np.testing.assert_allclose(respond(run, problems).answers, problems.answer_distribution, atol=1e-12)


def test_only_every_fourth_step_is_stated():
    run = oracle_run(slow_task(), "cot_every_4", from_question=True)
    problems = draw(run.task, "test", 10, 64, 0)
    response = respond(run, problems)
    np.testing.assert_array_equal(response.trace_steps, [4, 8])
    np.testing.assert_array_equal(response.written, run.vocabulary.codebook.encode(problems.beliefs[:, [4, 8]]))


def test_forced_steps_are_taken_and_the_model_goes_on_from_them():
    run = oracle_run(slow_task())
    problems = draw(run.task, "test", 8, 64, 0)
    forced = random_codes(run, problems)
    response = respond(run, problems, forced=forced, n_forced=3)
    np.testing.assert_array_equal(response.written[:, :3], forced[:, :3])
    transitions = run.task.build().transitions[problems.observations[:, 3]]
    joint = np.einsum("bi,bij->bj", run.model.meanings[forced[:, 2]], transitions)
    fourth = run.vocabulary.codebook.encode(joint / joint.sum(axis=1, keepdims=True))
    np.testing.assert_array_equal(response.written[:, 3], fourth)


def test_by_default_all_steps_are_forced():
    run = oracle_run(slow_task())
    problems = draw(run.task, "test", 8, 64, 0)
    forced = random_codes(run, problems)
    response = respond(run, problems, forced=forced)
    np.testing.assert_array_equal(response.written, forced)
    np.testing.assert_allclose(response.answers, run.model.meanings[forced[:, -1]], atol=1e-6)


def test_with_no_step_forced_the_model_writes_freely():
    run = oracle_run(slow_task())
    problems = draw(run.task, "test", 8, 64, 0)
    response = respond(run, problems, forced=random_codes(run, problems), n_forced=0)
    np.testing.assert_array_equal(response.written, respond(run, problems).written)


def several_blocks(run):
    """The vocabulary block of each token of a trace of eight steps."""
    return np.array([run.vocabulary.blocks[block].start for block in FETCHED[run.spec.condition] * 8])


FETCHED = {"cot_copied": ("observation", "code"), "cot_indexed": ("index", "code")}


@pytest.mark.parametrize("coupled", [True, False])
@pytest.mark.parametrize("condition", FETCHED)
def test_the_stated_codes_of_a_trace_that_fetches_leave_out_the_fetched_tokens(condition, coupled):
    run = untrained_run(condition, SMALL.model_copy(update={"coupled": coupled}))
    problems = draw(run.task, "test", 8, 30, 0)
    response = respond(run, problems)
    assert response.written.shape == (30, 16)
    np.testing.assert_array_equal(response.stated, response.written[:, 1::2])
    np.testing.assert_array_equal(response.trace_steps, np.arange(1, 9))
    assert response.written.min() >= 0
    most = [{"observation": 5, "index": 64, "code": 231}[block] for block in FETCHED[condition]]
    assert (response.written.max(axis=0) < most * 8).all()
    examples = run.render(problems)
    stated = examples.tokens[:, response.columns["about_to_state"] + 1]
    np.testing.assert_array_equal(stated, run.vocabulary.code(run.vocabulary.encode(problems.beliefs[:, 1:])))
    observed = examples.tokens[:, response.columns["question"]]
    np.testing.assert_array_equal(observed, run.vocabulary.observation(problems.observations))


@pytest.mark.parametrize("condition", FETCHED)
def test_the_model_reads_forced_tokens_of_several_blocks(condition):
    run = untrained_run(condition)
    problems = draw(run.task, "test", 8, 30, 0)
    exact = run.language.kind(problems, run.vocabulary).tokens - several_blocks(run)
    shown = respond(run, problems, forced=exact)
    np.testing.assert_array_equal(shown.written, exact)
    examples = run.render(problems)
    read = (torch.from_numpy(examples.tokens[:, :-1]), torch.from_numpy(examples.positions[None, :-1]))
    with torch.no_grad():
        answers = run.model(*read).logits[:, -1, run.vocabulary.blocks["answer"]].double().softmax(dim=-1)
    np.testing.assert_allclose(shown.answers, answers.numpy(), atol=1e-5)
    half = respond(run, problems, forced=exact, n_forced=5)
    np.testing.assert_array_equal(half.written[:, :5], exact[:, :5])
    np.testing.assert_array_equal(half.written[:, :5], respond(run, problems, forced=half.written).written[:, :5])
    assert respond(run, problems, truncate=3).written.shape == (30, 3)


def test_randomized_ids_are_the_same_whenever_the_same_problems_are_answered():
    run = untrained_run(model=SMALL.model_copy(update={"positions": "randomized", "max_positions": 64}))
    problems = draw(run.task, "test", 8, 30, 0)
    free = respond(run, problems)
    np.testing.assert_array_equal(respond(run, problems).answers, free.answers)
    forced = respond(run, problems, forced=free.written)  # read in one pass, which rounds otherwise
    np.testing.assert_allclose(forced.answers, free.answers, atol=1e-7)
    assert run.render(problems).positions.max() > 9  # not the coupled ids themselves


# ── draws and chunks ─────────────────────────────────────────────────────────────────────────────


def test_sampled_traces_are_reproducible_and_differ_between_draws_and_seeds():
    run = oracle_run(slow_task(), "cot_state")
    problems = draw(run.task, "test", 8, 64, 0)
    first = respond(run, problems).written
    np.testing.assert_array_equal(first, respond(run, problems, draw=0).written)
    assert (first != respond(run, problems, draw=1).written).any()
    assert (first != respond(oracle_run(run.task, "cot_state", seed=1), problems).written).any()


def test_sampled_states_are_draws_from_the_exact_posterior():
    run = oracle_run(slow_task(), "cot_state")
    one = draw(run.task, "test", 4, 1, 0)
    last = respond(run, one.take(np.zeros(8192, dtype=int))).written[:, -1]
    shares = np.bincount(last, minlength=3) / len(last)
    np.testing.assert_allclose(shares, one.beliefs[0, -1], atol=0.03)


@pytest.mark.parametrize("condition", ["amortized", "cot"])
def test_chunks_do_not_change_answers_traces_or_activations(condition, monkeypatch):
    run = untrained_run(condition)
    problems = draw(run.task, "test", 8, 30, 0)
    whole = respond(run, problems, taps=[LAST])
    monkeypatch.setattr(rollouts, "CHUNK", 7)
    parts = respond(run, problems, taps=[LAST])
    np.testing.assert_array_equal(parts.written, whole.written)
    np.testing.assert_allclose(parts.answers, whole.answers, atol=1e-6)
    np.testing.assert_allclose(parts.taps[LAST], whole.taps[LAST], atol=1e-5)


def test_forced_traces_and_patches_are_chunked_with_their_problems(monkeypatch):
    run = untrained_run()
    problems = draw(run.task, "test", 8, 30, 0)
    forced = random_codes(run, problems)
    value = torch.randn(30, SMALL.width)
    patch = Patch(LAST, column=4, value=value)
    whole = respond(run, problems, forced=forced, patches=[patch], taps=[LAST])
    assert np.abs(whole.answers - respond(run, problems, forced=forced).answers).max() == 0  # read by no later block
    np.testing.assert_array_equal(whole.taps[LAST][:, 4], value.numpy())
    monkeypatch.setattr(rollouts, "CHUNK", 7)
    parts = respond(run, problems, forced=forced, patches=[patch], taps=[LAST])
    np.testing.assert_array_equal(parts.written, forced)
    np.testing.assert_allclose(parts.taps[LAST], whole.taps[LAST], atol=1e-5)


def test_answers_are_distributions():
    answers = respond(untrained_run(), draw(slow_task(), "test", 8, 30, 0)).answers
    np.testing.assert_allclose(answers.sum(axis=1), 1, atol=1e-12)
