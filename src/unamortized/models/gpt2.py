"""Conversion to GPT-2: the configuration and weights of a model with plain learned positions, for other tools.

Nothing is approximated: such a model computes what a GPT-2 with an untied unembedding does (Radford et al. 2019). But
GPT-2 numbers its tokens from 0, and stores the linear maps of its blocks as (in, out).
"""

from typing import Any

import torch
from torch import Tensor, nn

from unamortized.models.transformer import ModelSpec, Transformer

PLAIN = "model.positions=learned model.coupled=false"
OUTSIDE = {
    "embed": "transformer.wte",
    "positional": "transformer.wpe",
    "norm": "transformer.ln_f",
    "unembed": "lm_head",
}
IN_BLOCK = {
    "norm_1": "ln_1",
    "attention.qkv": "attn.c_attn",
    "attention.out": "attn.c_proj",
    "norm_2": "ln_2",
    "expand": "mlp.c_fc",
    "contract": "mlp.c_proj",
}


def gpt2_config(spec: ModelSpec, vocabulary_size: int) -> dict[str, Any]:
    """Return the content of ``config.json`` of a GPT-2 of that shape; a ValueError if no GPT-2 computes the same."""
    if spec.architecture != "transformer":
        raise ValueError(f"export needs a transformer (got {spec.architecture}); train one with {PLAIN}")
    if spec.positions != "learned" or spec.coupled:
        got = f"model.positions={spec.positions} model.coupled={str(spec.coupled).lower()}"
        raise ValueError(f"export needs plain learned positions (got {got}); train a model with {PLAIN}")
    return {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "vocab_size": vocabulary_size,
        "n_positions": spec.max_positions,
        "n_embd": spec.width,
        "n_layer": spec.layers,
        "n_head": spec.heads,
        "activation_function": "gelu_new",  # the tanh approximation
        "layer_norm_epsilon": 1e-5,
        "tie_word_embeddings": False,
        "attn_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "resid_pdrop": 0.0,
        "bos_token_id": None,  # GPT-2's own id lies beyond this vocabulary
        "eos_token_id": None,
    }


def gpt2_weights(model: Transformer) -> dict[str, Tensor]:
    """Copy all weights, with the names and shapes of a ``GPT2LMHeadModel``."""
    names = dict(OUTSIDE)
    for layer in range(model.spec.layers):
        names |= {f"blocks.{layer}.{ours}": f"transformer.h.{layer}.{theirs}" for ours, theirs in IN_BLOCK.items()}
    weights: dict[str, Tensor] = {}
    for ours, theirs in names.items():
        module = model.get_submodule(ours)
        for kind, weight in module.state_dict().items():
            transposed = kind == "weight" and ours != "unembed" and isinstance(module, nn.Linear)
            copied = (weight.T if transposed else weight).clone(memory_format=torch.contiguous_format)
            weights[f"{theirs}.{kind}"] = copied
    return weights
