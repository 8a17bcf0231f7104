"""Patched beliefs: does moving the belief in an activation do what editing the written code does?

Before the model states step k, the residual stream is moved so that the probe reads b'. If the model writes the probed
belief down and goes on from it, the answer moves as when the token is edited, and as far as exact Bayes says.
"""

from functools import partial

import numpy as np
from jaxtyping import Float

from unamortized.evaluation.distances import total_variation
from unamortized.evaluation.faithfulness.edits import edit_step, edit_to, editable_steps
from unamortized.evaluation.faithfulness.rollout import FaithfulnessSettings, roll_out, without_hints
from unamortized.evaluation.interventions import answers_under, held_belief
from unamortized.evaluation.probes.activations import layers, read_activations
from unamortized.evaluation.probes.fitting import belief_probes
from unamortized.evaluation.protocol import Rows
from unamortized.labels import ABOUT_TO_STATE
from unamortized.learning.specification import Run
from unamortized.worlds.randomness import stream


@without_hints
def patching(run: Run, settings: FaithfulnessSettings) -> Rows:
    """Measure reliance on patched beliefs, their agreement with edited tokens, and both in conflict, by lag."""
    rollout = roll_out(run, settings)
    problems, own, rows, last = rollout.problems, rollout.response, Rows(), [*layers(run)][-1]
    if run.language.kind.sampled or not len(own.trace_steps):
        return []
    probes = belief_probes(run, settings.problems, "patching", ABOUT_TO_STATE)
    seen = read_activations(run, problems)[ABOUT_TO_STATE]
    for lag, step in editable_steps(rollout):
        edit = edit_step(rollout, step)
        kept = rollout.kept(edit.exact)
        if not kept.any():
            continue
        contradicting = edit_to(rollout, step, np.roll(edit.forced[:, edit.place], 1))
        by_token = rollout.again(forced=edit.forced, n_forced=edit.place + 1)
        place = int(np.flatnonzero(seen.steps == step)[0])
        column = int(own.columns[ABOUT_TO_STATE][place])
        record = partial(rollout.record, count=int(kept.sum()), step=lag)
        for layer, tap in layers(run).items():
            generator = stream("random patch", run.task.fingerprint(), run.spec.seed, step, layer)
            held = held_belief(probes[layer], seen.features[layer][:, place], generator)
            answers_with = partial(answers_under, run, problems, tap, column)
            steered, random = held.moved_to(edit.belief), held.moved_randomly(edit.belief)
            patched, control = (
                answers_with(each, forced=own.written, n_forced=edit.place) for each in (steered, random)
            )
            both = answers_with(steered, forced=contradicting.forced, n_forced=edit.place + 1)
            for name, answers in (("", patched), ("random_patch", control)):
                alpha = rollout.reliance(answers, edit.exact, kept)
                rows.append(record("patch_reliance", alpha, control=name, layer=layer))
            whole, left = (float(total_variation(each, by_token)[kept].mean()) for each in (own.answers, patched))
            rows.append(record("patch_agreement", 1 - left / whole if whole else np.nan, layer=layer))
            if layer != last:  # the last layer's activation only chooses the token, which is forced here
                to_token, to_belief = ((each.exact - rollout.exact)[kept] for each in (contradicting, edit))
                token, _ = shares((both - own.answers)[kept], to_token, to_belief)
                rows.append(record("conflict_token", token, layer=layer))
    return rows


def shares(moved: Float[np.ndarray, "*shape"], *sources: Float[np.ndarray, "*shape"]) -> list[float]:
    """Return the least-squares weights, through the origin, of sources that a movement may follow."""
    return np.linalg.lstsq(np.stack([each.reshape(-1) for each in sources], axis=1), moved.reshape(-1))[0].tolist()
