"""A model with known slips: it fetches a wrong observation, or updates wrongly, at set rates."""

from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn

from tests.evaluation.oracle import SMALL
from unamortized.language.meanings import code_meanings
from unamortized.language.vocabulary import ANSWER, THINK
from unamortized.learning.conditions import resolve_condition
from unamortized.learning.runs import assemble
from unamortized.learning.specification import Run, RunSpec
from unamortized.models.transformer import Cache, Output, Transformer
from unamortized.worlds.tasks import Task


class Careless(Transformer):
    """Writes the exact update of its last code by the symbol that it fetched, except for its slips.

    With probability ``misfetch`` it fetches another symbol than x_t: silently in a plain trace, as a wrong copy or
    index in a trace that shows its fetching. With probability ``miscount`` it writes a code that is the update with no
    symbol. It notes every slip, by step.
    """

    def __init__(self, task: Task, condition: str, misfetch: float, miscount: float) -> None:
        nn.Module.__init__(self)
        self.spec, self.process = SMALL, task.build()
        language = resolve_condition(condition).language(task, SMALL)
        self.vocabulary = language.vocabulary
        self.fetching = {"copied": "observation", "indexed": "index"}.get(language.trace)
        self.misfetch, self.miscount = misfetch, miscount
        self.meanings, self.generator = code_meanings(task), np.random.default_rng(0)
        self.misfetched: list[np.ndarray] = []  # by step; for one batch only
        self.miscounted: list[np.ndarray] = []
        self.read: WeakKeyDictionary[Cache, Tensor] = WeakKeyDictionary()

    def forward(self, tokens: Tensor, positions: Tensor, *, cache: Any = None, **_: Any) -> Output:
        self.read[cache] = torch.cat([self.read[cache], tokens], dim=1) if cache in self.read else tokens
        tokens = self.read[cache].numpy()
        logits = np.zeros((len(tokens), self.vocabulary.size))
        if tokens[0, -1] != ANSWER:
            np.put_along_axis(logits, self.write(tokens)[:, None], 10.0, axis=1)
        return Output(torch.from_numpy(logits), {})

    def write(self, tokens: np.ndarray) -> np.ndarray:
        """Choose the next token of the trace."""
        vocabulary, blocks = self.vocabulary, self.vocabulary.blocks
        mark = int(np.flatnonzero(tokens[0] == THINK)[0])
        question, trace = tokens[:, 1:mark], tokens[:, mark + 1 :]
        indices, observed = question[:, ::2], question[:, 1::2]
        if self.fetching != "index":
            indices, observed = question, question
        symbols = observed - blocks["observation"].start
        n_fetched = 2 if self.fetching else 1
        step = trace.shape[1] // n_fetched
        codes = trace[:, n_fetched - 1 :: n_fetched] - blocks["code"].start
        symbol = symbols[:, step]
        slips = self.generator.random(len(tokens)) < self.misfetch
        other = (symbol + self.generator.integers(1, vocabulary.n_symbols, len(tokens))) % vocabulary.n_symbols
        if self.fetching and trace.shape[1] % 2 == 0:
            self.misfetched.append(slips)
            if self.fetching == "index":
                return np.where(slips, blocks["index"].start, indices[:, step])  # as at the first step
            return vocabulary.observation(np.where(slips, other, symbol))
        if self.fetching == "observation":
            symbol = trace[:, -1] - blocks["observation"].start
        if not self.fetching:
            self.misfetched.append(slips)
            symbol = np.where(slips, other, symbol)
        before = np.tile(self.process.initial, (len(tokens), 1)) if step == 0 else self.meanings[codes[:, -1]]
        joint = np.einsum("bi,vij->bvj", before, self.process.transitions)
        every = vocabulary.encode(joint / joint.sum(axis=2, keepdims=True))  # (batch, symbol)
        points = vocabulary.codebook.points
        distance = np.abs(points[every][:, :, None] - points).sum(axis=3).min(axis=1)  # of each code to any update
        slips = self.generator.random(len(tokens)) < self.miscount
        self.miscounted.append(slips)
        written = np.where(slips, distance.argmax(axis=1), every[np.arange(len(tokens)), symbol])
        return vocabulary.code(written)


def careless_run(task: Task, condition: str, misfetch: float, miscount: float) -> tuple[Run, Careless]:
    """A run with a careless model."""
    model = Careless(task, condition, misfetch, miscount).eval()
    assert isinstance(model, Careless)
    return assemble(RunSpec(task=task, condition=condition, model=SMALL), model, Path("no folder")), model
