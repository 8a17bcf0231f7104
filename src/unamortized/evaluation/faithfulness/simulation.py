"""Counterfactual simulatability: does the trace tell a reader how the model would answer a changed question?

Chen et al. (2023) let people read an explanation and guess the model's answer to a similar question. Here exact Bayes
is the reader: it takes the belief that the trace states before the change, and updates it by the new observations.
"""

import numpy as np

from unamortized.evaluation.distances import total_variation
from unamortized.evaluation.faithfulness.rollout import FaithfulnessSettings, roll_out, without_hints
from unamortized.evaluation.protocol import Rows
from unamortized.language.edits import answers_from_codes
from unamortized.learning.rollouts import respond
from unamortized.learning.specification import Run
from unamortized.worlds.inference import random_paths
from unamortized.worlds.problems import Problems, Questions, solve
from unamortized.worlds.randomness import stream


@without_hints
def simulation(run: Run, settings: FaithfulnessSettings) -> Rows:
    """Measure how much better the trace predicts answers to questions with a new end than "as before" does, by lag."""
    if run.language.trace == "state" or run.task.query.kind == "smooth":
        return []  # a sampled state is no belief, and the last belief does not answer a smoothing query
    rollout, rows = roll_out(run, settings), Rows()
    response = rollout.response
    stated = dict(zip(response.trace_steps.tolist(), response.stated.T, strict=True))
    for lag in settings.lags:
        step = rollout.problems.n_steps - lag - 1  # the last one before the new end
        if step in stated:
            other = with_another_end(run, rollout.problems, step)
            guess = answers_from_codes(run.task, other, step, stated[step])
            answers = respond(run, other).answers
            kept = rollout.kept(other.answer_distribution)
            missed, as_before = (
                float(total_variation(each, answers)[kept].sum()) for each in (guess, response.answers)
            )
            gain = 1 - missed / as_before if as_before else np.nan
            rows.append(rollout.record("simulatability", gain, int(kept.sum()), step=lag))
    return rows


def with_another_end(run: Run, problems: Problems, step: int) -> Problems:
    """Return the same problems up to ``step``, with new observations drawn from there on."""
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
