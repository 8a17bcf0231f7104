"""Splits are disjoint; draws repeat those of finished runs and share no questions with neighboring seeds."""

import hashlib
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2

from tests.small_tasks import GENERALIZED, IN_CONTEXT, KINDS, small_task
from tests.worlds.brute_force import word_probability
from tests.worlds.questions import beginnings, questions, with_hidden_parts_changed
from unamortized.worlds import splits as splits_module
from unamortized.worlds.problems import Problems, concatenate, sample_problems
from unamortized.worlds.processes import FAMILIES, build_process
from unamortized.worlds.splits import (
    N_BUCKETS,
    SPLITS,
    content_hash,
    draw,
    in_split,
    possible_questions,
    prefix_length,
    shares_questions,
)

# ── draws ────────────────────────────────────────────────────────────────────────────────────────


def test_a_draw_depends_on_all_of_its_keys():
    task = small_task()
    drawn = draw(task, "train", 8, 20, 1, "batch", 2)
    again = draw(task, "train", 8, 20, 1, "batch", 2)
    np.testing.assert_array_equal(drawn.observations, again.observations)
    np.testing.assert_array_equal(drawn.latents, again.latents)
    others = [
        draw(task, "train", 8, 20, 1, "batch", 3),
        draw(task, "train", 8, 20, 2, "batch", 2),
        draw(task, "test", 8, 20, 1, "batch", 2),
        draw(small_task(start="known"), "train", 8, 20, 1, "batch", 2),
    ]
    assert not any(np.array_equal(drawn.observations, other.observations) for other in others)
    renamed = draw(small_task(name="other"), "train", 8, 20, 1, "batch", 2)
    np.testing.assert_array_equal(
        drawn.observations, renamed.observations
    )  # the name of a task does not affect its problems


@pytest.mark.parametrize(
    ("fields", "split", "n_steps", "expected"),
    [
        ({}, "train", 4, "07241733741480be"),
        ({}, "train", 40, "1f52b98a03e6ab39"),
        ({}, "validation", 16, "359b761cbc56fb77"),
        ({}, "test", 40, "529d8632bec7da4f"),
        ({"query": "predict 2", "start": "known"}, "train", 16, "236953d5d3200673"),
        ({"query": "predict 2", "start": "known"}, "test", 4, "a8a5ebf4967527cd"),
        ({"process": {"family": "mess3"}, "query": "smooth 1", "start": "known"}, "validation", 40, "74b1df35e2b8b95a"),
        ({"process": {"family": "zero_one_random"}, "start": "known"}, "test", 16, "f4ff1e2f27c81ba7"),
    ],
)
def test_draws_without_shifts_equal_those_of_the_first_release(fields, split, n_steps, expected):
    """Finished runs were trained and measured on these draws; a change here must raise the format of runs."""
    drawn = draw(small_task(**fields), split, n_steps, 300, 7, "batch", n_steps)
    whole = [np.ascontiguousarray(each, dtype="<i8") for each in (drawn.observations, drawn.latents, drawn.answers)]
    assert hashlib.sha256(b"".join(each.tobytes() for each in whole)).hexdigest()[:16] == expected


EVERY_FAMILY = {family: {} for family in FAMILIES if family != "matrices"} | {
    "mixture": {"components": [{"family": "mess3"}, {"family": "zero_one_random"}]},
    "group_word": {"group": "S3"},
}
NEIGHBORS = [(1, 1, 0), (0, 2, 0), (0, 1, 1), (0, 10), (0, 11, 0), (1, 0, 0), (0, 1, 0, 0)]


@pytest.mark.parametrize("family", EVERY_FAMILY)
def test_neighboring_seeds_and_batches_share_no_more_questions_than_distant_ones(family):
    """With a generator keyed by seed + index, seeds s and s + 1 would share 999 of 1,000 questions."""
    process = {"family": family, **EVERY_FAMILY[family]}
    generalized = build_process(**process).is_generalized
    for start in ("fixed",) if generalized else ("fixed", "known", "belief"):
        query = {"query": "predict 1"} if generalized else {}
        task = small_task(process=process, start=start, codebook={"resolution": 2}, **query)

        def drawn(*keys: int, task=task) -> list[tuple]:
            return questions(draw(task, "train", 16, 1000, *keys))

        base = set(drawn(0, 1, 0))
        chance = np.mean([sum(one in base for one in drawn(7919 * far, 31 * far, 5)) for far in (1, 2)])
        for keys in NEIGHBORS:
            shared = sum(one in base for one in drawn(*keys))
            assert shared <= chance + 6 * np.sqrt(chance) + 3, (start, keys)
            if chance > 900:  # the process has few questions of that length
                assert drawn(*keys) != drawn(0, 1, 0)


