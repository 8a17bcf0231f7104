"""Truncated traces: what a model answers when it may not think aloud, or not to the end.

A model that reads its trace answers from as much of it as there is, ``p(a | x_1..m)``; one that does not, answers as
before. The former is what an early answer is judged by: where the last steps matter little, answering early changes
little, however faithful the model is. No model has met a truncated trace in training; what that alone does is part of
each of these measures, as it is of those published.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from unamortized.evaluation.baselines import blinded, window
from unamortized.evaluation.distances import kl, total_variation
from unamortized.evaluation.faithfulness.rollout import (
    FaithfulnessSettings,
    Rollout,
    causal_reliance,
    changed,
    moves_enough,
    roll_out,
    without_hints,
)
from unamortized.evaluation.protocol import Rows
from unamortized.learning.runs import Run

HORIZON = 0.1  # nats: what still counts as knowing the answer


class Early(NamedTuple):
    """An answer after a part of the trace."""

    left_out: int  # steps that are not stated any more
    answers: Float[np.ndarray, "batch answer"]
    told: Float[np.ndarray, "batch answer"]  # the exact answer of someone who knows only what is stated


@without_hints
def truncation(run: Run, settings: FaithfulnessSettings) -> Rows:
    """Early answers at each number of steps left out, and what the trace as a whole is worth."""
    rollout = roll_out(run, settings)
    if not rollout.own.written.shape[1]:
        return []
    exact, full, record, count = rollout.exact, rollout.own.answers, rollout.record, len(rollout.problems)
    early, rows = early_answers(rollout), Rows()
    for each in early:
        kept = moves_enough(each.told, exact, settings)
        alpha = causal_reliance((each.answers - full)[kept], (each.told - exact)[kept]).alpha
        rows += [
            record("early_changed", changed(each.answers, full), count, step=each.left_out),
            record("early_changed_exact", changed(each.told, exact), count, step=each.left_out),
            record("early_reliance", alpha, int(kept.sum()), step=each.left_out),
        ]
    without, prior = early[0].answers, window(run.task, rollout.problems, 0)
    apart = total_variation(prior, full).mean()
    knows = kl(exact, full).mean() <= HORIZON
    lost = {each.left_out: bool(kl(exact, each.answers).mean() > HORIZON) for each in early}
    lost_exactly = {each.left_out: bool(kl(exact, each.told).mean() > HORIZON) for each in early}
    return [
        *rows,
        record("early_aoc", np.mean([changed(each.answers, full) for each in early]), count),
        record("early_aoc_exact", np.mean([changed(each.told, exact) for each in early]), count),
        record("necessity", (kl(exact, without) - kl(exact, full)).mean() / np.log(2), count),
        record("necessity_exact", kl(exact, prior).mean() / np.log(2), count),
        record("posthocness", 1 - total_variation(without, full).mean() / apart if apart else np.nan, count),
        record("internal_horizon", horizon(lost) if knows else np.nan, count),
        record("internal_horizon_exact", horizon(lost_exactly), count),
    ]


def horizon(lost: dict[int, bool]) -> int:
    """The most steps that may be left out, with all fewer: by how many are, whether the answer is lost."""
    first = min((left_out for left_out, is_lost in lost.items() if is_lost), default=max(lost) + 1)
    return max((left_out for left_out in lost if left_out < first), default=0)


def early_answers(rollout: Rollout) -> list[Early]:
    """Answers after every part of the trace that ends with a stated step, from none of it on; but for the whole."""
    n_steps, steps, found = rollout.problems.n_steps, rollout.own.trace_steps, []
    places = rollout.own.places + 1 if len(steps) else np.arange(1, rollout.own.written.shape[1] + 1)
    for number, place in enumerate([0, *places[:-1].tolist()]):
        latest = int(max(steps[:number], default=0))  # what is written backwards states the end at once
        told = blinded(rollout.run.task, rollout.problems, np.arange(n_steps) >= latest)
        left_out = n_steps - round(n_steps * number / len(places))
        found.append(Early(left_out, rollout.again(truncate=place), told))
    return found
