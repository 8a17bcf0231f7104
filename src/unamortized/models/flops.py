"""What a forward pass costs, in floating-point operations (a multiply and an add are two).

Matrix multiplications only, as ``torch.utils.flop_counter`` counts them, against which this is tested.
"""

from collections.abc import Sequence

from unamortized.models.decoding import reading_passes
from unamortized.models.transformer import ModelSpec


def forward_flops(spec: ModelSpec, vocabulary_size: int, columns: int, unembedded: int) -> int:
    """FLOPs of one sequence of ``columns`` tokens read in one pass, with ``unembedded`` rows of logits.

    Per layer 24 d² a token for the four projections and the perceptron, and 4 d a pair of tokens for
    scores and mixing (the whole square, as causal masking saves nothing here); 2 d V a row of logits.
    """
    width = spec.width
    per_layer = 24 * width**2 * columns + 4 * width * columns**2
    return spec.layers * per_layer + 2 * width * vocabulary_size * unembedded


def training_flops(spec: ModelSpec, vocabulary_size: int, columns: int, unembedded: int) -> int:
    """FLOPs of a forward and a backward pass, which costs twice the forward (Kaplan et al. 2020)."""
    return 3 * forward_flops(spec, vocabulary_size, columns, unembedded)


def generation_flops(spec: ModelSpec, vocabulary_size: int, written: Sequence[bool]) -> int:
    """FLOPs of one problem's free-running answer with a key-value cache.

    Each pass reads a chunk of c tokens, which attend to all L so far, and unembeds the last of them.

    Args:
        spec: shape of the model.
        vocabulary_size: number of token ids.
        written: the columns that the model writes, as ``generate`` takes them.
    """
    width = spec.width
    total = 0
    for first, stop in reading_passes(written):
        chunk = stop - first
        total += spec.layers * (24 * width**2 * chunk + 4 * width * chunk * stop) + 2 * width * vocabulary_size
    return total
