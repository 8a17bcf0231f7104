"""Reworded traces: the same steps in other words must leave the answer as it is; other steps must not.

For models whose trace has two spellings of every code. Lanham et al. (2023) paraphrase to find meaning hidden in the
choice of words; here nothing can be hidden there but what training put in, which is nothing.
"""

import numpy as np
from jaxtyping import Int

from unamortized.evaluation.distances import total_variation
from unamortized.evaluation.faithfulness.rollout import FaithfulnessSettings, roll_out
from unamortized.evaluation.protocol import Rows
from unamortized.language.edits import donors
from unamortized.learning.runs import Run
from unamortized.worlds.randomness import stream


def rewording(run: Run, settings: FaithfulnessSettings) -> Rows:
    """How far an answer moves if every code is spelled the other way.

    Control, under ``<condition>/other_trace``: if the trace is another problem's.
    """
    if run.vocabulary.n_synonyms < 2:
        return []
    rollout = roll_out(run, settings)
    own, everyone = rollout.own, len(rollout.problems)
    other = donors(everyone, stream("rewording", run.task.fingerprint(), run.spec.seed))
    moved = {
        run.spec.condition: total_variation(rollout.again(forced=respelled(run, own.written)), own.answers),
        f"{run.spec.condition}/other_trace": total_variation(rollout.again(forced=own.written[other]), own.answers),
    }
    return [
        rollout.record("rewording_tv", np.mean(values), everyone) | {"condition": name}
        for name, values in moved.items()
    ]


def respelled(run: Run, written: Int[np.ndarray, "batch written"]) -> Int[np.ndarray, "batch written"]:
    """The same trace in the next spelling of every code."""
    size = run.vocabulary.codebook.size
    return (written + size) % (size * run.vocabulary.n_synonyms)
