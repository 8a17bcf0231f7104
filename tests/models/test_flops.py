"""FLOPs by formula, compared with the operations that torch counts."""

from collections.abc import Callable

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from unamortized.models.architectures import build_model
from unamortized.models.decoding import generate
from unamortized.models.flops import forward_flops, generation_flops, training_flops
from unamortized.models.transformer import ModelSpec

TOKENS = 13
transformers = st.builds(
    lambda layers, heads, head_width: ModelSpec(layers=layers, width=heads * head_width, heads=heads),
    st.integers(1, 3),
    st.sampled_from([1, 2, 4]),
    st.sampled_from([4, 8]),
)
recurrent = st.builds(ModelSpec, architecture=st.just("gru"), layers=st.integers(1, 3), width=st.integers(4, 20))
specs = transformers | recurrent


def counted(work: Callable[[], object]) -> int:
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:  # the only counted backend
        work()
    return counter.get_total_flops()


@settings(max_examples=20)
@given(specs, st.integers(2, 12), st.integers(1, 12))
def test_forward_and_training_flops_match_the_counter(spec, columns, unembedded):
    model, tokens = build_model(spec, TOKENS), torch.zeros(1, columns, dtype=torch.int64)
    ids, select = torch.arange(columns)[None], torch.arange(columns)[None] < unembedded
    rows = min(columns, unembedded)

    def forward() -> torch.Tensor:
        return model(tokens, ids, select=select).logits.sum()

    assert counted(forward) == forward_flops(spec, TOKENS, columns, rows)
    assert training_flops(spec, TOKENS, columns, rows) == 3 * forward_flops(spec, TOKENS, columns, rows)
    # the first states of a recurrent net are constants and receive no gradient
    saved = spec.layers * 6 * spec.width**2 if spec.architecture == "gru" else 0
    assert counted(lambda: forward().backward()) == training_flops(spec, TOKENS, columns, rows) - saved


@settings(max_examples=20)
@given(specs, st.lists(st.booleans(), min_size=2, max_size=14))
def test_generation_flops_match_the_counter_with_a_cache(spec, written):
    model, columns = build_model(spec, TOKENS), len(written)
    tokens, ids = torch.zeros(1, columns, dtype=torch.int64), torch.arange(columns)[None]
    cost = counted(lambda: generate(model, tokens, ids, torch.tensor(written), block=slice(2, 6)))
    assert cost == generation_flops(spec, TOKENS, written)
