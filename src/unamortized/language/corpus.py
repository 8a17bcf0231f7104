"""Corpora: problems of a task kept on disk as Hugging Face ``datasets``, built once and read back exactly.

A corpus is independent of the trace: every condition renders the same questions.
"""

import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from datasets.arrow_writer import ArrowWriter
from filelock import FileLock
from jaxtyping import Int

from unamortized.worlds.inference import filter_beliefs
from unamortized.worlds.problems import ARRAYS, Problems
from unamortized.worlds.randomness import digest
from unamortized.worlds.source_code import read_sources, source_version
from unamortized.worlds.splits import draw
from unamortized.worlds.tasks import Task

CHUNK = 4096  # questions drawn at a time while a corpus is built
STORED = (*(name for name in ARRAYS if name != "beliefs"), "first_belief")  # filtering the first gives all beliefs
INTEGERS = ("observations", "latents", "answers")


@dataclass(frozen=True)
class Corpus:
    """Problems of a task on disk, one a row."""

    task: Task
    dataset: datasets.Dataset

    @cached_property
    def _table(self) -> Any:
        return self.dataset.with_format("arrow")  # the "numpy" format would return beliefs in float32

    @cached_property
    def rows(self) -> dict[int, Int[np.ndarray, " rows"]]:
        """Rows of the problems of each length."""
        lengths = self._table[:].column("n_steps").to_numpy()
        return {int(n): np.flatnonzero(lengths == n) for n in np.unique(lengths)}

    def read(self, rows: Int[np.ndarray, " rows"]) -> Problems:
        """Read the problems of one length in these rows, exactly as they were drawn."""
        table = self._table[rows]
        columns = {name: np.stack(table.column(name).to_numpy()) for name in STORED}
        columns |= {name: columns[name].astype(np.int64) for name in INTEGERS}
        process, first = self.task.build(), columns.pop("first_belief")
        beliefs = filter_beliefs(process.transitions, first, columns["observations"], readout=process.readout).beliefs
        return Problems(**columns, beliefs=beliefs, process=process, start=self.task.start)


def build_corpus(task: Task, split: str, n_questions: int, seed: int, root: Path) -> Corpus:
    """Draw a corpus with equally many problems of each training length, or open the one that was drawn before.

    Its folder under ``root`` is named by a hash of task, split, lengths, size, seed and the version of the code that
    draws; it is written whole or not at all.

    Raises:
        ValueError: if there are fewer questions than lengths, or each problem has its own transitions.
    """
    if task.build().sampler is not None:
        raise ValueError(
            f"{task.name}: train.questions needs one process for all problems, but each has its own transitions; "
            "leave out train.questions"
        )
    first, last = task.steps.train
    lengths = range(first, last + 1)
    if n_questions < len(lengths):
        raise ValueError(f"train.questions must be at least {len(lengths)}, one for each length (got {n_questions})")
    drawn_by = source_version(read_sources(), "unamortized.worlds.splits")
    folder = root / digest(drawn_by, task.fingerprint(), split, first, last, n_questions, seed)
    root.mkdir(parents=True, exist_ok=True)
    with FileLock(root / f".{folder.name}.lock"):
        if not folder.exists():
            unfinished = root / f".{folder.name}.unfinished"
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir()
            datasets.disable_progress_bars()  # reporting progress is left to the caller
            drawn = str(unfinished / "drawn.arrow")
            with ArrowWriter(path=drawn) as writer:  # in chunks, so that memory does not limit the size
                for i, n in enumerate(lengths):
                    size = n_questions // len(lengths) + (i < n_questions % len(lengths))
                    for offset in range(0, size, CHUNK):
                        problems = draw(task, split, n, min(CHUNK, size - offset), "corpus", seed, offset)
                        writer.write_table(_to_dataset(problems).data.table)
                writer.finalize()
            datasets.Dataset.from_file(drawn).save_to_disk(unfinished / "whole")
            (unfinished / "whole").rename(folder)
            shutil.rmtree(unfinished)
    return Corpus(task, datasets.Dataset.load_from_disk(folder))


def _to_dataset(problems: Problems) -> datasets.Dataset:
    """Problems as rows. Only the first belief is stored: beliefs are most of the data, and filtering is as fast."""
    process = problems.process
    narrow = np.min_scalar_type(-1 - max(process.n_states, process.n_symbols))  # signed, because NO_LATENT is negative
    columns: dict[str, Any] = {"n_steps": np.full(len(problems), problems.n_steps)}
    for name in STORED:
        values = problems.start_beliefs if name == "first_belief" else getattr(problems, name)
        columns[name] = values.astype(narrow) if name in INTEGERS else values
    return datasets.Dataset.from_dict(columns)
