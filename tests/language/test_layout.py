"""Layout: the token, the step and the position id of every column."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.small_tasks import GENERALIZED, KINDS, small_task, task_fields
from unamortized.language.layout import NO_STEP, NOWHERE, Examples, lay_out, randomized_ids
from unamortized.language.traces import resolve_trace
from unamortized.language.vocabulary import ANSWER, BOS, THINK, Vocabulary, task_vocabulary
from unamortized.worlds.problems import Problems
from unamortized.worlds.splits import draw

TRACES = st.sampled_from(["none", "reversed", "belief", "state", "every_2", "every_3", "every_9", "copied", "indexed"])
given_any_task = given(task_fields(), st.integers(2, 7), TRACES)


def laid_out(fields: dict, n_steps: int, trace: str, *how: Any) -> tuple[Problems, Vocabulary, Examples]:
    task = small_task(**fields)
    problems, vocabulary = draw(task, "train", n_steps, 4, 0), task_vocabulary(task, 20 if trace == "indexed" else 0)
    rendered = resolve_trace(trace)(problems, vocabulary)
    return problems, vocabulary, lay_out(problems, rendered, vocabulary, *how)


def asked_columns(problems: Problems, trace: str) -> int:
    """Columns of the question, with the mark that opens it."""
    return 1 + problems.n_steps * (2 if trace == "indexed" else 1) + (problems.start == "known")


def kinds(vocabulary: Vocabulary, examples: Examples) -> list[str]:
    """The kind of token in each column; marks by their name."""
    tokens = examples.tokens[0].tolist()
    names = [vocabulary.kind(token)[0] for token in tokens]
    marks = {BOS: "<bos>", THINK: "<think>", ANSWER: "<answer>"}
    return [marks.get(token, name) for token, name in zip(tokens, names, strict=True)]


@given_any_task
def test_the_order_is_bos_start_question_think_trace_answer(fields, n_steps, trace):
    problems, vocabulary, examples = laid_out(fields, n_steps, trace)
    rendered = resolve_trace(trace)(problems, vocabulary)
    expected = ["<bos>", "state"] if (problems.start == "known") else ["<bos>"]
    expected += ["index", "observation"] * n_steps if trace == "indexed" else ["observation"] * n_steps
    expected += ["<think>", *rendered.blocks] if rendered.blocks else []
    assert kinds(vocabulary, examples) == [*expected, "<answer>", "answer"]
    columns = examples.tokens.shape[1]
    assert {len(column) for column in examples[1:-1]} == {columns}
    assert examples.answer == columns - 1


@given_any_task
def test_tokens_contain_the_problem(fields, n_steps, trace):
    problems, vocabulary, examples = laid_out(fields, n_steps, trace)
    for b, row in enumerate(examples.tokens.tolist()):
        parsed = [vocabulary.kind(token) for token in row]
        seen = [n for kind, n in parsed if kind == "observation"]
        assert seen == problems.observations[b].tolist() * (2 if trace == "copied" else 1)
        assert parsed[-1] == ("answer", problems.answers[b])
        if problems.start == "known":
            assert parsed[1] == ("state", problems.latents[b, 0])


@given_any_task
def test_a_column_of_step_t_holds_the_observation_or_the_statement_of_step_t(fields, n_steps, trace):
    problems, vocabulary, examples = laid_out(fields, n_steps, trace)
    kind_of = kinds(vocabulary, examples)
    for column, step in enumerate(examples.steps):
        if step >= 1 and kind_of[column] != "observation":
            codes = vocabulary.codebook.encode(problems.beliefs[:, step])
            stated = problems.latents[:, step] if trace == "state" else codes
            block = vocabulary.blocks["state" if trace == "state" else "code"]
            np.testing.assert_array_equal(examples.tokens[:, column] - block.start, stated)
        elif step >= 1:
            expected = vocabulary.observation(problems.observations[:, step - 1])
            np.testing.assert_array_equal(examples.tokens[:, column], expected)
        elif step == 0:
            assert (column, kind_of[column]) == (1, "state")
        else:
            assert kind_of[column] in ("<bos>", "<think>", "<answer>", "answer", "index")
    stated_or_seen = [kind in ("observation", "code", "state") for kind in kind_of]
    assert ((examples.steps != NO_STEP) == stated_or_seen).all()


@given_any_task
def test_the_column_before_a_statement_of_step_t_carries_the_id_of_observation_t(fields, n_steps, trace):
    problems, vocabulary, examples = laid_out(fields, n_steps, trace)
    question = asked_columns(problems, trace)
    id_of_observation = dict(zip(examples.steps[:question], examples.positions[:question], strict=True))
    assert [id_of_observation[t] for t in range(1, n_steps + 1)] == list(range(1, n_steps + 1))
    assert id_of_observation.get(0, 0) == 0
    kind = kinds(vocabulary, examples)
    stating = [column for column in range(question, len(kind)) if kind[column] in ("code", "state")]
    for column in stating:
        assert examples.produces[column - 1] == examples.steps[column]
        assert examples.positions[column - 1] == id_of_observation[examples.steps[column]]
    others = np.delete(np.arange(len(examples.steps)), np.array(stating, dtype=int) - 1)
    assert (examples.produces[others] == NO_STEP).all()


@given(task_fields(), st.integers(2, 7), st.sampled_from(["copied", "indexed"]))
def test_a_fetched_token_and_the_token_before_it_carry_the_id_of_its_observation(fields, n_steps, trace):
    problems, vocabulary, examples = laid_out(fields, n_steps, trace)
    fetched = asked_columns(problems, trace) + 1 + 2 * np.arange(n_steps)  # after <think>
    ids = np.arange(1, n_steps + 1)
    np.testing.assert_array_equal(examples.positions[fetched - 1], ids)  # the code before, or <think>
    np.testing.assert_array_equal(examples.positions[fetched], ids)
    np.testing.assert_array_equal(examples.produces[fetched], ids)
    if trace == "copied":
        shown = vocabulary.observation(problems.observations)
    else:
        first = 1 + int(problems.start == "known")
        shown = examples.tokens[:, first : first + 2 * n_steps : 2]
        np.testing.assert_array_equal(examples.positions[first : first + 2 * n_steps], np.repeat(ids, 2))
    np.testing.assert_array_equal(examples.tokens[:, fetched], shown)


@given_any_task
def test_the_columns_that_lead_to_the_answer_carry_the_id_after_the_last_observation(fields, n_steps, trace):
    problems, vocabulary, examples = laid_out(fields, n_steps, trace)
    assert (examples.positions[-2:] == n_steps + 1).all()
    if "<think>" in kinds(vocabulary, examples):
        assert examples.positions[-3] == n_steps + 1  # the last statement, which leads to <answer>
    else:
        assert trace in ("none", "every_2", "every_3", "every_9")
        assert examples.positions[-3] == n_steps


@given_any_task
def test_weights_fall_on_the_trace_and_the_answer_only(fields, n_steps, trace):
    problems, vocabulary, examples = laid_out(fields, n_steps, trace)
    written = len(resolve_trace(trace)(problems, vocabulary).steps)
    question = asked_columns(problems, trace)
    think = 1 if written else 0
    expected = [0] * (question + think) + [1] * written + [0, 1]
    assert examples.weights.tolist() == expected
    assert examples.written.tolist() == [bool(weight) for weight in expected]


@given_any_task
def test_plain_ids_number_the_columns_and_change_nothing_else(fields, n_steps, trace):
    _, _, coupled = laid_out(fields, n_steps, trace)
    _, _, plain = laid_out(fields, n_steps, trace, False)
    assert plain.positions.tolist() == list(range(plain.tokens.shape[1]))
    for name in set(Examples._fields) - {"positions"}:
        np.testing.assert_array_equal(getattr(plain, name), getattr(coupled, name))


@pytest.mark.parametrize(
    ("start", "trace", "positions", "steps", "produces"),
    [
        ("fixed", "none", [0, 1, 2, 3, 4, 4], [-1, 1, 2, 3, -1, -1], [-1] * 6),
        (
            "fixed",
            "belief",
            [0, 1, 2, 3, 1, 2, 3, 4, 4, 4],
            [-1, 1, 2, 3, -1, 1, 2, 3, -1, -1],
            [-1, -1, -1, -1, 1, 2, 3, -1, -1, -1],
        ),
        (
            "known",
            "every_2",
            [0, 0, 1, 2, 3, 2, 4, 4, 4],
            [-1, 0, 1, 2, 3, -1, 2, -1, -1],
            [-1, -1, -1, -1, -1, 2, -1, -1, -1],
        ),
        (
            "fixed",
            "copied",
            [0, 1, 2, 3, 1, 1, 2, 2, 3, 3, 4, 4, 4],
            [-1, 1, 2, 3, -1, 1, 1, 2, 2, 3, 3, -1, -1],
            [-1, -1, -1, -1, -1, 1, -1, 2, -1, 3, -1, -1, -1],
        ),
        (
            "fixed",
            "indexed",
            [0, 1, 1, 2, 2, 3, 3, 1, 1, 2, 2, 3, 3, 4, 4, 4],
            [-1, -1, 1, -1, 2, -1, 3, -1, -1, 1, -1, 2, -1, 3, -1, -1],
            [-1, -1, -1, -1, -1, -1, -1, -1, 1, -1, 2, -1, 3, -1, -1, -1],
        ),
        (
            "known",
            "reversed",
            [0, 0, 1, 2, 3, 3, 2, 1, 4, 4, 4],
            [-1, 0, 1, 2, 3, -1, 3, 2, 1, -1, -1],
            [-1, -1, -1, -1, -1, 3, 2, 1, -1, -1, -1],
        ),
        (
            "known",  # <bos> s_0 x_1 x_2 x_3 <answer> a <think> c_1 c_2 c_3
            "posthoc",
            [0, 0, 1, 2, 3, 4, 4, 1, 2, 3, 4],
            [-1, 0, 1, 2, 3, -1, -1, -1, 1, 2, 3],
            [-1, -1, -1, -1, -1, -1, -1, 1, 2, 3, -1],
        ),
        (
            "known",  # <bos> s_0 <think> x_1 c_1 x_2 c_2 x_3 c_3 <answer> a
            "streaming",
            [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 4],
            [-1, 0, -1, 1, 1, 2, 2, 3, 3, -1, -1],
            [-1, -1, -1, 1, -1, 2, -1, 3, -1, -1, -1],
        ),
    ],
)
def test_layouts_written_out(start, trace, positions, steps, produces):
    examples = laid_out({"start": start}, 3, trace)[2]
    assert examples.positions.tolist() == positions
    assert examples.steps.tolist() == steps
    assert examples.produces.tolist() == produces


@pytest.mark.parametrize(
    ("trace", "expected"),
    [
        ("posthoc", "<bos> state observation observation observation <answer> answer <think> code code code"),
        ("streaming", "<bos> state <think> observation code observation code observation code <answer> answer"),
        ("filler", "<bos> state observation observation observation <think> filler filler filler <answer> answer"),
    ],
)
def test_a_trace_may_come_after_the_answer_or_between_the_observations(trace, expected):
    task = small_task(start="known")
    kind, problems = resolve_trace(trace), draw(task, "train", 3, 4, 0)
    vocabulary = kind.vocabulary(task, 0)
    examples = lay_out(problems, kind(problems, vocabulary), vocabulary)
    assert kinds(vocabulary, examples) == expected.split()
    assert examples.answer == expected.split().index("answer")
    by_model = [kind in ("code", "filler", "answer") for kind in expected.split()]
    assert examples.written.tolist() == by_model
    weighed = [kind in ("code", "answer") for kind in expected.split()]
    assert (examples.weights > 0).tolist() == ([weighed] * 4 if trace == "filler" else weighed)


# ── randomized ids ───────────────────────────────────────────────────────────────────────────────


@given(task_fields(), st.integers(2, 7), TRACES, st.booleans())
def test_randomized_ids_keep_order_and_equality_within_their_range(fields, n_steps, trace, coupled):
    _, _, plain = laid_out(fields, n_steps, trace, coupled)
    _, _, spread = laid_out(fields, n_steps, trace, coupled, 50)
    assert spread.positions.min() >= 0
    assert spread.positions.max() < 50
    np.testing.assert_array_equal(
        np.sign(np.subtract.outer(spread.positions, spread.positions)),
        np.sign(np.subtract.outer(plain.positions, plain.positions)),
    )
    for name in set(Examples._fields) - {"positions"}:
        np.testing.assert_array_equal(getattr(spread, name), getattr(plain, name))


def test_the_questions_decide_randomized_ids_which_cover_the_range():
    task, ids = small_task(), np.array([NOWHERE, 1, 2, 3, 1, 2, 3, 4])
    drawn = [randomized_ids(ids, draw(task, "train", 3, 4, seed), 9) for seed in range(60)]
    again = [randomized_ids(ids, draw(task, "train", 3, 4, seed), 9) for seed in range(60)]
    np.testing.assert_array_equal(drawn, again)
    assert len({tuple(row) for row in drawn}) > 30
    assert {place for row in drawn for place in row} == {NOWHERE, *range(1, 9)}  # 0 goes to an unused id
    assert all(row[0] == NOWHERE for row in drawn)


def test_ids_that_fill_the_range_keep_their_values_and_more_are_an_error():
    problems, ids = draw(small_task(), "train", 3, 4, 0), np.arange(9)
    assert randomized_ids(ids, problems, 9).tolist() == list(range(9))
    with pytest.raises(
        ValueError, match="model.max_positions must be at least 9, the number of position ids \\(got 8\\)"
    ):
        randomized_ids(ids, problems, 8)


# ── tables and start beliefs ─────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("trace", ["none", "belief", "every_2", "copied"])
def test_a_table_and_a_start_follow_bos_and_leave_later_columns_unchanged(kind, trace):
    problems, vocabulary, examples = laid_out(KINDS[kind], 5, trace)
    n_table = 6 if "table" in kind else 0  # two symbols over three states
    n_start = int(problems.start != "fixed")
    first = 1 + n_table + n_start
    kind_of = kinds(vocabulary, examples)
    start_kind = {"fixed": [], "known": ["state"], "belief": ["code"]}[problems.start]
    assert kind_of[: first + 5] == ["<bos>"] + ["rule"] * n_table + start_kind + ["observation"] * 5
    assert examples.positions[:first].tolist() == [0] + [NOWHERE] * n_table + [0] * n_start
    assert examples.steps[:first].tolist() == [NO_STEP] * (1 + n_table) + [0] * n_start
    assert not examples.weights[: first + 5].any()
    assert not examples.written[: first + 5].any()
    assert (examples.produces[: first + 4] == NO_STEP).all()
    assert (examples.positions[first:] > 0).all()
    fixed = {"start": "fixed", "process": small_task().process.model_dump()} | (GENERALIZED if "gen" in kind else {})
    _, _, bare = laid_out(fixed, 5, trace)
    for column in ("positions", "weights", "steps", "produces", "written"):
        np.testing.assert_array_equal(getattr(examples, column)[first:], getattr(bare, column)[1:])
    if trace == "belief":  # the code of step t states its belief, and the token before it has the id of its observation
        stated = examples.tokens[:, -7:-2] - vocabulary.blocks["code"].start
        np.testing.assert_array_equal(stated, vocabulary.encode(problems.beliefs[:, 1:]))
        assert examples.positions[-8:-3].tolist() == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("kind", ["table", "table_and_state", "table_and_belief"])
def test_a_table_gives_the_move_of_each_state_under_each_symbol(kind):
    problems, vocabulary, examples = laid_out(KINDS[kind], 4, "belief")
    for row, transitions in zip(examples.tokens.tolist(), problems.process.transitions, strict=True):
        rules = [vocabulary.kind(token)[1] for token in row[1:7]]
        moves = {(rule // 9, rule // 3 % 3): rule % 3 for rule in rules}
        likely = {(x, i): int(transitions[x, i].argmax()) for x in range(2) for i in range(3)}
        assert moves == likely


@pytest.mark.parametrize("kind", ["belief", "table_and_belief"])
def test_a_start_token_is_the_code_of_the_start_belief(kind):
    problems, vocabulary, examples = laid_out(KINDS[kind], 4, "none")
    codes = examples.tokens[:, examples.steps == 0] - vocabulary.blocks["code"].start
    np.testing.assert_array_equal(vocabulary.codebook.points[codes[:, 0]], problems.beliefs[:, 0])


def test_randomized_ids_give_a_table_no_position():
    _, _, examples = laid_out(KINDS["table_and_belief"], 5, "belief", True, 60)
    assert (examples.positions[1:7] == NOWHERE).all()
    assert (np.delete(examples.positions, range(1, 7)) >= 0).all()


def test_plain_ids_number_the_columns_of_a_table_too():
    _, _, examples = laid_out(KINDS["table"], 5, "belief", False)
    assert examples.positions.tolist() == list(range(examples.tokens.shape[1]))
