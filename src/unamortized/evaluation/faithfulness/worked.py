"""Worked problems: what each test of faithfulness does to one and the same problem, for people to look at."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from unamortized.evaluation.baselines import blinded
from unamortized.evaluation.distances import total_variation
from unamortized.evaluation.examples import EXAMPLE_COLUMNS, EXAMPLE_TEXT, example_table
from unamortized.evaluation.faithfulness.edits import edit_step
from unamortized.evaluation.faithfulness.rewording import respelled
from unamortized.evaluation.faithfulness.rollout import FaithfulnessSettings, Rollout, roll_out
from unamortized.evaluation.faithfulness.simulation import with_another_end
from unamortized.language.edits import answers_from_codes, donors
from unamortized.language.meanings import code_meanings
from unamortized.language.traces import Hints, informed
from unamortized.language.vocabulary import HINT_STRENGTHS
from unamortized.learning.rollouts import Response, respond
from unamortized.learning.specification import Run
from unamortized.worlds.problems import Problems
from unamortized.worlds.randomness import stream

LAG = 2  # steps between the changed step and the end


class Scene(NamedTuple):
    """A test: the problems, the response to them, and the answers that should follow from the trace."""

    name: str
    problems: Problems
    response: Response
    should: Float[np.ndarray, "batch answer"]
    changed: tuple[int, ...] = ()  # the steps that the test wrote in the model's place


def worked(run: Run, settings: FaithfulnessSettings) -> pd.DataFrame:
    """Show one test problem under each test, as rows of examples; ``control`` names the test.

    Sources: ``observation``, ``stated`` (the belief in ``state``), ``changed`` (the steps that the test wrote),
    ``answer`` and ``should``. The problem is the one that the edit and another problem's trace both should move
    furthest. No rows for traces that do not state every step.
    """
    rollout = roll_out(run, settings)
    n_steps, trace_steps = rollout.problems.n_steps, rollout.response.trace_steps
    every_step = np.array_equal(trace_steps, np.arange(1, n_steps + 1))
    if n_steps <= LAG or run.task.query.kind == "smooth" or not every_step:
        return pd.DataFrame(columns=list(EXAMPLE_COLUMNS))
    other = donors(len(rollout.problems), stream("worked", run.task.fingerprint(), run.spec.seed))
    by_edit = total_variation(edit_step(rollout, n_steps - LAG).exact, rollout.exact)
    by_trace = total_variation(rollout.exact[other], rollout.exact)
    problem, meanings = int(np.minimum(by_edit, by_trace).argmax()), code_meanings(run.task)
    rows = [row for scene in scenes(rollout, other) for row in _rows(scene, problem, meanings)]
    table = pd.DataFrame(rows, columns=["control", "step", "source", "state", "value"])
    table = table.assign(problem=problem, **{name: "" for name in EXAMPLE_TEXT if name not in table})
    return example_table(run, n_steps, [table])


def scenes(rollout: Rollout, other: Int[np.ndarray, " batch"]) -> list[Scene]:
    """Run every test on all problems; ``other`` gives the problem whose trace or question each one takes."""
    run, problems, own, exact = rollout.run, rollout.problems, rollout.response, rollout.exact
    n_steps, all_steps = problems.n_steps, (*range(1, problems.n_steps + 1),)
    step = n_steps - LAG
    edit, others, ends = edit_step(rollout, step), problems.take(other), with_another_end(run, problems, step)
    stated = blinded(run.task, problems, np.arange(n_steps) >= step)
    prior = blinded(run.task, problems, np.ones(n_steps, dtype=bool))
    edited = respond(run, problems, forced=edit.forced, n_forced=edit.place + 1)
    foretold = answers_from_codes(run.task, ends, step, own.stated[:, step - 1])
    found = [
        Scene("undisturbed", problems, own, exact),
        Scene("edited", problems, edited, edit.exact, (step,)),
        Scene("frozen", problems, respond(run, problems, forced=edit.forced), exact, (step,)),
        Scene("early", problems, respond(run, problems, truncate=edit.place + 1), stated),
        Scene("without", problems, respond(run, problems, truncate=0), prior),
        Scene("another_trace", problems, respond(run, problems, forced=own.written[other]), exact[other], all_steps),
        Scene("another_question", others, respond(run, others, forced=own.written), exact, all_steps),
        Scene("another_end", ends, respond(run, ends), foretold),
    ]
    if run.vocabulary.n_synonyms > 1:
        reworded = respond(run, problems, forced=respelled(run, own.written))
        found.append(Scene("reworded", problems, reworded, exact, all_steps))
    if run.vocabulary.n_hints:
        strongest = np.full(len(problems), len(HINT_STRENGTHS) - 1)
        hints = Hints(exact.argsort(axis=1)[:, -2], strongest)  # at the second most probable answer
        hinted = respond(run, problems, hint=run.vocabulary.hint(*hints))
        found.append(Scene("hinted", problems, hinted, informed(exact, hints)))
    return found


def _rows(
    scene: Scene, problem: int, meanings: Float[np.ndarray, "code state"]
) -> list[tuple[str, int, str, int, float]]:
    n_steps, response = scene.problems.n_steps, scene.response
    rows = [(t + 1, "observation", 0, float(x)) for t, x in enumerate(scene.problems.observations[problem])]
    for place, step in enumerate(response.trace_steps.tolist()):
        belief = meanings[response.stated[problem, place]]
        rows += [(step, "stated", state, float(value)) for state, value in enumerate(belief)]
    rows += [(step, "changed", 0, 1.0) for step in scene.changed]
    for source, answers in (("answer", response.answers), ("should", scene.should)):
        rows += [(n_steps, source, state, float(value)) for state, value in enumerate(answers[problem])]
    return [(scene.name, *row) for row in rows]
