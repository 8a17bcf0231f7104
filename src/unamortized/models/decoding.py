"""Batched generation with a cache: free, forced, edited or truncated traces, and patched activations.

The input has a token in every column, and a mask of the columns that the model writes itself. One mechanism serves all
interventions: an edit takes a column off that mask and puts another token there, freezing takes off all later columns,
and truncation is a layout with a shorter trace.
"""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unamortized.models.architectures import LanguageModel
from unamortized.models.device import device_of, move
from unamortized.models.transformer import Patches


class Patch(NamedTuple):
    """Replaces one activation of the model."""

    tap: str  # name of the activation, such as blocks.0.hook_resid_post
    column: int  # column of the token where it is replaced
    value: Float[Tensor, "batch width"]


class Generated(NamedTuple):
    """A batch of completed sequences, on the CPU."""

    tokens: Int[Tensor, "batch column"]
    logits: Float[Tensor, "batch token"]  # for the answer, over the whole vocabulary
    taps: dict[str, Float[Tensor, "batch column-1 ..."]]  # of every column read
    log_probabilities: Float[Tensor, "batch column"]  # of each token that was chosen, within its block; else NaN


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
    """Let the model write the ``written`` columns, each from all before it; the other columns are forced.

    The model chooses a written token from a ``block`` of token ids, one for all columns or one for each: the likeliest,
    or a draw by the generator ``sample``. The logits of the column ``answer`` (by default the last) are returned; no
    token is chosen for the last column.

    All tensors come from the CPU and return to it; the model computes on its own device. So does the choice of the
    likeliest token, which therefore waits for nothing. A draw is made on the CPU, so that a seed draws the same trace
    on every device, but for rounding.

    Raises:
        ValueError: if a patch names an unknown activation, or a column that is never read.
    """
    device = device_of(model)
    tokens = move(tokens.clone(), device)
    last = tokens.shape[1] - 1
    answer = last if answer is None else answer
    if unread := [patch.column for patch in patches if not 0 <= patch.column < last]:
        raise ValueError(f"patches must be at columns 0 to {last - 1}, which are read (got {unread})")
    blocks = [block] * (last + 1) if isinstance(block, slice) else block
    patches = [patch._replace(value=move(patch.value, device)) for patch in patches]
    cache = model.new_cache(capacity=last)
    taps = tuple(taps)
    taken: dict[str, list[Tensor]] = {tap: [] for tap in taps}
    logits, log_probabilities = tokens.new_zeros(0), torch.full(tokens.shape, torch.nan, device=device)
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
            options = output.logits[:, blocks[stop]]
            chosen = _choose(options, sample)
            tokens[:, stop] = blocks[stop].start + chosen
            log_probabilities[:, stop] = options.log_softmax(dim=-1).gather(1, chosen[:, None])[:, 0]
    activations = {tap: torch.cat(chunks, dim=1).cpu() for tap, chunks in taken.items()}
    return Generated(tokens.cpu(), logits.cpu(), activations, log_probabilities.cpu())


def reading_passes(written: Sequence[bool]) -> list[tuple[int, int]]:
    """Return the columns [first, stop) that each pass of generation reads: up to the next one that the model writes.

    Consecutive forced tokens are read at once; the last column is never read.
    """
    last = len(written) - 1
    stops = [column for column in range(1, last) if written[column]] + [last]
    return list(zip([0, *stops[:-1]], stops, strict=True))


def _choose(logits: Tensor, sample: torch.Generator | None) -> Tensor:
    if sample is None:
        return logits.argmax(dim=-1)
    return move(torch.multinomial(logits.cpu().softmax(dim=-1), 1, generator=sample)[:, 0], logits.device)


def _within(patches: Sequence[Patch], first: int, stop: int) -> Patches:
    """Return the patches within a chunk of columns, as functions of the chunk's activations."""

    def replace(tap: str, activation: Tensor) -> Tensor:
        activation = activation.clone()
        for patch in here:
            if patch.tap == tap:
                activation[:, patch.column - first] = patch.value
        return activation

    here = [patch for patch in patches if first <= patch.column < stop]
    return {patch.tap: partial(replace, patch.tap) for patch in here}
