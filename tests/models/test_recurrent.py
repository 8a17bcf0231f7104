"""The recurrent net: its gates computed by hand, its cache, and patches that change later states."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.models.test_decoding import BLOCK, masks
from tests.models.test_transformer import IDS, TOKENS, close, some_tokens
from unamortized.models.decoding import Patch, generate
from unamortized.models.recurrent import Recurrent, States
from unamortized.models.transformer import ModelSpec

OUTPUTS = ("blocks.0.hook_resid_post", "blocks.1.hook_resid_post")


def tiny(seed: int = 0, layers: int = 2) -> Recurrent:
    torch.manual_seed(seed)
    model = Recurrent(ModelSpec(architecture="gru", layers=layers, width=16), TOKENS)
    for parameter in model.parameters():  # away from the initial weights, so that every path matters
        parameter.data += torch.randn_like(parameter) * 0.3
    return model.eval()


def by_hand(
    model: Recurrent, tokens: torch.Tensor, put: dict[tuple[int, int], torch.Tensor] | None = None
) -> dict[str, torch.Tensor]:
    """Compute token by token and gate by gate; ``put`` replaces states, by (layer, column)."""
    states = [torch.zeros(len(tokens), 16) for _ in model.layers]
    embedded = model.embed(tokens)
    outputs = [[] for _ in model.layers]
    for column in range(tokens.shape[1]):
        x = embedded[:, column]
        for layer, units in enumerate(model.layers):
            h = states[layer]
            of_x = (x @ units.weight_ih_l0.T + units.bias_ih_l0).chunk(3, dim=1)
            of_h = (h @ units.weight_hh_l0.T + units.bias_hh_l0).chunk(3, dim=1)
            reset, keep = torch.sigmoid(of_x[0] + of_h[0]), torch.sigmoid(of_x[1] + of_h[1])
            new = torch.tanh(of_x[2] + reset * of_h[2])
            h = (1 - keep) * new + keep * h
            x = states[layer] = (put or {}).get((layer, column), h)
            outputs[layer].append(x)
    layers = [torch.stack(output, dim=1) for output in outputs]
    normalized = F.layer_norm(layers[-1], (16,), model.norm.weight, model.norm.bias)
    taken = {"hook_embed": embedded, **dict(zip(OUTPUTS, layers, strict=False)), "ln_final.hook_normalized": normalized}
    return taken | {"logits": normalized @ model.unembed.weight.T}


# ── forward pass ─────────────────────────────────────────────────────────────────────────────────


def test_taps_equal_the_states_computed_by_hand():
    model, tokens = tiny(), some_tokens()
    with torch.no_grad():
        output, expected = model(tokens, IDS, taps=model.tap_names()), by_hand(model, tokens)
    assert list(output.taps) == model.tap_names() == ["hook_embed", *OUTPUTS, "ln_final.hook_normalized"]
    for name, activation in output.taps.items():
        close(activation, expected[name])
    close(output.logits, expected["logits"])


def test_position_ids_are_ignored():
    model, tokens = tiny(), some_tokens()
    with torch.no_grad():
        assert torch.equal(model(tokens, IDS).logits, model(tokens, 7 * IDS - 1).logits)


# ── states ───────────────────────────────────────────────────────────────────────────────────────


@given(st.lists(st.integers(1, 4), min_size=1, max_size=9))
def test_states_do_not_depend_on_how_the_tokens_are_chunked(chunks):
    model, tokens = tiny(), some_tokens()
    with torch.no_grad():
        expected = model(tokens, IDS, taps=OUTPUTS)
        cache = model.new_cache(capacity=9)
        read, parts = 0, []
        for chunk in [*chunks, 9]:
            stop = min(read + chunk, 9)
            if stop > read:
                parts.append(model(tokens[:, read:stop], IDS[:, read:stop], cache=cache).logits)
                read = stop
    close(torch.cat(parts, dim=1), expected.logits)
    assert isinstance(cache, States)
    for state, name in zip(cache.layers, OUTPUTS, strict=True):
        assert state is not None
        close(state, expected.taps[name][:, -1])


@given(masks)
def test_generation_equals_a_loop_without_states(mask):
    model, tokens, written = tiny(), some_tokens(), torch.tensor(mask)
    expected = tokens.clone()
    with torch.no_grad():
        for column in range(1, 9):
            logits = model(expected[:, :column], IDS[:, :column]).logits[:, -1]
            if written[column] and column < 8:
                expected[:, column] = BLOCK.start + logits[:, BLOCK].argmax(dim=-1)
    generated = generate(model, tokens, IDS, written, block=BLOCK, taps=OUTPUTS)
    assert torch.equal(generated.tokens, expected)
    close(generated.logits, logits)
    whole = model(expected[:, :-1], IDS[:, :-1], taps=OUTPUTS).taps
    for name in OUTPUTS:
        close(generated.taps[name], whole[name])


# ── patches ──────────────────────────────────────────────────────────────────────────────────────


@given(st.integers(0, 7), st.integers(0, 7), masks)
def test_a_layer_continues_from_a_patched_output(column, other, mask):
    model, tokens = tiny(), some_tokens()
    values = torch.randn(3, 3, 16, generator=torch.Generator().manual_seed(0))
    patches = [Patch(OUTPUTS[0], column, values[0]), Patch(OUTPUTS[1], other, values[1])]
    put = {(0, column): values[0], (1, other): values[1]}
    if column != 5:  # two patches of one activation
        patches.append(Patch(OUTPUTS[0], 5, values[2]))
        put[0, 5] = values[2]
    generated = generate(model, tokens, IDS, torch.tensor(mask), block=BLOCK, patches=patches, taps=OUTPUTS)
    with torch.no_grad():
        expected = by_hand(model, generated.tokens[:, :-1], put)
    close(generated.logits, expected["logits"][:, -1])
    for name in OUTPUTS:
        close(generated.taps[name], expected[name])


@pytest.mark.parametrize("in_place", [False, True])
def test_a_patch_that_shifts_every_state_shifts_each_once(in_place):
    model, tokens = tiny(), some_tokens()
    push = torch.randn(16, generator=torch.Generator().manual_seed(0))
    pushed = {OUTPUTS[0]: (lambda own: own.add_(push)) if in_place else (lambda own: own + push)}
    with torch.no_grad():
        taken = model(tokens, IDS, taps=OUTPUTS, patches=pushed).taps
        cache = model.new_cache(9)
        for column in range(9):
            one = model(tokens[:, column : column + 1], IDS[:, :1], taps=OUTPUTS, cache=cache).taps
            close(taken[OUTPUTS[0]][:, column], one[OUTPUTS[0]][:, 0] + push)
            cache.layers[0] = taken[OUTPUTS[0]][:, column]
    second = model.layers[1](taken[OUTPUTS[0]])[0]
    close(taken[OUTPUTS[1]], second)


@pytest.mark.parametrize("tap", tiny().tap_names())
def test_a_patch_replaces_the_activation_and_changes_all_that_follows(tap):
    model, tokens, others = tiny(), some_tokens(), some_tokens(seed=2)
    with torch.no_grad():
        plain = model(tokens, IDS).logits
        foreign = model(others, IDS, taps=[tap]).taps[tap]
        patched = model(tokens, IDS, taps=[tap], patches={tap: lambda own: foreign})
        kept = model(tokens, IDS, patches={tap: lambda own: own}).logits
        close(patched.logits, model(others, IDS).logits)  # everything after the patch is as for the other tokens
    assert torch.equal(patched.taps[tap], foreign)
    assert (patched.logits - plain).abs().max() > 1e-3
    assert torch.equal(kept, plain)


# ── shape ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("extra", [{"positions": "rotary"}, {"coupled": False, "heads": 2}, {"max_positions": 512}])
def test_fields_of_a_transformer_are_an_error(extra):
    listed = ", ".join(f"{name}={extra[name]}" for name in ModelSpec.model_fields if name in extra)
    with pytest.raises(ValidationError, match=f"architecture=gru does not use {listed}; remove"):
        ModelSpec.model_validate({"architecture": "gru"} | extra)
