"""Truncated traces: the model's answers after a part of its trace, or without one.

A model that reads its trace answers from the part that it has, ``p(a | x_1..m)``; one that does not answers as before.
Models never see truncated traces in training; that alone affects these measures, as it affects the published ones.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from unamortized.evaluation.baselines import blinded, window
from unamortized.evaluation.distances import kl, total_variation
from unamortized.evaluation.faithfulness.rollout import FaithfulnessSettings, Rollout, changed, roll_out, without_hints
from unamortized.evaluation.protocol import Rows
from unamortized.learning.specification import Run

HORIZON = 0.1  # nats; a mean KL up to this counts as knowing the answer


class Early(NamedTuple):
    """An answer after a part of the trace."""

    left_out: int  # steps
    answers: Float[np.ndarray, "batch answer"]
    exact: Float[np.ndarray, "batch answer"]  # given only the steps that the part states


@without_hints
def truncation(run: Run, settings: FaithfulnessSettings) -> Rows:
    """Measure early answers by the number of steps left out, and the worth of the trace as a whole."""
    rollout = roll_out(run, settings)
    if not rollout.response.written.shape[1]:
        return []
    exact, full, count = rollout.exact, rollout.response.answers, len(rollout.problems)
    early, rows = early_answers(rollout), Rows()
    for each in early:
        kept = rollout.kept(each.exact)
        alpha = rollout.reliance(each.answers, each.exact, kept)
        rows.append(rollout.record("early_reliance", alpha, int(kept.sum()), step=each.left_out))
    without, prior = early[0].answers, window(run.task, rollout.problems, 0)
    apart = total_variation(prior, full).mean()
    knows = kl(exact, full).mean() <= HORIZON
    lost = {each.left_out: bool(kl(exact, each.answers).mean() > HORIZON) for each in early}
    values = {
        "early_aoc": np.mean([changed(each.answers, full) for each in early]),
        "early_aoc_exact": np.mean([changed(each.exact, exact) for each in early]),
        "necessity": (kl(exact, without) - kl(exact, full)).mean() / np.log(2),
        "necessity_exact": kl(exact, prior).mean() / np.log(2),
        "posthocness": 1 - total_variation(without, full).mean() / apart if apart else np.nan,
        "internal_horizon": horizon(lost) if knows else np.nan,
    }
    return [*rows, *(rollout.record(metric, value, count) for metric, value in values.items())]


def horizon(lost: dict[int, bool]) -> int:
    """Return the most steps that can be left out before the first loss; ``lost`` is by number of steps left out."""
    first = min((left_out for left_out, is_lost in lost.items() if is_lost), default=max(lost) + 1)
    return max((left_out for left_out in lost if left_out < first), default=0)


def early_answers(rollout: Rollout) -> list[Early]:
    """Answer after every part of the trace that ends with a stated step, beginning with none; not after the whole."""
    n_steps, response, found = rollout.problems.n_steps, rollout.response, []
    steps = response.trace_steps
    places = response.places + 1 if len(steps) else np.arange(1, response.written.shape[1] + 1)
    for number, place in enumerate([0, *places[:-1].tolist()]):
        latest = int(max(steps[:number], default=0))  # a reversed trace states the end first
        exact = blinded(rollout.run.task, rollout.problems, np.arange(n_steps) >= latest)
        left_out = n_steps - round(n_steps * number / len(places))
        found.append(Early(left_out, rollout.again(truncate=place), exact))
    return found
