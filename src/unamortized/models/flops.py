"""Floating-point operations of training and generation (a multiply and an add are two).

Only matrix multiplications count; tests compare the result with ``torch.utils.flop_counter``.
"""

from collections.abc import Sequence

from unamortized.models.decoding import reading_passes
from unamortized.models.transformer import ModelSpec


def forward_flops(spec: ModelSpec, vocabulary_size: int, columns: int, unembedded: int) -> int:
    """FLOPs of reading ``columns`` tokens in one pass, with 2 d V for each ``unembedded`` row of logits."""
    return spec.layers * _layer_flops(spec, columns, columns) + 2 * spec.width * vocabulary_size * unembedded


def training_flops(spec: ModelSpec, vocabulary_size: int, columns: int, unembedded: int) -> int:
    """FLOPs of a forward pass, and of a backward pass at twice its cost (Kaplan et al. 2020)."""
    return 3 * forward_flops(spec, vocabulary_size, columns, unembedded)


def generation_flops(spec: ModelSpec, vocabulary_size: int, written: Sequence[bool]) -> int:
    """FLOPs of ``generate`` for one answer: each pass reads a chunk of tokens and unembeds the last one."""
    return sum(
        spec.layers * _layer_flops(spec, stop - first, stop) + 2 * spec.width * vocabulary_size
        for first, stop in reading_passes(written)
    )


def _layer_flops(spec: ModelSpec, chunk: int, seen: int) -> int:
    """FLOPs of one layer that reads ``chunk`` tokens, ``seen`` tokens in all.

    A transformer layer takes 24 d² a token for the four projections and the perceptron, and 4 d a pair of tokens for
    scores and mixing (all pairs, because causal masking saves nothing here). A gated recurrent unit takes 12 d² a
    token: three gates, each with a map from the input and one from the state.
    """
    if spec.architecture == "gru":
        return 12 * spec.width**2 * chunk
    return 24 * spec.width**2 * chunk + 4 * spec.width * chunk * seen
