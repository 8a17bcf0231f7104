"""What all architectures have in common: one call, causality, selection, and errors for unknown activations."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from tests.models import test_recurrent, test_transformer
from tests.models.test_transformer import IDS, SCHEMES, TOKENS, close, some_tokens
from unamortized.models.architectures import ARCHITECTURES, Model, build_model
from unamortized.models.recurrent import Recurrent
from unamortized.models.transformer import ModelSpec, Transformer

SPECS = {scheme: {"positions": scheme} for scheme in SCHEMES} | {"gru": {"architecture": "gru"}}
every_model = pytest.mark.parametrize("name", SPECS)


def tiny(name: str) -> Model:
    return test_recurrent.tiny() if name == "gru" else test_transformer.tiny(name)


def test_a_model_has_the_specified_architecture():
    assert isinstance(build_model(ModelSpec(), TOKENS), Transformer)
    recurrent = build_model(ModelSpec(architecture="gru", layers=3, width=6), TOKENS)  # 4 heads would not divide 6
    assert isinstance(recurrent, Recurrent)
    assert [(units.input_size, units.hidden_size) for units in recurrent.layers] == [(6, 6)] * 3
    assert set(ARCHITECTURES) == {"transformer", "gru"}


@given(st.sampled_from(list(SPECS)), st.integers(0, 8))
def test_a_token_changes_only_its_own_and_later_logits(name, column):
    model, tokens = tiny(name), some_tokens()
    changed = tokens.clone()
    changed[:, column] = (tokens[:, column] + 1) % TOKENS
    with torch.no_grad():
        before, after = model(tokens, IDS).logits, model(changed, IDS).logits
    assert torch.equal(before[:, :column], after[:, :column])
    assert ((before - after).abs().amax(dim=(0, 2))[column:] > 1e-5).all()  # memory reaches all the way back


@every_model
def test_only_selected_columns_are_unembedded_in_their_order(name):
    model, tokens = tiny(name), some_tokens()
    select = torch.rand(3, 9, generator=torch.Generator().manual_seed(0)) > 0.5
    with torch.no_grad():
        close(model(tokens, IDS, select=select).logits, model(tokens, IDS).logits[select])


@every_model
def test_misspelled_taps_and_patches_are_errors_that_list_the_activations(name):
    model = tiny(name)
    message = "no activation named blocks.0.resid_post; there are hook_embed, .*ln_final.hook_normalized"
    with pytest.raises(ValueError, match=message):
        model(some_tokens(), IDS, taps=["blocks.0.resid_post"])
    with pytest.raises(ValueError, match=message):
        model(some_tokens(), IDS, patches={"blocks.0.resid_post": lambda own: own})


@every_model
def test_initial_predictions_are_near_uniform(name):
    model = build_model(ModelSpec.model_validate(SPECS[name]), 50)
    assert model(torch.randint(50, (8, 9)), IDS).logits.abs().max() < 1  # the loss is near log(50) nats


@every_model
def test_a_tiny_model_can_memorize_a_batch(name):
    tokens = some_tokens(batch=2)
    model = build_model(ModelSpec.model_validate(SPECS[name] | {"layers": 1, "width": 32}), TOKENS)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(80):
        loss = F.cross_entropy(model(tokens[:, :-1], IDS[:, :-1]).logits.flatten(0, 1), tokens[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1
