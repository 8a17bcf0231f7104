"""Traces state the exact inference of the problem that they belong to."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.small_tasks import small_task, task_fields
from unamortized.language.traces import TRACES, resolve_trace
from unamortized.language.vocabulary import task_vocabulary
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
    kind = resolve_trace(name)
    vocabulary = task_vocabulary(task, 40 if kind.indexed else 0)
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
def test_an_indexed_trace_names_the_observations_as_the_question_does(fields, n_steps, n_indices):
    task = small_task(**fields)
    vocabulary, problems = task_vocabulary(task, n_indices), draw(task, "train", n_steps, 4, 0)
    trace = resolve_trace("indexed")(problems, vocabulary)
    np.testing.assert_array_equal(trace.tokens[:, ::2], trace.indices)
    np.testing.assert_array_equal(trace.tokens[:, 1::2], resolve_trace("belief")(problems, vocabulary).tokens)
    numbers = trace.indices - vocabulary.blocks["index"].start
    assert (np.diff(numbers, axis=1) == 1).all()
    assert (numbers[:, 0] >= 0).all()
    assert (numbers[:, -1] < n_indices).all()


def test_every_number_is_met_in_short_questions_and_depends_on_the_question_alone():
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


def test_where_numbers_begin_tells_nothing_of_the_split():
    """Both are hashes of the question; were they the same bits, tests would have numbers never met in training."""
    task = small_task(steps={"train": [6, 6], "test": [6]})
    vocabulary = task_vocabulary(task, 6 + 31)  # 32 beginnings: a multiple of the buckets of the splits
    shares = {}
    for split in ("train", "test"):
        indices = resolve_trace("indexed")(draw(task, split, 6, 3200, 0), vocabulary).indices
        assert indices is not None
        shares[split] = np.bincount(indices[:, 0] - vocabulary.blocks["index"].start, minlength=32)
    assert min(counts.min() for counts in shares.values()) > 40  # of 100 expected


def test_more_observations_than_numbers_are_an_error():
    task = small_task()
    with pytest.raises(ValueError, match="6 observations cannot be told apart by 5 index tokens; test shorter"):
        resolve_trace("indexed")(draw(task, "train", 6, 2, 0), task_vocabulary(task, 5))


def test_a_trace_is_cut_off_with_all_that_belongs_to_it():
    task = small_task()
    whole = resolve_trace("copied")(draw(task, "train", 5, 2, 0), task_vocabulary(task))
    cut = whole.first(3)
    assert (cut.tokens.tolist(), cut.steps.tolist()) == (whole.tokens[:, :3].tolist(), [1, 1, 2])
    assert (cut.blocks, cut.stating.tolist()) == (("observation", "code", "observation"), [1])
    assert whole.first(None).blocks == whole.blocks


@pytest.mark.parametrize("name", ["believe", "every_0", "every_", "every_4x", "every_-1", ""])
def test_an_unknown_trace_is_an_error_that_names_those_there_are(name):
    says = f"no trace named '{name}'; there are none, belief, state, copied, indexed and every_<k>, as in every_4"
    with pytest.raises(ValueError, match=says):
        resolve_trace(name)
