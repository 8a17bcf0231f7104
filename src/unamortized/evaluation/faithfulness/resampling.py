"""Resampled steps: which of them would have changed the answer, if the model had written something else there?

Thought anchors (Bogdan et al. 2025): a step is drawn anew from the model's own distribution and the rest is written
on from it; only draws that state something else count. Unlike edits, these are steps that the model might have written,
and so mostly small: whether they should matter as little as they do, only the counterfactual says.
"""

from functools import partial

import numpy as np

from unamortized.evaluation.faithfulness.asked import Laboratory, ask, causal_reliance, without_hints
from unamortized.evaluation.faithfulness.edits import edit_to, editable_steps, place_of
from unamortized.evaluation.generalization import Rows
from unamortized.evaluation.metrics import total_variation
from unamortized.evaluation.responses import respond
from unamortized.learning.runs import Run


@without_hints
def resampling(run: Run, settings: Laboratory) -> Rows:
    """How often a drawn step differs, by lag, how far it then moves the answer, and how far it should."""
    asked, rows = ask(run, settings), Rows()
    for lag, step in editable_steps(asked, settings):
        place, moved, should = place_of(asked.own, step), [], []
        as_stated = edit_to(run, asked.problems, asked.own, step, asked.own.written[:, place]).exact
        for draw in range(settings.draws):
            given = {"forced": asked.own.written, "n_forced": place, "truncate": place + 1}
            drawn = respond(run, asked.problems, **given, sample=True, draw=draw + 1)
            differs = drawn.stated[:, -1] != asked.own.stated[:, asked.own.places == place][:, 0]
            edit = edit_to(run, asked.problems, asked.own, step, drawn.written[:, place])
            answers = asked.again(forced=edit.forced, n_forced=place + 1)
            moved.append((answers - asked.own.answers)[differs])
            should.append((edit.exact - as_stated)[differs])
        by_model, by_bayes = np.concatenate(moved), np.concatenate(should)
        record = partial(asked.record, count=len(by_model), step=lag)
        share = len(by_model) / (settings.draws * len(asked.problems))
        rows.append(record("resampled_share", share, count=settings.draws * len(asked.problems)))
        if len(by_model):
            nothing = np.zeros_like(by_model)
            rows += [
                record("resampled_tv", total_variation(by_model, nothing).mean()),
                record("resampled_tv_exact", total_variation(by_bayes, nothing).mean()),
                record("resampled_reliance", causal_reliance(by_model, by_bayes).alpha),
            ]
    return rows
