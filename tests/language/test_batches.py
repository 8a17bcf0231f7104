"""Training batches: a function of the step, of equal shares of lengths, with the same questions for every trace."""

from collections.abc import Callable, Iterable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2

from tests.small_tasks import small_task
from unamortized.language.batches import (
    Batch,
    corpus_problems,
    fresh_problems,
    lengths_of_step,
    stratified_lengths,
    to_batch,
)
from unamortized.language.corpus import Corpus, build_corpus
from unamortized.language.layout import Examples, Render, lay_out
from unamortized.language.traces import resolve_trace
from unamortized.language.vocabulary import task_vocabulary
from unamortized.worlds.problems import ARRAYS, Problems
from unamortized.worlds.splits import content_hash, draw, in_split
from unamortized.worlds.tasks import Task

SIZE, STRATA = 8, 2  # problems and lengths of a step
ExamplesOf = Callable[[int], list[Examples]]  # of a training step, a group for each length


def renderer(task: Task, trace: str = "belief", *how) -> Render:
    vocabulary = task_vocabulary(task)
    return lambda problems: lay_out(problems, resolve_trace(trace)(problems, vocabulary), vocabulary, *how)


def fresh_of(task: Task, seed: int, step: int) -> list[Problems]:
    return fresh_problems(task, SIZE, lengths_of_step(task, STRATA, seed, step), seed, step)


def read_from(corpus: Corpus, seed: int, step: int) -> list[Problems]:
    return corpus_problems(corpus, SIZE, lengths_of_step(corpus.task, STRATA, seed, step), seed, step)


def fresh(task: Task | None = None, seed: int = 0, render: Render | None = None) -> ExamplesOf:
    task = task or small_task()
    render = render or renderer(task)
    return lambda step: [render(group) for group in fresh_of(task, seed, step)]


def batches(examples: ExamplesOf, steps: Iterable[int]) -> list[list[Batch]]:
    """Make the batches of these steps, one after another."""
    return [[to_batch(group) for group in examples(step)] for step in steps]


def assert_equal(one: list[Batch], other: list[Batch]) -> None:
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        for column, again in zip(a[:4], b[:4], strict=True):
            assert torch.equal(column, again)
        assert a.block is b.block is None


def test_a_batch_is_its_examples_and_selects_what_comes_before_a_weight():
    task = small_task(start="known")
    examples = renderer(task)(draw(task, "train", 3, 5, 0))
    batch = to_batch(examples)
    np.testing.assert_array_equal(batch.tokens.numpy(), examples.tokens)
    np.testing.assert_array_equal(batch.positions.numpy(), examples.positions[None])
    np.testing.assert_array_equal(batch.weights.numpy(), examples.weights)
    np.testing.assert_array_equal(batch.targets.numpy(), examples.tokens)
    # <bos> start x x x <think> c c c <answer> a: the columns that predict c c c and a
    expected = [[False, False, False, False, False, True, True, True, False, True]] * 5
    assert batch.select.tolist() == expected


@given(st.integers(1, 5), st.integers(0, 12), st.integers(1, 6), st.integers(0, 99))
def test_lengths_come_one_from_each_stratum(first, span, strata, seed):
    lengths = stratified_lengths(first, first + span, strata, np.random.default_rng(seed))
    assert len(lengths) == strata
    for i, length in enumerate(lengths):
        assert first + int(i * (span + 1) / strata) <= length < first + (i + 1) * (span + 1) / strata


@pytest.mark.parametrize(("last", "strata"), [(16, 4), (7, 3), (5, 8), (9, 1)])
def test_all_lengths_are_equally_likely_overall(last, strata):
    generator = np.random.default_rng(0)
    draws = 4000
    counts = np.zeros(last)
    for _ in range(draws):
        np.add.at(counts, np.array(stratified_lengths(1, last, strata, generator)) - 1, 1)
    expected = draws * strata / last
    assert ((counts - expected) ** 2 / expected).sum() < chi2.isf(1e-4, last)


