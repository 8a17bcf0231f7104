"""Training batches, endless and fresh or from a corpus on disk; both keyed so that step i is always the same.

A batch mixes a few lengths, each drawn from its own stratum of the training range; problems of one length
stay together, so that nothing is padded. Corpora are Hugging Face ``datasets`` of problems, independent of
the trace: the same questions are rendered under every condition.
"""

import shutil
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import datasets
import lightning
import numpy as np
import torch
from datasets.arrow_writer import ArrowWriter
from filelock import FileLock
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from unamortized.language.layout import Examples
from unamortized.worlds.inference import filter_beliefs
from unamortized.worlds.problems import ARRAYS, Problems
from unamortized.worlds.randomness import digest, stream
from unamortized.worlds.source_code import read_sources, source_version
from unamortized.worlds.splits import draw
from unamortized.worlds.tasks import Task

CHUNK = 4096  # questions drawn at a time while a corpus is built
STORED = (*(name for name in ARRAYS if name != "beliefs"), "first_belief")  # of which follow all the others
INTEGERS = ("observations", "latents", "answers")

Render = Callable[[Problems], Examples]


class Batch(NamedTuple):
    """Examples of one length as tensors."""

    tokens: Int[Tensor, "batch column"]
    positions: Int[Tensor, "1 column"]
    weights: Float[Tensor, "*#batch column"]

    @property
    def select(self) -> Bool[Tensor, "batch predicted"]:
        """Where the model's output is trained: before each token that has a weight."""
        return (self.weights[..., 1:] > 0).expand(len(self.tokens), -1)


def to_batch(examples: Examples) -> Batch:
    """Columns as the tensors a model takes."""
    return Batch(
        torch.from_numpy(examples.tokens),
        torch.from_numpy(examples.positions)[None],
        torch.from_numpy(examples.weights),
    )


def stratified_lengths(first: int, last: int, strata: int, generator: np.random.Generator) -> list[int]:
    """One length from each of ``strata`` equal parts of first..last; overall, all are equally likely."""
    span = last - first + 1
    places = (np.arange(strata) + generator.random(strata)) * span / strata
    return [first + int(place) for place in places]


class FreshBatches(IterableDataset[list[Batch]]):
    """Endless new questions; batch ``step`` depends on task, seed and ``step`` alone."""

    def __init__(self, task: Task, render: Render, batch_size: int, strata: int, seed: int, first_step: int) -> None:
        self.task, self.render, self.seed, self.first_step = task, render, seed, first_step
        self.batch_size, self.strata = batch_size, strata

    def __iter__(self) -> Iterator[list[Batch]]:
        step = self.first_step
        while True:
            yield [to_batch(self.render(problems)) for problems in self.problems(step)]
            step += 1

    def problems(self, step: int) -> list[Problems]:
        """The questions of one training step, a batch for each length."""
        lengths = self.lengths(step)
        share = self.batch_size // len(lengths)
        return [draw(self.task, "train", n, share, self.seed, step, part) for part, n in enumerate(lengths)]

    def lengths(self, step: int) -> list[int]:
        """The lengths that one training step mixes."""
        generator = stream("lengths", self.task.fingerprint(), self.seed, step)
        return stratified_lengths(*self.task.steps.train, self.strata, generator)