# ── splits ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", KINDS)
def test_splits_share_no_question_however_many_are_drawn(kind):
    task = small_task(**KINDS[kind])
    n_steps = prefix_length(task)
    assert n_steps is not None
    met: dict[str, set[tuple]] = {}
    for split in SPLITS:
        drawn = concatenate([draw(task, split, n_steps, 2000, seed) for seed in range(5)])
        assert len(drawn) == 10_000
        met[split] = set(questions(drawn))
        assert in_split(task, drawn, split).all()
    assert not met["train"] & met["test"]
    assert not met["train"] & met["validation"]
    assert not met["validation"] & met["test"]
    assert all(len(each) > 300 for each in met.values())


@pytest.mark.parametrize("kind", KINDS)
def test_no_training_question_begins_with_a_question_of_another_split(kind):
    task = small_task(**KINDS[kind])
    first = prefix_length(task)
    assert first is not None
    longer = draw(task, "train", first + 4, 4000, 0)
    fully = draw(task, "test", first + 4, 4000, 1)
    for n_steps in (first, first + 1, first + 3):
        tested = draw(task, "test", n_steps, 500, 0)
        assert not beginnings(tested, n_steps) & beginnings(longer, n_steps)
        assert not np.isin(content_hash(tested), content_hash(longer, n_steps)).any()
    assert len(beginnings(fully, first) & beginnings(draw(task, "test", first, 4000, 2), first)) > 100


@pytest.mark.parametrize("kind", KINDS)
def test_the_split_depends_only_on_the_prompt(kind):
    task = small_task(**KINDS[kind])
    problems = sample_problems(task.build(), 14, 300, 0, task.query, task.start, 4)
    other = with_hidden_parts_changed(problems)
    assert not np.array_equal(problems.answers, other.answers)
    np.testing.assert_array_equal(content_hash(problems), content_hash(other))
    np.testing.assert_array_equal(in_split(task, problems, "test"), in_split(task, other, "test"))
    prompts, hashes = questions(problems), content_hash(problems).tolist()
    assert len(set(zip(prompts, hashes, strict=True))) == len(set(prompts)) == len(set(hashes))


def test_a_split_draws_from_the_process_conditioned_on_the_split():
    task = small_task()
    everything = sample_problems(task.build(), 7, 200_000, 0)
    kept = everything.take(in_split(task, everything, "validation"))
    drawn = draw(task, "validation", 7, 25_000, 0)
    for column in range(7):
        expected = np.bincount(kept.observations[:, column], minlength=5) / len(kept) * len(drawn)
        counts = np.bincount(drawn.observations[:, column], minlength=5)
        assert ((counts - expected) ** 2 / expected).sum() < 2 * chi2.isf(
            1e-5, 4
        )  # twice the bound, since both counts are samples


def test_buckets_are_equally_likely_and_belong_to_one_split():
    assert sorted(bucket for split in SPLITS.values() for bucket in split) == list(range(N_BUCKETS))
    problems = sample_problems(build_process("noisy_permutation", informativeness=0.0), 12, 64_000, 0)
    buckets = np.bincount((content_hash(problems) % np.uint64(N_BUCKETS)).astype(int), minlength=N_BUCKETS)
    assert ((buckets - 4000) ** 2 / 4000).sum() < chi2.isf(1e-4, N_BUCKETS - 1)
    task = small_task()
    problems = sample_problems(task.build(), 12, 64_000, 0)
    shares = {split: in_split(task, problems, split).mean() for split in SPLITS}
    assert shares == pytest.approx({"test": 2 / 16, "validation": 2 / 16, "train": 12 / 16}, abs=0.03)


# ── few questions ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("family", "parameters"),
    [("zero_one_random", {"p": 0.5}), ("rrxor", {}), ("mess3", {}), ("group_word", {"group": "S3", "generators": 2})],
)
@pytest.mark.parametrize("known_start", [False, True])
def test_possible_questions_have_positive_probability(family, parameters, known_start):
    process = build_process(family, **parameters)
    counts = itertools.islice(possible_questions(process, known_start), 6)
    starts = np.eye(process.n_states)[process.initial > 0] if known_start else [process.initial]
    for n_steps, count in enumerate(counts):
        words = itertools.product(range(process.n_symbols), repeat=n_steps)
        assert count == sum(word_probability(process, start, word) > 0 for word in words for start in starts)


@pytest.mark.parametrize(
    ("family", "parameters"), [("tom_quantum", {"beta": 1.0}), ("post_quantum", {}), ("fanizza", {"lam": 0.0})]
)
def test_possible_words_of_a_generalized_process_have_positive_probability(family, parameters):
    process = build_process(family, **parameters)
    for n_steps, count in enumerate(itertools.islice(possible_questions(process, known_start=False), 6)):
        words = itertools.product(range(process.n_symbols), repeat=n_steps)
        assert count == sum(word_probability(process, process.initial, word) > 1e-11 for word in words)
        assert n_steps < 2 or count < process.n_symbols**n_steps  # "aa", or the opposite outcome again


