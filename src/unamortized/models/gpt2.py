"""A transformer that counts its tokens plainly is a GPT-2: the configuration and weights that other tools open.

The two compute the same (Radford et al. 2019, here with an unembedding of its own), so that nothing is approximated;
but GPT-2 has one position id for each token, from 0 on, and stores the linear maps of its blocks as (in, out).
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
    """What the ``config.json`` of a GPT-2 says of a model of that shape.

    Raises:
        ValueError: if no GPT-2 computes what such a model does; says what to train instead.
    """
    _check_counts_plainly(spec)
    return {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "vocab_size": vocabulary_size,
        "n_positions": spec.max_positions,
        "n_embd": spec.width,
        "n_layer": spec.layers,
        "n_head": spec.heads,
        "activation_function": "gelu_new",  # the tanh form
        "layer_norm_epsilon": 1e-5,
        "tie_word_embeddings": False,
        "attn_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "resid_pdrop": 0.0,
        "bos_token_id": None,  # GPT-2's own mark would lie beyond this vocabulary
        "eos_token_id": None,
    }


def gpt2_weights(model: Transformer) -> dict[str, Tensor]:
    """Copies of all weights, under the names and in the shapes of a ``GPT2LMHeadModel``.

    Raises:
        ValueError: as ``gpt2_config``.
    """
    _check_counts_plainly(model.spec)
    names = dict(OUTSIDE)
    for layer in range(model.spec.layers):
        names |= {f"blocks.{layer}.{ours}": f"transformer.h.{layer}.{theirs}" for ours, theirs in IN_BLOCK.items()}
    weights: dict[str, Tensor] = {}
    for name, weight in model.state_dict().items():
        module, _, kind = name.rpartition(".")
        turned = kind == "weight" and module != "unembed" and isinstance(model.get_submodule(module), nn.Linear)
        weights[f"{names[module]}.{kind}"] = (weight.T if turned else weight).clone(
            memory_format=torch.contiguous_format
        )
    return weights


def _check_counts_plainly(spec: ModelSpec) -> None:
    if spec.architecture != "transformer":
        raise ValueError(f"no GPT-2 computes what a {spec.architecture} does: train a transformer, with {PLAIN}")
    if spec.positions != "learned" or spec.coupled:
        has = f"model.positions={spec.positions} model.coupled={str(spec.coupled).lower()}"
        raise ValueError(f"no GPT-2 computes what a model with {has} does: train one with {PLAIN}")
