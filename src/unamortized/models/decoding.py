"""Batched generation from a cache: free, forced, edited or truncated traces, and patched activations.

What is to be written is given as columns: a token in every column, and a mask of those that the model
replaces by its own. An edit is a column taken off that mask with another token in it, freezing takes off
all later columns, and truncation is a layout with a shorter trace: one mechanism serves them all.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unamortized.models.architectures import LanguageModel
from unamortized.models.transformer import Patches


class Patch(NamedTuple):
    """Puts an activation in place of the model's own."""

    tap: str  # name of the activation, for example blocks.0.hook_resid_post
    column: int  # of the token at which it is replaced
    value: Float[Tensor, "batch width"]


class Generated(NamedTuple):
    """A batch of completed sequences."""

    tokens: Int[Tensor, "batch column"]
    logits: Float[Tensor, "batch token"]  # for the answer's column, over the whole vocabulary
    taps: dict[str, Float[Tensor, "batch column-1 ..."]]  # of every column that was read


@torch.no_grad()
def generate(
    model: LanguageModel,
    tokens: Int[Tensor, "batch column"],
    positions: Int[Tensor, "#batch column"],
    written: Bool[Tensor, " column"],
    *,
    block: slice | Sequence[slice],
    answer: int | None = None,
    sample: torch.Generator | None = None,
    taps: Iterable[str] = (),
    patches: Sequence[Patch] = (),
) -> Generated:
    """Let the model write the ``written`` columns, each given all before it; the others are forced.

    The logits of the answer's column are returned, as its whole distribution is of interest; where it is the last
    column, no token is chosen for it.

    Args:
        model: the transformer, or another that is called like it.
        tokens: a token for every column; those of written columns are not looked at.
        positions: position ids; one row where all problems share their layout.
        written: the columns that the model writes.
        block: slice of token ids that a written token is chosen from (its vocabulary block); one for all, or one
            for each column, of which those of the written columns are looked at.
        answer: the answer's column; the last one where it is not given.
        sample: draw written tokens with this generator; without it the likeliest one is taken.
        taps: names of activations to return, for every column that is read.
        patches: activations to put in place of the model's own.

    Raises:
        ValueError: if a patch names no activation, or a column that is never read.
    """
    tokens = tokens.clone()
    last = tokens.shape[1] - 1
    answer = last if answer is None else answer
    if unread := [patch.column for patch in patches if not 0 <= patch.column < last]:
        raise ValueError(f"patches at columns {unread}, but only columns 0 to {last - 1} are read")
    blocks = [block] * (last + 1) if isinstance(block, slice) else block
    cache = model.new_cache(capacity=last)
    taps = tuple(taps)
    taken: dict[str, list[Tensor]] = {tap: [] for tap in taps}
    logits = tokens.new_zeros(0)
    for first, stop in reading_passes(written.tolist()):
        select = torch.zeros(tokens.shape[0], stop - first, dtype=torch.bool)
        select[:, -1] = True
        output = model(
            tokens[:, first:stop],
            positions[:, first:stop],
            cache=cache,
            taps=taps,
            patches=_within(patches, first, stop),
            select=select,
        )
        for tap in taps:
            taken[tap].append(output.taps[tap])
        if stop == answer:
            logits = output.logits
        if stop != last or (written[last] and answer != last):
            tokens[:, stop] = blocks[stop].start + _choose(output.logits[:, blocks[stop]], sample)
    return Generated(tokens, logits, {tap: torch.cat(chunks, dim=1) for tap, chunks in taken.items()})


def reading_passes(written: Sequence[bool]) -> list[tuple[int, int]]:
    """The columns [first, stop) that generation reads in each pass: up to the next one that the model writes.

    A run of given tokens is read at once; the last column, the answer, is never read.
    """
    last = len(written) - 1
    stops = [column for column in range(1, last) if written[column]] + [last]
    return list(zip([0, *stops[:-1]], stops, strict=True))


def _choose(logits: Tensor, sample: torch.Generator | None) -> Tensor:
    if sample is None:
        return logits.argmax(dim=-1)
    return torch.multinomial(logits.softmax(dim=-1), 1, generator=sample)[:, 0]


def _within(patches: Sequence[Patch], first: int, stop: int) -> Patches:
    """The patches of a chunk of columns, as functions of the chunk's activations."""
    here: dict[str, list[Patch]] = {}
    for patch in patches:
        if first <= patch.column < stop:
            here.setdefault(patch.tap, []).append(patch)

    def put(patches_here: list[Patch]):
        def replace(activation: Tensor) -> Tensor:
            activation = activation.clone()
            for patch in patches_here:
                activation[:, patch.column - first] = patch.value
            return activation

        return replace

    return {tap: put(group) for tap, group in here.items()}
