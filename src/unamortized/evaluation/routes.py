r"""Routes: the heads through which the observation $x_t$ and the last code $c_{t-1}$ reach the new code $c_t$.

A run's own trace is forced on it, and the distribution of $c_t$ is read at the column that is about to state step t,
with activations changed at that column alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from unamortized.evaluation.distances import total_variation
from unamortized.evaluation.faithfulness.edits import donors_of
from unamortized.evaluation.faithfulness.rollout import FaithfulnessSettings, Rollout, causal_reliance, roll_out
from unamortized.evaluation.interventions import LastColumn, cut_edges, replaced
from unamortized.evaluation.pointer import Updates, exact_updates
from unamortized.evaluation.protocol import Rows, SampleSize
from unamortized.labels import ABOUT_TO_STATE, ALL_LAYERS, QUESTION
from unamortized.language.layout import NO_STEP, Examples
from unamortized.language.meanings import code_meanings
from unamortized.learning.specification import Run
from unamortized.models.transformer import ModelSpec, Transformer
from unamortized.worlds.randomness import stream

OBSERVATION, LAST_CODE, RANDOM = "observation", "last_code", "random_columns"
STEPS = (2, 4, 8, 12, 16)  # the first step has no last code


@torch.no_grad()
def routes(run: Run, settings: SampleSize) -> Rows:
    """Measure what each head contributes to a step, at the longest training length; for runs with a ``forced_trace``.

    *Ablation* (``route_tv``): cut the edges from the column about to state step t to a group of columns (``site``, see
    ``groups``), for one head (layer ``L0H2``), all heads of a layer (``L0``) or ``all``.

    *Patching* (``route_reliance``): replace x_t or c_{t-1}, and put one component's output at that column into the
    clean run: a head, all heads of a layer, its perceptron (``L0MLP``), the token's embedding (``embed``); ``all`` is
    the corrupted run as a whole. Later layers react (activation patching). ``route_reliance_direct`` holds them at
    their clean values, except for the final normalization (path patching). In ``cot`` only that column itself holds
    c_{t-1}, so that ``embed`` equals ``all`` for ``last_code``.
    """
    trace = forced_trace(run, settings.problems)
    if trace is None:
        return []
    steps = [step for step in STEPS if step <= trace.rollout.problems.n_steps]
    return [*ablations(trace, steps), *patchings(trace, steps)]


@dataclass(frozen=True)
class ForcedTrace:
    """A run's own traces as columns, to be read again under changes."""

    rollout: Rollout
    examples: Examples  # with the tokens that the run wrote

    def column(self, step: int) -> int:
        """Return the column at which the model is about to state a step."""
        return int(self.rollout.response.columns[ABOUT_TO_STATE][step - 1])

    def observed_at(self, step: int) -> int:
        """Return the column of the question that holds the observation of a step."""
        return int(self.rollout.response.columns[QUESTION][step - 1])

    def read_before(self, step: int, tokens: Int[np.ndarray, "batch column"] | None = None) -> LastColumn:
        """Let the model read all columns before it states a step, of these tokens or its own."""
        column, model = self.column(step), self.rollout.run.model
        given = torch.from_numpy((self.examples.tokens if tokens is None else tokens)[:, : column + 1])
        positions = torch.from_numpy(self.examples.positions)[None, : column + 1]
        cache = model.new_cache(capacity=column + 1)
        nothing = torch.zeros(len(given), column, dtype=torch.bool)
        model(given[:, :-1], positions[:, :-1], cache=cache, select=nothing)
        return LastColumn(self.rollout.run, given, positions, cache)

    def updates(self, step: int, codes: Int[np.ndarray, "batch step"] | None = None) -> Updates:
        """Update the code of the step before exactly, with every symbol; the run's own code by default."""
        last = (self.rollout.response.stated if codes is None else codes)[:, step - 2]
        return exact_updates(self.rollout.problems.process, code_meanings(self.rollout.run.task)[last])


