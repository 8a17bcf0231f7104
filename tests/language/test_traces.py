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
    assert (trace.block, trace.sampled) == ("code", False)
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
    assert (trace.block, trace.sampled) == ("state", True)
    if task.query.kind == "filter":
        np.testing.assert_array_equal(trace.tokens[:, -1], vocabulary.state(problems.answers))


@given(task_fields(), st.sampled_from([*TRACES, "every_2"]))
def test_tokens_of_a_trace_lie_in_its_block(fields, name):
    task = small_task(**fields)
    vocabulary = task_vocabulary(task)
    trace = resolve_trace(name)(draw(task, "train", 5, 20, 0), vocabulary)
    block = vocabulary.blocks[trace.block]
    assert ((trace.tokens >= block.start) & (trace.tokens < block.stop)).all()
    assert trace.tokens.shape[1] == len(trace.steps)


@pytest.mark.parametrize("name", ["believe", "every_0", "every_", "every_4x", "every_-1", ""])
def test_an_unknown_trace_is_an_error_that_names_those_there_are(name):
    says = f"no trace named '{name}'; there are none, belief, state and every_<k>, as in every_4"
    with pytest.raises(ValueError, match=says):
        resolve_trace(name)