def test_splits_share_lengths_with_few_questions():
    task = small_task()
    assert [shares_questions(task, n) for n in (4, 5, 6)] == [True, True, False]  # 5^5 < 4096 < 5^6
    assert [shares_questions(small_task(start="known"), n) for n in (4, 5)] == [True, False]  # 3 · 5^5
    assert [shares_questions(small_task(start="belief"), n) for n in (4, 5)] == [True, False]  # at least as many
    assert [shares_questions(small_task(**GENERALIZED), n) for n in (5, 6)] == [True, False]  # 4^6
    assert [shares_questions(small_task(**IN_CONTEXT), n) for n in (6, 7)] == [True, False]  # 36 tables · 2^7
    for split in SPLITS:
        assert np.unique(draw(task, split, 1, 2000).observations).tolist() == [0, 1, 2, 3, 4]
    own = {draw(task, split, 4, 50).observations.tobytes() for split in SPLITS}
    assert len(own) == len(SPLITS)  # but each split has its own stream


def test_large_tables_are_drawn_in_small_batches(monkeypatch):
    task = small_task(**IN_CONTEXT)
    sizes, sample = [], splits_module.sample_questions

    def spied(process, n_steps, size, *arguments):
        sizes.append(size)
        return sample(process, n_steps, size, *arguments)

    assert prefix_length(task) == 7  # cached before the limit changes
    monkeypatch.setattr(splits_module, "sample_questions", spied)
    monkeypatch.setattr(splits_module, "LARGEST_TRANSITIONS", 18 * 50)  # two symbols over three states, fifty times
    assert len(draw(task, "test", 3, 120, 0)) == 120
    assert max(sizes) == 50


@pytest.mark.parametrize(
    "fields",
    [
        {"process": {"family": "zero_one_random", "p": 0.0}},  # 0 1 0 0 1 0: three questions of each length
        GENERALIZED | {"process": {"family": "fanizza", "lam": 0.0}},  # a a a a
    ],
)
def test_splits_of_a_process_with_few_questions_share_them_at_every_length(fields):
    task = small_task(**fields, steps={"train": [20, 20], "test": [20]})
    assert prefix_length(task) is None
    assert all(shares_questions(task, n) for n in (1, 20, 1000))
    assert len(draw(task, "test", 20, 50)) == 50


# ── errors ───────────────────────────────────────────────────────────────────────────────────────


def test_an_unknown_split_is_an_error_that_lists_the_splits():
    with pytest.raises(ValueError, match="split must be one of test, validation, train .got 'tests'"):
        draw(small_task(), "tests", 4, 1)


def test_a_split_without_questions_is_an_error_instead_of_an_endless_search(monkeypatch):
    monkeypatch.setattr(splits_module, "in_split", lambda task, batch, split: np.zeros(len(batch.answers), dtype=bool))
    with pytest.raises(
        ValueError, match="hardly any test question of 20 steps in 100 batches exists: the process hardly"
    ):
        draw(small_task(), "test", 20, 50)


@given(st.integers(0, 999), st.integers(2, 8))
def test_a_content_hash_depends_on_order_symbols_and_a_visible_start(seed, n_steps):
    generator = np.random.default_rng(seed)
    observations = generator.integers(4, size=(1, n_steps))
    first = generator.integers(4, size=(1, 1))

    def hashed(observations: np.ndarray, first: np.ndarray, start: str = "fixed") -> int:
        latents = np.concatenate([first, np.zeros_like(observations)], axis=1)
        beliefs = np.full((1, n_steps + 1, 4), 0.25)
        beliefs[0, 0] = 0.1 + 0.15 * (first[0, 0] == np.arange(4)) * [1, 2, 3, 4]
        problem = Problems(
            *(observations, latents, beliefs, np.zeros(1, int), beliefs[:, 0], np.zeros(1)),
            process=small_task().build(),
            start=start,
        )
        return int(content_hash(problem)[0])

    other, next_start = observations.copy(), (first + 1) % 4
    other[0, seed % n_steps] += 1
    backwards = observations[:, ::-1]
    for start in ("fixed", "known", "belief"):
        assert hashed(observations, first, start) != hashed(other, first, start)
        palindrome = np.array_equal(observations, backwards)
        assert (hashed(observations, first, start) == hashed(backwards, first, start)) == palindrome
    assert hashed(observations, first) == hashed(observations, next_start)  # the prompt does not show a fixed start
    for start in ("known", "belief"):
        assert hashed(observations, first, start) != hashed(observations, next_start, start)
        assert hashed(observations, first, start) != hashed(observations, first)