def forced_trace(run: Run, problems: int) -> ForcedTrace | None:
    """Return a transformer's own traces if it states every belief in turn and answers after that; else None.

    Sampled traces are left out, and hinted questions, whose hints the exact updates ignore.
    """
    kind = run.language.kind
    if kind.sampled or kind.hinted or not isinstance(run.model, Transformer):
        return None
    rollout = roll_out(run, FaithfulnessSettings(problems=problems))
    own, rendered = rollout.response, run.render(rollout.problems)
    every_step = np.array_equal(own.trace_steps, np.arange(1, rollout.problems.n_steps + 1))
    if not every_step or rendered.answer < own.columns[ABOUT_TO_STATE].max():
        return None
    tokens, blocks = rendered.tokens.copy(), kind(rollout.problems, run.vocabulary).blocks
    starts = np.array([run.vocabulary.blocks[block].start for block in blocks])
    tokens[:, np.setdiff1d(np.flatnonzero(rendered.written), rendered.answer)] = own.written + starts
    return ForcedTrace(rollout, rendered._replace(tokens=tokens))


# ── ablation ─────────────────────────────────────────────────────────────────────────────────────


def groups(examples: Examples, column: int) -> dict[str, Bool[np.ndarray, " column"]]:
    """Partition the columns that a column about to state step t may attend to, up to itself; no group is empty.

    ``own`` is that column itself, whatever it holds (in ``cot``, the last code). The others are the observation x_t,
    earlier and later observations, the last code and earlier codes elsewhere, and ``marks``: <think> and a given start.
    """
    columns, step = np.arange(column + 1), int(examples.produces[column])
    about, observes = examples.steps[: column + 1], examples.observes[: column + 1]
    states = np.append(NO_STEP, examples.produces[:column]) != NO_STEP
    named = {
        "own": columns == column,
        OBSERVATION: observes & (about == step),
        "earlier_observations": observes & (about < step),
        "later_observations": observes & (about > step),
        LAST_CODE: states & (about == step - 1),
        "earlier_codes": states & (about < step - 1),
    }
    group = np.select([*named.values()], [*named], "marks")
    return {name: group == name for name in (*named, "marks") if (group == name).any()}


def ablations(trace: ForcedTrace, steps: Sequence[int]) -> Rows:
    """Measure how far the new code moves when edges are cut, by group of columns and heads."""
    spec, moves = trace.rollout.run.spec.model, dict[tuple[str, str, str], list[np.ndarray]]()
    layers, every = range(spec.layers), range(spec.heads)
    heads = {f"L{layer}H{head}": {layer: [head]} for layer in layers for head in every}  # by layer
    heads |= {f"L{layer}": {layer: every} for layer in layers} | {ALL_LAYERS: dict.fromkeys(layers, every)}
    for step in steps:
        last = trace.read_before(step)
        clean = last.codes()
        masks = {(name, ""): mask for name, mask in groups(trace.examples, trace.column(step)).items()}
        masks[OBSERVATION, RANDOM] = _another_observation(trace, step)
        for (site, control), mask in masks.items():
            for layer, chosen in heads.items():
                codes = last.codes(cut_edges(np.atleast_2d(mask), chosen))
                moves.setdefault((site, control, layer), []).append(total_variation(codes, clean))
    return [
        trace.rollout.record("route_tv", float(np.mean(each)), np.size(each), site=site, control=control, layer=layer)
        for (site, control, layer), each in moves.items()
    ]


def _another_observation(trace: ForcedTrace, step: int) -> Bool[np.ndarray, "batch column"]:
    """Draw for each problem an observation other than x_t that the column about to state step t can see."""
    column, run = trace.column(step), trace.rollout.run
    others = np.setdiff1d(np.flatnonzero(trace.examples.observes[: column + 1]), trace.observed_at(step))
    chosen = stream(RANDOM, run.task.fingerprint(), run.spec.seed, step).choice(others, len(trace.rollout.problems))
    return chosen[:, None] == np.arange(column + 1)


# ── patching ─────────────────────────────────────────────────────────────────────────────────────


class Corruption(NamedTuple):
    """An input of a step replaced, and how far that moves the exact belief after the step."""

    tokens: Int[np.ndarray, "batch column"]
    should: Float[np.ndarray, "batch state"]
    possible: Bool[np.ndarray, " batch"]  # whether the step can occur with the old input and with the new one


