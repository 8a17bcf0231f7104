"""Bayes readers: exact Bayes in place of a model, with a faithfulness rho that is set.

A measure of faithfulness is calibrated if it finds rho on readers.
"""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unamortized.evaluation.baselines import blinded, updated
from unamortized.labels import numbers, stem
from unamortized.language.edits import edited_beliefs
from unamortized.language.meanings import code_meanings
from unamortized.language.rendering import Language
from unamortized.language.vocabulary import ANSWER
from unamortized.learning.runs import assemble, new_model
from unamortized.learning.specification import Run, RunSpec
from unamortized.models.transformer import ModelSpec, Output
from unamortized.worlds.problems import Problems, Questions, solve
from unamortized.worlds.tasks import Task

READ = ("belief", "streaming", "every")  # the traces that readers can read
START = 1  # column of the token that tells the start, if there is one


class BayesReader:
    """Read a belief trace as exactly as possible; answer from it with weight rho, from the question with 1 - rho.

    The reader keeps track of the belief that the trace has reached. It writes the code of the next exact update; if it
    reads another code there, it believes that code. After a truncated trace, later observations count as unseen.
    """

    def __init__(self, task: Task, trace: str, rho: float) -> None:
        if reason := unreadable(task, trace):
            raise ValueError(reason)
        self.task, self.process, self.rho = task, task.build(), rho
        self.vocabulary = Language(task, trace).vocabulary
        self.meanings = code_meanings(task, softening=1e-12)
        self.stride = int(numbers(trace).get("every", 1))

    def new_cache(self, capacity: int) -> list[Tensor]:
        """Make an empty list for the tokens that will be read."""
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
        """Return logits after the last token; a ValueError refuses taps and patches."""
        if tuple(taps) or patches:
            raise ValueError("a reader has no activations to tap or patch; test a transformer instead")
        cache = [] if cache is None else cache
        cache.append(tokens)
        read = torch.cat(cache, dim=1).numpy()
        block = self.vocabulary.blocks["answer" if read[0, -1] == ANSWER else "code"]
        logits = np.full((len(read), self.vocabulary.size), -np.inf)
        with np.errstate(divide="ignore"):
            logits[:, block] = np.log(self.probabilities(read))
        return Output(torch.from_numpy(logits), {})

    def probabilities(self, read: Int[np.ndarray, "batch column"]) -> Float[np.ndarray, "batch option"]:
        """Return the probabilities of the answer, or of the next code of the trace."""
        vocabulary, kinds = self.vocabulary, [self.vocabulary.kind(int(token))[0] for token in read[0]]
        problems = self._problems(read, kinds)
        traced = [column for column, kind in enumerate(kinds) if kind == "code" and column > START]
        codes = read[:, traced] - vocabulary.blocks["code"].start
        step, belief = 0, problems.beliefs[:, 0]
        for stated in codes.T:
            belief = updated(problems, belief, step, step + self.stride)
            step += self.stride
            astray = vocabulary.encode(belief) != stated
            belief = np.where(astray[:, None], edited_beliefs(problems, step, self.meanings[stated]), belief)
        if read[0, -1] != ANSWER:
            following = updated(problems, belief, step, step + self.stride)
            return np.eye(vocabulary.codebook.size)[vocabulary.encode(following)]
        from_trace = blinded(self.task, problems, np.ones(problems.n_steps, dtype=bool), belief, after=step)
        return self.rho * from_trace + (1 - self.rho) * problems.answer_distribution

    def _problems(self, read: Int[np.ndarray, "batch column"], kinds: list[str]) -> Problems:
        """Solve the questions that have been read; the token after <bos> may tell the start."""
        batch, blocks, first = len(read), self.vocabulary.blocks, kinds[START]
        observed = [column for column, kind in enumerate(kinds) if kind == "observation"]
        start = np.tile(self.process.initial, (batch, 1))
        if first == "state":
            start = np.eye(self.process.n_states)[read[:, START] - blocks["state"].start]
        elif first == "code":
            start = self.vocabulary.codebook.points[read[:, START] - blocks["code"].start]
        questions = Questions(
            observations=read[:, observed] - blocks["observation"].start,
            latents=np.zeros((batch, len(observed) + 1), dtype=np.int64),  # unknown, as are the answers
            start_beliefs=start,
            answers=np.zeros(batch, dtype=np.int64),
            process=self.process,
            start=self.task.start,
        )
        return solve(questions, self.task.query)


def unreadable(task: Task, trace: str) -> str:
    """Return why readers cannot read a task's traces; an empty text if they can."""
    if stem(trace) not in READ:
        return f"readers read belief traces, not '{trace}'"
    if task.query.kind != "filter":
        return f"readers answer the query 'filter', not '{task.query}'"
    process = task.build()
    if process.sampler is not None:
        return f"{task.name}: readers do not read questions with their own transition tables"
    return f"{task.name}: readers read beliefs, not predictive vectors" if process.is_generalized else ""


def reader_run(task: Task, rho: float, condition: str = "cot", seed: int = 0) -> Run:
    """Make a run whose model is a reader, without a folder; a ValueError tells why the task or trace is unreadable."""
    spec = RunSpec(task=task, condition=condition, seed=seed, model=ModelSpec(layers=1))
    run = assemble(spec, new_model(spec), Path("no folder: a reader is not trained"))
    return replace(run, model=BayesReader(task, run.language.trace, rho))
