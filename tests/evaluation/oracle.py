"""A model with known behavior in place of a trained one: every evaluation must find that behavior."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn

from tests.small_tasks import small_task
from unamortized.language.meanings import code_meanings
from unamortized.language.vocabulary import ANSWER, THINK, task_vocabulary
from unamortized.learning.conditions import resolve_condition
from unamortized.learning.runs import assemble
from unamortized.learning.specification import Run, RunSpec
from unamortized.models.transformer import Cache, ModelSpec, Output, Transformer
from unamortized.worlds.problems import exact_answer
from unamortized.worlds.tasks import Task

SMALL = ModelSpec(layers=1, width=16)
RULED_OUT = 1e-9  # weight of the true belief, so that no trace is impossible


class Oracle(Transformer):
    """Exact Bayes behind a transformer's interface.

    It writes the code of the exact update of its last code's meaning by the next observations, or a draw of the next
    state. With ``from_question`` it ignores its trace and writes from the question alone. Its answer is ``rho`` times
    the exact one from the last belief that its trace states, and 1 - rho times the exact one from the question. After
    its block, the residual stream is a linear map of the exact belief: of step t at the token of x_t, elsewhere of the
    step that is stated next. The embedding holds nothing.
    """

    def __init__(self, task: Task, condition: str, rho: float = 1.0, from_question: bool = False) -> None:
        nn.Module.__init__(self)
        trace = resolve_condition(condition).language(task, SMALL).trace
        self.spec, self.task, self.vocabulary = SMALL, task, task_vocabulary(task)
        self.process, self.rho, self.from_question = task.build(), rho, from_question
        self.samples = trace == "state"
        self.stride = int(trace.removeprefix("every_")) if trace.startswith("every_") else 1
        self.meanings = np.eye(self.process.n_states) if self.samples else code_meanings(task)
        self.map = np.random.default_rng(0).standard_normal((self.process.n_states, SMALL.width))
        self.read: WeakKeyDictionary[Cache, Tensor] = WeakKeyDictionary()

    def forward(
        self,
        tokens: Tensor,
        positions: Tensor,
        *,
        taps: Iterable[str] = (),
        patches: Any = None,
        cache: Cache | None = None,
        select: Tensor | None = None,
    ) -> Output:
        assert cache is not None
        assert not patches, "an oracle has no activations to patch"
        assert select is not None
        assert select[:, -1].all(), "an oracle answers after the last token"
        assert select.sum() == len(tokens), "an oracle answers after the last token"
        first = self.read[cache].shape[1] if cache in self.read else 0
        self.read[cache] = torch.cat([self.read[cache], tokens], dim=1) if first else tokens
        reading = Reading(self, self.read[cache].numpy())
        logits = np.full((len(tokens), self.vocabulary.size), -np.inf)
        block = "answer" if reading.tokens[0, -1] == ANSWER else "state" if self.samples else "code"
        with np.errstate(divide="ignore"):
            logits[:, self.vocabulary.blocks[block]] = np.log(
                reading.answer() if block == "answer" else reading.write()
            )
        taken = {tap: torch.zeros(*tokens.shape, SMALL.width) for tap in taps}
        if "blocks.0.hook_resid_post" in taken:
            held = reading.beliefs_held()[:, first:] @ self.map
            taken["blocks.0.hook_resid_post"] = torch.from_numpy(held).float()
        return Output(torch.from_numpy(logits), taken)


class Reading:
    """The tokens that an oracle has read, sorted by kind, and the exact beliefs that follow from them."""

    def __init__(self, oracle: Oracle, tokens: np.ndarray) -> None:
        self.oracle, self.tokens = oracle, tokens
        kinds = [oracle.vocabulary.kind(int(token))[0] for token in tokens[0]]
        self.observed = np.flatnonzero([kind == "observation" for kind in kinds])
        self.symbols = tokens[:, self.observed] - oracle.vocabulary.blocks["observation"].start
        after = np.arange(len(kinds)) > self.observed[-1]
        block = "state" if oracle.samples else "code"
        self.traced = np.flatnonzero(after & [kind == block for kind in kinds])
        self.trace = tokens[:, self.traced] - oracle.vocabulary.blocks[block].start
        initial = np.broadcast_to(oracle.process.initial, (len(tokens), oracle.process.n_states))
        if kinds[1] == "state":  # right after <bos>
            initial = np.eye(oracle.process.n_states)[tokens[:, 1] - oracle.vocabulary.blocks["state"].start]
        self.beliefs = np.stack(self.moved(initial, self.symbols), axis=1)

    def moved(self, belief: np.ndarray, symbols: np.ndarray) -> list[np.ndarray]:
        """Update the belief by each symbol; the first of the list is the belief itself."""
        beliefs = [belief]
        for symbol in symbols.T:
            joint = np.einsum("bi,bij->bj", beliefs[-1], self.oracle.process.transitions[symbol])
            beliefs.append(joint / joint.sum(axis=1, keepdims=True))
        return beliefs

    def stated(self, place: int) -> tuple[int, np.ndarray]:
        """Return the step of a place in the trace, and the belief stated there; place -1 is the start."""
        step = (place + 1) * self.oracle.stride
        if place < 0:
            return step, self.beliefs[:, 0]
        meaning = self.oracle.meanings[self.trace[:, place]]
        return step, (1 - RULED_OUT) * meaning + RULED_OUT * self.beliefs[:, step]

    def write(self) -> np.ndarray:
        """Return the probabilities of the next token of the trace."""
        oracle, size = self.oracle, len(self.oracle.meanings)
        step, belief = self.stated(self.trace.shape[1] - 1)
        if oracle.samples:
            later = self.symbols[:, step:]
            weights = np.ones((len(later), oracle.process.n_states))  # P(later observations | state), backwards
            for symbol in later[:, 1:].T[::-1]:
                weights = np.einsum("bij,bj->bi", oracle.process.transitions[symbol], weights)
                weights /= weights.max(axis=1, keepdims=True)
            joint = np.einsum("bi,bij,bj->bj", belief, oracle.process.transitions[later[:, 0]], weights)
            return joint / joint.sum(axis=1, keepdims=True)
        if oracle.from_question:
            return np.eye(size)[oracle.vocabulary.codebook.encode(self.beliefs[:, step + oracle.stride])]
        now = self.moved(belief, self.symbols[:, step : step + oracle.stride])[-1]
        return np.eye(size)[oracle.vocabulary.codebook.encode(now)]

    def answer(self) -> np.ndarray:
        """Return the distribution of the answer."""
        oracle, query = self.oracle, self.oracle.task.query
        question = exact_answer(oracle.process, self.beliefs[:, 0], self.symbols, query)
        latest = query.argument if query.kind == "smooth" else self.symbols.shape[1]
        places = [place for place in range(self.trace.shape[1]) if (place + 1) * oracle.stride <= (latest or 0)]
        if not places:
            return question
        step, belief = self.stated(places[-1])
        traced = exact_answer(oracle.process, belief, self.symbols[:, step:], query, after=step)
        return oracle.rho * traced + (1 - oracle.rho) * question

    def beliefs_held(self) -> np.ndarray:
        """Return the belief that each token's residual stream holds; zeros where nothing is left to state."""
        batch, columns = self.tokens.shape
        held = np.zeros((batch, columns, self.beliefs.shape[2]))
        n_steps = self.symbols.shape[1]
        held[:, self.observed] = self.beliefs[:, 1:]
        stating = [*np.flatnonzero(self.tokens[0] == THINK), *self.traced]
        for place, column in enumerate(stating):
            step = (place + 1) * self.oracle.stride
            if step <= n_steps:
                held[:, column] = self.beliefs[:, step]
        held[:, self.tokens[0] == ANSWER] = self.beliefs[:, -1:]
        return held


def oracle_run(task: Task, condition: str = "cot", rho: float = 1.0, from_question: bool = False, seed: int = 0) -> Run:
    """A run with an oracle for a model."""
    spec = RunSpec(task=task, condition=condition, seed=seed, model=SMALL)
    return assemble(spec, Oracle(task, condition, rho, from_question).eval(), Path("no folder"))


def as_if(run: Run, **changes: Any) -> Run:
    """The same model, as if other fields of its specification had been asked for."""
    return assemble(run.spec.model_copy(update=changes), run.model, run.folder)


def slow_task(**changes: Any) -> Task:
    """A task of three states that mixes slowly, with codes fine enough to follow them; any field may be changed."""
    process = {
        "family": "noisy_permutation",
        "states": 3,
        "symbols": 5,
        "slip": 0.05,
        "informativeness": 0.5,
        "seed": 1,
    }
    steps = {"train": [2, 8], "test": [4, 8, 16]}
    return small_task(**{"process": process, "steps": steps, "codebook": {"resolution": 20}} | changes)
