"""Edited traces: replace a step, let the model go on, and compare with the exact counterfactual.

Every edit is judged by what Bayes would have done with it: in a process that forgets, ignoring an old edit
is correct, and only the propagator can tell that from unfaithfulness.
"""

from functools import partial
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

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
from unamortized.evaluation.responses import Response, respond
from unamortized.language.edits import answers_from_codes, counterfactual_answers, donors, edited_beliefs
from unamortized.language.meanings import code_meanings
from unamortized.language.traces import resolve_trace
from unamortized.learning.runs import Run
from unamortized.worlds.problems import Problems
from unamortized.worlds.randomness import stream


class Edit(NamedTuple):
    """One step of every problem's trace replaced, and what exact inference makes of it."""

    forced: Int[np.ndarray, "batch written"]  # the trace with the edit in it
    place: int  # of the edit within the trace
    belief: Float[np.ndarray, "batch state"]  # b': what the edit states
    exact: Float[np.ndarray, "batch answer"]  # pi_cf: the exact answer, had the belief been what the edit states


def place_of(base: Response, step: int) -> int:
    """Where in the trace a step is stated."""
    return int(base.places[base.trace_steps == step][0])


def edit_to(run: Run, problems: Problems, base: Response, step: int, numbers: Int[np.ndarray, " batch"]) -> Edit:
    """Replace the token that states ``step`` by others of its block, given by their numbers.

    An edit that the later observations rule out leaves the exact answer as it is.
    """
    of_codes = run.condition.trace != "state"
    meanings = code_meanings(run.task, softening=1e-12) if of_codes else np.eye(run.vocabulary.n_states)
    belief = edited_beliefs(problems, step, meanings[numbers % len(meanings)])
    place, forced = place_of(base, step), base.written.copy()
    forced[:, place] = numbers
    return Edit(forced, place, belief, counterfactual_answers(run.task, problems, step, belief))


def edit_step(run: Run, problems: Problems, base: Response, step: int) -> Edit:
    """Replace the token that states ``step`` by what another problem's exact trace states there.

    The donor is another problem of the batch, so that edits are as plausible as traces are.
    """
    trace = resolve_trace(run.condition.trace)(problems, run.vocabulary)
    place = place_of(base, step)
    given = donors_of(run, problems, step)
    start = run.vocabulary.blocks[trace.blocks[place]].start
    return edit_to(run, problems, base, step, trace.tokens[given, place] - start)


def donors_of(run: Run, problems: Problems, step: int) -> Int[np.ndarray, " batch"]:
    """Whose exact trace each problem's edit of a step is taken from; alike for all conditions."""
    return donors(len(problems), stream("donors", run.task.fingerprint(), run.spec.seed, step))


@without_hints
def undisturbed(run: Run, settings: FaithfulnessSettings) -> Rows:
    """KL of undisturbed answers, by lag, on those problems that an edit of a belief there would move.

    Of models with and without a trace: what one that ignores an edit has to answer as well as.
    """
    rollout = roll_out(run, settings)
    task, problems, rows = run.task, rollout.problems, Rows()
    last = problems.n_steps
    if task.query.kind == "smooth":
        return []
    for lag, step in ((lag, last - lag) for lag in settings.lags if lag < last):
        codes = run.vocabulary.encode(problems.beliefs[:, step])[donors_of(run, problems, step)]
        exact = answers_from_codes(task, problems, step, codes)
        kept = moves_enough(exact, rollout.exact, settings)
        if kept.any():
            loss = kl(rollout.exact, rollout.own.answers)[kept].mean()
            rows.append(rollout.record("undisturbed_kl", loss, int(kept.sum()), step=lag))
    return rows


def abruptly(base: Response, edited: Response) -> Int[np.ndarray, "batch written"]:
    """The trace as it was, but what it says at its last step is what it came to after an edit: without a way there."""
    last, forced = place_of(base, int(base.trace_steps.max())), base.written.copy()
    forced[:, last] = edited.written[:, last]
    return forced


def editable_steps(rollout: Rollout, settings: FaithfulnessSettings) -> list[tuple[int, int]]:
    """Each lag with its step, where the trace states that step and the answer depends on it."""
    query, last = rollout.run.task.query, rollout.problems.n_steps
    asked_about = (query.argument or 0) if query.kind == "smooth" else last
    steps = [(lag, last - lag) for lag in settings.lags]
    return [(lag, step) for lag, step in steps if step in rollout.own.trace_steps and step <= asked_about]


@without_hints
def light_cone(run: Run, settings: FaithfulnessSettings) -> Rows:
    """Causal reliance, and how far an edit reaches by the model and by Bayes, at each lag; for trace models.

    Control, under ``<condition>/wrong_counterfactual``: the same movements fitted on the counterfactual of
    another problem, which must come out near zero.
    """
    rollout = roll_out(run, settings)
    problems, base, everyone = rollout.problems, rollout.own, len(rollout.problems)
    sampled, rho = resolve_trace(run.condition.trace).sampled, run.condition.reliance
    rows: Rows = []
    for lag, step in editable_steps(rollout, settings):
        edit = edit_step(run, problems, base, step)
        response = respond(run, problems, forced=edit.forced, n_forced=edit.place + 1)
        regenerated, frozen = response.answers, rollout.again(forced=edit.forced)
        at_once = rollout.again(forced=abruptly(base, response))
        kept = moves_enough(edit.exact, rollout.exact, settings)
        count = int(kept.sum())
        should = edit.exact - rollout.exact
        reliance = causal_reliance((regenerated - base.answers)[kept], should[kept])
        wrong = causal_reliance((regenerated - base.answers)[kept], np.roll(should[kept], 1, axis=0))
        still, abrupt = (causal_reliance((answers - base.answers)[kept], should[kept]) for answers in (frozen, at_once))
        own, over_all = (
            partial(rollout.record, count=count, step=lag),
            partial(rollout.record, count=everyone, step=lag),
        )
        rows += [
            own("causal_reliance", reliance.alpha),
            own("causal_reliance_frozen", still.alpha),
            own("causal_reliance_abrupt", abrupt.alpha),
            over_all("counterfactual_tv", total_variation(edit.exact, rollout.exact).mean()),
            over_all("edits_kept", count),
        ]
        if count > 1:
            rows.append(
                own("causal_reliance", wrong.alpha) | {"condition": f"{run.spec.condition}/wrong_counterfactual"}
            )
        if not sampled:  # two draws of a trace differ without any edit; alpha alone is a mean over draws
            rows += [
                own("reliance_r2", reliance.r2),
                over_all("edit_tv", total_variation(regenerated, base.answers).mean()),
                over_all("mistake_changed", changed(regenerated, base.answers)),
                over_all("mistake_changed_exact", changed(edit.exact, rollout.exact)),
            ]
        if rho is not None and count:
            best = (rho * edit.exact + (1 - rho) * rollout.exact)[kept]
            rows.append(own("dial_distance", kl(best, regenerated[kept]).mean()))
    return rows
