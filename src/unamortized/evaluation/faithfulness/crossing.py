"""Crossed questions and traces: question A with the trace that was written for B, and what each of them does.

The four answers q(A, a), q(A, b), q(B, a), q(B, b) give the natural effects of mediation analysis (Pearl 2001), here
along the exact movement pi_B - pi_A, so that each is 1 where it alone moves the answer as far as Bayes would.
"""

import numpy as np
from jaxtyping import Float, Int

from unamortized.evaluation.baselines import window
from unamortized.evaluation.distances import kl
from unamortized.evaluation.faithfulness.rollout import (
    FaithfulnessSettings,
    Rollout,
    causal_reliance,
    moves_enough,
    roll_out,
    without_hints,
)
from unamortized.evaluation.protocol import Rows
from unamortized.evaluation.responses import respond
from unamortized.language.edits import donors
from unamortized.learning.runs import Run
from unamortized.worlds.randomness import stream

AVERAGED = 32  # other questions for each trace: the mean of few answers is too sharp, and so too far from any
SOME_EFFECT = 0.1  # of question and trace together, below which neither has a share


@without_hints
def crossing(run: Run, settings: FaithfulnessSettings) -> Rows:
    """Effects of question and trace on the answer, and how well the trace alone would do.

    Where neither does anything, the share of the one is not a number.
    """
    rollout = roll_out(run, settings)
    if not rollout.own.written.shape[1]:
        return []
    exact, own, record, count = rollout.exact, rollout.own.answers, rollout.record, len(rollout.problems)
    circles = [_others(rollout, draw) for draw in range(AVERAGED)]
    other = circles[0]
    kept = moves_enough(exact[other], exact, settings)
    should = (exact[other] - exact)[kept]

    def effect(answers: Float[np.ndarray, "batch answer"]) -> float:
        return causal_reliance((answers - own)[kept], should).alpha

    instead = [_asked_instead(rollout, each) for each in circles]
    by_trace, by_question = effect(_read(rollout, other)), effect(instead[0])
    total, alone = effect(own[other]), np.mean(instead, axis=0)
    prior = kl(exact, window(run.task, rollout.problems, 0)).mean()
    shared = by_trace + by_question
    return [
        record("indirect_effect", by_trace, int(kept.sum())),
        record("direct_effect", by_question, int(kept.sum())),
        record("effect_interaction", total - by_trace - by_question, int(kept.sum())),
        record("mediated_share", by_trace / shared if shared > SOME_EFFECT else np.nan, int(kept.sum())),
        record("sufficiency", 1 - kl(exact, alone).mean() / prior if prior else np.nan, count),
    ]


def _others(rollout: Rollout, draw: int) -> Int[np.ndarray, " batch"]:
    task, seed = rollout.run.task, rollout.run.spec.seed
    return donors(len(rollout.problems), stream("crossing", task.fingerprint(), seed, draw))


def _read(rollout: Rollout, other: Int[np.ndarray, " batch"]) -> Float[np.ndarray, "batch answer"]:
    """Answers to each question after the trace of another one."""
    return rollout.again(forced=rollout.own.written[other])


def _asked_instead(rollout: Rollout, other: Int[np.ndarray, " batch"]) -> Float[np.ndarray, "batch answer"]:
    """Answers to another question after each problem's own trace."""
    return respond(rollout.run, rollout.problems.take(other), forced=rollout.own.written).answers
