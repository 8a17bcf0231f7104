"""Training batches keyed by their step, and corpora that are built once, whole, by whoever comes first."""

from itertools import islice

import datasets
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2

from tests.other_processes import begin, finish
from tests.small_tasks import small_task
from unamortized.language.dataset import (
    STORED,
    Batch,
    CorpusBatches,
    FreshBatches,
    Render,
    TrainingQuestions,
    build_corpus,
    stratified_lengths,
    to_batch,
)
from unamortized.language.layout import lay_out
from unamortized.language.traces import resolve_trace
from unamortized.language.vocabulary import task_vocabulary
from unamortized.worlds.problems import ARRAYS
from unamortized.worlds.splits import content_hash, draw, in_split
from unamortized.worlds.tasks import Task


def renderer(task: Task, trace: str = "belief") -> Render:
    vocabulary = task_vocabulary(task)
    return lambda problems: lay_out(problems, resolve_trace(trace)(problems, vocabulary), vocabulary)


def fresh(task: Task | None = None, seed: int = 0, first_step: int = 0) -> FreshBatches:
    task = task or small_task()
    return FreshBatches(task, renderer(task), 8, 2, seed, first_step)


def assert_equal(one: list[Batch], other: list[Batch]) -> None:
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        for column, again in zip(a, b, strict=True):
            assert torch.equal(column, again)


def test_randomized_ids_belong_to_the_step_wherever_training_begins():
    task = small_task()
    vocabulary = task_vocabulary(task)

    def spread(problems):
        return lay_out(problems, resolve_trace("belief")(problems, vocabulary), vocabulary, True, 30)

    whole = list(islice(FreshBatches(task, spread, 8, 2, 0, 0), 4))
    resumed = next(iter(FreshBatches(task, spread, 8, 2, 0, 3)))
    assert_equal(resumed, whole[3])
    assert len({tuple(batch.positions[0].tolist()) for batches in whole for batch in batches}) == 8  # never the same


# ── batches ──────────────────────────────────────────────────────────────────────────────────────


def test_a_batch_is_its_examples_and_selects_what_comes_before_a_weight():
    task = small_task(start="known")
    examples = renderer(task)(draw(task, "train", 3, 5, 0))
    batch = to_batch(examples)
    np.testing.assert_array_equal(batch.tokens.numpy(), examples.tokens)
    np.testing.assert_array_equal(batch.positions.numpy(), examples.positions[None])
    np.testing.assert_array_equal(batch.weights.numpy(), examples.weights)
    # start x x x <think> c c c <answer> a: the columns that predict c c c and a
    expected = [[False, False, False, False, True, True, True, False, True]] * 5
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
    begun_there = next(iter(fresh(first_step=first_step + ahead)))
    passing_by = next(islice(fresh(first_step=first_step), ahead, None))
    assert_equal(begun_there, passing_by)


def test_steps_and_seeds_have_different_questions():
    seen = [batch for seed in (0, 1) for step in (0, 1) for batch in fresh(seed=seed).problems(step)]
    questions = [hash_ for problems in seen for hash_ in content_hash(problems).tolist() if problems.n_steps > 4]
    assert len(questions) > 8
    assert len(set(questions)) >= len(questions) - 1  # of 5^5 questions, hardly any is met twice


def test_a_step_mixes_lengths_of_the_training_range_in_equal_shares():
    batches = fresh()
    for step in range(20):
        problems = batches.problems(step)
        assert [len(part) for part in problems] == [4, 4]
        assert [part.n_steps for part in problems] == batches.lengths(step)
        assert problems[0].n_steps in (3, 4)
        assert problems[1].n_steps in (5, 6)
        for part in problems:
            assert part.n_steps < 6 or in_split(batches.task, part, "train").all()


def test_questions_are_the_same_under_every_trace():
    task = small_task()
    belief, none = (FreshBatches(task, renderer(task, trace), 8, 2, 0, 0) for trace in ("belief", "none"))
    for a, b in zip(next(iter(belief)), next(iter(none)), strict=True):
        n_steps = b.tokens.shape[1] - 2
        assert torch.equal(a.tokens[:, :n_steps], b.tokens[:, :n_steps])
        assert torch.equal(a.tokens[:, -1], b.tokens[:, -1])


def test_the_data_module_begins_with_the_first_batch():
    task = small_task()
    batches = TrainingQuestions(task, renderer(task), 8, 2, 0).train_dataloader()
    assert_equal(next(iter(batches)), next(iter(fresh())))


# ── corpora ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("start", ["fixed", "known"])
def test_a_corpus_holds_what_was_drawn_to_the_last_digit(tmp_path, start):
    task = small_task(start=start, query="predict 1")
    corpus = build_corpus(task, "train", 42, 7, tmp_path)
    assert len(corpus) == 42
    sizes = {3: 11, 4: 11, 5: 10, 6: 10}  # all lengths alike, what is left to the shortest
    for n_steps, size in sizes.items():
        rows = [row for row in corpus if row["n_steps"] == n_steps]
        problems = draw(task, "train", n_steps, size, "corpus", 7, 0)
        for name in STORED:
            stored = np.array([row[name] for row in rows])
            expected = problems.beliefs[:, 0] if name == "first_belief" else getattr(problems, name)
            np.testing.assert_array_equal(stored, expected)


