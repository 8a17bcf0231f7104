"""The transformer: decoder-only, pre-norm, small enough to read in one sitting.

Position ids come with the tokens (the layout couples a step's tokens to its observation); the configuration decides how
an id enters attention. Activations are read and patched under the names and in the shapes of TransformerLens:
``hook_embed``, ``blocks.0.hook_resid_pre``, ``blocks.0.attn.hook_q``, ``hook_k``, ``hook_v``, ``hook_attn_scores``,
``hook_pattern`` and ``hook_z``, ``blocks.0.hook_attn_out``, ``blocks.0.hook_resid_mid``, ``blocks.0.hook_mlp_out``,
``blocks.0.hook_resid_post``, ``ln_final.hook_normalized``. TransformerLens 4 differs in two: its ``hook_embed`` leaves
out learned positions (``hook_pos_embed``), which ours includes, and it calls the output of the last norm
``ln_final.hook_out``, where we keep the earlier ``ln_final.hook_normalized``.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Literal, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from pydantic import Field, model_validator
from torch import Tensor, nn

from unamortized.configuration.schema import Spec
from unamortized.models.device import move

Patches = Mapping[str, Callable[[Tensor], Tensor]]
Architecture = Literal["transformer", "gru"]


class ModelSpec(Spec):
    """Shape of a model; only layers and width apply to a recurrent net."""

    architecture: Architecture = "transformer"
    layers: Annotated[int, Field(ge=1, le=64)] = 2
    width: Annotated[int, Field(ge=4, le=8192)] = 64
    heads: Annotated[int, Field(ge=1, le=128)] = 4
    positions: Literal["alibi", "rotary", "learned", "randomized", "none"] = "alibi"
    coupled: bool = True
    max_positions: Annotated[int, Field(ge=8)] = 1024

    @property
    def spread_over(self) -> int | None:
        """Number of position ids that a layout draws from where ids are randomized; None elsewhere."""
        return self.max_positions if self.positions == "randomized" else None

    @model_validator(mode="after")
    def _a_gru_has_layers_and_width(self) -> "ModelSpec":
        unused = self.model_dump(exclude_defaults=True, exclude={"architecture", "layers", "width"})
        if self.architecture == "gru" and unused:
            fields = ", ".join(f"{name}={value}" for name, value in unused.items())
            raise ValueError(f"architecture=gru does not use {fields}; remove {'them' if len(unused) > 1 else 'it'}")
        return self

    @model_validator(mode="after")
    def _heads_divide_width(self) -> "ModelSpec":
        uneven = self.width % self.heads or (self.positions == "rotary" and (self.width // self.heads) % 2)
        if self.architecture == "transformer" and uneven:
            raise ValueError(
                f"width must be a multiple of heads={self.heads}, an even one for rotary positions (got {self.width})"
            )
        return self


class Cache:
    """Keys, values and position ids of the tokens read so far, at most ``capacity``."""

    def __init__(self, layers: int, capacity: int) -> None:
        self.capacity, self.length = capacity, 0
        self.keys: list[Tensor | None] = [None] * layers
        self.values: list[Tensor | None] = [None] * layers
        self.positions: Tensor | None = None

    def extend(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Append a chunk's keys and values (batch, heads, chunk, head width); return all so far."""
        return self._append(self.keys, layer, keys), self._append(self.values, layer, values)

    def forget_after(self, length: int) -> None:
        """Keep the first ``length`` tokens only, as if no more had been read."""
        self.length = length
        if self.positions is not None:
            self.positions = self.positions[:, :length]

    def _append(self, store: list[Tensor | None], layer: int, chunk: Tensor) -> Tensor:
        batch, heads, size, width = chunk.shape
        held = store[layer]
        if held is None:
            held = store[layer] = chunk.new_empty(batch, heads, self.capacity, width)
        stop = self.length + size
        if stop > self.capacity:
            raise ValueError(f"cache capacity must be at least {stop}, the number of tokens read (got {self.capacity})")
        held[:, :, self.length : stop] = chunk
        return held[:, :, :stop]


class Output(NamedTuple):
    """Result of a forward pass."""

    logits: Float[Tensor, "*batch token"]  # (batch, step, token), or (selected, token) with ``select``
    taps: dict[str, Float[Tensor, "..."]]  # the requested activations, by name


