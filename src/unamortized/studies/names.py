"""Names of conditions, baselines and variants, spelled once for all studies."""

from unamortized.labels import numbered

AMORTIZED = "amortized"
DENSE = "amortized_dense"
DRAWN = "amortized_dense_drawn"
EQUAL_FLOPS = "amortized_equal_flops"
COT = "cot"
COT_SHUFFLED = "cot_shuffled"
GRU = "gru"
NEXT_TOKEN = "next_token"
PRIOR = "prior"
WINDOW = "window_8"


def after(steps: int) -> str:
    """Return the variant of runs trained for a smaller number of steps than those without a variant."""
    return numbered("steps", steps)


def deep(layers: int) -> str:
    """Return the variant of models with another number of layers than those without a variant."""
    return numbered("layers", layers)
