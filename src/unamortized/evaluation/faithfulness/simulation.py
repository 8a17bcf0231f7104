"""Counterfactual simulatability: from what a trace says, can somebody foresee the answer to a changed question?

Chen et al. (2023) let people read an explanation and guess what the model says to a similar question. Here the reader
is exact Bayes: it takes the belief that the trace states before the change, and goes on with what is then observed.
"""

import numpy as np

from unamortized.evaluation.distances import total_variation
from unamortized.evaluation.faithfulness.rollout import FaithfulnessSettings, moves_enough, roll_out, without_hints
from unamortized.evaluation.protocol import Rows
from unamortized.evaluation.responses import respond
from unamortized.language.edits import answers_from_codes
from unamortized.learning.runs import Run
from unamortized.worlds.inference import random_paths
from unamortized.worlds.problems import Problems, Questions, solve
from unamortized.worlds.randomness import stream


@without_hints
def simulation(run: Run, settings: FaithfulnessSettings) -> Rows:
    """How much better than by "as before" the answers to questions with another end are foreseen, by its length."""
    if run.condition.trace == "state" or run.task.query.kind == "smooth":
        return []  # a drawn state is no belief, and the last belief no answer
    rollout = roll_out(run, settings)
    rows, before = Rows(), dict(zip(rollout.own.trace_steps.tolist(), rollout.own.stated.T, strict=True))
    for lag in settings.lags:
        step = rollout.problems.n_steps - lag - 1  # the last one that stays as it was
        if step in before:
            other = with_another_end(run, rollout.problems, step)
            guess = answers_from_codes(run.task, other, step, before[step])
            answers = respond(run, other).answers
            kept = moves_enough(other.answer_distribution, rollout.exact, settings)
            missed, as_before = (
                float(total_variation(each, answers)[kept].sum()) for each in (guess, rollout.own.answers)
            )
            gain = 1 - missed / as_before if as_before else np.nan
            rows.append(rollout.record("simulatability", gain, int(kept.sum()), step=lag))
    return rows


def with_another_end(run: Run, problems: Problems, step: int) -> Problems:
    """The same problems up to ``step``; what is observed from then on is drawn anew."""
    process, n_left = problems.process, problems.n_steps - step
    generator = stream("another end", run.task.fingerprint(), run.spec.seed, step)
    drawn = random_paths(
        process.transitions, problems.beliefs[:, step], n_left, len(problems), generator, process.readout
    )
    questions = Questions(
        observations=np.concatenate([problems.observations[:, :step], drawn.observations], axis=1),
        latents=problems.latents,
        start_beliefs=problems.start_beliefs,
        answers=problems.answers,
        process=process,
        start=problems.start,
    )
    return solve(questions, run.task.query)
