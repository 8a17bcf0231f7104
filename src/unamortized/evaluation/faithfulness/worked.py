"""Worked problems: what each test of faithfulness does to one and the same problem, for people to look at."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from unamortized.evaluation.baselines import blinded
from unamortized.evaluation.distances import total_variation
from unamortized.evaluation.examples import EXAMPLE_COLUMNS
from unamortized.evaluation.faithfulness.edits import Edit, edit_step
from unamortized.evaluation.faithfulness.rewording import respelled
from unamortized.evaluation.faithfulness.rollout import FaithfulnessSettings, Rollout, roll_out
from unamortized.evaluation.faithfulness.simulation import with_another_end
from unamortized.evaluation.responses import Response, respond
from unamortized.language.edits import answers_from_codes, donors
from unamortized.language.meanings import code_meanings
from unamortized.language.traces.hints import Hints, informed
from unamortized.language.vocabulary import HINT_STRENGTHS
from unamortized.learning.runs import Run
from unamortized.worlds.problems import Problems
from unamortized.worlds.randomness import stream

LAG = 2  # steps between what is changed and the end


class Scene(NamedTuple):
    """What a test does to problems: what they now observe, what is then written and answered, and what should be."""

    name: str
    problems: Problems
    response: Response
    should: Float[np.ndarray, "batch answer"]  # the answer of somebody who goes by the trace
    changed: tuple[int, ...] = ()  # the steps that were changed from outside


def worked(run: Run, settings: FaithfulnessSettings) -> pd.DataFrame:
    """One test problem under each test, as rows of examples; sources are ``<test>/<what>``.

    What: ``observation``, ``stated`` (belief in ``state``), ``changed`` (the steps that were), ``answer`` and
    ``should``. The problem is the one whose exact answer the edit and the other problem's trace both move furthest.
    Nothing for traces that do not state every step.
    """
    rollout = roll_out(run, settings)
    every_step = np.arange(1, rollout.problems.n_steps + 1)
    if (
        len(every_step) <= LAG
        or run.task.query.kind == "smooth"
        or not np.array_equal(rollout.own.trace_steps, every_step)
    ):
        return pd.DataFrame(columns=list(EXAMPLE_COLUMNS))
    other = donors(len(rollout.problems), stream("worked", run.task.fingerprint(), run.spec.seed))
    edit = edit_step(run, rollout.problems, rollout.own, rollout.problems.n_steps - LAG)
    by_edit, by_trace = (total_variation(each, rollout.exact) for each in (edit.exact, rollout.exact[other]))
    meanings, one = code_meanings(run.task), int(np.minimum(by_edit, by_trace).argmax())
    rows = [row for scene in scenes(rollout, edit, other) for row in _rows(scene, one, meanings)]
    table = pd.DataFrame(rows, columns=["step", "source", "state", "value"])
    named = table.assign(
        task=run.task.name,
        condition=run.spec.condition,
        seed=run.spec.seed,
        n_steps=rollout.problems.n_steps,
        problem=one,
    )
    return named[list(EXAMPLE_COLUMNS)]


def scenes(rollout: Rollout, edit: Edit, other: Int[np.ndarray, " batch"]) -> list[Scene]:
    """Every test that a run can take, on all problems at once."""
    run, problems, own, n_steps = rollout.run, rollout.problems, rollout.own, rollout.problems.n_steps
    step = n_steps - LAG
    told = blinded(run.task, problems, np.arange(n_steps) >= step)
    unseen = blinded(run.task, problems, np.ones(n_steps, dtype=bool))
    others, ends, all_steps = problems.take(other), with_another_end(run, problems, step), (*range(1, n_steps + 1),)

    def thought(asked_about: Problems = problems, **changes: object) -> Response:
        return respond(run, asked_about, **changes)  # pyright: ignore[reportArgumentType]

    found = [
        Scene("undisturbed", problems, own, rollout.exact),
        Scene("edited", problems, thought(forced=edit.forced, n_forced=edit.place + 1), edit.exact, (step,)),
        Scene("frozen", problems, thought(forced=edit.forced), rollout.exact, (step,)),
        Scene("early", problems, thought(truncate=edit.place + 1), told),
        Scene("without", problems, thought(truncate=0), unseen),
        Scene("another_trace", problems, thought(forced=own.written[other]), rollout.exact[other], all_steps),
        Scene("another_question", others, thought(others, forced=own.written), rollout.exact, all_steps),
        Scene("another_end", ends, thought(ends), answers_from_codes(run.task, ends, step, own.stated[:, step - 1])),
    ]
    if run.vocabulary.n_synonyms > 1:
        reworded = respelled(run, own.written)
        found.append(Scene("reworded", problems, thought(forced=reworded), rollout.exact, all_steps))
    if run.vocabulary.n_hints:
        strongest = np.full(len(problems), len(HINT_STRENGTHS) - 1)
        hints = Hints(rollout.exact.argsort(axis=1)[:, -2], strongest)  # at what is second
        hint = run.vocabulary.hint(*hints)
        found.append(Scene("hinted", problems, thought(hint=hint), informed(rollout.exact, hints)))
    return found


def _rows(scene: Scene, one: int, meanings: Float[np.ndarray, "code state"]) -> list[tuple[int, str, int, float]]:
    n_steps = scene.problems.n_steps
    rows = [(t + 1, "observation", 0, float(x)) for t, x in enumerate(scene.problems.observations[one])]
    for place, step in enumerate(scene.response.trace_steps.tolist()):
        belief = meanings[scene.response.stated[one, place]]
        rows += [(step, "stated", state, float(value)) for state, value in enumerate(belief)]
    rows += [(step, "changed", 0, 1.0) for step in scene.changed]
    for what, answers in (("answer", scene.response.answers), ("should", scene.should)):
        rows += [(n_steps, what, state, float(value)) for state, value in enumerate(answers[one])]
    return [(step, f"{scene.name}/{what}", state, value) for step, what, state, value in rows]
