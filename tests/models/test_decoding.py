"""Generation, compared with a loop without a cache; edits, draws and patches at single columns."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2

from tests.models.test_transformer import IDS, TOKENS, close, some_tokens, tiny
from unamortized.models.decoding import Generated, Patch, generate
from unamortized.models.transformer import Transformer

BLOCK = slice(3, 8)
masks = st.lists(st.booleans(), min_size=8, max_size=8).map(lambda mask: [False, *mask])
TRACE = torch.tensor([False] * 4 + [True] * 3 + [False, True])  # ids 1, 2, 3; then the mark and the answer


def by_hand(model: Transformer, tokens: torch.Tensor, written: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Generate greedily, each token by a forward pass over all before it."""
    tokens = tokens.clone()
    with torch.no_grad():
        for column in range(1, tokens.shape[1]):
            logits = model(tokens[:, :column], IDS[:, :column]).logits[:, -1]
            if written[column] and column < tokens.shape[1] - 1:
                tokens[:, column] = BLOCK.start + logits[:, BLOCK].argmax(dim=-1)
    return tokens, logits


@given(masks, st.sampled_from(["alibi", "rotary", "learned", "randomized", "none"]), st.integers(0, 5))
def test_generation_equals_a_loop_without_a_cache(mask, scheme, seed):
    model, tokens, written = tiny(scheme, seed), some_tokens(), torch.tensor(mask)
    expected, logits = by_hand(model, tokens, written)
    generated = generate(model, tokens, IDS, written, block=BLOCK)
    assert torch.equal(generated.tokens, expected)
    assert generated.logits.shape == (3, TOKENS)
    close(generated.logits, logits)


@given(masks, st.integers(0, 99))
def test_forced_columns_are_kept_and_written_ones_lie_in_the_block(mask, seed):
    tokens, written = some_tokens(seed=seed), torch.tensor(mask)
    sample = torch.Generator().manual_seed(seed)
    generated = generate(tiny(), tokens, IDS, written, block=BLOCK, sample=sample)
    held = ~written
    held[-1] = True  # no token is chosen for the answer
    assert torch.equal(generated.tokens[:, held], tokens[:, held])
    own = generated.tokens[:, ~held]
    assert ((own >= BLOCK.start) & (own < BLOCK.stop)).all()


def test_each_written_column_may_have_its_own_block():
    model, tokens = tiny(), some_tokens(batch=40)
    other = slice(8, 11)
    blocks = [slice(0, 0)] * 4 + [BLOCK, other, BLOCK] + [slice(0, 0)] * 2
    generated = generate(model, tokens, IDS, TRACE, block=blocks)
    for column in (4, 5, 6):
        block = blocks[column]
        with torch.no_grad():
            logits = model(generated.tokens[:, :column], IDS[:, :column]).logits[:, -1, block]
        assert torch.equal(generated.tokens[:, column], block.start + logits.argmax(dim=-1))
    listed = generate(model, tokens, IDS, TRACE, block=[BLOCK] * 9)
    assert torch.equal(listed.tokens, generate(model, tokens, IDS, TRACE, block=BLOCK).tokens)


def test_the_input_tokens_of_written_columns_are_ignored():
    model, tokens = tiny(), some_tokens()
    garbled = tokens.clone()
    garbled[:, TRACE] = 0
    one, other = (generate(model, given, IDS, TRACE, block=BLOCK) for given in (tokens, garbled))
    assert torch.equal(one.tokens[:, :-1], other.tokens[:, :-1])
    assert torch.equal(one.logits, other.logits)


def test_an_edit_stays_and_changes_the_tokens_written_after_it():
    model, tokens = tiny(), some_tokens(batch=40)
    free = generate(model, tokens, IDS, TRACE, block=BLOCK)
    edited, written = free.tokens.clone(), TRACE.clone()
    edited[:, 5] = BLOCK.start + (edited[:, 5] - BLOCK.start + 1) % 5
    written[5] = False
    after = generate(model, edited, IDS, written, block=BLOCK)
    assert torch.equal(after.tokens[:, 4:6], edited[:, 4:6])
    assert torch.equal(after.tokens, by_hand(model, edited, written)[0])
    assert not torch.equal(after.tokens[:, 6], free.tokens[:, 6])
    assert not torch.allclose(after.logits, free.logits, atol=1e-3)


def test_with_all_columns_forced_the_answer_is_that_of_one_forward_pass():
    model, tokens = tiny(), some_tokens()
    frozen = generate(model, tokens, IDS, torch.zeros(9, dtype=torch.bool), block=BLOCK)
    assert torch.equal(frozen.tokens, tokens)
    close(frozen.logits, model(tokens[:, :-1], IDS[:, :-1]).logits[:, -1])


def test_a_shorter_layout_truncates_the_trace():
    model, tokens = tiny(), some_tokens()
    columns = torch.tensor([0, 1, 2, 3, 4, 5, 7, 8])  # without the last token of the trace
    short = generate(model, tokens[:, columns], IDS[:, columns], TRACE[columns], block=BLOCK)
    whole = generate(model, tokens, IDS, TRACE, block=BLOCK)
    assert torch.equal(short.tokens[:, :6], whole.tokens[:, :6])
    read = short.tokens[:, :-1]
    close(short.logits, model(read, IDS[:, columns][:, :-1]).logits[:, -1])


