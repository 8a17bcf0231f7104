"""Models on another device: tensors come from the CPU, nothing is made elsewhere, and nothing waits for the device."""

import pytest
import torch
from torch import Tensor, nn

from tests.another_device import META, another_device
from tests.models.test_architectures import every_model, tiny
from tests.models.test_decoding import BLOCK, TRACE
from tests.models.test_transformer import IDS, TOKENS, some_tokens
from unamortized.models.architectures import Model
from unamortized.models.decoding import Patch, generate
from unamortized.models.device import device_of, move, resolve_device
from unamortized.models.transformer import ModelSpec, Output, Transformer


def elsewhere(name: str) -> Model:
    return tiny(name).to(META)


# ── names and places ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "name, gpu, expected", [("cpu", False, "cpu"), ("cpu", True, "cpu"), ("auto", False, "cpu"), ("auto", True, "cuda")]
)
def test_auto_is_the_gpu_if_there_is_one(monkeypatch, name, gpu, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    assert resolve_device(name) == torch.device(expected)
    assert torch.backends.cudnn.allow_tf32 == (expected == "cpu")  # float32 is float32 in recurrent nets, too


def test_a_missing_gpu_and_an_unknown_name_are_errors_that_say_what_to_write(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="device cuda needs a GPU, and torch finds none .*; write cpu or auto instead"):
        resolve_device("cuda")
    with pytest.raises(ValueError, match="device must be auto, cpu or cuda \\(got gpu\\)"):
        resolve_device("gpu")


def test_a_model_is_where_its_parameters_are_and_a_stand_in_on_the_cpu():
    assert device_of(elsewhere("alibi")) == META
    assert device_of(tiny("gru")) == device_of(nn.Identity()) == device_of(object()) == torch.device("cpu")


def test_moving_a_tensor_to_where_it_is_does_nothing():
    tokens = some_tokens()
    assert move(tokens, tokens.device) is tokens


# ── forward passes ───────────────────────────────────────────────────────────────────────────────


@every_model
@pytest.mark.parametrize("of_inputs", ["cpu", "meta"])
def test_a_forward_pass_stays_on_the_models_device(name, of_inputs):
    model, tokens = elsewhere(name), some_tokens().to(of_inputs)
    ids = IDS if name in ("learned", "randomized") else IDS.to(of_inputs)  # their range has to be read
    taps = model.tap_names()
    with another_device() as copied:
        fast, slow = model(tokens, ids), model(tokens, ids, taps=taps)
    assert not copied
    for output in (fast, slow):
        assert output.logits.shape == (3, 9, TOKENS)
        assert output.logits.device == META
    shapes = {tap: activation.shape for tap, activation in tiny(name)(some_tokens(), IDS, taps=taps).taps.items()}
    assert {tap: activation.shape for tap, activation in slow.taps.items()} == shapes
    assert {activation.device for activation in slow.taps.values()} == {META}


@every_model
def test_a_cache_and_a_selection_stay_on_the_models_device(name):
    model, tokens = elsewhere(name), some_tokens()
    cache, select = model.new_cache(capacity=9), torch.zeros(3, 4, dtype=torch.bool)
    select[:, 1:3] = select[0, 0] = True
    with another_device() as copied:
        model(tokens[:, :5], IDS[:, :5], cache=cache)
        output = model(tokens[:, 5:], IDS[:, 5:], cache=cache, select=select)
    assert not copied
    assert output.logits.shape == (7, TOKENS)
    assert output.logits.device == META


@every_model
def test_a_patch_may_come_from_the_cpu(name):
    model, tokens = elsewhere(name), some_tokens()
    tap = "ln_final.hook_normalized" if name == "gru" else "blocks.0.hook_resid_post"  # meta has no states to compare
    with another_device():
        output = model(tokens, IDS, taps=[tap], patches={tap: lambda own: torch.zeros(3, 9, 16)})
    assert output.taps[tap].device == output.logits.device == META


def test_gradients_stay_on_the_models_device():
    for name in ("alibi", "gru"):
        model = elsewhere(name)
        with another_device():
            model(some_tokens(), IDS, select=torch.ones(3, 9, dtype=torch.bool)).logits.sum().backward()
        assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize("scheme", ["learned", "randomized"])
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_an_id_without_an_embedding_is_an_error_wherever_the_model_is(scheme, device):
    model = Transformer(ModelSpec.model_validate({"positions": scheme, "max_positions": 8}), TOKENS).to(device)
    model(some_tokens(), IDS)  # up to 4
    with pytest.raises(ValueError, match="model.max_positions must exceed position id 8 \\(got 8\\); raise it, or"):
        model(some_tokens(), 2 * IDS)


# ── generation ───────────────────────────────────────────────────────────────────────────────────


@every_model
@pytest.mark.parametrize("sampled", [False, True])
def test_generation_takes_and_returns_tensors_on_the_cpu(name, sampled):
    model, taps = elsewhere(name), ["hook_embed", "blocks.1.hook_resid_post"]
    sample = torch.Generator().manual_seed(0) if sampled else None
    patches = [Patch("hook_embed", 2, torch.zeros(3, 16))]
    with another_device() as copied:
        made = generate(model, some_tokens(), IDS, TRACE, block=BLOCK, sample=sample, taps=taps, patches=patches)
    assert {each.device.type for each in (made.tokens, made.logits, made.log_probabilities, *made.taps.values())} == {
        "cpu"
    }
    assert made.tokens.shape == (3, 9)
    assert made.logits.shape == (3, TOKENS)
    assert {made.taps[tap].shape for tap in taps} == {(3, 8, 16)}
    draws = 3 if sampled else 0  # only draws wait for the device at every written token
    assert len(copied) == draws + 3 + len(taps)


class Recorder(nn.Module):
    """Remembers where its inputs came from."""

    def __init__(self) -> None:
        super().__init__()
        self.bias, self.seen = nn.Parameter(torch.zeros(1)), set()

    def new_cache(self, capacity: int) -> None:
        return None

    def forward(
        self, tokens: Tensor, positions: Tensor, *, taps=(), patches=None, cache=None, select: Tensor | None = None
    ) -> Output:
        assert select is not None
        inputs = {"tokens": tokens, "positions": positions, "select": select}
        self.seen |= {(name, each.device.type) for name, each in inputs.items()}
        return Output(torch.zeros(len(tokens), TOKENS, device=self.bias.device), {})


def test_generation_keeps_its_tokens_on_the_device_and_ids_and_masks_on_the_cpu():
    """A model reads the range of ids and the number of selected columns, for which a GPU would have to be waited."""
    model = Recorder().to(META)
    with another_device():
        generate(model, some_tokens(), IDS, TRACE, block=BLOCK)
    assert model.seen == {("tokens", "meta"), ("positions", "cpu"), ("select", "cpu")}


def test_generation_leaves_the_given_tokens_as_they_are():
    tokens = some_tokens()
    generate(tiny("alibi"), tokens, IDS, TRACE, block=BLOCK)
    assert torch.equal(tokens, some_tokens())


# ── half precision ───────────────────────────────────────────────────────────────────────────────


@every_model
@pytest.mark.parametrize("dtype, tolerance", [(torch.bfloat16, 0.06), (torch.float16, 0.01)])
def test_half_precision_predicts_nearly_the_same(name, dtype, tolerance):
    """Also for large ids, which half precision itself cannot tell apart."""
    whole, half, tokens, ids = tiny(name), tiny(name).to(dtype), some_tokens(batch=20), IDS + 901
    taps = whole.tap_names()
    with torch.no_grad():
        expected = whole(tokens, ids).logits
        for output in (half(tokens, ids), half(tokens, ids, taps=taps)):
            assert output.logits.dtype == dtype
            assert (output.logits.float() - expected).norm() < tolerance * expected.norm()
    assert {activation.dtype for activation in output.taps.values()} == {dtype}


@every_model
def test_half_precision_generates(name):
    half, sample = tiny(name).bfloat16(), torch.Generator().manual_seed(0)
    patches = [Patch("blocks.0.hook_resid_post", 2, torch.zeros(3, 16))]
    made = generate(half, some_tokens(), IDS, TRACE, block=BLOCK, sample=sample, patches=patches)
    with torch.no_grad():
        whole = generate(tiny(name), made.tokens, IDS, torch.zeros(9, dtype=torch.bool), block=BLOCK, patches=patches)
    assert (made.logits.float() - whole.logits).norm() < 0.06 * whole.logits.norm()
