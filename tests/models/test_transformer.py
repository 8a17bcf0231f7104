"""The transformer: its cache, causality, position schemes, and taps and patches by name."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from unamortized.models.transformer import Cache, ModelSpec, Transformer, alibi_slopes, rotate

SCHEMES = ("alibi", "rotary", "learned", "randomized", "none")
TOKENS = 11
IDS = torch.tensor([[0, 1, 2, 3, 1, 2, 3, 4, 4]])  # coupled: a trace repeats the ids of the question


def tiny(scheme: str = "alibi", seed: int = 0, layers: int = 2) -> Transformer:
    torch.manual_seed(seed)
    model = Transformer(
        ModelSpec.model_validate({"layers": layers, "width": 16, "heads": 4, "positions": scheme}), TOKENS
    )
    for parameter in model.parameters():  # away from the initial weights, so that every path matters
        parameter.data += torch.randn_like(parameter) * (0.5 if parameter.ndim == 2 else 0.1)
    return model.eval()


def some_tokens(batch: int = 3, columns: int = 9, seed: int = 1) -> torch.Tensor:
    return torch.randint(TOKENS, (batch, columns), generator=torch.Generator().manual_seed(seed))


def close(one: torch.Tensor, other: torch.Tensor) -> None:
    torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


# ── cache ────────────────────────────────────────────────────────────────────────────────────────


@settings(max_examples=60)
@given(st.sampled_from(SCHEMES), st.lists(st.integers(1, 4), min_size=1, max_size=9), st.booleans())
def test_a_cache_gives_the_same_logits_for_any_chunks(scheme, chunks, own_rows):
    model, tokens = tiny(scheme), some_tokens()
    ids = IDS + torch.arange(3)[:, None] if own_rows else IDS
    with torch.no_grad():
        expected = model(tokens, ids).logits
        cache = Cache(layers=2, capacity=9)
        read, parts = 0, []
        for chunk in [*chunks, 9]:
            stop = min(read + chunk, 9)
            if stop > read:
                parts.append(model(tokens[:, read:stop], ids[:, read:stop], cache=cache).logits)
                read = stop
    close(torch.cat(parts, dim=1), expected)
    assert cache.length == 9


def test_a_cache_that_forgets_reads_on_as_if_it_had_not_read_them():
    model, tokens, cache = tiny(), some_tokens(), Cache(layers=2, capacity=9)
    with torch.no_grad():
        model(tokens[:, :5], IDS[:, :5], cache=cache)
        expected = model(tokens[:, 5:7], IDS[:, 5:7], cache=cache).logits
        model(some_tokens(seed=2)[:, 7:], IDS[:, 7:], cache=cache)
        cache.forget_after(5)
        assert torch.equal(model(tokens[:, 5:7], IDS[:, 5:7], cache=cache).logits, expected)


def test_reading_more_than_a_cache_holds_is_an_error():
    model, cache = tiny(), Cache(layers=2, capacity=5)
    model(some_tokens()[:, :4], IDS[:, :4], cache=cache)
    with pytest.raises(ValueError, match="cache capacity must be at least 6, the number of tokens read .got 5."):
        model(some_tokens()[:, 4:6], IDS[:, 4:6], cache=cache)


# ── attention and positions ──────────────────────────────────────────────────────────────────────


@given(st.sampled_from(["alibi", "rotary", "none"]), st.integers(1, 500))
def test_shifting_all_ids_by_a_constant_changes_nothing(scheme, shift):
    model, tokens = tiny(scheme), some_tokens()
    with torch.no_grad():
        torch.testing.assert_close(model(tokens, IDS + shift).logits, model(tokens, IDS).logits, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize(("scheme", "matter"), [("alibi", True), ("rotary", True), ("learned", True), ("none", False)])
def test_ids_matter_to_every_scheme_but_none(scheme, matter):
    model, tokens = tiny(scheme), some_tokens()
    plain = torch.arange(9)[None]
    with torch.no_grad():
        assert torch.allclose(model(tokens, IDS).logits, model(tokens, plain).logits, atol=1e-3) != matter


def test_alibi_lowers_scores_by_slope_times_distance_of_ids():
    model, tokens = tiny(layers=1), some_tokens(batch=1)
    with torch.no_grad():
        z = model(tokens, IDS, taps=["blocks.0.attn.hook_z"]).taps["blocks.0.attn.hook_z"]
        block = model.blocks[0]
        q, k, v = block.attention.qkv(block.norm_1(model.embed(tokens))).view(9, 3, 4, 4).unbind(1)
        for head, slope in enumerate([4, 1, 1 / 4, 1 / 16]):
            for column in range(9):
                scores = [
                    q[column, head] @ k[other, head] / 2 - slope * abs(int(IDS[0, column] - IDS[0, other]))
                    for other in range(column + 1)
                ]
                mixed = torch.stack(scores).softmax(dim=0) @ v[: column + 1, head]
                close(z[0, column, head], mixed)


def test_attention_patterns_come_from_causal_scores_and_mix_the_values():
    model, tokens, name = tiny(), some_tokens(), "blocks.0.attn.hook_"
    with torch.no_grad():
        fast = model(tokens, IDS).logits
        slow = model(tokens, IDS, taps=model.tap_names())
        q, k, v, scores, pattern, z = (
            slow.taps[name + part] for part in ("q", "k", "v", "attn_scores", "pattern", "z")
        )
    close(slow.logits, fast)
    assert scores[..., ~torch.ones(9, 9).tril().bool()].eq(-torch.inf).all()
    close(pattern.sum(dim=-1), torch.ones_like(pattern[..., 0]))
    assert (pattern.triu(1) == 0).all()
    distance = (IDS[0, :, None] - IDS[0, None, :]).abs()
    expected = torch.einsum("bqhd,bkhd->bhqk", q, k) / 2 - model.slopes[:, None, None] * distance
    kept = torch.ones(9, 9).tril().bool().expand_as(scores)
    close(scores[kept], expected[kept])
    close(z, torch.einsum("bhqk,bkhd->bqhd", pattern, v))


def test_a_column_with_masked_scores_has_no_effect():
    model, tokens = tiny(layers=1), some_tokens()

    def without_column_2(scores: torch.Tensor) -> torch.Tensor:
        scores = scores.clone()
        scores[..., 3:, 2] = -torch.inf
        return scores

    others = tokens.clone()
    others[:, 2] = (others[:, 2] + 1) % 5
    with torch.no_grad():
        cut = [model(t, IDS, patches={"blocks.0.attn.hook_attn_scores": without_column_2}) for t in (tokens, others)]
        whole = [model(t, IDS) for t in (tokens, others)]
    assert torch.equal(cut[0].logits[:, 3:], cut[1].logits[:, 3:])
    assert (whole[0].logits[:, 3:] - whole[1].logits[:, 3:]).abs().max() > 1e-3


TABLE_IDS = torch.tensor([[-1, -1, -1, -1, 1, 2, 3, 1, 4]])  # a table of four rules, then a question


@pytest.mark.parametrize("cached", [False, True])
def test_tokens_without_position_are_a_set_to_the_tokens_after_them(cached):
    """True of one layer; in a second layer, each rule has read those before it."""
    model, tokens = tiny(layers=1), some_tokens()
    tokens[:, :4] = torch.tensor([3, 7, 1, 9])
    others = tokens[:, [2, 0, 3, 1, 4, 5, 6, 7, 8]]

    def read(tokens: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            if not cached:
                return model(tokens, ids).logits[:, 4:]
            cache = Cache(layers=1, capacity=9)
            parts = [model(tokens[:, a:b], ids[:, a:b], cache=cache).logits for a, b in ((0, 2), (2, 6), (6, 9))]
            return torch.cat(parts, dim=1)[:, 4:]

    close(read(tokens, TABLE_IDS), read(others, TABLE_IDS))
    counted = torch.arange(9)[None]
    assert (read(tokens, counted) - read(others, counted)).abs().max() > 1e-3
    tokens[:, 0] = 5
    assert (read(tokens, TABLE_IDS) - read(others, TABLE_IDS)).abs().max() > 1e-3  # the table is read


@pytest.mark.parametrize("cached", [False, True])
def test_tokens_without_position_are_at_distance_zero_from_every_id(cached):
    model, tokens = tiny(layers=1), some_tokens(batch=1)
    with torch.no_grad():
        cache = Cache(layers=1, capacity=9) if cached else None
        chunks = ((0, 5), (5, 9)) if cached else ((0, 9),)
        tap = "blocks.0.attn.hook_z"
        reads = [model(tokens[:, a:b], TABLE_IDS[:, a:b], cache=cache, taps=[tap]).taps[tap] for a, b in chunks]
        z = torch.cat(reads, dim=1)
        block = model.blocks[0]
        q, k, v = block.attention.qkv(block.norm_1(model.embed(tokens))).view(9, 3, 4, 4).unbind(1)
        for head, slope in enumerate([4, 1, 1 / 4, 1 / 16]):
            for column in range(9):
                scores = []
                for other in range(column + 1):
                    here, there = int(TABLE_IDS[0, column]), int(TABLE_IDS[0, other])
                    distance = abs(here - there) if min(here, there) >= 0 else 0
                    scores.append(q[column, head] @ k[other, head] / 2 - slope * distance)
                close(z[0, column, head], torch.stack(scores).softmax(dim=0) @ v[: column + 1, head])


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_scheme_reads_tokens_without_position(scheme):
    with torch.no_grad():
        assert tiny(scheme)(some_tokens(), TABLE_IDS).logits.isfinite().all()


def test_slopes_are_geometric_from_four_to_a_sixteenth():
    assert alibi_slopes(4).tolist() == [4, 1, 1 / 4, 1 / 16]
    torch.testing.assert_close(alibi_slopes(7), 2.0 ** torch.tensor([2.0, 1, 0, -1, -2, -3, -4]))


@given(st.integers(0, 200), st.integers(0, 200), st.integers(0, 50))
def test_rotary_products_depend_on_the_distance_of_ids_alone(here, there, shift):
    generator = torch.Generator().manual_seed(0)
    q, k = torch.randn(2, 1, 1, 1, 8, generator=generator).double()

    def product(a: int, b: int) -> torch.Tensor:
        return (rotate(q.float(), torch.tensor([[a]])) * rotate(k.float(), torch.tensor([[b]]))).sum()

    torch.testing.assert_close(product(here, there), product(here + shift, there + shift), atol=1e-3, rtol=0)
    torch.testing.assert_close(rotate(q.float(), torch.tensor([[here]])).norm(), q.float().norm())
    assert torch.equal(rotate(q.float(), torch.tensor([[0]])), q.float())


@pytest.mark.parametrize("scheme", SCHEMES)
def test_only_randomized_ids_are_spread(scheme):
    spec = ModelSpec.model_validate({"positions": scheme, "max_positions": 99})
    assert spec.spread_over == (99 if scheme == "randomized" else None)


@pytest.mark.parametrize("wrong", [{"width": 30, "heads": 4}, {"width": 12, "heads": 4, "positions": "rotary"}])
def test_a_width_that_heads_do_not_divide_is_an_error(wrong):
    message = f"width must be a multiple of heads=4, an even one for rotary positions \\(got {wrong['width']}\\)"
    with pytest.raises(ValidationError, match=message):
        ModelSpec.model_validate(wrong)


# ── taps and patches ─────────────────────────────────────────────────────────────────────────────


def test_taps_equal_a_forward_pass_by_hand():
    model, tokens = tiny(), some_tokens()
    with torch.no_grad():
        taken = model(tokens, IDS, taps=model.tap_names()).taps
        assert list(taken) == model.tap_names()  # all, in order of computation
        x = model.embed(tokens)
        close(taken["hook_embed"], x)
        for layer, block in enumerate(model.blocks):
            here = {name.removeprefix(f"blocks.{layer}."): taken[name] for name in taken}
            close(here["hook_resid_pre"], x)
            close(here["hook_attn_out"], block.attention.out(here["attn.hook_z"].flatten(2)))
            x = x + here["hook_attn_out"]
            close(here["hook_resid_mid"], x)
            computed = block.contract(F.gelu(block.expand(block.norm_2(x)), approximate="tanh"))
            close(here["hook_mlp_out"], computed)
            x = x + computed
            close(here["hook_resid_post"], x)
        close(taken["ln_final.hook_normalized"], model.norm(x))
        close(model(tokens, IDS).logits, model.norm(x) @ model.unembed.weight.T)


@pytest.mark.parametrize("scheme", ["learned", "randomized"])
def test_learned_positions_are_added_to_the_embedding(scheme):
    model, tokens = tiny(scheme), some_tokens()
    assert model.positional is not None
    embedded = model(tokens, IDS, taps=["hook_embed"]).taps["hook_embed"]
    close(embedded, model.embed(tokens) + model.positional(IDS))


@pytest.mark.parametrize("tap", tiny().tap_names())
def test_a_patch_replaces_the_activation_and_changes_all_that_follows(tap):
    model, tokens, others = tiny(), some_tokens(), some_tokens(seed=2)
    last = "ln_final.hook_normalized"
    with torch.no_grad():
        plain = model(tokens, IDS).logits
        foreign = model(others, IDS, taps=[tap]).taps[tap]
        patched = model(tokens, IDS, taps=[tap, last], patches={tap: lambda own: foreign})
        kept = model(tokens, IDS, patches={tap: lambda own: own}).logits
    assert torch.equal(patched.taps[tap], foreign)
    close(patched.logits, patched.taps[last] @ model.unembed.weight.T)
    assert (patched.logits - plain).abs().max() > 1e-3
    if tap.endswith(("scores", "pattern")):  # fast attention does not compute these
        close(kept, plain)
    else:
        assert torch.equal(kept, plain)
    if tap.endswith(("hook_embed", "resid_pre", "resid_mid", "resid_post", "normalized")):
        with torch.no_grad():  # the whole stream: everything after is as for the other tokens
            close(patched.logits, model(others, IDS).logits)


# ── initialization ───────────────────────────────────────────────────────────────────────────────


def test_initial_residual_outputs_are_scaled_down_by_depth():
    torch.manual_seed(0)
    deep = Transformer(ModelSpec(layers=8), 50)
    assert deep.blocks[0].contract.weight.std().item() == pytest.approx(0.02 / 4, rel=0.05)
    assert deep.blocks[0].expand.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert not deep.blocks[0].expand.bias.any()
