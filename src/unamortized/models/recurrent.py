"""The recurrent net: gated recurrent units in place of the transformer's blocks, with the same calls and taps.

Its only memory is one state a layer, which is also that layer's output. A patch of ``blocks.0.hook_resid_post`` at a
token therefore replaces the state: later layers read it at that token, and the layer continues from it at the next
token. The net ignores position ids, because it reads in order.
"""

from collections.abc import Callable, Iterable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from unamortized.models.device import move
from unamortized.models.transformer import ModelSpec, Output, Patches, Tape, selected


class States:
    """The state of each layer after the tokens read so far; None before the first."""

    def __init__(self, layers: int) -> None:
        self.layers: list[Float[Tensor, "batch width"] | None] = [None] * layers


class Recurrent(nn.Module):
    """Predict the next token with layers of gated recurrent units (Cho et al. 2014)."""

    def __init__(self, spec: ModelSpec, vocabulary_size: int) -> None:
        super().__init__()
        self.spec, self.vocabulary_size = spec, vocabulary_size
        self.embed = nn.Embedding(vocabulary_size, spec.width)
        self.layers = nn.ModuleList(nn.GRU(spec.width, spec.width, batch_first=True) for _ in range(spec.layers))
        self.norm = nn.LayerNorm(spec.width)
        self.unembed = nn.Linear(spec.width, vocabulary_size, bias=False)
        nn.init.normal_(self.unembed.weight, std=0.02)  # as in the transformer: near-uniform predictions

    def forward(
        self,
        tokens: Int[Tensor, "batch step"],
        positions: Int[Tensor, "#batch step"],
        *,
        taps: Iterable[str] = (),
        patches: Patches | None = None,
        cache: States | None = None,
        select: Bool[Tensor, "batch step"] | None = None,
    ) -> Output:
        """Compute the logits of the token after each token, as ``Transformer.forward`` does; ``positions`` are ignored.

        A patch of a layer's output is called again after each token that it changes, because all later outputs then
        change too. The cache holds the states after the tokens before these, and is updated in place.

        Raises:
            ValueError: if a tap or patch names an unknown activation.
        """
        patches, cache = patches or {}, cache or self.new_cache(tokens.shape[1])
        names = self.tap_names()
        tape = Tape(taps, {name: patch for name, patch in patches.items() if name not in names[1:-1]})
        x = tape(names[0], self.embed(move(tokens, self.embed.weight.device)))
        for layer, (name, units) in enumerate(zip(names[1:-1], self.layers, strict=True)):
            x = tape(name, unroll(units, x, cache.layers[layer], patches.get(name)))
            cache.layers[layer] = x[:, -1]
        x = tape(names[-1], self.norm(x))
        tape.check_all_found(names)
        return Output(self.unembed(x if select is None else selected(x, select)), tape.taken)

    def new_cache(self, capacity: int) -> States:
        return States(self.spec.layers)

    def tap_names(self) -> list[str]:
        outputs = [f"blocks.{layer}.hook_resid_post" for layer in range(self.spec.layers)]
        return ["hook_embed", *outputs, "ln_final.hook_normalized"]


def unroll(
    units: nn.Module,
    x: Float[Tensor, "batch step width"],
    state: Float[Tensor, "batch width"] | None,
    patch: Callable[[Tensor], Tensor] | None = None,
) -> Float[Tensor, "batch step width"]:
    """Return the states of one layer after each input; ``patch`` replaces each before the next is computed.

    Only a patched layer waits for the GPU, to learn which state the patch has changed.
    """
    states = _unpatched(units, x, state)
    step = 0
    while patch is not None and step < x.shape[1]:
        patched = move(patch(states.clone()), states.device)  # a patch may write in place
        changed = (patched[:, step:] != states[:, step:]).any(dim=2).any(dim=0).nonzero()
        if not len(changed):
            break
        step += int(changed[0]) + 1
        states = torch.cat([states[:, : step - 1], patched[:, step - 1 : step]], dim=1)
        if step < x.shape[1]:
            states = torch.cat([states, _unpatched(units, x[:, step:], states[:, -1])], dim=1)
    return states


def _unpatched(units: nn.Module, x: Tensor, state: Tensor | None) -> Tensor:
    return units(x, None if state is None else state[None].contiguous())[0]
