"""GPT-2 names and shapes of a transformer's weights; `test_interop` compares what the models compute."""

import pytest
import torch

from unamortized.models.gpt2 import gpt2_config, gpt2_weights
from unamortized.models.transformer import ModelSpec, Transformer

PLAIN = ModelSpec(layers=3, width=16, heads=2, positions="learned", coupled=False, max_positions=20)


def test_every_weight_has_its_gpt2_name_and_shape():
    model = Transformer(PLAIN, 11)
    weights = gpt2_weights(model)
    linear = {"attn.c_attn": (16, 48), "attn.c_proj": (16, 16), "mlp.c_fc": (16, 64), "mlp.c_proj": (64, 16)}
    expected = {"transformer.wte.weight": (11, 16), "transformer.wpe.weight": (20, 16), "lm_head.weight": (11, 16)}
    expected |= {f"transformer.ln_f.{kind}": (16,) for kind in ("weight", "bias")}
    for layer in range(3):
        block = f"transformer.h.{layer}"
        expected |= {f"{block}.{norm}.{kind}": (16,) for norm in ("ln_1", "ln_2") for kind in ("weight", "bias")}
        for name, shape in linear.items():
            expected |= {f"{block}.{name}.weight": shape, f"{block}.{name}.bias": shape[1:]}
    assert {name: tuple(weight.shape) for name, weight in weights.items()} == expected
    assert sum(weight.numel() for weight in weights.values()) == sum(each.numel() for each in model.parameters())
    assert torch.equal(weights["transformer.h.1.attn.c_proj.weight"].T, model.blocks[1].attention.out.weight)


def test_the_configuration_has_the_models_sizes_and_no_dropout_or_special_tokens():
    config = gpt2_config(PLAIN, 11)
    sizes = {"vocab_size": 11, "n_positions": 20, "n_embd": 16, "n_layer": 3, "n_head": 2}
    assert {name: config[name] for name in sizes} == sizes
    assert [config[f"{part}_pdrop"] for part in ("attn", "embd", "resid")] == [0, 0, 0]
    assert config["tie_word_embeddings"] is False
    assert config["bos_token_id"] is config["eos_token_id"] is None


def test_weights_are_copies():
    model = Transformer(PLAIN, 11)
    weights = gpt2_weights(model)
    assert all(weight.is_contiguous() and not weight.requires_grad for weight in weights.values())
    held = {each.untyped_storage().data_ptr() for each in model.parameters()}
    assert held.isdisjoint(weight.untyped_storage().data_ptr() for weight in weights.values())


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"positions": "alibi", "coupled": False}, "got model.positions=alibi model.coupled=false"),
        ({"positions": "randomized", "coupled": False}, "got model.positions=randomized model.coupled=false"),
        ({"positions": "learned"}, "got model.positions=learned model.coupled=true"),
        ({"architecture": "gru"}, "needs a transformer .got gru"),
    ],
)
def test_a_model_that_is_no_gpt2_is_an_error_that_says_what_to_train(spec, message):
    spec = ModelSpec.model_validate(spec)
    with pytest.raises(ValueError, match=f"{message}.* with model.positions=learned model.coupled=false$"):
        gpt2_config(spec, 11)
