"""Traces state the exact inference of the problem that they belong to."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.small_tasks import small_task, task_fields
from unamortized.language.layout import NO_STEP, lay_out
from unamortized.language.traces import TRACES, TraceKind, draw_hints, informed, resolve_trace
from unamortized.language.vocabulary import HINT_STRENGTHS, task_vocabulary
from unamortized.worlds.splits import draw


@given(task_fields(), st.integers(2, 7), st.integers(1, 9))
def test_every_k_states_the_belief_after_each_kth_step(fields, n_steps, k):
    task = small_task(**fields)
    vocabulary, problems = task_vocabulary(task), draw(task, "train", n_steps, 5, 0)
    trace = resolve_trace(f"every_{k}")(problems, vocabulary)
    assert trace.steps.tolist() == [step for step in range(1, n_steps + 1) if step % k == 0]
    assert trace.tokens.shape == (5, n_steps // k)
    assert trace.blocks == ("code",) * (n_steps // k)
    assert trace.stating.tolist() == list(range(n_steps // k))
    assert not resolve_trace(f"every_{k}").sampled
    for b in range(5):
        for column, step in enumerate(trace.steps):
            kind, code = vocabulary.kind(int(trace.tokens[b, column]))
            assert kind == "code"
            assert code == vocabulary.codebook.encode(problems.beliefs[b, step])


@given(task_fields(), st.integers(2, 7))
def test_the_belief_trace_states_every_step_and_none_states_nothing(fields, n_steps):
    task = small_task(**fields)
    vocabulary, problems = task_vocabulary(task), draw(task, "train", n_steps, 3, 0)
    belief, every_1, none = (resolve_trace(name)(problems, vocabulary) for name in ("belief", "every_1", "none"))
    assert belief.steps.tolist() == list(range(1, n_steps + 1))
    np.testing.assert_array_equal(belief.tokens, every_1.tokens)
    assert none.tokens.shape == (3, 0)
    assert none.steps.shape == (0,)


@given(task_fields(), st.integers(2, 7))
def test_the_state_trace_is_the_latent_path_from_the_first_observation_on(fields, n_steps):
    task = small_task(**fields)
    vocabulary, problems = task_vocabulary(task), draw(task, "train", n_steps, 4, 0)
    trace = resolve_trace("state")(problems, vocabulary)
    np.testing.assert_array_equal(trace.tokens, vocabulary.state(problems.latents[:, 1:]))
    assert trace.steps.tolist() == list(range(1, n_steps + 1))
    assert trace.blocks == ("state",) * n_steps
    assert resolve_trace("state").sampled
    if task.query.kind == "filter":
        np.testing.assert_array_equal(trace.tokens[:, -1], vocabulary.state(problems.answers))


@given(task_fields(), st.sampled_from([*TRACES, "every_2"]))
def test_each_token_of_a_trace_lies_in_its_block(fields, name):
    task = small_task(**fields)
    assume(name != "hint_told" or task.query.kind == "filter")
    kind = resolve_trace(name)
    vocabulary = kind.vocabulary(task, 40)
    trace = kind(draw(task, "train", 5, 20, 0), vocabulary)
    for column, block in zip(trace.tokens.T, trace.blocks, strict=True):
        assert {vocabulary.kind(token)[0] for token in column.tolist()} == {block}
    assert trace.tokens.shape[1] == len(trace.steps)
    assert (trace.indices is not None) == kind.indexed


@given(task_fields(), st.integers(2, 7))
def test_a_copied_trace_alternates_observations_and_the_beliefs_after_them(fields, n_steps):
    task = small_task(**fields)
    vocabulary, problems = task_vocabulary(task), draw(task, "train", n_steps, 4, 0)
    trace = resolve_trace("copied")(problems, vocabulary)
    belief = resolve_trace("belief")(problems, vocabulary)
    np.testing.assert_array_equal(trace.tokens[:, ::2], vocabulary.observation(problems.observations))
    np.testing.assert_array_equal(trace.tokens[:, trace.stating], belief.tokens)
    assert trace.steps.tolist() == [step for step in range(1, n_steps + 1) for _ in range(2)]
    assert trace.stating.tolist() == list(range(1, 2 * n_steps, 2))


@given(task_fields(), st.integers(2, 7), st.integers(7, 30))
def test_an_indexed_trace_repeats_the_indices_of_the_question(fields, n_steps, n_indices):
    task = small_task(**fields)
    vocabulary, problems = task_vocabulary(task, n_indices), draw(task, "train", n_steps, 4, 0)
    trace = resolve_trace("indexed")(problems, vocabulary)
    np.testing.assert_array_equal(trace.tokens[:, ::2], trace.indices)
    np.testing.assert_array_equal(trace.tokens[:, 1::2], resolve_trace("belief")(problems, vocabulary).tokens)
    numbers = trace.indices - vocabulary.blocks["index"].start
    assert (np.diff(numbers, axis=1) == 1).all()
    assert (numbers[:, 0] >= 0).all()
    assert (numbers[:, -1] < n_indices).all()


def test_short_questions_use_every_index_and_the_question_decides_which():
    task = small_task()
    vocabulary, problems = task_vocabulary(task, 24), draw(task, "train", 6, 2000, 0)
    indices = resolve_trace("indexed")(problems, vocabulary).indices
    begins = indices[:, 0] - vocabulary.blocks["index"].start
    counts = np.bincount(begins, minlength=19)
    assert len(counts) == 19  # 24 - 6 + 1
    assert counts.min() > 0.5 * counts.mean()
    assert set(indices.flatten()) == set(range(vocabulary.blocks["index"].start, vocabulary.size))
    rows = np.arange(1999, -1, -3)
    np.testing.assert_array_equal(resolve_trace("indexed")(problems.take(rows), vocabulary).indices, indices[rows])


def test_the_first_index_is_independent_of_the_split():
    """Both are hashes of the question: with the same bits, tests would have indices that training never shows."""
    task = small_task(steps={"train": [6, 6], "test": [6]})
    vocabulary = task_vocabulary(task, 6 + 31)  # 32 beginnings: a multiple of the buckets of the splits
    shares = {}
    for split in ("train", "test"):
        indices = resolve_trace("indexed")(draw(task, split, 6, 3200, 0), vocabulary).indices
        assert indices is not None
        shares[split] = np.bincount(indices[:, 0] - vocabulary.blocks["index"].start, minlength=32)
    assert min(counts.min() for counts in shares.values()) > 40  # of 100 expected


def test_too_few_index_tokens_are_an_error():
    task = small_task()
    with pytest.raises(
        ValueError, match="6 observations need as many index tokens \\(got 5\\); test shorter questions"
    ):
        resolve_trace("indexed")(draw(task, "train", 6, 2, 0), task_vocabulary(task, 5))


def test_cutting_a_trace_cuts_its_steps_and_blocks():
    task = small_task()
    whole = resolve_trace("copied")(draw(task, "train", 5, 2, 0), task_vocabulary(task))
    cut = whole.first(3)
    assert (cut.tokens.tolist(), cut.steps.tolist()) == (whole.tokens[:, :3].tolist(), [1, 1, 2])
    assert (cut.blocks, cut.stating.tolist()) == (("observation", "code", "observation"), [1])
    assert whole.first(None).blocks == whole.blocks


# ── other orders, other spellings, and controls ──────────────────────────────────────────────────


@given(task_fields(), st.integers(2, 7))
def test_other_orders_write_the_codes_of_the_belief_trace(fields, n_steps):
    task = small_task(**fields)
    vocabulary, problems = task_vocabulary(task), draw(task, "train", n_steps, 4, 0)
    belief, *others = (
        resolve_trace(name)(problems, vocabulary) for name in ("belief", "posthoc", "streaming", "reversed")
    )
    orders = ["question, answer, trace", "question with trace, answer", "question, trace, answer"]
    assert [other.order for other in others] == orders
    for other, along in zip(others, (1, 1, -1), strict=True):
        np.testing.assert_array_equal(other.tokens[:, ::along], belief.tokens)
        np.testing.assert_array_equal(other.steps[::along], belief.steps)


def test_filler_repeats_one_token_without_loss():
    task = small_task()
    kind, problems = resolve_trace("filler"), draw(task, "train", 6, 3, 0)
    vocabulary = kind.vocabulary(task, 0)
    trace = kind(problems, vocabulary)
    assert (trace.tokens == vocabulary.size - 1).all()
    assert (trace.tokens.shape, trace.steps.tolist(), trace.stating.tolist()) == ((3, 6), [1, 2, 3, 4, 5, 6], [])
    assert trace.weights is not None
    assert not trace.weights.any()
    assert trace.first(2).weights.shape == (3, 2)


def test_a_shuffled_trace_is_the_trace_of_another_problem():
    task = small_task()
    vocabulary, problems = task_vocabulary(task), draw(task, "train", 6, 50, 0)
    shuffled, belief = (resolve_trace(name)(problems, vocabulary).tokens for name in ("shuffled", "belief"))
    assert sorted(map(tuple, shuffled)) == sorted(map(tuple, belief))
    assert [tuple(row) for row in shuffled[:-1]] == [tuple(row) for row in belief[1:]]


def test_dithered_codes_lie_near_the_belief_and_have_it_as_their_mean():
    task = small_task()
    vocabulary, generator = task_vocabulary(task), np.random.default_rng(0)
    beliefs = np.concatenate([generator.dirichlet([0.4] * 3, size=20), np.eye(3)])
    many = np.repeat(beliefs[:, None], 4000, axis=1)
    points = vocabulary.codebook.points[vocabulary.encode(many, generator.random(many.shape[:2]))]
    assert (np.abs(points - many) < 1 / vocabulary.codebook.resolution + 1e-9).all()
    np.testing.assert_allclose(points.mean(axis=1), beliefs, atol=0.015)
    problems = draw(task, "train", 6, 40, 0)
    once, again = (resolve_trace("dithered")(problems, vocabulary) for _ in range(2))
    np.testing.assert_array_equal(once.tokens, again.tokens)  # the questions key the draw
    assert (once.tokens != resolve_trace("belief")(problems, vocabulary).tokens).any()


def test_synonyms_state_the_same_codes_in_either_spelling():
    task, kind = small_task(), resolve_trace("synonyms")
    vocabulary, problems = kind.vocabulary(task, 0), draw(task, "train", 6, 400, 0)
    numbers = kind(problems, vocabulary).tokens - vocabulary.blocks["code"].start
    np.testing.assert_array_equal(numbers % 15, vocabulary.encode(problems.beliefs[:, 1:]))
    assert (numbers // 15).mean() == pytest.approx(0.5, abs=0.05)
    assert set((numbers // 15).flatten()) == {0, 1}


# ── hints ────────────────────────────────────────────────────────────────────────────────────────


def hinted_problems(size=6000):
    task = small_task()
    problems = draw(task, "train", 6, size, 0)
    return resolve_trace("hint_told").vocabulary(task, 0), problems, draw_hints(problems)


def test_hints_are_as_reliable_as_their_strength_and_bayes_rule_weighs_them_so():
    _, problems, hints = hinted_problems()
    for level, strength in enumerate(HINT_STRENGTHS):
        own = hints.levels == level
        assert own.mean() == pytest.approx(1 / 3, abs=0.03)
        expected = np.exp(strength) / (np.exp(strength) + 2)  # against two others
        assert (hints.answers == problems.answers)[own].mean() == pytest.approx(expected, abs=0.03)
    updated = informed(problems.answer_distribution, hints)
    confidence = updated.max(axis=1)
    right = problems.answers == updated.argmax(axis=1)
    for low in (0.4, 0.6, 0.8):
        there = (confidence >= low) & (confidence < low + 0.2)
        assert right[there].mean() == pytest.approx(confidence[there].mean(), abs=0.05)


def test_a_hint_ends_the_question_and_changes_only_the_last_code_of_a_trace_that_tells_it():
    vocabulary, problems, hints = hinted_problems(300)
    told, untold = (resolve_trace(name)(problems, vocabulary) for name in ("hint_told", "hint_untold"))
    np.testing.assert_array_equal(told.hint, vocabulary.hint(hints.answers, hints.levels))
    np.testing.assert_array_equal(told.hint, untold.hint)
    exact = resolve_trace("belief")(problems, vocabulary).tokens
    np.testing.assert_array_equal(untold.tokens, exact)
    np.testing.assert_array_equal(told.tokens[:, :-1], exact[:, :-1])
    beliefs = informed(problems.beliefs[:, -1], hints)
    np.testing.assert_array_equal(told.tokens[:, -1], vocabulary.code(vocabulary.encode(beliefs)))
    columns = lay_out(problems, told, vocabulary)
    np.testing.assert_array_equal(columns.tokens[:, 7], told.hint)
    assert (columns.positions[7], columns.steps[7], columns.written[7]) == (7, NO_STEP, False)


def test_a_trace_that_tells_a_hint_needs_an_answer_that_is_the_last_state():
    task = small_task(query="predict 1")
    kind = resolve_trace("hint_told")
    with pytest.raises(ValueError, match="trace hint_told needs an answer that is the last state; use query: filter"):
        kind(draw(task, "train", 6, 4, 0), kind.vocabulary(task, 0))


def test_told_end_ends_the_question_with_the_last_belief():
    task = small_task()
    vocabulary, problems = task_vocabulary(task), draw(task, "train", 6, 20, 0)
    trace = resolve_trace("told_end")(problems, vocabulary)
    np.testing.assert_array_equal(trace.hint, trace.tokens[:, -1])
    np.testing.assert_array_equal(trace.tokens, resolve_trace("belief")(problems, vocabulary).tokens)


UNKNOWN = ("believe", "every_0", "every_", "every_4x", "every_-1", "every_04", "every_2.5", "every4", "x_every_4", "")


@pytest.mark.parametrize("name", [*UNKNOWN, "every_" + 400 * "9"])
def test_an_unknown_trace_is_an_error_that_lists_the_known_ones(name):
    message = f"no trace named '{name}'; there are none, dense, belief, state, copied, .* and every_<k>, as in every_4"
    with pytest.raises(ValueError, match=message):
        resolve_trace(name)


def test_a_trace_states_each_step_once():
    task = small_task()
    problems = draw(task, "train", 4, 3, 0)

    def twice(problems, vocabulary):
        once = TRACES["belief"](problems, vocabulary)
        return once._replace(
            tokens=np.repeat(once.tokens, 2, axis=1), steps=np.repeat(once.steps, 2), blocks=once.blocks * 2
        )

    with pytest.raises(ValueError, match="a trace states each step at most once; step 1 is stated twice"):
        TraceKind(twice)(problems, task_vocabulary(task))
