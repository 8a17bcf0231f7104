"""Resampled steps: which steps would have changed the answer if the model had written something else there?

Thought anchors (Bogdan et al. 2025): a step is sampled again from the model, which then continues from it; only samples
that state something else count.
"""

import numpy as np

from unamortized.evaluation.distances import total_variation
from unamortized.evaluation.faithfulness.edits import edit_to, editable_steps, place_of
from unamortized.evaluation.faithfulness.rollout import FaithfulnessSettings, causal_reliance, roll_out, without_hints
from unamortized.evaluation.protocol import Rows
from unamortized.learning.rollouts import respond
from unamortized.learning.specification import Run


@without_hints
def resampling(run: Run, settings: FaithfulnessSettings) -> Rows:
    """Measure, by lag, how far a step that is sampled again moves the answer, and whether as far as it should.

    No rows at lags where every sample states the same as before.
    """
    rollout, rows = roll_out(run, settings), Rows()
    response = rollout.response
    for lag, step in editable_steps(rollout):
        place, moved, should = place_of(response, step), [], []
        as_stated = edit_to(rollout, step, response.written[:, place]).exact
        before = response.stated[:, response.places == place][:, 0]
        for draw in range(settings.draws):
            given = {"forced": response.written, "n_forced": place, "truncate": place + 1}
            sampled = respond(run, rollout.problems, **given, sample=True, draw=draw + 1)
            differs = sampled.stated[:, -1] != before
            edit = edit_to(rollout, step, sampled.written[:, place])
            answers = rollout.again(forced=edit.forced, n_forced=place + 1)
            moved.append((answers - response.answers)[differs])
            should.append((edit.exact - as_stated)[differs])
        by_model, by_bayes = np.concatenate(moved), np.concatenate(should)
        if count := len(by_model):
            shift = total_variation(by_model, np.zeros_like(by_model)).mean()
            alpha = causal_reliance(by_model, by_bayes)
            rows.append(rollout.record("resampled_tv", shift, count, step=lag))
            rows.append(rollout.record("resampled_reliance", alpha, count, step=lag))
    return rows
