r"""Routes: by which heads the observation $x_t$ and the last code $c_{t-1}$ come to the new code $c_t$.

A run's own trace is forced on it, and the distribution of $c_t$ is read at the one column that is about to state step
t, with activations changed at that column alone. All before it is read once and kept: as attention is causal, no such
change reaches it, and so reading the last column again and again is exact.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unamortized.evaluation.distances import total_variation
from unamortized.evaluation.faithfulness.edits import donors_of
from unamortized.evaluation.faithfulness.rollout import FaithfulnessSettings, Rollout, causal_reliance, roll_out
from unamortized.evaluation.pointer import Updates, exact_updates
from unamortized.evaluation.protocol import Rows
from unamortized.language.layout import NO_STEP, Examples
from unamortized.language.meanings import code_meanings
from unamortized.language.traces import resolve_trace
from unamortized.learning.runs import Run
from unamortized.models.transformer import Cache, ModelSpec, Patches, Transformer
from unamortized.worlds.randomness import stream

RANDOM = "random_columns"


@dataclass(frozen=True)
class Routes:
    """How much is evaluated."""

    problems: int = 256
    steps: tuple[int, ...] = (2, 4, 8, 12, 16)  # at the first step there is no last code

    def __post_init__(self) -> None:
        if min(self.steps) < 2:
            raise ValueError(f"at the first step there is no last code: steps must be 2 or more (got {self.steps})")


@torch.no_grad()
def routes(run: Run, settings: Routes) -> Rows:
    """What each head brings to a step, at the longest training length; of transformers that write every belief in turn.

    *Ablation*: the edges from the column about to state step t to a group of columns (``groups``) are cut, for one head
    (layer ``L0H2``), all heads of a layer (``L0``) or ``all``: attention scores of -inf there. Rows under
    ``<condition>/<group>``; control: the edge to another observation instead, ``<condition>/random_columns``.

    *Patching*: x_t is replaced by another symbol, or c_{t-1} by another problem's, and what one component puts out then
    at that column is put into the clean run. All after it is free to react: this is activation patching, the total
    effect of the component there, through later layers too. ``route_reliance_direct`` holds what is computed later at
    its clean value, but for the final normalization: path patching, from the component straight to the output. Rows
    under ``<condition>/observation`` and ``<condition>/last_code``: a head, all heads of a layer, its perceptron
    (``L0MLP``), the token in that column (``embed``), and ``all``, the corrupted run as a whole. Where the column holds
    c_{t-1} itself, as in ``cot``, no other does, so that ``embed`` and ``all`` are the same for ``last_code``.
    """
    trace = forced_trace(run, settings.problems)
    if trace is None:
        return []
    steps = [step for step in settings.steps if step <= trace.rollout.problems.n_steps]
    return [*ablations(trace, steps), *patchings(trace, steps)]


# ── what is read ─────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class ForcedTrace:
    """A run's own traces as columns, to be read again under changes."""

    rollout: Rollout
    model: Transformer
    examples: Examples  # with the tokens that the run wrote

    def column(self, step: int) -> int:
        """The column that is about to state a step."""
        return int(self.rollout.own.columns["about_to_state"][step - 1])

    def observed_at(self, step: int) -> int:
        """The column of the question that holds the observation of a step."""
        return int(self.rollout.own.columns["question"][step - 1])

    def reading(self, step: int, tokens: Int[np.ndarray, "batch column"] | None = None) -> "Reading":
        """The model at the column that is about to state a step; of other tokens, if any are given."""
        columns, vocabulary = self.column(step) + 1, self.rollout.run.vocabulary
        read = torch.from_numpy((self.examples.tokens if tokens is None else tokens)[:, :columns])
        positions = torch.from_numpy(self.examples.positions)[None, :columns]
        cache = self.model.new_cache(capacity=columns)
        nothing = torch.zeros(len(read), columns - 1, dtype=torch.bool)
        self.model(read[:, :-1], positions[:, :-1], cache=cache, select=nothing)
        return Reading(self.model, read, positions, cache, vocabulary.blocks["code"], vocabulary.codebook.size)

    def updates(self, step: int, codes: Int[np.ndarray, "batch step"] | None = None) -> Updates:
        """What exact Bayes makes of the code of the step before, with every symbol; of other codes, if given."""
        last = (self.rollout.own.stated if codes is None else codes)[:, step - 2]
        return exact_updates(self.rollout.problems.process, code_meanings(self.rollout.run.task)[last])