def corruptions(trace: ForcedTrace, step: int) -> dict[str, Corruption]:
    """Replace x_t by the symbol that changes the exact belief most, and c_{t-1} by another problem's, by site.

    Where the trace has copied x_t, the copy is replaced, too.
    """
    rollout, rows = trace.rollout, np.arange(len(trace.rollout.problems))
    observed, vocabulary = rollout.problems.observations[:, step - 1], rollout.run.vocabulary
    updates = trace.updates(step)
    clean, possible = updates.beliefs[rows, observed], updates.possible[rows, observed]
    distance = np.abs(updates.beliefs - clean[:, None]).sum(axis=2)
    symbol = np.where(updates.possible, distance, -1.0).argmax(axis=1)
    other_symbol = trace.examples.tokens.copy()
    holds = trace.examples.steps[: trace.column(step) + 1] == step  # the question, and a copy of it
    other_symbol[:, np.flatnonzero(holds)] = vocabulary.observation(symbol)[:, None]
    donors = donors_of(rollout.run, rollout.problems, step - 1)
    donated, last = trace.updates(step, rollout.response.stated[donors]), trace.column(step - 1) + 1
    other_code = trace.examples.tokens.copy()
    other_code[:, last] = other_code[donors, last]
    return {
        OBSERVATION: Corruption(other_symbol, updates.beliefs[rows, symbol] - clean, possible),
        LAST_CODE: Corruption(
            other_code, donated.beliefs[rows, observed] - clean, possible & donated.possible[rows, observed]
        ),
    }


class ComponentOutput(NamedTuple):
    """The output of a component, and the outputs computed after it."""

    tap: str
    head: int | None  # None: all of it
    later: Sequence[str]


def component_outputs(spec: ModelSpec) -> dict[str, ComponentOutput]:
    """List the embedding, each head, all heads of a layer, and each perceptron, by layer name."""
    blocks = [f"blocks.{layer}" for layer in range(spec.layers)]
    out = [f"{block}.hook_{part}_out" for block in blocks for part in ("attn", "mlp")]
    found = {"embed": ComponentOutput("hook_embed", None, out)}
    for layer, block in enumerate(blocks):
        for name, head in ((f"L{layer}H{head}", head) for head in range(spec.heads)):
            found[name] = ComponentOutput(f"{block}.attn.hook_z", head, out[2 * layer + 1 :])
        found[f"L{layer}"] = ComponentOutput(f"{block}.attn.hook_z", None, out[2 * layer + 1 :])
        found[f"L{layer}MLP"] = ComponentOutput(f"{block}.hook_mlp_out", None, out[2 * layer + 2 :])
    return found


def patchings(trace: ForcedTrace, steps: Sequence[int]) -> Rows:
    """Measure how far the belief that is about to be stated follows one component's output under a corruption."""
    rollout, parts = trace.rollout, component_outputs(trace.rollout.run.spec.model)
    taps = sorted({part.tap for part in parts.values()} | {*parts["embed"].later})
    meanings = code_meanings(rollout.run.task)
    moved: dict[tuple[str, str, str], list[np.ndarray]] = {}
    should: dict[str, list[np.ndarray]] = {}
    for step in steps:
        last = trace.read_before(step)
        clean, held = last.codes(), last.activations(taps)
        for site, corruption in corruptions(trace, step).items():
            corrupted, kept = trace.read_before(step, corruption.tokens), corruption.possible
            outputs = corrupted.activations(taps)
            should.setdefault(site, []).append(corruption.should[kept])
            codes = {("route_reliance", ALL_LAYERS): corrupted.codes()}
            for layer, part in parts.items():
                patch = {part.tap: replaced(outputs[part.tap], part.head)}
                frozen = {tap: replaced(held[tap]) for tap in part.later}
                codes["route_reliance", layer] = last.codes(patch)
                codes["route_reliance_direct", layer] = last.codes(frozen | patch)
            for (metric, layer), each in codes.items():
                moved.setdefault((site, metric, layer), []).append(((each - clean) @ meanings)[kept])
    rows: Rows = []
    for (site, metric, layer), values in moved.items():
        beliefs = np.concatenate(values)
        alpha = causal_reliance(beliefs, np.concatenate(should[site]))
        rows.append(rollout.record(metric, alpha, len(beliefs), site=site, layer=layer))
    return rows
