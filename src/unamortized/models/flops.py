"""What a forward pass costs, in floating-point operations (a multiply and an add are two).

Matrix multiplications only, as ``torch.utils.flop_counter`` counts them, against which this is tested.
"""

from collections.abc import Sequence

from unamortized.models.decoding import reading_passes
from unamortized.models.transformer import ModelSpec


def forward_flops(spec: ModelSpec, vocabulary_size: int, columns: int, unembedded: int) -> int:
    """FLOPs of one sequence of ``columns`` tokens read in one pass, with ``unembedded`` rows of logits: 2 d V a row."""
    return spec.layers * _layer_flops(spec, columns, columns) + 2 * spec.width * vocabulary_size * unembedded


def training_flops(spec: ModelSpec, vocabulary_size: int, columns: int, unembedded: int) -> int:
    """FLOPs of a forward and a backward pass, which costs twice the forward (Kaplan et al. 2020)."""
    return 3 * forward_flops(spec, vocabulary_size, columns, unembedded)


def generation_flops(spec: ModelSpec, vocabulary_size: int, written: Sequence[bool]) -> int:
    """FLOPs of one problem's free-running answer with a cache.

    Each pass reads a chunk of tokens, each of them once, and unembeds the last of them.

    Args:
        spec: shape of the model.
        vocabulary_size: number of token ids.
        written: the columns that the model writes, as ``generate`` takes them.
    """
    return sum(
        spec.layers * _layer_flops(spec, stop - first, stop) + 2 * spec.width * vocabulary_size
        for first, stop in reading_passes(written)
    )


def _layer_flops(spec: ModelSpec, chunk: int, seen: int) -> int:
    """FLOPs of one layer that reads ``chunk`` tokens, which makes ``seen`` in all.

    A transformer's has 24 d² a token for the four projections and the perceptron, and 4 d a pair of tokens for
    scores and mixing (the whole square, as causal masking saves nothing here). A gated recurrent unit has three
    gates that each look at the input and at the state: 12 d² a token.
    """
    if spec.architecture == "gru":
        return 12 * spec.width**2 * chunk
    return 24 * spec.width**2 * chunk + 4 * spec.width * chunk * seen
