"""Token ids: blocks that tile the vocabulary, the same for every condition of a task."""

import numpy as np
import pytest
from hypothesis import given

from tests.small_tasks import GENERALIZED, IN_CONTEXT, small_task, task_fields
from tests.worlds.brute_force import word_probability
from unamortized.language.vocabulary import ANSWER, BOS, MARKS, THINK, task_vocabulary
from unamortized.worlds.problems import sample_problems


@given(task_fields())
def test_blocks_tile_the_vocabulary_in_their_order(fields):
    vocabulary = task_vocabulary(small_task(**fields))
    assert list(vocabulary.blocks) == [
        "mark",
        "observation",
        "code",
        "state",
        "answer",
        "rule",
        "index",
        "filler",
        "hint",
    ]
    ids = [token for block in vocabulary.blocks.values() for token in range(block.start, block.stop)]
    assert ids == list(range(vocabulary.size))


@given(task_fields())
def test_every_token_has_a_block_and_an_index_in_it(fields):
    vocabulary = task_vocabulary(small_task(**fields))
    makers = {
        "observation": (vocabulary.observation, vocabulary.n_symbols),
        "code": (vocabulary.code, vocabulary.codebook.size),
        "state": (vocabulary.state, vocabulary.n_states),
        "answer": (vocabulary.answer, vocabulary.n_answers),
    }
    expected = [("mark", BOS), ("mark", THINK), ("mark", ANSWER)]
    for kind, (make, size) in makers.items():
        tokens = make(np.arange(size).reshape(1, size))
        assert tokens.shape == (1, size)
        block = vocabulary.blocks[kind]
        assert tokens[0].tolist() == list(range(block.start, block.stop))
        expected += [(kind, place) for place in range(size)]
    assert [vocabulary.kind(token) for token in range(vocabulary.size)] == expected
    assert MARKS == ("<bos>", "<think>", "<answer>")


@pytest.mark.parametrize(("query", "n_answers"), [("filter", 3), ("smooth 1", 3), ("predict 1", 5), ("predict 4", 5)])
def test_answers_are_states_or_for_a_prediction_symbols(query, n_answers):
    vocabulary = task_vocabulary(small_task(query=query))
    assert (vocabulary.n_symbols, vocabulary.n_states, vocabulary.n_answers) == (5, 3, n_answers)
    assert vocabulary.codebook.size == 15
    assert vocabulary.size == 3 + 5 + 15 + 3 + n_answers


def test_index_tokens_leave_all_other_tokens_unchanged():
    plain, indexed = task_vocabulary(small_task()), task_vocabulary(small_task(), 12)
    assert indexed.size == plain.size + 12
    others = ("mark", "observation", "code", "state", "answer", "rule")
    assert {name: indexed.blocks[name] for name in others} == {name: plain.blocks[name] for name in others}
    assert indexed.index(np.arange(12)).tolist() == list(range(plain.size, plain.size + 12))


def test_filler_comes_last_and_synonyms_are_a_codebook_apart():
    plain, filled, doubled = (task_vocabulary(small_task(), 0, *more) for more in ((), (1,), (0, 2)))
    assert filled.blocks["filler"] == slice(plain.size, plain.size + 1)
    assert filled.blocks["answer"] == plain.blocks["answer"]
    assert doubled.size == plain.size + plain.codebook.size
    codes = np.arange(plain.codebook.size)
    assert [doubled.kind(token) for token in doubled.code(codes, 1).tolist()] == [("code", c + 15) for c in codes]
    np.testing.assert_array_equal(doubled.code(codes), plain.code(codes))


def test_rules_have_tokens_only_where_problems_bring_a_table():
    vocabulary = task_vocabulary(small_task(**IN_CONTEXT))
    assert (vocabulary.n_rules, task_vocabulary(small_task()).n_rules) == (2 * 3 * 3, 0)
    rules = vocabulary.rule(np.arange(18))
    assert [vocabulary.kind(token) for token in rules.tolist()] == [("rule", rule) for rule in range(18)]


@pytest.mark.parametrize("family", ["tom_quantum", "fanizza", "post_quantum"])
def test_a_predictive_vector_is_encoded_by_its_prediction(family):
    strong = {"beta": 2.0} if family == "tom_quantum" else {}  # its usual measurements hardly tell anything
    task = small_task(**GENERALIZED | {"process": {"family": family} | strong}, codebook={"resolution": 12})
    process, vocabulary = task.build(), task_vocabulary(task)
    assert vocabulary.codebook.n_states == process.n_symbols
    problems = sample_problems(process, 6, 50, 0, "predict 1")
    predicted = [
        [word_probability(process, vector, [symbol]) for symbol in range(process.n_symbols)]
        for vector in problems.beliefs.reshape(-1, process.n_states)
    ]
    codes = vocabulary.encode(problems.beliefs)
    assert codes.shape == (50, 7)
    points = vocabulary.codebook.points
    distance = np.abs(np.array(predicted)[:, None] - points).sum(axis=2)  # to every lattice point
    np.testing.assert_allclose(distance[np.arange(350), codes.reshape(-1)], distance.min(axis=1), atol=1e-6)


@pytest.mark.parametrize("resolution", [1, 3, 7, 12])
def test_a_start_belief_on_the_lattice_is_encoded_exactly(resolution):
    task = small_task(start="belief", codebook={"resolution": resolution})
    starts = sample_problems(task.build(), 1, 300, 0, start="belief", resolution=resolution).beliefs[:, 0]
    vocabulary = task_vocabulary(task)
    np.testing.assert_array_equal(vocabulary.codebook.points[vocabulary.encode(starts)], starts)


@pytest.mark.parametrize("token", [-1, 29])
def test_a_token_outside_is_an_error(token):
    with pytest.raises(ValueError, match=rf"token must be in 0..28 \(got {token}\)"):
        task_vocabulary(small_task()).kind(token)
