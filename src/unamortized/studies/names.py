"""Names of conditions and baselines, spelled once for all studies."""

AMORTIZED = "amortized"
EQUAL_FLOPS = "amortized_equal_flops"
COT = "cot"
GRU = "gru"
NEXT_TOKEN = "next_token"
PRIOR = "prior"
WINDOW = "window_8"