@given(st.integers(0, 4), st.integers(0, 4))
def test_a_batch_depends_on_its_step_and_not_on_where_training_began(first_step, ahead):
    (resumed,) = batches(fresh(), [first_step + ahead])
    continued = batches(fresh(), range(first_step, first_step + ahead + 1))
    assert_equal(resumed, continued[-1])


def test_steps_and_seeds_have_different_questions():
    seen = [group for seed in (0, 1) for step in (0, 1) for group in fresh_of(small_task(), seed, step)]
    questions = [each for problems in seen for each in content_hash(problems).tolist() if problems.n_steps > 4]
    assert len(questions) > 8
    assert len(set(questions)) >= len(questions) - 1  # of 5^5 questions, hardly any occurs twice


def test_a_step_mixes_lengths_of_the_training_range_in_equal_shares():
    task = small_task()
    for step in range(20):
        problems = fresh_of(task, 0, step)
        assert [len(group) for group in problems] == [4, 4]
        assert [group.n_steps for group in problems] == lengths_of_step(task, 2, 0, step)
        assert problems[0].n_steps in (3, 4)
        assert problems[1].n_steps in (5, 6)
        for group in problems:
            assert group.n_steps < 6 or in_split(task, group, "train").all()


def test_every_trace_renders_the_same_questions_and_answers():
    task = small_task()
    belief, none = (fresh(task, render=renderer(task, trace))(0) for trace in ("belief", "none"))
    for a, b in zip(belief, none, strict=True):
        asked = b.tokens.shape[1] - 2  # columns before <answer>
        np.testing.assert_array_equal(a.tokens[:, :asked], b.tokens[:, :asked])
        np.testing.assert_array_equal(a.tokens[:, -1], b.tokens[:, -1])


def test_randomized_ids_depend_on_the_step_and_not_on_where_training_began():
    spread = fresh(render=renderer(small_task(), "belief", True, 30))
    whole = batches(spread, range(4))
    assert_equal(batches(spread, [3])[0], whole[3])
    assert len({tuple(batch.positions[0].tolist()) for groups in whole for batch in groups}) == 8  # all differ


# ── from a corpus ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("start", ["fixed", "known"])
def test_batches_of_a_corpus_have_only_its_questions_exactly_as_drawn(tmp_path, start):
    task = small_task(start=start)
    corpus = build_corpus(task, "train", 24, 0, tmp_path)
    drawn = {n: draw(task, "train", n, 6, "corpus", 0, 0) for n in range(3, 7)}
    met: dict[int, set[int]] = {n: set() for n in drawn}
    for step in range(30):
        for problems in read_from(corpus, 0, step):
            own = drawn[problems.n_steps]
            paths = np.concatenate([own.observations, own.latents], axis=1).tolist()
            read = np.concatenate([problems.observations, problems.latents], axis=1).tolist()
            rows = [paths.index(path) for path in read]
            met[problems.n_steps] |= set(rows)
            for name in ARRAYS:
                np.testing.assert_array_equal(getattr(problems, name), getattr(own, name)[rows])
                assert getattr(problems, name).dtype == getattr(own, name).dtype
            assert problems.start == own.start
    assert all(len(rows) == 6 for rows in met.values())


def test_batches_of_a_corpus_depend_on_their_step_alone(tmp_path):
    task = small_task()
    corpus, render = build_corpus(task, "train", 24, 0, tmp_path), renderer(task)

    def examples(step):
        return [render(group) for group in read_from(corpus, 0, step)]

    assert_equal(batches(examples, [3])[0], batches(examples, range(4))[3])


def test_a_different_seed_reads_different_rows(tmp_path):
    corpus = build_corpus(small_task(), "train", 24, 0, tmp_path)

    def read(seed):
        groups = [group for step in range(3) for group in read_from(corpus, seed, step)]
        return [group.observations.tolist() for group in groups]

    assert read(0) == read(0)
    assert read(0) != read(1)
