"""Languages: their vocabularies follow from training alone, and dense questions ask after every observation."""

import numpy as np
import pytest

from tests.small_nets import small_net_task
from tests.small_tasks import KINDS, small_task
from unamortized.language.edits import corrupt
from unamortized.language.rendering import CORRUPTED, INDEX_REACH, Language, NetLanguage
from unamortized.language.traces import TRACES
from unamortized.language.vocabulary import ANSWER, THINK
from unamortized.language.windows import lay_out_windows, net_vocabulary
from unamortized.worlds.splits import draw
from unamortized.worlds.windows import draw_windows

ALL = (*TRACES, "every_2")


@pytest.mark.parametrize("trace", ALL)
def test_the_vocabulary_does_not_depend_on_the_lengths_of_tests(trace):
    own = Language(small_task(), trace).vocabulary
    assert Language(small_task(steps={"train": [3, 6], "test": [4, 500]}), trace).vocabulary == own
    trained_longer = Language(small_task(steps={"train": [3, 7], "test": [4, 12]}), trace).vocabulary
    assert (trained_longer == own) == (trace != "indexed")
    assert own.n_indices == (6 * INDEX_REACH if trace == "indexed" else 0)


def test_nothing_is_written_before_the_answer_without_a_trace_and_in_dense_questions():
    direct = {trace for trace in ALL if Language(small_task(), trace).is_direct}
    assert direct == {"none", "dense"}
    for trace in ALL:
        examples = Language(small_task(), trace).render(draw(small_task(), "train", 4, 2, 0))
        assert Language(small_task(), trace).is_direct == (examples.written.sum() == 1)


@pytest.mark.parametrize("coupled", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_a_dense_question_has_a_target_right_after_each_observation_and_no_marks_but_the_first(kind, coupled):
    task = small_task(**KINDS[kind])
    language = Language(task, "dense", coupled)
    problems = draw(task, "train", 5, 3, 0)
    examples = language.render(problems)
    kinds = [language.vocabulary.kind(token) for token in examples.tokens[0].tolist()]
    names = [name for name, _ in kinds]
    assert names[-6:] == ["observation"] * 5 + ["answer"]
    assert names.count("observation") == 5
    assert kinds[0] == ("mark", 0)
    assert names.count("mark") == 1
    assert not np.isin(examples.tokens, [THINK, ANSWER]).any()
    assert examples.weights.tolist() == [0] * (len(names) - 5) + [1] * 5
    assert examples.answer == len(names) - 1
    np.testing.assert_array_equal(examples.tokens[:, -1], language.vocabulary.answer(problems.answers))
    seen = examples.tokens[:, -6:-1]
    np.testing.assert_array_equal(seen, language.vocabulary.observation(problems.observations))
    assert examples.positions[-6:-1].tolist() == (
        [1, 2, 3, 4, 5] if coupled else [*range(len(names) - 6, len(names) - 1)]
    )


def test_a_model_that_predicts_the_question_learns_each_observation_too():
    problems = draw(small_task(), "train", 4, 3, 0)
    for trace in ("none", "belief"):
        plain = Language(small_task(), trace).render(problems)
        predicting = Language(small_task(), trace, predicts_question=True).render(problems)
        np.testing.assert_array_equal(predicting.weights, plain.weights + plain.observes)
        np.testing.assert_array_equal(predicting.tokens, plain.tokens)


def test_a_reliance_corrupts_most_traces_and_lets_answers_follow_them():
    task = small_task()
    problems, language = draw(task, "train", 4, 400, 0), Language(small_task(), "belief", reliance=0.5)
    exact, corrupted = Language(task, "belief").render(problems), language.render(problems)
    np.testing.assert_array_equal(corrupted.tokens[:, :6], exact.tokens[:, :6])  # <bos>, the question and <think>
    expected = corrupt(task, problems, language.vocabulary, CORRUPTED, 0.5)
    np.testing.assert_array_equal(corrupted.tokens[:, 6:10], expected.trace.tokens)
    unlearned = corrupted.weights[:, 6:10] == 0  # the wrong step of each corrupted trace
    assert (unlearned.sum(axis=1) == (expected.steps > 0)).all()
    assert 0.85 < (expected.steps > 0).mean() < 0.95
    changed = corrupted.tokens[:, -1] != exact.tokens[:, -1]
    assert changed.any()
    assert not changed[~expected.follows].any()


def test_windows_of_a_net_are_rendered_by_their_own_language():
    task = small_net_task()
    vocabulary = net_vocabulary(task)
    for group in draw_windows(task, "local", 32, 0, 0):
        for column, expected in zip(
            NetLanguage(vocabulary).render(group), lay_out_windows(group, vocabulary), strict=True
        ):
            np.testing.assert_array_equal(column, expected)
