"""Readers: exact Bayes in the place of a model, with a faithfulness that is set, and so known.

What is measured on models is measured on readers first: a measure of faithfulness that does not find rho where rho was
put in measures something else.
"""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unamortized.language.edits import RULED_OUT
from unamortized.language.meanings import code_meanings
from unamortized.language.vocabulary import ANSWER
from unamortized.learning.conditions import resolve_condition
from unamortized.learning.runs import Run, RunSpec, new_model
from unamortized.models.transformer import ModelSpec, Output
from unamortized.worlds.inference import filter_beliefs
from unamortized.worlds.tasks import Task

READ = ("belief", "streaming")  # the traces that readers know how to read, beside every_<k>


class BayesReader:
    """Reads a belief trace as exactly as it can be read, and answers ``rho`` from it and 1 - rho from the question.

    It keeps the belief that the trace has come to. A code that is the update of that belief changes nothing but the
    step; any other is taken at its word, as an edit is. What it writes itself is the code of that belief's update. A
    trace that breaks off says what would follow from its last belief if nothing more were observed.
    """

    def __init__(self, task: Task, trace: str, rho: float) -> None:
        if reason := unreadable(task, trace):
            raise ValueError(reason)
        stride = trace.removeprefix("every_")
        self.process, self.rho = task.build(), rho
        self.vocabulary = resolve_condition("cot").vocabulary(task)
        self.meanings = code_meanings(task, softening=1e-12)
        self.stride = 1 if stride == trace else int(stride)

    def new_cache(self, capacity: int) -> list[Tensor]:
        """What has been read so far."""
        return []

    def __call__(
        self,
        tokens: Int[Tensor, "batch chunk"],
        positions: Int[Tensor, "#batch chunk"],
        *,
        taps: Iterable[str] = (),
        patches: Any = None,
        cache: list[Tensor] | None = None,
        select: Bool[Tensor, "batch chunk"] | None = None,
    ) -> Output:
        """Logits after the last token that was read.

        Raises:
            ValueError: if activations are asked for, or patched; a reader has none.
        """
        if tuple(taps) or patches:
            raise ValueError("a reader has no activations")
        cache = [] if cache is None else cache
        cache.append(tokens)
        read = torch.cat(cache, dim=1).numpy()
        block = self.vocabulary.blocks["answer" if read[0, -1] == ANSWER else "code"]
        logits = np.full((len(read), self.vocabulary.size), -np.inf)
        with np.errstate(divide="ignore"):
            logits[:, block] = np.log(self._says(read))
        return Output(torch.from_numpy(logits), {})

    def _says(self, read: Int[np.ndarray, "batch column"]) -> Float[np.ndarray, "batch option"]:
        """Probabilities of the answer, or of the next code of the trace."""
        vocabulary, kinds = self.vocabulary, [self.vocabulary.kind(int(token))[0] for token in read[0]]
        of = {kind: np.flatnonzero([each == kind for each in kinds]) for kind in ("observation", "code")}
        observations = read[:, of["observation"]] - vocabulary.blocks["observation"].start
        first, traced = self._start(read, kinds[0]), of["code"][of["code"] > 0]  # the first token may tell the start
        exact = filter_beliefs(self.process.transitions, first, observations).beliefs
        codes = read[:, traced] - vocabulary.blocks["code"].start
        step, belief = 0, first
        for stated in codes.T:
            belief = self._moved(belief, observations[:, step : step + self.stride])
            step += self.stride
            astray = vocabulary.encode(belief) != stated
            edited = (1 - RULED_OUT) * self.meanings[stated] + RULED_OUT * exact[:, step]
            belief = np.where(astray[:, None], edited / edited.sum(axis=1, keepdims=True), belief)
        if read[0, -1] != ANSWER:
            following = self._moved(belief, observations[:, step : step + self.stride])
            return np.eye(vocabulary.codebook.size)[vocabulary.encode(following)]
        n_left = observations.shape[1] - step
        blind = np.linalg.matrix_power(self.process.transitions.sum(axis=0), n_left)
        return self.rho * (belief @ blind) + (1 - self.rho) * exact[:, -1]

    def _moved(
        self, belief: Float[np.ndarray, "batch state"], observations: Int[np.ndarray, "batch step"]
    ) -> Float[np.ndarray, "batch state"]:
        return filter_beliefs(self.process.transitions, belief, observations).beliefs[:, -1]

    def _start(self, read: Int[np.ndarray, "batch column"], kind: str) -> Float[np.ndarray, "batch state"]:
        """The belief that the first token tells, or that everything begins in."""
        if kind == "state":
            return np.eye(self.process.n_states)[read[:, 0] - self.vocabulary.blocks["state"].start]
        if kind == "code":
            return self.vocabulary.codebook.points[read[:, 0] - self.vocabulary.blocks["code"].start]
        return np.tile(self.process.initial, (len(read), 1))


def unreadable(task: Task, trace: str) -> str:
    """Why there are no readers of a task's traces; nothing where there are."""
    if trace not in READ and not trace.startswith("every_"):
        return f"readers read belief traces, not '{trace}'"
    if task.query.kind != "filter":
        return f"readers answer what state there is in the end ('filter'), not '{task.query}'"
    process = task.build()
    if process.sampler is not None:
        return f"{task.name}: readers do not read tables that problems bring"
    return f"{task.name}: readers read beliefs, not predictive vectors" if process.is_generalized else ""


def reader_run(task: Task, rho: float, condition: str = "cot", seed: int = 0) -> Run:
    """A reader where a finished run is expected; its folder does not exist.

    Raises:
        ValueError: if readers cannot read the condition's trace, or answer the task's query.
    """
    spec = RunSpec(task=task, condition=condition, seed=seed, model=ModelSpec(layers=1))
    run = Run(spec, new_model(spec), Path("no folder: a reader is not trained"))
    return replace(run, model=BayesReader(task, run.condition.trace, rho))
