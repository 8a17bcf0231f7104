"""What a forward pass costs, in floating-point operations (a multiply and an add are two).

Matrix multiplications only, as ``torch.utils.flop_counter`` counts them, against which this is tested.
"""

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


def generation_flops(spec: ModelSpec, vocabulary_size: int, prompt: int, generated: int) -> int:
    """FLOPs of reading ``prompt`` tokens and writing ``generated`` more with a key-value cache.

    The token written last is never read again. Each token read attends to itself and all before it; the
    prompt is read in one pass.
    """
    width = spec.width
    total = forward_flops(spec, vocabulary_size, prompt, 1)
    for length in range(prompt + 1, prompt + generated):
        total += spec.layers * (24 * width**2 + 4 * width * length) + 2 * width * vocabulary_size
    return total