def test_draws_depend_on_the_generators_seed():
    model, tokens = tiny(), some_tokens(batch=50)

    def drawn(seed: int) -> torch.Tensor:
        sample = torch.Generator().manual_seed(seed)
        return generate(model, tokens, IDS, TRACE, block=BLOCK, sample=sample).tokens

    assert torch.equal(drawn(1), drawn(1))
    assert not torch.equal(drawn(1), drawn(2))


def test_drawn_tokens_follow_the_models_distribution_within_the_block():
    draws = 4000
    model, row = tiny(), some_tokens(batch=1)
    for parameter in model.parameters():
        parameter.data *= 0.6  # flatter, so that every token of the block is drawn
    generated = generate(model, row.expand(draws, -1), IDS, TRACE, block=BLOCK, sample=torch.Generator().manual_seed(0))
    tokens = generated.tokens
    distance, freedom = 0.0, 0
    for column in (4, 5):  # the first written token, and the second given the first
        for first in range(BLOCK.start, BLOCK.stop):
            rows = tokens[tokens[:, 4] == first] if column == 5 else tokens
            with torch.no_grad():
                logits = model(rows[:1, :column], IDS[:, :column]).logits[0, -1, BLOCK]
            expected = logits.softmax(dim=0) * len(rows)
            counts = torch.bincount(rows[:, column] - BLOCK.start, minlength=5)
            often = expected > 5
            distance += float(((counts - expected) ** 2 / expected)[often].sum())
            freedom += int(often.sum())
            if column == 4:
                break
    assert freedom > 15
    assert distance < chi2.isf(1e-4, freedom)


# ── taps and patches ─────────────────────────────────────────────────────────────────────────────


@given(masks)
def test_taps_cover_every_column_that_is_read(mask):
    model = tiny()
    taps = ["blocks.0.hook_resid_post", "blocks.1.attn.hook_z"]
    generated = generate(model, some_tokens(), IDS, torch.tensor(mask), block=BLOCK, taps=taps)
    whole = model(generated.tokens[:, :-1], IDS[:, :-1], taps=taps).taps
    assert set(generated.taps) == set(taps)
    for tap in taps:
        close(generated.taps[tap], whole[tap])


def patched_forward(model: Transformer, generated: Generated, patches: list[Patch]) -> torch.Tensor:
    """The answer of one pass over the generated tokens, with all patches."""

    def put(patch: Patch):
        def replace(activation: torch.Tensor) -> torch.Tensor:
            activation = activation.clone()
            activation[:, patch.column] = patch.value
            return activation

        return replace

    functions = {patch.tap: put(patch) for patch in patches}
    return model(generated.tokens[:, :-1], IDS[:, :-1], patches=functions).logits[:, -1]


@given(st.integers(0, 7), st.integers(0, 7), masks)
def test_patches_at_columns_act_as_in_one_forward_pass(column, other_column, mask):
    model, tokens = tiny(), some_tokens()
    values = torch.randn(2, 3, 16, generator=torch.Generator().manual_seed(0))
    patches = [
        Patch("blocks.0.hook_resid_post", column, values[0]),
        Patch("blocks.1.hook_resid_pre", other_column, values[1]),
    ]
    generated = generate(model, tokens, IDS, torch.tensor(mask), block=BLOCK, patches=patches)
    close(generated.logits, patched_forward(model, generated, patches))
    plain = generate(model, tokens, IDS, torch.tensor(mask), block=BLOCK)
    first = min(column, other_column)  # the patches cannot change tokens before they are read
    assert torch.equal(generated.tokens[:, : first + 1], plain.tokens[:, : first + 1])
    assert not torch.allclose(generated.logits, plain.logits, atol=1e-3)


def test_several_patches_of_one_activation_all_act():
    model, tokens = tiny(), some_tokens()
    values = torch.randn(2, 3, 16, generator=torch.Generator().manual_seed(0))
    tap = "hook_embed"
    patches = [Patch(tap, 1, values[0]), Patch(tap, 2, values[1])]
    taken = generate(model, tokens, IDS, TRACE, block=BLOCK, taps=[tap], patches=patches).taps[tap]
    assert torch.equal(taken[:, 1], values[0])
    assert torch.equal(taken[:, 2], values[1])
    close(taken[:, 0], model.embed(tokens[:, 0]))


@pytest.mark.parametrize("column", [-1, 8, 20])
def test_a_patch_at_a_column_that_is_never_read_is_an_error(column):
    patch = Patch("hook_embed", column, torch.zeros(3, 16))
    message = f"patches must be at columns 0 to 7, which are read \\(got \\[{column}\\]\\)"
    with pytest.raises(ValueError, match=message):
        generate(tiny(), some_tokens(), IDS, TRACE, block=BLOCK, patches=[patch])


def test_a_misspelled_patch_is_an_error():
    patch = Patch("blocks.0.resid_post", 2, torch.zeros(3, 16))
    with pytest.raises(ValueError, match="no activation named blocks.0.resid_post;"):
        generate(tiny(), some_tokens(), IDS, TRACE, block=BLOCK, patches=[patch])
