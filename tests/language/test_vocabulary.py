"""Token ids: blocks that tile the vocabulary, alike for every condition of a task."""

import numpy as np
import pytest
from hypothesis import given

from tests.small_tasks import small_task, task_fields
from unamortized.language.vocabulary import ANSWER, MARKS, THINK, task_vocabulary


@given(task_fields())
def test_blocks_tile_the_vocabulary_in_their_order(fields):
    vocabulary = task_vocabulary(small_task(**fields))
    assert list(vocabulary.blocks) == ["mark", "observation", "code", "state", "answer"]
    ids = [token for block in vocabulary.blocks.values() for token in range(block.start, block.stop)]
    assert ids == list(range(vocabulary.size))


@given(task_fields())
def test_every_token_tells_its_kind_and_its_place_in_it(fields):
    vocabulary = task_vocabulary(small_task(**fields))
    makers = {
        "observation": (vocabulary.observation, vocabulary.n_symbols),
        "code": (vocabulary.code, vocabulary.codebook.size),
        "state": (vocabulary.state, vocabulary.n_states),
        "answer": (vocabulary.answer, vocabulary.n_answers),
    }
    told = [("mark", THINK), ("mark", ANSWER)]
    for kind, (make, size) in makers.items():
        tokens = make(np.arange(size).reshape(1, size))
        assert tokens.shape == (1, size)
        block = vocabulary.blocks[kind]
        assert tokens[0].tolist() == list(range(block.start, block.stop))
        told += [(kind, place) for place in range(size)]
    assert [vocabulary.kind(token) for token in range(vocabulary.size)] == told
    assert MARKS == ("<think>", "<answer>")


@pytest.mark.parametrize(("query", "n_answers"), [("filter", 3), ("smooth 1", 3), ("predict 1", 5), ("predict 4", 5)])
def test_answers_are_states_or_for_a_prediction_symbols(query, n_answers):
    vocabulary = task_vocabulary(small_task(query=query))
    assert (vocabulary.n_symbols, vocabulary.n_states, vocabulary.n_answers) == (5, 3, n_answers)
    assert vocabulary.codebook.size == 15
    assert vocabulary.size == 2 + 5 + 15 + 3 + n_answers


@pytest.mark.parametrize("token", [-1, 28])
def test_a_token_outside_is_an_error(token):
    with pytest.raises(ValueError, match=f"token {token} is outside the vocabulary of 28 tokens"):
        task_vocabulary(small_task()).kind(token)