@pytest.mark.parametrize("start", ["fixed", "known"])
def test_batches_of_a_corpus_hold_only_its_questions_as_they_were_drawn(tmp_path, start):
    task = small_task(start=start)
    corpus = build_corpus(task, "train", 24, 0, tmp_path)
    drawn = {n: draw(task, "train", n, 6, "corpus", 0, 0) for n in range(3, 7)}
    met: dict[int, set[int]] = {n: set() for n in drawn}
    for step in range(30):
        for problems in CorpusBatches(corpus, task, renderer(task), 8, 2, 0, 0).problems(step):
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


def test_batches_of_a_corpus_too_are_keyed_by_their_step(tmp_path):
    task = small_task()
    corpus = build_corpus(task, "train", 24, 0, tmp_path)
    passing_by = next(islice(CorpusBatches(corpus, task, renderer(task), 8, 2, 0, 0), 3, None))
    module = TrainingQuestions(task, renderer(task), 8, 2, 0, corpus)
    assert_equal(next(iter(CorpusBatches(corpus, task, renderer(task), 8, 2, 0, 3))), passing_by)
    assert_equal(next(islice(module.train_dataloader(), 3, None)), passing_by)


def test_a_corpus_is_built_once_and_named_by_all_that_it_depends_on(tmp_path, monkeypatch):
    task = small_task()
    build_corpus(task, "train", 8, 0, tmp_path)
    (folder,) = visible(tmp_path)
    monkeypatch.setattr("unamortized.language.dataset.draw", pytest.fail)
    build_corpus(task, "train", 8, 0, tmp_path)
    build_corpus(small_task(name="other", codebook={"resolution": 2}), "train", 8, 0, tmp_path)
    monkeypatch.undo()
    build_corpus(task, "validation", 8, 0, tmp_path)
    build_corpus(task, "train", 8, 1, tmp_path)
    build_corpus(task, "train", 9, 0, tmp_path)
    build_corpus(small_task(steps={"train": [3, 7], "test": [4]}), "train", 8, 0, tmp_path)
    build_corpus(small_task(query="smooth 0"), "train", 8, 0, tmp_path)
    assert len(visible(tmp_path)) == 6
    assert folder in visible(tmp_path)


def test_a_corpus_is_built_silently(tmp_path, capfd):
    build_corpus(small_task(), "train", 8, 0, tmp_path)  # progress is the caller's to tell
    assert capfd.readouterr() == ("", "")


def test_a_corpus_left_unfinished_is_built_anew(tmp_path, monkeypatch):
    task = small_task()
    with monkeypatch.context() as broken:
        broken.setattr(datasets.Dataset, "save_to_disk", write_half)
        with pytest.raises(OSError, match="disk full"):
            build_corpus(task, "train", 8, 0, tmp_path)
    assert not visible(tmp_path)
    assert [folder.name for folder in tmp_path.glob(".*.unfinished")]
    assert len(build_corpus(task, "train", 8, 0, tmp_path)) == 8
    assert not list(tmp_path.glob(".*.unfinished"))
    assert not list(tmp_path.rglob("half"))


def write_half(_dataset, folder):
    folder.mkdir()
    (folder / "half").write_text("")
    raise OSError("disk full")


def visible(root) -> list[str]:
    return sorted(folder.name for folder in root.iterdir() if not folder.name.startswith("."))


def test_a_corpus_needs_a_question_for_every_length(tmp_path):
    with pytest.raises(ValueError, match="a corpus over 4 lengths needs as many questions \\(got 3\\)"):
        build_corpus(small_task(), "train", 3, 0, tmp_path)


def test_a_corpus_larger_than_a_chunk_repeats_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("unamortized.language.dataset.CHUNK", 8)
    task = small_task(steps={"train": [12, 12], "test": [12]})
    corpus = build_corpus(task, "train", 20, 0, tmp_path)
    assert len({tuple(row["observations"]) for row in corpus}) == 20


def test_two_processes_that_build_a_corpus_at_once_get_the_same(tmp_path):
    arguments = small_task(), "train", 400, 0, tmp_path
    both = [begin(build_corpus, *arguments) for _ in range(2)]
    for process in both:
        finish(process)
    assert len(visible(tmp_path)) == 1
    assert len(build_corpus(*arguments)) == 400


def test_a_different_seed_reads_different_rows(tmp_path):
    task = small_task()
    corpus = build_corpus(task, "train", 24, 0, tmp_path)
    one, other = (CorpusBatches(corpus, task, renderer(task), 8, 2, seed, 0) for seed in (0, 1))
    assert any(
        a.n_steps != b.n_steps or not np.array_equal(a.observations, b.observations)
        for step in range(3)
        for a, b in zip(one.problems(step), other.problems(step), strict=True)
    )