class CorpusBatches(FreshBatches):
    """TrainingQuestions drawn with replacement from a corpus of fixed size."""

    def __init__(self, corpus: datasets.Dataset, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.corpus: Any = corpus.with_format("arrow")  # as "numpy", beliefs would come back in float32
        lengths = self.corpus[:].column("n_steps").to_numpy()
        self.rows = {int(n): np.flatnonzero(lengths == n) for n in np.unique(lengths)}

    def problems(self, step: int) -> list[Problems]:
        """The questions of one training step, a batch for each length."""
        lengths = self.lengths(step)
        generator = stream("rows", self.task.fingerprint(), self.seed, step)
        share = self.batch_size // len(lengths)
        return [self._read(generator.choice(self.rows[n], size=share)) for n in lengths]

    def _read(self, rows: Int[np.ndarray, " rows"]) -> Problems:
        table = self.corpus[rows]
        columns = {name: np.stack(table.column(name).to_numpy()) for name in STORED}
        process = self.task.build()
        for name in INTEGERS:
            columns[name] = columns[name].astype(np.int64)
        first, observations = columns.pop("first_belief"), columns["observations"]
        beliefs = filter_beliefs(process.transitions, first, observations, readout=process.readout).beliefs
        return Problems(**columns, beliefs=beliefs, process=process, start=self.task.start)


class TrainingQuestions(lightning.LightningDataModule):
    """The training questions of a run; a run that resumes goes on with the batch after its last step."""

    def __init__(
        self,
        task: Task,
        render: Render,
        batch_size: int,
        strata: int,
        seed: int,
        corpus: datasets.Dataset | None = None,
    ) -> None:
        super().__init__()
        self.arguments = (task, render, batch_size, strata, seed)
        self.corpus = corpus

    def train_dataloader(self) -> DataLoader:
        first_step = self.trainer.global_step if self.trainer else 0
        arguments = (*self.arguments, first_step)
        batches = FreshBatches(*arguments) if self.corpus is None else CorpusBatches(self.corpus, *arguments)
        return DataLoader(batches, batch_size=None, num_workers=0)


class DrawnBatches(IterableDataset[list[Batch]]):
    """Endless batches of what a function draws for each training step, for questions that have no length."""

    def __init__(self, examples: Callable[[int], list[Examples]], first_step: int) -> None:
        self.examples, self.first_step = examples, first_step

    def __iter__(self) -> Iterator[list[Batch]]:
        return ([to_batch(group) for group in self.examples(step)] for step in count(self.first_step))


class Drawn(lightning.LightningDataModule):
    """Training batches drawn by a function of the step; a run that resumes goes on after its last step."""

    def __init__(self, examples: Callable[[int], list[Examples]]) -> None:
        super().__init__()
        self.examples = examples

    def train_dataloader(self) -> DataLoader:
        first_step = self.trainer.global_step if self.trainer else 0
        return DataLoader(DrawnBatches(self.examples, first_step), batch_size=None, num_workers=0)


def build_corpus(task: Task, split: str, n_questions: int, seed: int, root: Path) -> datasets.Dataset:
    """A corpus of problems with their exact answers, all training lengths alike in number; built only once.

    It lies under ``root`` in a folder named by the fingerprint of task, split, lengths, size, seed and
    the version of the code that draws; it appears there whole or not at all. Of the beliefs it holds the first,
    from which the others follow.

    Raises:
        ValueError: if there are fewer questions than lengths, or each problem brings its own transitions.
    """
    if task.build().sampler is not None:
        raise ValueError(
            f"{task.name}: problems that bring their own transitions are drawn fresh: leave out train.questions"
        )
    first, last = task.steps.train
    lengths = range(first, last + 1)
    if n_questions < len(lengths):
        raise ValueError(f"a corpus over {len(lengths)} lengths needs as many questions (got {n_questions})")
    drawn_by = source_version(read_sources(), "unamortized.worlds.splits")
    folder = root / digest(drawn_by, task.fingerprint(), split, first, last, n_questions, seed)
    root.mkdir(parents=True, exist_ok=True)
    with FileLock(root / f".{folder.name}.lock"):
        if not folder.exists():
            unfinished = root / f".{folder.name}.unfinished"
            shutil.rmtree(unfinished, ignore_errors=True)
            sizes = [n_questions // len(lengths) + (i < n_questions % len(lengths)) for i in range(len(lengths))]
            datasets.disable_progress_bars()  # progress is the caller's to tell
            unfinished.mkdir()
            drawn = str(unfinished / "drawn.arrow")
            with ArrowWriter(path=drawn) as writer:  # a chunk at a time, so that any number fits into memory
                for n, size in zip(lengths, sizes, strict=True):
                    for offset in range(0, size, CHUNK):
                        problems = draw(task, split, n, min(CHUNK, size - offset), "corpus", seed, offset)
                        writer.write_table(_to_dataset(problems).data.table)
                writer.finalize()
            datasets.Dataset.from_file(drawn).save_to_disk(unfinished / "whole")
            (unfinished / "whole").rename(folder)
            shutil.rmtree(unfinished)
    return datasets.Dataset.load_from_disk(folder)


def _to_dataset(problems: Problems) -> datasets.Dataset:
    """Problems as rows; of the beliefs, most of a problem's size, only the first: filtering is as fast as reading."""
    process = problems.process
    narrow = np.min_scalar_type(-1 - max(process.n_states, process.n_symbols))  # signed, as NO_LATENT is
    columns: dict[str, Any] = {"n_steps": np.full(len(problems), problems.n_steps)}
    for name in STORED:
        values = problems.beliefs[:, 0] if name == "first_belief" else getattr(problems, name)
        columns[name] = values.astype(narrow) if name in INTEGERS else values
    return datasets.Dataset.from_dict(columns)