class Tape:
    """Passes activations through by name, patches them, and keeps the requested ones."""

    def __init__(self, taps: Iterable[str], patches: Patches) -> None:
        self.taken: dict[str, Tensor] = {}
        self._wanted, self._patches = set(taps), dict(patches)
        self._left = self._wanted | set(self._patches)

    def __call__(self, name: str, activation: Tensor) -> Tensor:
        if name not in self._left:
            return activation
        self._left.discard(name)
        if name in self._patches:
            activation = move(self._patches[name](activation), activation.device)
        if name in self._wanted:
            self.taken[name] = activation
        return activation

    def needs(self, *names: str) -> bool:
        """Whether any of these activations is requested or patched."""
        return any(name in self._left for name in names)

    def check_all_found(self, known: list[str]) -> None:
        """Raise a ValueError if a name was never passed: a misspelled patch must not be ignored silently."""
        if self._left:
            raise ValueError(f"no activation named {', '.join(sorted(self._left))}; there are {', '.join(known)}")


class Attention(nn.Module):
    """Causal multi-head self-attention with an additive bias, rotary phases, or neither."""

    def __init__(self, spec: ModelSpec, layer: int) -> None:
        super().__init__()
        self.layer, self.heads = layer, spec.heads
        self.rotary = spec.positions == "rotary"
        self.qkv = nn.Linear(spec.width, 3 * spec.width)
        self.out = nn.Linear(spec.width, spec.width)

    def forward(self, x: Tensor, positions: Tensor, bias: Tensor, cache: Cache | None, tape: Tape) -> Tensor:
        batch, chunk, width = x.shape
        name = f"blocks.{self.layer}.attn"
        parts = self.qkv(x).view(batch, chunk, 3, self.heads, width // self.heads).unbind(2)
        q, k, v = (tape(f"{name}.hook_{part}", each).transpose(1, 2) for part, each in zip("qkv", parts, strict=True))
        if self.rotary:
            q, k = rotate(q, positions), rotate(k, positions)
        if cache is not None:
            k, v = cache.extend(self.layer, k, v)
        if tape.needs(f"{name}.hook_attn_scores", f"{name}.hook_pattern"):
            scores = tape(f"{name}.hook_attn_scores", q @ k.mT / math.sqrt(width // self.heads) + bias)
            z = tape(f"{name}.hook_pattern", scores.softmax(dim=-1)) @ v
        else:  # the same result, several times faster
            z = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        z = tape(f"{name}.hook_z", z.transpose(1, 2))
        return self.out(z.reshape(batch, chunk, width))


class Block(nn.Module):
    """Attention and a two-layer perceptron, each added to the residual stream."""

    def __init__(self, spec: ModelSpec, layer: int) -> None:
        super().__init__()
        self.name = f"blocks.{layer}"
        self.norm_1, self.norm_2 = nn.LayerNorm(spec.width), nn.LayerNorm(spec.width)
        self.attention = Attention(spec, layer)
        self.expand = nn.Linear(spec.width, 4 * spec.width)
        self.contract = nn.Linear(4 * spec.width, spec.width)

    def forward(self, x: Tensor, positions: Tensor, bias: Tensor, cache: Cache | None, tape: Tape) -> Tensor:
        x = tape(f"{self.name}.hook_resid_pre", x)
        attended = self.attention(self.norm_1(x), positions, bias, cache, tape)
        x = tape(f"{self.name}.hook_resid_mid", x + tape(f"{self.name}.hook_attn_out", attended))
        computed = self.contract(F.gelu(self.expand(self.norm_2(x)), approximate="tanh"))
        return tape(f"{self.name}.hook_resid_post", x + tape(f"{self.name}.hook_mlp_out", computed))


class Transformer(nn.Module):
    """Predict the next token from tokens and position ids."""

    def __init__(self, spec: ModelSpec, vocabulary_size: int) -> None:
        super().__init__()
        self.spec, self.vocabulary_size = spec, vocabulary_size
        self.embed = nn.Embedding(vocabulary_size, spec.width)
        embedded = spec.positions in ("learned", "randomized")
        self.positional = nn.Embedding(spec.max_positions, spec.width) if embedded else None
        self.blocks = nn.ModuleList(Block(spec, layer) for layer in range(spec.layers))
        self.norm = nn.LayerNorm(spec.width)
        self.unembed = nn.Linear(spec.width, vocabulary_size, bias=False)
        self.slopes: Tensor
        self.register_buffer("slopes", alibi_slopes(spec.heads), persistent=False)
        self.apply(self._initialize)

    def _initialize(self, module: nn.Module) -> None:
        """Initialize as GPT-2 does: normal(0, .02), residual outputs scaled down by depth."""
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
        if isinstance(module, Block):
            for layer in (module.attention.out, module.contract):
                nn.init.normal_(layer.weight, std=0.02 / math.sqrt(2 * self.spec.layers))

    def forward(
        self,
        tokens: Int[Tensor, "batch step"],
        positions: Int[Tensor, "#batch step"],
        *,
        taps: Iterable[str] = (),
        patches: Patches | None = None,
        cache: Cache | None = None,
        select: Bool[Tensor, "batch step"] | None = None,
    ) -> Output:
        """Compute the logits of the token after each token; with ``select``, unembed only these columns.

        Tensors may be on any device; from the CPU they are moved to the model's without waiting for it.
        ``taps`` name activations to return; ``patches`` map names to functions from an activation to its replacement.
        The ``cache`` holds the tokens before these, and is extended in place.

        Raises:
            ValueError: if a tap or patch names an unknown activation, or a learned position id is out of range.
        """
        tape, device = Tape(taps, patches or {}), self.embed.weight.device
        if self.positional is not None:
            self._check_range(positions)
        tokens, positions = move(tokens, device), move(positions, device)
        bias, all_positions = self._attention_bias(positions, cache)
        x = self.embed(tokens)
        if self.positional is not None:
            x = x + self.positional(positions.clamp(min=0))
        x = tape("hook_embed", x)
        for block in self.blocks:
            x = block(x, positions, bias, cache, tape)
        if cache is not None:
            cache.positions, cache.length = all_positions, all_positions.shape[1]
        x = tape("ln_final.hook_normalized", self.norm(x))
        tape.check_all_found(self.tap_names())
        return Output(self.unembed(x if select is None else selected(x, select)), tape.taken)

    def _check_range(self, positions: Tensor) -> None:
        """Raise a ValueError if a position id has no embedding.

        This must come before ids are moved: layouts make them on the CPU, and a GPU would have to be waited for.
        """
        if (largest := int(positions.max())) >= self.spec.max_positions:
            raise ValueError(
                f"model.max_positions must exceed position id {largest} (got {self.spec.max_positions}); raise it, "
                "or choose other model.positions"
            )

    def _attention_bias(self, positions: Tensor, cache: Cache | None) -> tuple[Tensor, Tensor]:
        """Return the bias of attention scores, -inf above the diagonal and ALiBi on the distance of ids, and all ids.

        ALiBi (Press et al. 2022) is here on position ids instead of columns. The distance is absolute, because a
        coupled trace attends to earlier observations whose ids are larger.
        """
        before = cache.positions if cache is not None else None
        keys = positions if before is None else torch.cat([before, positions], dim=1)
        chunk, total = positions.shape[1], keys.shape[1]
        future = torch.ones(chunk, total, dtype=torch.bool, device=positions.device).triu(total - chunk + 1)
        bias = self.slopes.new_zeros(chunk, total).masked_fill(future, -torch.inf)[None, None]
        if self.spec.positions == "alibi":
            from_, to = positions[:, None, :, None], keys[:, None, None, :]
            distance = (from_ - to).abs() * ((from_ >= 0) & (to >= 0))  # negative ids are near to all
            bias = bias - self.slopes[:, None, None] * distance
        return bias, keys

    def new_cache(self, capacity: int) -> Cache:
        return Cache(self.spec.layers, capacity)

    def tap_names(self) -> list[str]:
        """Return the names of all activations, in order of computation."""
        inside = (
            "hook_resid_pre",
            *(f"attn.hook_{part}" for part in ("q", "k", "v", "attn_scores", "pattern", "z")),
            "hook_attn_out",
            "hook_resid_mid",
            "hook_mlp_out",
            "hook_resid_post",
        )
        blocks = [f"blocks.{layer}.{name}" for layer in range(self.spec.layers) for name in inside]
        return ["hook_embed", *blocks, "ln_final.hook_normalized"]


def selected(
    x: Float[Tensor, "batch step width"], select: Bool[Tensor, "batch step"]
) -> Float[Tensor, "selected width"]:
    """Return the selected columns, row by row.

    The mask is turned into column numbers where it is: on the CPU, nothing waits for a GPU to count what is selected.
    """
    columns = select.expand(x.shape[:2]).flatten().nonzero()[:, 0]
    return x.flatten(0, 1).index_select(0, move(columns, x.device))


def alibi_slopes(heads: int) -> Float[Tensor, " heads"]:
    """Return slopes spread geometrically from 4 to 1/16; four heads have 4, 1, 1/4, 1/16.

    Steep heads look up equal ids sharply, flat ones attend far.
    """
    return 4.0 ** torch.linspace(1, -2, heads)


def rotate(x: Float[Tensor, "batch head step width"], positions: Int[Tensor, "#batch step"]) -> Tensor:
    """Rotate pairs of channels by position id (Su et al. 2021)."""
    half = x.shape[-1] // 2
    frequencies = 10_000.0 ** (-torch.arange(half, dtype=torch.float32, device=positions.device) / half)
    angle = positions[:, None, :, None] * frequencies  # in float32: half precision would merge large ids
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)