def forced_trace(run: Run, problems: int) -> ForcedTrace | None:
    """A run's own traces; none unless it is a transformer's that states every belief in turn, and then answers.

    Traces that are draws are left out, and those with hints, of which the exact step here knows nothing.
    """
    kind = resolve_trace(run.condition.trace)
    if kind.sampled or kind.hinted or not isinstance(run.model, Transformer):
        return None
    rollout = roll_out(run, FaithfulnessSettings(problems=problems))
    own, rendered = rollout.own, run.render(rollout.problems)
    every_step = np.array_equal(own.trace_steps, np.arange(1, rollout.problems.n_steps + 1))
    if not every_step or rendered.answer < own.columns["about_to_state"].max():
        return None
    tokens, blocks = rendered.tokens.copy(), kind(rollout.problems, run.vocabulary).blocks
    starts = np.array([run.vocabulary.blocks[block].start for block in blocks])
    tokens[:, np.setdiff1d(np.flatnonzero(rendered.written), rendered.answer)] = own.written + starts
    return ForcedTrace(rollout, run.model, rendered._replace(tokens=tokens))


@dataclass(frozen=True)
class Reading:
    """A model that has read all columns but the last, and may read that one again and again."""

    model: Transformer
    tokens: Int[Tensor, "batch column"]
    positions: Int[Tensor, "1 column"]
    cache: Cache
    block: slice  # of token ids that state a code
    n_codes: int  # which may each have several of them

    def codes(self, patches: Patches | None = None) -> Float[np.ndarray, "batch code"]:
        """The distribution of the code that comes next."""
        logits = self._last(patches=patches).logits[:, 0, self.block]
        spelled = logits.double().softmax(dim=-1).numpy()
        return spelled.reshape(len(spelled), -1, self.n_codes).sum(axis=1)

    def activations(self, names: Sequence[str]) -> dict[str, Float[Tensor, "batch 1 ..."]]:
        """Activations at the last column."""
        return self._last(taps=names).taps

    def _last(self, **changes: Any) -> Any:
        before = self.tokens.shape[1] - 1
        self.cache.length, self.cache.positions = before, self.positions[:, :before]  # as if it had not been read yet
        return self.model(self.tokens[:, before:], self.positions[:, before:], cache=self.cache, **changes)


# ── ablation ─────────────────────────────────────────────────────────────────────────────────────


def groups(examples: Examples, column: int) -> dict[str, Bool[np.ndarray, " column"]]:
    """What a column that is about to state step t may attend to, up to itself: each column in one group, none empty.

    ``own``: itself, which holds the last code or whatever the layout puts there; x_t, the observations before and after
    it; the last code, those before it; ``marks``: what is left, <think> and what is told at first.
    """
    columns, step = np.arange(column + 1), int(examples.produces[column])
    about, observes = examples.steps[: column + 1], examples.observes[: column + 1]
    states = np.append(NO_STEP, examples.produces[:column]) != NO_STEP
    named = {
        "own": columns == column,
        "observation": observes & (about == step),
        "earlier_observations": observes & (about < step),
        "later_observations": observes & (about > step),
        "last_code": states & (about == step - 1),
        "earlier_codes": states & (about < step - 1),
        "marks": columns >= 0,
    }
    found, left = {}, np.ones(column + 1, dtype=bool)
    for name, group in named.items():
        if (group & left).any():
            found[name] = group & left
        left = left & ~group
    return found


