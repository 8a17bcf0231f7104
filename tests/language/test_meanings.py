"""Code meanings: the mean exact belief with that code."""

import numpy as np
import pytest

from tests.small_tasks import GENERALIZED, IN_CONTEXT, small_task
from unamortized.evaluation.distances import kl
from unamortized.language import meanings as stated
from unamortized.language.meanings import code_meanings
from unamortized.language.vocabulary import task_vocabulary
from unamortized.worlds.splits import draw


def coded_beliefs(task):
    """Beliefs of the training lengths and their codes, drawn independently of those that give the meanings."""
    codebook = task_vocabulary(task).codebook
    first, last = task.steps.train
    beliefs = [draw(task, "validation", n, 4096, "others").beliefs[:, 1:] for n in range(first, last + 1)]
    flat = np.concatenate([each.reshape(-1, codebook.n_states) for each in beliefs])
    return flat, codebook.encode(flat), codebook


def test_meanings_are_beliefs_with_some_probability_for_every_state():
    for task in (small_task(), small_task(process={"family": "rrxor"})):
        meanings = code_meanings(task)
        assert meanings.shape == task_vocabulary(task).codebook.points.shape
        np.testing.assert_allclose(meanings.sum(axis=1), 1, atol=1e-12)
        assert (meanings > 0).all()


def test_a_meaning_is_the_mean_of_the_beliefs_with_that_code():
    task = small_task()
    beliefs, codes, codebook = coded_beliefs(task)
    often = np.flatnonzero(np.bincount(codes, minlength=codebook.size) > 500)
    assert len(often) > 8
    for code in often:
        np.testing.assert_allclose(code_meanings(task)[code], beliefs[codes == code].mean(axis=0), atol=0.015)


def test_no_other_meaning_is_closer_to_the_beliefs_with_that_code():
    task = small_task()
    beliefs, codes, codebook = coded_beliefs(task)
    meanings = code_meanings(task)
    best = kl(beliefs, meanings[codes]).mean()
    generator = np.random.default_rng(0)
    for _ in range(5):
        other = meanings * np.exp(0.2 * generator.standard_normal(meanings.shape))
        other /= other.sum(axis=1, keepdims=True)
        assert best < kl(beliefs, other[codes]).mean()
    assert best < kl(beliefs, codebook.points[codes]).mean()


def test_an_unseen_code_means_its_softened_point():
    task = small_task(process={"family": "zero_one_random"}, codebook={"resolution": 12})
    beliefs, codes, codebook = coded_beliefs(task)
    unseen = np.flatnonzero(np.bincount(codes, minlength=codebook.size) == 0)
    assert len(unseen) > 50
    meanings = code_meanings(task)[unseen]
    np.testing.assert_allclose(meanings, (codebook.points[unseen] * 12 + 0.25) / 12.75, atol=1e-12)


def test_without_softening_a_code_rules_out_the_states_that_all_its_beliefs_rule_out():
    task = small_task(process={"family": "zero_one_random"}, codebook={"resolution": 12})
    beliefs, codes, _ = coded_beliefs(task)
    meanings = code_meanings(task, softening=1e-12)
    np.testing.assert_allclose(meanings.sum(axis=1), 1, atol=1e-12)
    for code in np.unique(codes):
        np.testing.assert_array_equal(meanings[code] < 1e-10, beliefs[codes == code].max(axis=0) == 0)


def test_meanings_are_computed_once_and_do_not_depend_on_test_lengths(monkeypatch):
    first = code_meanings(small_task())
    np.testing.assert_array_equal(first, code_meanings(small_task(steps={"train": [3, 6], "test": [50]})))
    monkeypatch.setattr(stated, "draw", lambda *arguments: pytest.fail("drawn again"))
    np.testing.assert_array_equal(first, code_meanings(small_task()))


@pytest.mark.parametrize("family", ["tom_quantum", "fanizza", "post_quantum"])
@pytest.mark.parametrize("softening", [0.01, 1e-12])
def test_for_a_generalized_process_a_meaning_is_the_mean_vector_with_that_code(family, softening):
    strong = {"beta": 2.0} if family == "tom_quantum" else {}  # its usual measurements hardly tell anything
    task = small_task(**GENERALIZED | {"process": {"family": family} | strong}, codebook={"resolution": 12})
    process, vocabulary = task.build(), task_vocabulary(task)
    meanings = code_meanings(task, softening)
    assert meanings.shape == (vocabulary.codebook.size, process.n_states)
    np.testing.assert_allclose(meanings @ process.readout, 1, atol=1e-10)
    flat = np.concatenate(
        [draw(task, "validation", n, 2048, "others").beliefs[:, 1:].reshape(-1, process.n_states) for n in range(3, 7)]
    )
    codes = vocabulary.encode(flat)
    often = np.flatnonzero(np.bincount(codes, minlength=vocabulary.codebook.size) > 1000)
    assert len(often) > 1
    for code in often:
        spread = flat[codes == code].std(axis=0).max()
        np.testing.assert_allclose(meanings[code], flat[codes == code].mean(axis=0), atol=0.01 + 0.1 * spread)
    unseen = np.bincount(codes, minlength=vocabulary.codebook.size) == 0
    if softening > 1e-3:  # without data, they mean the stationary vector
        np.testing.assert_allclose(np.median(meanings[unseen], axis=0), process.initial, atol=1e-10)


def test_where_problems_bring_tables_a_meaning_averages_over_all_tables():
    task = small_task(**IN_CONTEXT, codebook={"resolution": 3})
    vocabulary = task_vocabulary(task)
    flat = np.concatenate(
        [draw(task, "validation", n, 4096, "others").beliefs[:, 1:].reshape(-1, 3) for n in range(3, 7)]
    )
    codes = vocabulary.encode(flat)
    for code in np.flatnonzero(np.bincount(codes, minlength=vocabulary.codebook.size) > 500):
        np.testing.assert_allclose(code_meanings(task)[code], flat[codes == code].mean(axis=0), atol=0.02)
