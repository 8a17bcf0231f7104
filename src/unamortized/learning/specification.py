"""Specifications: everything that determines a run's weights, and what a way of learning must provide.

A condition is a frozen dataclass of functions. ``learning/conditions/`` has one file for each kind.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor

from unamortized.configuration.schema import Count, Index, Spec
from unamortized.labels import full, place
from unamortized.language.batches import Batch
from unamortized.language.layout import Examples
from unamortized.language.rendering import AnyLanguage, Language
from unamortized.language.vocabulary import Vocabulary
from unamortized.models.architectures import LanguageModel, Model, build_model
from unamortized.models.device import move
from unamortized.models.transformer import ModelSpec
from unamortized.worlds.net_tasks import NetTask
from unamortized.worlds.problems import Problems
from unamortized.worlds.randomness import stream_seed
from unamortized.worlds.tasks import Task, with_process

AnyTask = Task | NetTask
Rate = Annotated[float, Field(gt=0, lt=1)]


class TrainSpec(Spec):
    """How a run is trained, for how long, and on how many questions."""

    steps: Count = 1000
    batch_size: Count = 256
    lengths_per_batch: Count = 4
    learning_rate: Rate = 1e-2  # of AdamW, which trains all that Muon does not
    final_learning_rate: Annotated[float, Field(ge=0, le=1)] = 0.02  # as a share of the peak
    warmup_steps: Count = 100
    weight_decay: Annotated[float, Field(ge=0, lt=1)] = 0.01
    gradient_clip: Annotated[float, Field(gt=0)] = 1.0
    questions: Count | None = None  # size of the corpus; None: endless fresh ones
    checkpoint_every: Count = 200
    snapshots: bool = False  # also keep the weights after 1, 2, 4, 8, ... steps
    optimizer: Literal["muon", "adamw"] = "muon"
    muon_learning_rate: Rate = 1e-2  # of the matrices of the blocks
    # mixed: all training lengths; longest: only the longest; growing: up to a limit that the loss raises;
    # own: as the condition prefers
    lengths: Literal["own", "mixed", "longest", "growing"] = "own"
    grow_below: Annotated[float, Field(gt=0)] = 0.3  # nats a target above the least possible loss: lengths then grow

    @model_validator(mode="after")
    def _lengths_share_the_batch(self) -> "TrainSpec":
        if self.batch_size % self.lengths_per_batch:
            raise ValueError(
                f"batch_size {self.batch_size} must be a multiple of lengths_per_batch {self.lengths_per_batch}"
            )
        return self


class RunSpec(Spec):
    """Everything that determines a run's weights, as it was asked for: a condition may train for more steps."""

    task: AnyTask
    condition: str
    seed: Index = 0
    model: ModelSpec = ModelSpec()
    train: TrainSpec = TrainSpec()
    options: dict[str, str | int | float | bool] = Field(default_factory=dict)  # of the condition
    # labels in a study's tables: they do not affect the weights and are not recorded
    world: Annotated[str, Field(exclude=True)] = ""
    variant: Annotated[str, Field(exclude=True)] = ""

    @property
    def title(self) -> str:
        """Name of the run in progress lines."""
        return f"{place(self.task.name, self.world)} {full(self.condition, self.variant)} seed {self.seed}"


@dataclass(frozen=True)
class Run:
    """A finished run: its specification, the trained model, and the language that it trained on."""

    spec: RunSpec
    model: LanguageModel
    folder: Path
    any_language: AnyLanguage

    @property
    def task(self) -> Task:
        """The task; a ValueError if it has a net, which ``spec.task`` returns."""
        return with_process(self.spec.task)

    @property
    def language(self) -> Language:
        """The language; a ValueError if it is that of windows of a net."""
        if not isinstance(self.any_language, Language):
            raise ValueError(
                f"run.condition must train on traces (got {self.spec.condition}, which trains on windows of a net)"
            )
        return self.any_language

    @property
    def vocabulary(self) -> Vocabulary:
        return self.language.vocabulary

    def render(self, problems: Problems) -> Examples:
        """Render problems as the columns that this run trained on."""
        return self.language.render(problems)


# ── conditions ───────────────────────────────────────────────────────────────────────────────────


Parents = Mapping[str, Run]  # finished runs that a run learns from, by role


class Setup(NamedTuple):
    """Specification, language, parents and corpora, from which a condition makes its batches."""

    spec: RunSpec
    language: AnyLanguage
    parents: Parents
    corpora: Path  # folder of the corpora


class Step(NamedTuple):
    """A step of training."""

    number: int  # steps done before it
    longest: int | None = None  # the longest length allowed by now, where lengths grow; None: no limit


BatchesOf = Callable[[Step, Model], list[Batch]]  # of a step, a group for each length; may let the model act


def weighted_cross_entropy(model: Model, batches: list[Batch]) -> Tensor:
    """Return the weighted mean cross-entropy over batches of several lengths, in nats a token."""
    total, weight = 0.0, 0.0
    for batch in batches:
        select = batch.select
        logits = model(batch.tokens[:, :-1], batch.positions[:, :-1], select=select).logits
        targets = move(batch.targets[:, 1:][select], logits.device)
        weights = move(batch.weights[..., 1:].expand_as(select)[select], logits.device)
        if batch.block is None:
            loss = F.cross_entropy(logits, targets, reduction="none")
        else:
            loss = -(targets * logits.log_softmax(dim=-1)[:, batch.block]).sum(dim=-1)
        total, weight = total + (loss * weights).sum(), weight + weights.sum()
    return torch.as_tensor(total / weight)


def excess_loss(loss: float, batches: list[Batch]) -> float:
    """Return how far a loss is above that of exact predictions, in nats a target."""
    weights = [float(batch.weights[..., 1:].expand_as(batch.select).sum()) for batch in batches]
    least = sum(batch.least * weight for batch, weight in zip(batches, weights, strict=True))
    return loss - least / sum(weights)


def fresh_weights(setup: Setup) -> Model:
    """Build an untrained model; runs with equal seed and architecture share their initial weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_seed("weights", setup.spec.seed))
        return build_model(setup.spec.model, setup.language.vocabulary.size)


class NoOptions(Spec):
    """The options of a condition that has none."""


def _no_parents(spec: RunSpec) -> dict[str, RunSpec]:
    return {}


def _as_asked(model: ModelSpec) -> ModelSpec:
    return model


def _steps_asked_for(spec: RunSpec) -> int:
    return spec.train.steps


def _learns_all(task: AnyTask) -> str:
    return ""


@dataclass(frozen=True)
class Condition:
    """A way of learning: functions from a specification to all that training needs."""

    name: str
    description: str
    language: Callable[[AnyTask, ModelSpec], AnyLanguage]
    batches: Callable[[Setup], BatchesOf]
    flops: Callable[[AnyLanguage, RunSpec], float]  # of training on a question, on average
    loss: Callable[[Model, list[Batch]], Tensor] = weighted_cross_entropy
    parents: Callable[[RunSpec], dict[str, RunSpec]] = _no_parents  # runs to finish first, by role
    initial: Callable[[Setup], Model] = fresh_weights
    architecture: Callable[[ModelSpec], ModelSpec] = _as_asked  # trained in place of the one asked for
    steps: Callable[[RunSpec], int] = _steps_asked_for  # trained
    unsupported: Callable[[AnyTask], str] = _learns_all  # why a task cannot be learned, and what to do; empty if it can
    options: type[Spec] = NoOptions