def ablations(trace: ForcedTrace, steps: Sequence[int]) -> Rows:
    """How far the new code moves, and how much less likely the exact one is, without some edges."""
    rollout, heads = trace.rollout, _heads(trace.model.spec)
    problems, encode, everyone = rollout.problems, rollout.run.vocabulary.encode, np.arange(len(rollout.problems))
    found: dict[tuple[str, str, str], list[np.ndarray]] = {}
    for step in steps:
        reading, updates = trace.reading(step), trace.updates(step)
        observed, clean = problems.observations[:, step - 1], reading.codes()
        right, possible = encode(updates.beliefs[everyone, observed]), updates.possible[everyone, observed]
        exact = encode(problems.beliefs[:, step])
        for group, mask in (groups(trace.examples, trace.column(step)) | {RANDOM: _another(trace, step)}).items():
            for layer, chosen in heads.items():
                codes = reading.codes(cut(np.atleast_2d(mask), chosen))
                falls = clean - codes
                values = {
                    "route_tv": total_variation(codes, clean),
                    "route_right": falls[everyone, right][possible],
                    "route_exact": falls[everyone, exact],
                }
                for metric, each in values.items():
                    found.setdefault((group, layer, metric), []).append(each)
    means = {key: np.concatenate(values) for key, values in found.items()}
    return [
        _under(rollout, group, metric, values.mean(), len(values), layer)
        for (group, layer, metric), values in means.items()
        if len(values)
    ]


def cut(mask: Bool[np.ndarray, "#batch column"], heads: Mapping[int, Sequence[int]]) -> Patches:
    """Patches that keep the last column from attending to some columns, by these heads of each layer.

    Where nothing would be left to attend to, scores are left as they are.
    """
    hidden = torch.from_numpy(mask & ~mask.all(axis=1, keepdims=True))[:, None, None]

    def patch(chosen: Sequence[int]) -> Callable[[Tensor], Tensor]:
        def without(scores: Float[Tensor, "batch head 1 column"]) -> Tensor:
            scores = scores.clone()
            scores[:, list(chosen)] = scores[:, list(chosen)].masked_fill(hidden, -torch.inf)
            return scores

        return without

    return {f"blocks.{layer}.attn.hook_attn_scores": patch(chosen) for layer, chosen in heads.items()}


def _heads(spec: ModelSpec) -> dict[str, dict[int, list[int]]]:
    """Each head by itself, all of each layer, and all: heads by layer, by the name that tables call them."""
    every = list(range(spec.heads))
    alone = {f"L{layer}H{head}": {layer: [head]} for layer in range(spec.layers) for head in every}
    layers = {f"L{layer}": {layer: every} for layer in range(spec.layers)}
    return alone | layers | {"all": dict.fromkeys(range(spec.layers), every)}


def _another(trace: ForcedTrace, step: int) -> Bool[np.ndarray, "batch column"]:
    """For each problem another observation than x_t that the column about to state step t can see."""
    column, run = trace.column(step), trace.rollout.run
    others = np.flatnonzero(trace.examples.observes[: column + 1])
    others = others[others != trace.observed_at(step)]
    chosen = stream(RANDOM, run.task.fingerprint(), run.spec.seed, step).choice(others, len(trace.rollout.problems))
    return chosen[:, None] == np.arange(column + 1)


# ── patching ─────────────────────────────────────────────────────────────────────────────────────


class Corruption(NamedTuple):
    """Something replaced that a step depends on, and how far the exact belief after the step moves by that."""

    tokens: Int[np.ndarray, "batch column"]
    should: Float[np.ndarray, "batch state"]
    possible: Bool[np.ndarray, " batch"]  # whether the step is, with and without it


