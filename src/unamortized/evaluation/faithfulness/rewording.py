"""Reworded traces: other spellings of the same steps must leave the answer unchanged; other steps must not.

For models whose traces have two spellings of every code, as Lanham et al. (2023) paraphrase.
"""

import numpy as np
from jaxtyping import Int

from unamortized.evaluation.distances import total_variation
from unamortized.evaluation.faithfulness.rollout import FaithfulnessSettings, roll_out
from unamortized.evaluation.protocol import Rows
from unamortized.language.edits import donors
from unamortized.learning.specification import Run
from unamortized.worlds.randomness import stream


def rewording(run: Run, settings: FaithfulnessSettings) -> Rows:
    """Measure how far the other spelling of every code moves the answer; control ``other_trace``: another problem's."""
    if run.vocabulary.n_synonyms < 2:
        return []
    rollout = roll_out(run, settings)
    written, count = rollout.response.written, len(rollout.problems)
    other = donors(count, stream("rewording", run.task.fingerprint(), run.spec.seed))
    return [
        rollout.record(
            "rewording_tv",
            total_variation(rollout.again(forced=forced), rollout.response.answers).mean(),
            count,
            control=control,
        )
        for control, forced in (("", respelled(run, written)), ("other_trace", written[other]))
    ]


def respelled(run: Run, written: Int[np.ndarray, "batch written"]) -> Int[np.ndarray, "batch written"]:
    """Return the same trace in the next spelling of every code."""
    size = run.vocabulary.codebook.size
    return (written + size) % (size * run.vocabulary.n_synonyms)
