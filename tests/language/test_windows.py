"""Windows as tokens: the question right after ``<bos>``, then the assignments, with a loss on all of them."""

import numpy as np
import pytest

from tests.small_nets import small_net_task
from unamortized.language.batches import to_batch
from unamortized.language.layout import NO_STEP, NOWHERE
from unamortized.language.vocabulary import BOS
from unamortized.language.windows import NetVocabulary, lay_out_windows, net_vocabulary
from unamortized.worlds.windows import Windows, draw_windows


def test_every_question_and_assignment_has_its_own_token():
    vocabulary = NetVocabulary(n_variables=5, n_values=3)
    questions = vocabulary.ask(np.arange(5))
    assignments = vocabulary.assignment(np.arange(5)[:, None], np.arange(3))
    assert sorted([BOS, *questions.tolist(), *assignments.ravel().tolist()]) == list(range(vocabulary.size))
    ask, assignment = vocabulary.blocks["ask"], vocabulary.blocks["assignment"]
    assert {*range(ask.start, ask.stop)} == {*questions.tolist()}
    assert vocabulary.blocks["mark"] == slice(BOS, BOS + 1)
    assert {*range(assignment.start, assignment.stop)} == {*assignments.ravel().tolist()}
    assert net_vocabulary(small_net_task()) == NetVocabulary(14, 2)


def test_a_window_starts_with_the_question_and_ends_with_its_answer():
    vocabulary = NetVocabulary(n_variables=4, n_values=2)
    examples = lay_out_windows(Windows(np.array([[2, 0, 3], [1, 3, 0]]), np.array([[1, 0, 1], [0, 0, 1]])), vocabulary)
    assert examples.tokens.tolist() == [
        [BOS, 1 + 3, 5 + 2 * 2 + 1, 5 + 0, 5 + 3 * 2 + 1],
        [BOS, 1 + 0, 5 + 1 * 2, 5 + 3 * 2, 5 + 0 + 1],
    ]
    assert examples.weights.tolist() == [0, 0, 1, 1, 1]
    assert examples.written.tolist() == [False, False, True, True, True]
    assert examples.positions.tolist() == [0] + [NOWHERE] * 4
    assert set(examples.steps.tolist()) == set(examples.produces.tolist()) == {NO_STEP}


@pytest.mark.parametrize("kind", ["local", "wrong", "full"])
def test_columns_align_with_the_windows_that_were_drawn(kind):
    task = small_net_task()
    vocabulary = net_vocabulary(task)
    for group in draw_windows(task, kind, 32, 0):
        examples = lay_out_windows(group, vocabulary)
        assert examples.tokens.shape == (len(group.values), group.values.shape[1] + 2)
        np.testing.assert_array_equal((examples.tokens[:, 2:] - 15) // 2, group.variables)
        np.testing.assert_array_equal((examples.tokens[:, 2:] - 15) % 2, group.values)
        np.testing.assert_array_equal(examples.tokens[:, 1] - 1, group.variables[:, -1])
        assert (examples.tokens[:, 0] == BOS).all()
        assert not to_batch(examples).select[:, 0].any()  # the question is given
        assert to_batch(examples).select[:, 1:].all()  # the model predicts each assignment from all tokens before it
