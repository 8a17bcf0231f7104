"""Interventions: change activations at one column while a model runs, and read the answer or the next code."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unamortized.evaluation.probes.fitting import FittedProbe
from unamortized.evaluation.probes.ridge import Probe
from unamortized.evaluation.subspaces import Subspace, as_far, belief_subspace, likeliest_change, random_subspace
from unamortized.learning.rollouts import respond
from unamortized.learning.specification import Run
from unamortized.models.decoding import Patch
from unamortized.models.device import move
from unamortized.models.transformer import Cache, Patches
from unamortized.worlds.problems import Problems

Answers = Float[np.ndarray, "batch answer"]
Vectors = Float[np.ndarray, "batch width"]


@dataclass(frozen=True)
class HeldBelief:
    """Activations at one column and layer, the belief subspace in them, and a random one of its rank and variance."""

    activations: Vectors
    probe: Probe
    subspace: Subspace
    random: Subspace
    generator: np.random.Generator

    def moved_to(self, beliefs: Float[np.ndarray, "batch state"]) -> Vectors:
        """Move the activations by the likeliest change after which the probe reads these beliefs."""
        return self.activations + likeliest_change(self.probe, self.subspace, self.activations, beliefs)

    def moved_randomly(self, beliefs: Float[np.ndarray, "batch state"]) -> Vectors:
        """Move the activations as far as to these beliefs, in random directions of the random subspace."""
        change = likeliest_change(self.probe, self.subspace, self.activations, beliefs)
        return self.activations + as_far(change, self.random, self.generator)

    def with_part_of(self, donors: Int[np.ndarray, " batch"], subspace: Subspace) -> Vectors:
        """Replace the activations' part in a subspace by the donors'."""
        return self.activations + subspace.part(self.activations[donors] - self.activations)


def held_belief(fitted: FittedProbe, activations: Vectors, generator: np.random.Generator) -> HeldBelief:
    """Find the belief subspace in activations, and draw a random one to match it."""
    subspace = belief_subspace(fitted)
    random = random_subspace(subspace, fitted.moments.covariance, generator)
    return HeldBelief(activations, fitted.probe, subspace, random, generator)


def answers_under(run: Run, problems: Problems, tap: str, column: int, activations: Vectors, **forced: Any) -> Answers:
    """Return the answers with activations replaced at one column, after forced tokens of a trace (see ``respond``)."""
    patch = Patch(tap, column, torch.from_numpy(activations).float())
    return respond(run, problems, patches=[patch], **forced).answers


@dataclass(frozen=True)
class LastColumn:
    """A model that has read all columns but the last, which it may read again and again under changes.

    Attention is causal, so that changes at the last column do not reach the columns before it.
    """

    run: Run
    tokens: Int[Tensor, "batch column"]
    positions: Int[Tensor, "1 column"]
    cache: Cache

    def codes(self, patches: Patches | None = None) -> Float[np.ndarray, "batch code"]:
        """Return the distribution of the next code."""
        vocabulary = self.run.vocabulary
        logits = self._read(patches=patches).logits[:, 0, vocabulary.blocks["code"]]
        spelled = logits.cpu().double().softmax(dim=-1).numpy()  # each code may have several spellings
        return spelled.reshape(len(spelled), -1, vocabulary.codebook.size).sum(axis=1)

    def activations(self, names: Sequence[str]) -> dict[str, Float[Tensor, "batch 1 ..."]]:
        """Return activations at the last column, on the model's device."""
        return self._read(taps=names).taps

    def _read(self, **changes: Any) -> Any:
        before = self.tokens.shape[1] - 1
        self.cache.forget_after(before)  # the last reading
        return self.run.model(self.tokens[:, before:], self.positions[:, before:], cache=self.cache, **changes)


def cut_edges(mask: Bool[np.ndarray, "#batch column"], heads: Mapping[int, Sequence[int]]) -> Patches:
    """Keep these heads of each layer from attending from the last column to the masked ones.

    Scores stay as they are where a mask would leave nothing to attend to.
    """
    hidden = torch.from_numpy(mask & ~mask.all(axis=1, keepdims=True))[:, None, None]

    def cut(chosen: Sequence[int]) -> Callable[[Tensor], Tensor]:
        def without(scores: Float[Tensor, "batch head 1 column"]) -> Tensor:
            scores = scores.clone()
            scores[:, list(chosen)] = scores[:, list(chosen)].masked_fill(move(hidden, scores.device), -torch.inf)
            return scores

        return without

    return {f"blocks.{layer}.attn.hook_attn_scores": cut(chosen) for layer, chosen in heads.items()}


def replaced(value: Tensor, head: int | None = None) -> Callable[[Tensor], Tensor]:
    """Replace an activation, or one head's part of it, by a value."""

    def replace(activation: Tensor) -> Tensor:
        if head is None:
            return value
        activation = activation.clone()
        activation[:, :, head] = value[:, :, head]
        return activation

    return replace
