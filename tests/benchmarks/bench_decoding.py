"""Gain of the key-value cache: free generation of a trace with it, and without it.

Run with ``make bench``; both must write the same tokens.
"""

import pytest
import torch

from unamortized.models.decoding import generate
from unamortized.models.transformer import ModelSpec, Transformer

VOCABULARY, BATCH = 64, 256


def uncached(model, tokens, positions, written, block):
    """Generate greedily, reading the whole sequence for every token."""
    tokens = tokens.clone()
    with torch.no_grad():
        for column in written.nonzero()[:, 0].tolist():
            logits = model(tokens[:, :column], positions[:, :column]).logits[:, -1]
            tokens[:, column] = block.start + logits[:, block].argmax(dim=-1)
        return tokens, model(tokens[:, :-1], positions[:, :-1]).logits[:, -1]


@pytest.mark.parametrize("n_steps", [16, 64])
@pytest.mark.parametrize("implementation", ["cached", "uncached"])
def bench_generation(benchmark, n_steps, implementation):
    """Questions of n tokens with traces of n tokens, 256 in a batch, on one thread."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = Transformer(ModelSpec(), VOCABULARY).eval()
    columns = 2 * n_steps + 2
    tokens = torch.randint(VOCABULARY, (BATCH, columns))
    positions = torch.arange(columns)[None]
    written = torch.zeros(columns, dtype=torch.bool)
    written[n_steps + 1 : -1] = True
    block = slice(8, VOCABULARY)
    once = generate(model, tokens, positions, written, block=block)
    again = uncached(model, tokens, positions, written, block)
    assert torch.equal(once.tokens[:, :-1], again[0][:, :-1])
    benchmark.group = f"generation n={n_steps}"
    if implementation == "cached":
        benchmark.pedantic(lambda: generate(model, tokens, positions, written, block=block), rounds=3)
    else:
        benchmark.pedantic(lambda: uncached(model, tokens, positions, written, block), rounds=3)
