"""Crossed questions and traces: the model answers question A after the trace that it wrote for question B.

The answers q(A, a), q(A, b), q(B, a) give the natural effects of mediation analysis (Pearl 2001), measured along the
exact movement pi_B - pi_A: an effect is 1 if it alone moves the answer as far as exact Bayes.
"""

import numpy as np

from unamortized.evaluation.baselines import window
from unamortized.evaluation.distances import kl
from unamortized.evaluation.faithfulness.rollout import FaithfulnessSettings, roll_out, without_hints
from unamortized.evaluation.protocol import Rows
from unamortized.language.edits import donors
from unamortized.learning.rollouts import respond
from unamortized.learning.specification import Run
from unamortized.worlds.randomness import stream

AVERAGED = 32  # questions per trace; the mean answer over fewer is too sharp, and so too far from every exact one
SOME_EFFECT = 0.1  # of question and trace together; the shares of a smaller effect are noise


@without_hints
def crossing(run: Run, settings: FaithfulnessSettings) -> Rows:
    """Measure the effects of question and trace on the answer, and how much the trace tells without its question.

    The mediated share is not a number if neither has an effect.
    """
    rollout = roll_out(run, settings)
    problems, written, exact, count = rollout.problems, rollout.response.written, rollout.exact, len(rollout.problems)
    if not written.shape[1]:
        return []
    fingerprint, seed = run.task.fingerprint(), run.spec.seed
    others = [donors(count, stream("crossing", fingerprint, seed, draw)) for draw in range(AVERAGED)]
    to_others = [respond(run, problems.take(other), forced=written).answers for other in others]
    first = others[0]
    kept = rollout.kept(exact[first])
    by_trace = rollout.reliance(rollout.again(forced=written[first]), exact[first], kept)
    by_question = rollout.reliance(to_others[0], exact[first], kept)
    both, n_kept = by_trace + by_question, int(kept.sum())
    prior = kl(exact, window(run.task, problems, 0)).mean()
    trace_alone = kl(exact, np.mean(to_others, axis=0)).mean()
    return [
        rollout.record("indirect_effect", by_trace, n_kept),
        rollout.record("direct_effect", by_question, n_kept),
        rollout.record("mediated_share", by_trace / both if both > SOME_EFFECT else np.nan, n_kept),
        rollout.record("sufficiency", 1 - trace_alone / prior if prior else np.nan, count),
    ]
