"""Resampled steps: which of them would have changed the answer, if the model had written something else there?

Thought anchors (Bogdan et al. 2025): a step is drawn anew from the model's own distribution and the rest is written
on from it; only draws that state something else count. Unlike edits, these are steps that the model might have written,
and so mostly small: whether they should matter as little as they do, only the counterfactual says.
"""

from functools import partial

import numpy as np

from unamortized.evaluation.distances import total_variation
from unamortized.evaluation.faithfulness.edits import edit_to, editable_steps, place_of
from unamortized.evaluation.faithfulness.rollout import FaithfulnessSettings, causal_reliance, roll_out, without_hints
from unamortized.evaluation.protocol import Rows
from unamortized.evaluation.responses import respond
from unamortized.learning.runs import Run


@without_hints
def resampling(run: Run, settings: FaithfulnessSettings) -> Rows:
    """How often a drawn step differs, by lag, how far it then moves the answer, and how far it should."""
    rollout, rows = roll_out(run, settings), Rows()
    for lag, step in editable_steps(rollout, settings):
        place, moved, should = place_of(rollout.own, step), [], []
        as_stated = edit_to(run, rollout.problems, rollout.own, step, rollout.own.written[:, place]).exact
        for draw in range(settings.draws):
            given = {"forced": rollout.own.written, "n_forced": place, "truncate": place + 1}
            drawn = respond(run, rollout.problems, **given, sample=True, draw=draw + 1)
            differs = drawn.stated[:, -1] != rollout.own.stated[:, rollout.own.places == place][:, 0]
            edit = edit_to(run, rollout.problems, rollout.own, step, drawn.written[:, place])
            answers = rollout.again(forced=edit.forced, n_forced=place + 1)
            moved.append((answers - rollout.own.answers)[differs])
            should.append((edit.exact - as_stated)[differs])
        by_model, by_bayes = np.concatenate(moved), np.concatenate(should)
        record = partial(rollout.record, count=len(by_model), step=lag)
        share = len(by_model) / (settings.draws * len(rollout.problems))
        rows.append(record("resampled_share", share, count=settings.draws * len(rollout.problems)))
        if len(by_model):
            nothing = np.zeros_like(by_model)
            rows += [
                record("resampled_tv", total_variation(by_model, nothing).mean()),
                record("resampled_tv_exact", total_variation(by_bayes, nothing).mean()),
                record("resampled_reliance", causal_reliance(by_model, by_bayes).alpha),
            ]
    return rows
