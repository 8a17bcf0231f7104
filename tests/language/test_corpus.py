"""Corpora: built once, written whole, and read back exactly."""

import datasets
import numpy as np
import pytest

from tests.other_processes import begin, finish
from tests.small_tasks import small_task
from unamortized.language.corpus import STORED, build_corpus
from unamortized.worlds.splits import draw


@pytest.mark.parametrize("start", ["fixed", "known"])
def test_a_corpus_stores_exactly_what_was_drawn(tmp_path, start):
    task = small_task(start=start, query="predict 1")
    corpus = build_corpus(task, "train", 42, 7, tmp_path)
    assert len(corpus.dataset) == 42
    sizes = {3: 11, 4: 11, 5: 10, 6: 10}  # the remainder goes to the shortest
    for n_steps, size in sizes.items():
        rows = [row for row in corpus.dataset if row["n_steps"] == n_steps]
        problems = draw(task, "train", n_steps, size, "corpus", 7, 0)
        for name in STORED:
            stored = np.array([row[name] for row in rows])
            expected = problems.beliefs[:, 0] if name == "first_belief" else getattr(problems, name)
            np.testing.assert_array_equal(stored, expected)


def test_a_corpus_is_built_once_and_its_folder_depends_on_all_its_inputs(tmp_path, monkeypatch):
    task = small_task()
    build_corpus(task, "train", 8, 0, tmp_path)
    (folder,) = visible(tmp_path)
    monkeypatch.setattr("unamortized.language.corpus.draw", pytest.fail)
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
    build_corpus(small_task(), "train", 8, 0, tmp_path)  # reporting progress is left to the caller
    assert capfd.readouterr() == ("", "")


def test_an_unfinished_corpus_is_built_again(tmp_path, monkeypatch):
    task = small_task()
    with monkeypatch.context() as broken:
        broken.setattr(datasets.Dataset, "save_to_disk", write_half)
        with pytest.raises(OSError, match="disk full"):
            build_corpus(task, "train", 8, 0, tmp_path)
    assert not visible(tmp_path)
    assert [folder.name for folder in tmp_path.glob(".*.unfinished")]
    assert len(build_corpus(task, "train", 8, 0, tmp_path).dataset) == 8
    assert not list(tmp_path.glob(".*.unfinished"))
    assert not list(tmp_path.rglob("half"))


def write_half(_dataset, folder):
    folder.mkdir()
    (folder / "half").write_text("")
    raise OSError("disk full")


def visible(root) -> list[str]:
    return sorted(folder.name for folder in root.iterdir() if not folder.name.startswith("."))


def test_a_corpus_needs_a_question_for_every_length(tmp_path):
    with pytest.raises(ValueError, match="train.questions must be at least 4, one for each length \\(got 3\\)"):
        build_corpus(small_task(), "train", 3, 0, tmp_path)


def test_the_chunks_of_a_corpus_have_different_questions(tmp_path, monkeypatch):
    monkeypatch.setattr("unamortized.language.corpus.CHUNK", 8)
    task = small_task(steps={"train": [12, 12], "test": [12]})
    corpus = build_corpus(task, "train", 20, 0, tmp_path)
    assert len({tuple(row["observations"]) for row in corpus.dataset}) == 20


def test_two_processes_build_one_corpus(tmp_path):
    arguments = small_task(), "train", 400, 0, tmp_path
    both = [begin(build_corpus, *arguments) for _ in range(2)]
    for process in both:
        finish(process)
    assert len(visible(tmp_path)) == 1
    assert len(build_corpus(*arguments).dataset) == 400