def corruptions(trace: ForcedTrace, step: int) -> dict[str, Corruption]:
    """x_t replaced by the symbol that changes the exact belief most; c_{t-1} by what another problem's trace says.

    Where the trace has copied x_t, the copy is replaced, too.
    """
    rollout, rows = trace.rollout, np.arange(len(trace.rollout.problems))
    observed, vocabulary = rollout.problems.observations[:, step - 1], rollout.run.vocabulary
    updates = trace.updates(step)
    clean, possible = updates.beliefs[rows, observed], updates.possible[rows, observed]
    apart = np.abs(updates.beliefs - clean[:, None]).sum(axis=2)
    symbol = np.where(updates.possible, apart, -1.0).argmax(axis=1)
    other_symbol = trace.examples.tokens.copy()
    holds = trace.examples.steps[: trace.column(step) + 1] == step  # the question, and a copy of it
    other_symbol[:, np.flatnonzero(holds)] = vocabulary.observation(symbol)[:, None]
    given = donors_of(rollout.run, rollout.problems, step - 1)
    from_other, last = trace.updates(step, rollout.own.stated[given]), trace.column(step - 1) + 1
    other_code = trace.examples.tokens.copy()
    other_code[:, last] = other_code[given, last]
    return {
        "observation": Corruption(other_symbol, updates.beliefs[rows, symbol] - clean, possible),
        "last_code": Corruption(
            other_code, from_other.beliefs[rows, observed] - clean, possible & from_other.possible[rows, observed]
        ),
    }


class Component(NamedTuple):
    """A part of the network whose output is patched, and what is computed after it."""

    tap: str
    head: int | None  # none: all of it
    later: Sequence[str]


def components(spec: ModelSpec) -> dict[str, Component]:
    """By the name that tables call them: the embedding, each head, all heads of a layer, each perceptron."""
    blocks = [f"blocks.{layer}" for layer in range(spec.layers)]
    out = [f"{block}.hook_{part}_out" for block in blocks for part in ("attn", "mlp")]
    found = {"embed": Component("hook_embed", None, out)}
    for layer, block in enumerate(blocks):
        for head in range(spec.heads):
            found[f"L{layer}H{head}"] = Component(f"{block}.attn.hook_z", head, out[2 * layer + 1 :])
        found[f"L{layer}"] = Component(f"{block}.attn.hook_z", None, out[2 * layer + 1 :])
        found[f"L{layer}MLP"] = Component(f"{block}.hook_mlp_out", None, out[2 * layer + 2 :])
    return found


def patchings(trace: ForcedTrace, steps: Sequence[int]) -> Rows:
    """How far the belief that is about to be stated follows what one component makes of a corruption."""
    rollout, parts = trace.rollout, components(trace.model.spec)
    taps = sorted({part.tap for part in parts.values()} | {*parts["embed"].later})
    meanings = code_meanings(rollout.run.task)
    moved: dict[tuple[str, str, str], list[np.ndarray]] = {}
    should: dict[str, list[np.ndarray]] = {}
    for step in steps:
        reading = trace.reading(step)
        clean, held = reading.codes(), reading.activations(taps)
        for name, corruption in corruptions(trace, step).items():
            corrupted = trace.reading(step, corruption.tokens)
            put, kept = corrupted.activations(taps), corruption.possible
            should.setdefault(name, []).append(corruption.should[kept])
            after = {("route_reliance", "all"): corrupted.codes()}
            for layer, part in parts.items():
                patch = {part.tap: _put(put[part.tap], part.head)}
                frozen = {tap: _put(held[tap], None) for tap in part.later}
                after["route_reliance", layer] = reading.codes(patch)
                after["route_reliance_direct", layer] = reading.codes(frozen | patch)
            for (metric, layer), codes in after.items():
                moved.setdefault((name, metric, layer), []).append(((codes - clean) @ meanings)[kept])
    rows: Rows = []
    for (name, metric, layer), parts_moved in moved.items():
        beliefs = np.concatenate(parts_moved)
        alpha = causal_reliance(beliefs, np.concatenate(should[name])).alpha
        rows.append(_under(rollout, name, metric, alpha, len(beliefs), layer))
    return rows


def _put(value: Tensor, head: int | None) -> Callable[[Tensor], Tensor]:
    """Puts an activation in place of the model's own, or one head's part of it."""

    def patch(activation: Tensor) -> Tensor:
        if head is None:
            return value
        activation = activation.clone()
        activation[:, :, head] = value[:, :, head]
        return activation

    return patch


def _under(rollout: Rollout, name: str, metric: str, value: float, count: int, layer: str) -> dict[str, Any]:
    """A row under ``<condition>/<name>``."""
    return rollout.record(metric, value, count, layer=layer) | {"condition": f"{rollout.run.spec.condition}/{name}"}
