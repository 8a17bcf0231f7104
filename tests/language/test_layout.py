"""Columns: which token stands where, what it states, and which id its producer carries. Nothing is one off."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.small_tasks import small_task, task_fields
from unamortized.language.layout import NO_STEP, Examples, lay_out
from unamortized.language.traces import resolve_trace
from unamortized.language.vocabulary import ANSWER, THINK, Vocabulary, task_vocabulary
from unamortized.worlds.problems import Problems
from unamortized.worlds.splits import draw

TRACES = st.sampled_from(["none", "belief", "state", "every_2", "every_3", "every_9"])
given_any_task = given(task_fields(), st.integers(2, 7), TRACES)


def laid_out(fields: dict, n_steps: int, trace: str, coupled: bool = True) -> tuple[Problems, Vocabulary, Examples]:
    task = small_task(**fields)
    problems, vocabulary = draw(task, "train", n_steps, 4, 0), task_vocabulary(task)
    rendered = resolve_trace(trace)(problems, vocabulary)
    return problems, vocabulary, lay_out(problems, rendered, vocabulary, coupled)


def kinds(vocabulary: Vocabulary, examples: Examples) -> list[str]:
    """The kind of token in each column; marks by their name."""
    tokens = examples.tokens[0].tolist()
    names = [vocabulary.kind(token)[0] for token in tokens]
    marks = {THINK: "<think>", ANSWER: "<answer>"}
    return [marks.get(token, name) for token, name in zip(tokens, names, strict=True)]


@given_any_task
def test_the_order_is_start_question_think_trace_answer(fields, n_steps, trace):
    problems, vocabulary, examples = laid_out(fields, n_steps, trace)
    rendered = resolve_trace(trace)(problems, vocabulary)
    n_written = len(rendered.steps)
    expected = ["state"] if (problems.start == "known") else []
    expected += ["observation"] * n_steps
    expected += ["<think>", *[rendered.block] * n_written] if n_written else []
    assert kinds(vocabulary, examples) == [*expected, "<answer>", "answer"]
    columns = examples.tokens.shape[1]
    assert {len(column) for column in examples[1:]} == {columns}


@given_any_task
def test_tokens_give_back_the_problem_and_its_trace(fields, n_steps, trace):
    problems, vocabulary, examples = laid_out(fields, n_steps, trace)
    for b, row in enumerate(examples.tokens.tolist()):
        told = [vocabulary.kind(token) for token in row]
        assert [n for kind, n in told if kind == "observation"] == problems.observations[b].tolist()
        assert told[-1] == ("answer", problems.answers[b])
        if problems.start == "known":
            assert told[0] == ("state", problems.latents[b, 0])


@given_any_task
def test_a_column_of_step_t_holds_the_observation_or_the_statement_of_step_t(fields, n_steps, trace):
    problems, vocabulary, examples = laid_out(fields, n_steps, trace)
    asked = kinds(vocabulary, examples)
    first_trace = n_steps + (problems.start == "known")
    for column, step in enumerate(examples.steps):
        if column >= first_trace and step != NO_STEP:
            codes = vocabulary.codebook.encode(problems.beliefs[:, step])
            stated = problems.latents[:, step] if trace == "state" else codes
            block = vocabulary.blocks["state" if trace == "state" else "code"]
            np.testing.assert_array_equal(examples.tokens[:, column] - block.start, stated)
        elif step >= 1:
            expected = vocabulary.observation(problems.observations[:, step - 1])
            np.testing.assert_array_equal(examples.tokens[:, column], expected)
        elif step == 0:
            assert (column, asked[column]) == (0, "state")
        else:
            assert asked[column] in ("<think>", "<answer>", "answer")
    assert (examples.steps[:first_trace] != NO_STEP).all()


@given_any_task
def test_the_column_before_a_statement_of_step_t_carries_the_id_of_observation_t(fields, n_steps, trace):
    problems, _, examples = laid_out(fields, n_steps, trace)
    question = n_steps + (problems.start == "known")
    id_of_observation = dict(zip(examples.steps[:question], examples.positions[:question], strict=True))
    assert [id_of_observation[t] for t in range(1, n_steps + 1)] == list(range(1, n_steps + 1))
    assert id_of_observation.get(0, 0) == 0
    stating = [column for column in range(question, len(examples.steps)) if examples.steps[column] > 0]
    for column in stating:
        assert examples.produces[column - 1] == examples.steps[column]
        assert examples.positions[column - 1] == id_of_observation[examples.steps[column]]
    others = np.delete(np.arange(len(examples.steps)), np.array(stating, dtype=int) - 1)
    assert (examples.produces[others] == NO_STEP).all()


@given_any_task
def test_the_columns_that_lead_to_the_answer_carry_the_id_after_the_last_observation(fields, n_steps, trace):
    problems, vocabulary, examples = laid_out(fields, n_steps, trace)
    assert (examples.positions[-2:] == n_steps + 1).all()
    if "<think>" in kinds(vocabulary, examples):
        assert examples.positions[-3] == n_steps + 1  # the last statement, which leads to <answer>
    else:
        assert examples.positions[-3] == n_steps


@given_any_task
def test_weights_fall_on_the_trace_and_the_answer_only(fields, n_steps, trace):
    problems, vocabulary, examples = laid_out(fields, n_steps, trace)
    written = len(resolve_trace(trace)(problems, vocabulary).steps)
    question = n_steps + (problems.start == "known")
    think = 1 if written else 0
    expected = [0] * (question + think) + [1] * written + [0, 1]
    assert examples.weights.tolist() == expected
    assert examples.written.tolist() == [bool(weight) for weight in expected]


@given_any_task
def test_plain_ids_count_and_change_nothing_else(fields, n_steps, trace):
    _, _, coupled = laid_out(fields, n_steps, trace)
    _, _, plain = laid_out(fields, n_steps, trace, coupled=False)
    assert plain.positions.tolist() == list(range(plain.tokens.shape[1]))
    for name in set(Examples._fields) - {"positions"}:
        np.testing.assert_array_equal(getattr(plain, name), getattr(coupled, name))


@pytest.mark.parametrize(
    ("start", "trace", "positions", "steps", "produces"),
    [
        ("fixed", "none", [1, 2, 3, 4, 4], [1, 2, 3, -1, -1], [-1] * 5),
        (
            "fixed",
            "belief",
            [1, 2, 3, 1, 2, 3, 4, 4, 4],
            [1, 2, 3, -1, 1, 2, 3, -1, -1],
            [-1, -1, -1, 1, 2, 3, -1, -1, -1],
        ),
        (
            "known",
            "every_2",
            [0, 1, 2, 3, 2, 4, 4, 4],
            [0, 1, 2, 3, -1, 2, -1, -1],
            [-1, -1, -1, -1, 2, -1, -1, -1],
        ),
    ],
)
def test_three_layouts_written_out(start, trace, positions, steps, produces):
    examples = laid_out({"start": start}, 3, trace)[2]
    assert examples.positions.tolist() == positions
    assert examples.steps.tolist() == steps
    assert examples.produces.tolist() == produces
