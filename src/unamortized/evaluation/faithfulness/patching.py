"""Patched beliefs: an activation that is moved to say another belief against a token that is edited to say so.

Where step k is about to be stated, the residual stream is moved along the probe, by the likeliest change after which
the probe reads b'. If the belief that is probed there is the one that the model writes down and goes on from, the
answer moves as it does when the token itself is edited, and as far as exact Bayes says.
"""

from functools import partial

import numpy as np
import torch
from jaxtyping import Float

from unamortized.evaluation.distances import total_variation
from unamortized.evaluation.faithfulness.edits import edit_step, edit_to, editable_steps
from unamortized.evaluation.faithfulness.rollout import (
    FaithfulnessSettings,
    causal_reliance,
    moves_enough,
    roll_out,
    without_hints,
)
from unamortized.evaluation.probes import layers, listen, moments, read
from unamortized.evaluation.protocol import Rows
from unamortized.evaluation.subspaces import as_far, fitted, likeliest_change, random_subspace
from unamortized.language.traces import resolve_trace
from unamortized.learning.runs import Run
from unamortized.models.decoding import Patch
from unamortized.worlds.randomness import stream
from unamortized.worlds.splits import draw

RIDGE = 1.0


@without_hints
def patching(run: Run, settings: FaithfulnessSettings) -> Rows:
    """Reliance on patched beliefs and their agreement with edited tokens, by layer and lag; and the two in conflict.

    Control, under ``<condition>/random_patch``: as large a change in a random subspace of that rank and variance.
    """
    rollout = roll_out(run, settings)
    if resolve_trace(run.condition.trace).sampled or not len(rollout.own.trace_steps):
        return []
    task, problems, own = run.task, rollout.problems, rollout.own
    fitted_on = draw(task, "validation", problems.n_steps, settings.problems, run.spec.seed, "patching")
    fitting, seen = (read(run, each, listen(run, each), "about_to_state") for each in (fitted_on, problems))
    found = {layer: fitted(moments(fitting.features[layer], fitting.beliefs), RIDGE) for layer in layers(run)}
    rows, last = Rows(), [*layers(run)][-1]
    for lag, step in editable_steps(rollout, settings):
        edit = edit_step(rollout, step)
        kept = moves_enough(edit.exact, rollout.exact, settings)
        if not kept.any():
            continue
        contradicting = edit_to(rollout, step, np.roll(edit.forced[:, edit.place], 1))
        by_token = rollout.again(forced=edit.forced, n_forced=edit.place + 1)
        at = int(np.flatnonzero(seen.steps == step)[0])
        column, free = int(own.columns["about_to_state"][at]), edit.place
        for layer, tap in layers(run).items():
            features = seen.features[layer][:, at]
            probe, subspace, gathered = found[layer]
            generator = stream("random patch", task.fingerprint(), run.spec.seed, step, layer)
            moved = likeliest_change(probe, subspace, features, edit.belief)
            random = as_far(moved, random_subspace(subspace, gathered.covariance, generator), generator)
            patch, anything = (_patch(tap, column, features + change) for change in (moved, random))
            by_patch = rollout.again(forced=own.written, n_forced=free, patches=[patch])
            at_random = rollout.again(forced=own.written, n_forced=free, patches=[anything])
            both = rollout.again(forced=contradicting.forced, n_forced=free + 1, patches=[patch])
            record = partial(rollout.record, count=int(kept.sum()), step=lag, layer=layer)
            should = (edit.exact - rollout.exact)[kept]
            apart, between = (
                float(total_variation(answers, by_token)[kept].mean()) for answers in (own.answers, by_patch)
            )
            token, activation = shares((both - own.answers)[kept], (contradicting.exact - rollout.exact)[kept], should)
            name = {"condition": f"{run.spec.condition}/random_patch"}
            rows += [
                record("patch_reliance", causal_reliance((by_patch - own.answers)[kept], should).alpha),
                record("patch_reliance", causal_reliance((at_random - own.answers)[kept], should).alpha) | name,
                record("patch_agreement", 1 - between / apart if apart else np.nan),
            ]
            if layer != last:  # whose activation does nothing but choose the token that is forced here
                rows += [record("conflict_token", token), record("conflict_activation", activation)]
    return rows


def shares(
    moved: Float[np.ndarray, "batch answer"],
    to_token: Float[np.ndarray, "batch answer"],
    to_activation: Float[np.ndarray, "batch answer"],
) -> tuple[float, float]:
    """Least-squares weights, through the origin, of two sources that a movement may follow."""
    towards = np.stack([to_token.reshape(-1), to_activation.reshape(-1)], axis=1)
    token, activation = np.linalg.lstsq(towards, moved.reshape(-1))[0]
    return float(token), float(activation)


def _patch(tap: str, column: int, value: Float[np.ndarray, "batch width"]) -> Patch:
    return Patch(tap, column, torch.from_numpy(value).float())
